//! What the sweep runs on.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::results::Machine;

/// How many times 4 KiB are written and synced to learn the disk's pace.
const FSYNC_SAMPLES: usize = 101;

/// Describes this machine; `store` is a directory on the disk the stores will use.
pub(crate) fn describe(store: &Path) -> io::Result<Machine> {
    let (fsync_us_p50, fsync_us_p99) = fsync_us(store)?;
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Machine {
        cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_gib: memory_gib(),
        kernel: first_line("/proc/sys/kernel/osrelease"),
        strife_version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit(),
        started_at: since_epoch.as_secs(),
        fsync_us_p50,
        fsync_us_p99,
    })
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib() -> f64 {
    let kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or(0.0);
    (kib / 1024.0 / 1024.0 * 10.0).round() / 10.0
}

/// The checkout's commit, `-dirty` if it has changes; `None` outside a checkout or without git.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn fsync_us(dir: &Path) -> io::Result<(u64, u64)> {
    let path = dir.join("fsync-probe");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let mut samples = Vec::with_capacity(FSYNC_SAMPLES);
    for _ in 0..FSYNC_SAMPLES {
        file.write_all(&[0; 4096])?;
        let started = Instant::now();
        file.sync_data()?;
        samples.push(started.elapsed().as_micros() as u64);
    }
    fs::remove_file(&path)?;
    samples.sort_unstable();
    Ok((samples[FSYNC_SAMPLES / 2], samples[FSYNC_SAMPLES * 99 / 100]))
}
