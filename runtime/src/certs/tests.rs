//! What is made, what is kept, what is refused.

use super::*;

fn wanted(banks: &[&str]) -> Wanted {
    let banks: Vec<String> = banks.iter().map(|bank| (*bank).to_owned()).collect();
    Wanted::for_fleet(&banks, &["john_doe".to_owned()], &[])
}

#[test]
fn a_second_init_adds_only_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let first = init(dir.path(), &wanted(&["icici"])).unwrap();
    assert!(first.iter().any(|path| path.ends_with("bank-icici.pem")));
    let ca = fs::read(dir.path().join(CA_FILE)).unwrap();
    assert!(init(dir.path(), &wanted(&["icici"])).unwrap().is_empty());
    let added = init(dir.path(), &wanted(&["icici", "sbi"])).unwrap();
    let names: Vec<_> = added.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, ["bank-sbi.pem", "bank-sbi-key.pem"]);
    assert_eq!(fs::read(dir.path().join(CA_FILE)).unwrap(), ca);
}

#[test]
fn keys_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let written = init(dir.path(), &wanted(&["icici"])).unwrap();
    for key in written.iter().filter(|path| path.to_string_lossy().ends_with("-key.pem")) {
        let mode = fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", key.display());
    }
}

#[test]
fn a_broken_authority_is_named_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &wanted(&["icici"])).unwrap();
    fs::write(dir.path().join(CA_FILE), "not a certificate").unwrap();
    let error = init(dir.path(), &wanted(&["sbi"])).unwrap_err().to_string();
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
    assert_eq!(fs::read(dir.path().join(CA_FILE)).unwrap(), b"not a certificate");
}
