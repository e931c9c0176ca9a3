//! What is made, what is kept, what is refused.

use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::*;

/// Puts a certificate that ended years ago in the place of an identity's; its key stays.
pub(crate) fn expire(dir: &Path, identity: &Identity) {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let authority_key = KeyPair::from_pem(&read(&dir.join(CA_KEY_FILE))).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read(&dir.join(CA_FILE)), authority_key).unwrap();
    let (cert_path, key_path) = paths(dir, &identity.file_stem());
    let mut params = identity_params(identity, &[], &[]).unwrap();
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 2, 29);
    let key = KeyPair::from_pem(&read(&key_path)).unwrap();
    fs::write(cert_path, params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
}

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
fn a_host_that_a_certificate_does_not_name_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let with = |hosts: &[&str]| {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        init(dir.path(), &Wanted::for_fleet(&[], &[], &hosts))
    };
    with(&["lb.example.net", "10.1.2.3"]).unwrap();
    assert!(with(&["LB.example.net", "10.1.2.3"]).unwrap().is_empty());
    let error = with(&["10.1.2.4"]).unwrap_err().to_string();
    assert!(error.contains("lb-1.pem is not valid for 10.1.2.4; remove it"), "{error}");
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

#[test]
fn half_an_authority_is_not_made_whole() {
    for (missing, present) in [(CA_FILE, CA_KEY_FILE), (CA_KEY_FILE, CA_FILE)] {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &wanted(&["icici"])).unwrap();
        fs::remove_file(dir.path().join(missing)).unwrap();
        let kept = fs::read(dir.path().join(present)).unwrap();
        let error = init(dir.path(), &wanted(&["icici", "sbi"])).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains("strife certs init NEWDIR"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        assert_eq!(fs::read(dir.path().join(present)).unwrap(), kept);
        assert!(!dir.path().join(missing).exists() && !dir.path().join("bank-sbi.pem").exists());
    }
}

#[test]
fn half_an_identity_is_not_made_whole() {
    for (missing, present) in
        [("bank-icici.pem", "bank-icici-key.pem"), ("bank-icici-key.pem", "bank-icici.pem")]
    {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path(), &wanted(&["icici"])).unwrap();
        fs::remove_file(dir.path().join(missing)).unwrap();
        let kept = fs::read(dir.path().join(present)).unwrap();
        let error = init(dir.path(), &wanted(&["icici"])).unwrap_err().to_string();
        assert!(error.contains(missing) && error.contains("--bank icici`"), "{error}");
        assert_eq!(fs::read(dir.path().join(present)).unwrap(), kept);
        fs::remove_file(dir.path().join(present)).unwrap();
        assert_eq!(init(dir.path(), &wanted(&["icici"])).unwrap().len(), 2);
    }
}

#[test]
fn what_is_there_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bank-icici-key.pem");
    fs::write(&path, "precious").unwrap();
    assert!(write(&path, "new", 0o600).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
}

/// Puts the authorities' certificates of several directories into one file.
fn bundle(dirs: &[&Path]) -> String {
    dirs.iter().map(|dir| fs::read_to_string(dir.join(CA_FILE)).unwrap()).collect()
}

#[test]
fn an_authority_signs_for_itself_whoever_stands_beside_it() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init(old.path(), &wanted(&[])).unwrap();
    init(new.path(), &wanted(&[])).unwrap();
    let own = CertificateDer::from_pem_file(new.path().join(CA_FILE)).unwrap();
    let other_first = bundle(&[old.path(), new.path()]);
    for authorities in [other_first, bundle(&[new.path(), old.path()])] {
        fs::write(new.path().join(CA_FILE), authorities).unwrap();
        let key = KeyPair::from_pem(&fs::read_to_string(new.path().join(CA_KEY_FILE)).unwrap());
        let found =
            check::certificate_of_key(&new.path().join(CA_FILE), key.unwrap().public_key_raw());
        assert_eq!(*found.unwrap(), *own);
    }
    fs::copy(old.path().join(CA_FILE), new.path().join(CA_FILE)).unwrap();
    let error = init(new.path(), &wanted(&["icici"])).unwrap_err().to_string();
    assert!(error.contains("has no certificate of the key in ca-key.pem"), "{error}");
}

#[test]
fn an_expired_certificate_is_named_and_can_be_renewed() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &wanted(&["icici"])).unwrap();
    expire(dir.path(), &Identity::new(Role::Bank, "icici"));
    let error = init(dir.path(), &wanted(&["icici"])).unwrap_err().to_string();
    assert!(error.contains("bank-icici.pem expired on 2020-02-29"), "{error}");
    assert!(error.contains("--bank icici` to renew") && !error.contains('\n'), "{error}");
    let (cert_path, key_path) = paths(dir.path(), "bank-icici");
    fs::remove_file(&cert_path).unwrap();
    fs::remove_file(&key_path).unwrap();
    assert_eq!(init(dir.path(), &wanted(&["icici"])).unwrap(), [cert_path, key_path]);
}
