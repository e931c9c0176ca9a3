//! Whether files changed, without reading them.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use crate::{
    certs::{self, CA_FILE},
    identity::Identity,
};

/// What the file system says of the authority's certificate, an identity's and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamps([Option<Stamp>; 3]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length_bytes: u64,
    modified_ns: (i64, i64),
}

impl Stamps {
    pub(super) fn of(dir: &Path, identity: &Identity) -> Self {
        let (certificate, key) = certs::paths(dir, &identity.file_stem());
        Self([dir.join(CA_FILE), certificate, key].map(|path| Stamp::of(&path)))
    }
}

impl Stamp {
    /// Of the file behind any links; `None` if there is none.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            length_bytes: found.len(),
            modified_ns: (found.mtime(), found.mtime_nsec()),
        })
    }
}
