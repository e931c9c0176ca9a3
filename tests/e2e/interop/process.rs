//! A child process that serves: it says `ready ADDRESS …` when it does, then what it sees.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use strife_interop::{Events, events::Event};
use strife_runtime::shutdown::LIFELINE;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// How long it may take to serve, or to end. Never asserted as a time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running child. Ends when dropped.
pub(crate) struct Process {
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// What it said after its address.
    pub(crate) more: String,
    pub(crate) events: Events,
    child: Child,
}

impl Process {
    /// Starts it and waits until it serves.
    pub(crate) async fn start(mut command: Command) -> Self {
        command.env(LIFELINE, "stdin").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("a server says that it serves");
                if let Some(addresses) = line.strip_prefix("ready ") {
                    return addresses.to_owned();
                }
            }
        };
        let ready = tokio::time::timeout(PATIENCE, ready).await.expect("it serves in time");
        let (address, more) = ready.split_once(' ').unwrap_or((&ready, ""));
        let (address, more) = (address.parse().unwrap(), more.to_owned());
        let events = Events::default();
        let record = events.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(event) = line.parse::<Event>() {
                    record.record(event);
                }
            }
        });
        Self { address, more, events, child }
    }

    fn pid(&self) -> Pid {
        let pid = self.child.id().expect("it still runs");
        Pid::from_raw(pid.cast_signed()).unwrap()
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Ends it on the spot, as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until it has ended by itself, and well.
    pub(crate) async fn ended(mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.expect("it ends in time").unwrap();
        assert!(status.success(), "{status}");
    }

    /// The memory it holds, in bytes, as the kernel counts it.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
        kib << 10
    }
}
