//! What is asked of the file system, seen from outside.

use std::{env, fs};

use tempfile::TempDir;

use super::*;

/// On the disk this was built on: where temporary files are, there may be no disk.
fn directory() -> TempDir {
    let built = env::current_exe().unwrap();
    TempDir::new_in(built.parent().unwrap()).unwrap()
}

/// Whether the first page of a file is in memory; `None` where the file system does not say.
#[cfg(target_os = "linux")]
fn is_cached(file: &File) -> Option<bool> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    let mut page = [0; 4096];
    match preadv2(file, &mut [io::IoSliceMut::new(&mut page)], 0, ReadWriteFlags::NOWAIT) {
        Ok(_) => Some(true),
        Err(Errno::AGAIN) => Some(false),
        Err(_) => None,
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_read_from_the_disk() {
    let directory = directory();
    let path = directory.path().join("file");
    fs::write(&path, vec![7; 1 << 20]).unwrap();
    let file = File::open(&path).unwrap();
    let Some(cached) = is_cached(&file) else {
        println!("NOT shown: this file system does not say what is in memory");
        return;
    };
    assert!(cached, "what was just written is in memory");
    refresh(&path).unwrap();
    assert_eq!(is_cached(&file), Some(false));
    assert_eq!(fs::read(&path).unwrap(), vec![7; 1 << 20]);
}

#[test]
fn directories_are_made_where_they_are_missing() {
    let directory = directory();
    let deep = directory.path().join("a/b/c");
    create_directory(&deep).unwrap();
    assert!(deep.is_dir());
    create_directory(&deep).unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    assert!(create_directory(&directory.path().join("file/d")).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_renamed_over_another() {
    let directory = directory();
    let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
    fs::write(&from, "new").unwrap();
    rename_new(&from, &to).unwrap();
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    fs::write(&from, "newer").unwrap();
    let refused = rename_new(&from, &to).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
}
