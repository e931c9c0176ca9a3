//! A proxy as a child process: alone on its core, known to run, gone when dropped.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use strife_runtime::shutdown::LIFELINE;

use super::{
    pinned::PinnedArgs,
    procfs::Group,
    proxies::{Certificates, Proxy, Setup, found::Found},
};

/// What a proxy said is shown up to this many of its last lines.
const LAST_LINES: usize = 3;
const LOG_FILE: &str = "output.log";

/// A running proxy. It and all that it started are killed on drop.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// Where it was told to listen.
    pub(super) address: String,
    log: PathBuf,
}

/// Where a proxy is started.
pub(super) struct Place<'a> {
    /// The core that is to be its own.
    pub(super) core: usize,
    pub(super) backends: &'a [String],
    pub(super) tls: Option<&'a Certificates>,
    /// For its files; made anew.
    pub(super) dir: PathBuf,
}

impl Running {
    /// Starts a proxy; it need not serve yet.
    pub(super) fn start(proxy: Proxy, found: &Found, place: &Place<'_>) -> io::Result<Self> {
        let Place { core, backends, tls, ref dir } = *place;
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
        let address = free_address()?;
        let as_root = geteuid().is_root();
        let setup = Setup { listen: &address, backends, dir, tls, as_root };
        let launch = proxy.launch(&setup);
        if let Some((name, text)) = &launch.file {
            fs::write(dir.join(name), text)?;
        }
        let mut program = vec![found.program.display().to_string()];
        program.extend(launch.arguments);
        let log = dir.join(LOG_FILE);
        let output = File::create(&log)?;
        let parent = std::process::id().cast_signed();
        let child = Command::new(std::env::current_exe()?)
            .args(PinnedArgs { core, parent, program }.to_arguments())
            .env_remove(LIFELINE)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C reaches only us; and the group is what is measured and killed.
            .process_group(0)
            .spawn()?;
        Ok(Self { child, address, log })
    }

    /// Its processes, as they are now.
    pub(super) fn group(&self) -> Group {
        Group::of(self.child.id())
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// What it said last, on one line.
    pub(super) fn last_words(&self) -> String {
        last_words(&self.log)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            // Fails only if all of it has ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// An address on which nobody listens now. Whoever loses it before it is used fails to start.
fn free_address() -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.to_string())
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.split_off(lines.len().saturating_sub(LAST_LINES));
    if last.is_empty() { "it said nothing".to_owned() } else { last.join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(LOG_FILE);
        assert_eq!(last_words(&log), "it said nothing");
        fs::write(&log, "one\n\ntwo\nthree\nfour\n").unwrap();
        assert_eq!(last_words(&log), "two | three | four");
    }

    #[test]
    fn free_addresses_can_be_listened_on() {
        TcpListener::bind(free_address().unwrap()).unwrap();
    }
}
