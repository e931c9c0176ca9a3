//! What `/proc` says of a group of processes: their members, CPU and memory.

use std::{fs, path::PathBuf, time::Duration};

/// The processes of one group, as they were when it was looked at.
#[derive(Debug, Clone)]
pub(super) struct Group(Vec<u32>);

impl Group {
    /// All processes of the group `leader` leads.
    pub(super) fn of(leader: u32) -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_member = |pid: &u32| {
            let stat = fs::read_to_string(file(*pid, "stat")).unwrap_or_default();
            group_of(&stat) == Some(leader)
        };
        Self(pids.filter(is_member).collect())
    }

    /// CPU used so far, user and system, by all threads that are there.
    pub(super) fn cpu_time(&self) -> Duration {
        self.0.iter().map(|pid| cpu_time(*pid)).sum()
    }

    /// Time that all threads together were ready to run and had no core, where the kernel counts it.
    pub(super) fn waited(&self) -> Duration {
        self.0.iter().filter_map(|pid| of_threads(*pid, 1)).sum()
    }

    /// Memory in KiB: each page by the share that is theirs, so that none counts twice.
    pub(super) fn memory_kib(&self) -> u64 {
        self.0.iter().map(|pid| memory_kib(*pid)).sum()
    }
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

/// The process group in a line of `/proc/PID/stat`.
fn group_of(stat: &str) -> Option<u32> {
    fields(stat).nth(2)?.parse().ok()
}

/// What follows the command's name, which stands in parentheses and may hold anything.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace()
}

/// In nanoseconds where the kernel counts them for every thread, in its ticks otherwise.
fn cpu_time(pid: u32) -> Duration {
    let coarse = || ticks(&fs::read_to_string(file(pid, "stat")).unwrap_or_default());
    of_threads(pid, 0).filter(|time| !time.is_zero()).or_else(coarse).unwrap_or_default()
}

/// A number of `schedstat` over all threads.
fn of_threads(pid: u32, index: usize) -> Option<Duration> {
    let threads = fs::read_dir(file(pid, "task")).into_iter().flatten().flatten();
    let schedstat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("schedstat"));
    threads.map(|thread| nanoseconds(&schedstat(thread).ok()?, index)).sum()
}

/// `schedstat` begins with the nanoseconds on a core and those in its queue.
fn nanoseconds(schedstat: &str, index: usize) -> Option<Duration> {
    schedstat.split_whitespace().nth(index)?.parse().ok().map(Duration::from_nanos)
}

/// User and system time in `/proc/PID/stat`, in ticks of 1/100 s.
fn ticks(stat: &str) -> Option<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let fields: Vec<&str> = fields(stat).collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(TICK * (ticks(11)? + ticks(12)?))
}

fn memory_kib(pid: u32) -> u64 {
    let read = |name: &str, field: &str| {
        kib(&fs::read_to_string(file(pid, name)).unwrap_or_default(), field)
    };
    read("smaps_rollup", "Pss:").or_else(|| read("status", "VmRSS:")).unwrap_or(0)
}

/// The number of a line `Field:   123 kB`.
fn kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "812 (a (b) c) S 1 77 77 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 1 1 18446744073709551615";

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(group_of(STAT), Some(77));
        assert_eq!(ticks(STAT), Some(Duration::from_secs(3)));
        assert_eq!(group_of("nothing"), None);
    }

    #[test]
    fn times_and_sizes_are_read() {
        assert_eq!(nanoseconds("1500000 20 3\n", 0), Some(Duration::from_micros(1500)));
        assert_eq!(nanoseconds("1500000 20 3\n", 1), Some(Duration::from_nanos(20)));
        assert_eq!(nanoseconds("", 0), None);
        let text = "5a-7f ---p 0 [rollup]\nRss:    1768 kB\nPss:     271 kB\nPss_Anon: 9 kB\n";
        assert_eq!(kib(text, "Pss:"), Some(271));
        assert_eq!(kib(text, "VmRSS:"), None);
    }

    #[test]
    fn work_is_seen() {
        let ours = Group(vec![std::process::id()]);
        let before = ours.cpu_time();
        let mut sum = 0_u64;
        while ours.cpu_time() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(ours.memory_kib() > 0);
    }
}
