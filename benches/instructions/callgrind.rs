//! Counting of instructions: this program again, under `valgrind --tool=callgrind`, which writes one
//! file each time [`counted`] has run.

use std::{fs, hint::black_box, path::Path, process::Command};

use crate::{
    baseline::Count,
    cell::{CELLS, per_call},
};

/// Tells the program that it runs under callgrind.
pub(crate) const COUNTED: &str = "--counted";
/// glibc picks its copying by the processor, and a repeated move counts as one instruction a byte:
/// the plainest is the same everywhere.
const PLAIN_COPIES: &str =
    "glibc.cpu.hwcaps=-ERMS,-FSRM,-AVX2,-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL";
/// The names of [`counted`] and [`written`] in the program, as callgrind matches them.
const COUNTED_FUNCTION: &str = "*::callgrind::counted*";
const WRITTEN_FUNCTION: &str = "*::callgrind::written*";

/// Instructions in here are counted.
#[inline(never)]
pub(crate) fn counted(work: &mut dyn FnMut()) {
    work();
    written(black_box(0));
}

/// Callgrind writes what it has counted when this is called.
#[inline(never)]
fn written(nothing: u32) {
    black_box(nothing);
}

/// Instructions per call, in the order of [`CELLS`]; `None` without valgrind.
pub(crate) fn instructions() -> Option<Vec<Count>> {
    let is_there = Command::new("valgrind").arg("--version").output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let files = directory.path().join("callgrind");
    let own = std::env::current_exe().expect("this program has a path");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED_FUNCTION}"))
        .arg(format!("--dump-before={WRITTEN_FUNCTION}"))
        .arg(format!("--callgrind-out-file={}", files.display()))
        .arg(own)
        .arg(COUNTED)
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the program did not run under valgrind:\n{said}");
    let count = |number: usize| per_call(total(&files.with_extension(number.to_string())));
    // Callgrind numbers its files from 1.
    let counts = (1..).step_by(2).map(|file| Count { through: count(file), ends: count(file + 1) });
    Some(counts.take(CELLS.len()).collect())
}

/// The sum at the end of one of callgrind's files.
fn total(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).expect("callgrind writes a total")
}
