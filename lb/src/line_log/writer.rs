//! The thread that writes a log.
//!
//! It comes round at an interval, or sooner when a buffer fills, takes every thread's lines and
//! writes them at once. A write that fails loses its lines, which are counted; the next round
//! tries again.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::Ordering::{Acquire, Relaxed},
    },
    thread,
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use super::{Pending, Shared, lock};
use crate::access_log::Timestamp;

/// Between rounds; a line is in the log after this at the latest.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// Where lines go.
pub(super) enum Target {
    StandardError,
    File(PathBuf),
}

impl Target {
    /// `-` or a path.
    pub(super) fn new(text: &str) -> Self {
        if text == "-" { Self::StandardError } else { Self::File(text.into()) }
    }

    fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Self::StandardError => Box::new(io::stderr()),
            Self::File(path) => {
                let file: File = OpenOptions::new().append(true).create(true).open(path)?;
                Box::new(file)
            }
        })
    }
}

/// The writer's own state.
pub(super) struct Writer {
    /// Of the log, for people.
    name: &'static str,
    target: Target,
    output: Box<dyn Write + Send>,
    shared: Arc<Shared>,
    /// Swapped against a thread's lines, so that both buffers keep their place in memory.
    spare: Pending,
    /// Dropped lines of which the log does not speak yet.
    unsaid: u64,
    /// The last write ended within a line.
    mid_line: bool,
    failing: bool,
}

impl Writer {
    pub(super) fn new(name: &'static str, target: Target, shared: Arc<Shared>) -> io::Result<Self> {
        let output = target.open()?;
        let spare = Pending::default();
        Ok(Self { name, target, output, shared, spare, unsaid: 0, mid_line: false, failing: false })
    }

    /// Writes until it is asked to stop, and then once more.
    pub(super) fn run(mut self) {
        loop {
            let stops = self.shared.stop.load(Acquire);
            self.round();
            if stops {
                return;
            }
            thread::park_timeout(INTERVAL);
        }
    }

    /// Writes what is there.
    fn round(&mut self) {
        if self.shared.reopen.swap(false, Acquire) {
            self.reopen();
        }
        let slots = lock(&self.shared.slots).clone();
        slots.iter().for_each(|slot| self.take(slot));
        self.speak();
    }

    fn reopen(&mut self) {
        match self.target.open() {
            Ok(output) => {
                self.output = output;
                self.mid_line = false;
            }
            Err(error) => {
                warn!(log = self.name, %error, "cannot reopen it; writing to the old one")
            }
        }
    }

    /// Writes a thread's lines.
    fn take(&mut self, slot: &Mutex<Pending>) {
        mem::swap(&mut *lock(slot), &mut self.spare);
        let Pending { text, lines, dropped } = mem::take(&mut self.spare);
        let written = self.write(&text);
        let lost = dropped + lines - written;
        self.shared.written.lines.fetch_add(written, Relaxed);
        self.shared.written.dropped.fetch_add(lost, Relaxed);
        self.unsaid += lost;
        self.spare.text = text;
        self.spare.text.clear();
    }

    /// Says how many lines are missing, once lines can be written again.
    fn speak(&mut self) {
        if self.unsaid == 0 {
            return;
        }
        let (now, dropped) = (Timestamp::new(SystemTime::now()), self.unsaid);
        let time = now.as_str();
        let line = format!("{{\"time\":\"{time}\",\"dropped\":{dropped}}}\n");
        if self.write(line.as_bytes()) == 1 {
            self.unsaid = 0;
        }
    }

    /// Writes whole lines; returns how many of them are in the log.
    fn write(&mut self, text: &[u8]) -> u64 {
        let mut rest = text;
        let outcome = self.write_all(&mut rest);
        let written = &text[..text.len() - rest.len()];
        if let Some(last) = written.last() {
            self.mid_line = *last != b'\n';
        }
        match outcome {
            Err(error) if !self.failing => {
                warn!(log = self.name, %error, "cannot write it; calls go on without it");
                self.failing = true;
            }
            Ok(()) if self.failing && !text.is_empty() => {
                info!(log = self.name, "it is written again");
                self.failing = false;
            }
            _ => {}
        }
        written.iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// As [`Write::write_all`], but `rest` is what was not written. Ends a torn line first.
    fn write_all(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        if self.mid_line && !rest.is_empty() {
            self.output.write_all(b"\n")?;
            self.mid_line = false;
        }
        while !rest.is_empty() {
            match self.output.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => *rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
