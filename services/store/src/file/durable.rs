//! What the file system has to be asked for before a file counts as being on the disk.
//!
//! A write that fails on its way to the disk is told once, and then the system's cache holds what the disk
//! does not (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). Who stops
//! upon it and starts anew must not look at that cache. A file's name is on the disk once its directory is, and
//! so on upwards.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use super::directory_of;

/// Has what follows read the file from the disk, and its name stay: nothing that is only in memory counts.
pub(super) fn refresh(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    // What waits to be written is no failed write's, and has to be on the disk before it is forgotten.
    file.sync_all()?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    sync_directory(directory_of(path))
}

/// As [`fs::create_dir_all`], so that what is made stays.
pub(super) fn create_directory(directory: &Path) -> io::Result<()> {
    let missing = directory.ancestors().take_while(|path| !path.as_os_str().is_empty());
    let missing: Vec<_> = missing.take_while(|path| !path.exists()).collect();
    fs::create_dir_all(directory)?;
    missing.iter().try_for_each(|made| sync_directory(directory_of(made)))
}

/// What a directory lists stays.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Renames a file unless there is another of that name.
#[cfg(target_os = "linux")]
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn rename_new(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "its file system has no hard links"))
}

#[cfg(test)]
mod tests;
