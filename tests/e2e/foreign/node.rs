//! grpc-js, from the npm registry, in a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use super::missing;

/// A `node_modules` with what `tests/node/package-lock.json` pins. `None` where there is no node or npm,
/// which only a newcomer's machine may lack: with `CI` set it fails instead.
pub(super) fn modules() -> Option<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-js");
    let installed = directory.join("installed.json");
    let wanted = fs::read(source.join("package-lock.json")).unwrap();
    let works = |program| Command::new(program).arg("--version").output().is_ok();
    if !works("node") || !works("npm") {
        return missing("node and npm");
    }
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Some(directory.join("node_modules"));
    }
    fs::create_dir_all(&directory).unwrap();
    for name in ["package.json", "package-lock.json"] {
        fs::copy(source.join(name), directory.join(name)).unwrap();
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&directory)
        .output()
        .unwrap();
    assert!(npm.status.success(), "{}", String::from_utf8_lossy(&npm.stderr));
    fs::write(installed, wanted).unwrap();
    Some(directory.join("node_modules"))
}
