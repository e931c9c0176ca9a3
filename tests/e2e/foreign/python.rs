//! A Python with grpcio, from PyPI, in an environment of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use super::missing;

/// A Python with `tests/python/requirements.txt` installed. `None` where there is no python3, which
/// only a newcomer's machine may lack: with `CI` set it fails instead.
pub(crate) fn python() -> Option<PathBuf> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpcio");
    let python = environment.join("bin/python");
    let requirements = root.join("tests/python/requirements.txt");
    let installed = environment.join("installed.txt");
    let wanted = std::fs::read(&requirements).unwrap();
    if std::fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).status();
    if !made.is_ok_and(|status| status.success()) {
        return missing("python3 with venv");
    }
    let pip = Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(&requirements)
        .output()
        .unwrap();
    assert!(pip.status.success(), "{}", String::from_utf8_lossy(&pip.stderr));
    std::fs::write(installed, wanted).unwrap();
    Some(python)
}
