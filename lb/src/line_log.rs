//! Logs of what calls do, a line of JSON each: the access log and the log of picks.
//!
//! The thread that carries the call formats the line into a buffer of its own; a thread that does
//! nothing else takes the buffers and writes them. A buffer has a bound: what comes while it is
//! full is dropped and counted, and the log says so as soon as it can. No call ever waits for a
//! disk, and none fails for one.

mod writer;

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, Release},
        },
        mpsc,
    },
    thread::{self, Thread},
    time::Duration,
};

use strife_runtime::Failure;
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;

use self::writer::{Target, Writer};

/// Bytes of lines that may wait in each thread's buffer; one more line may overshoot it.
const MAX_PENDING_BYTES: usize = 1 << 20;
/// With so many the writer is woken; it comes by itself every [`writer::INTERVAL`].
const WAKE_BYTES: usize = MAX_PENDING_BYTES / 4;
/// How long the end of the process waits for the last lines.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Which log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// For people.
    pub(crate) name: &'static str,
    /// That asks for it.
    pub(crate) flag: &'static str,
    /// Of the thread that writes it; 15 bytes at most.
    pub(crate) thread: &'static str,
}

/// An open log and its writer. Dropped, it writes what is there and ends.
pub(crate) struct LineLog {
    name: &'static str,
    shared: Arc<Shared>,
    writer: Thread,
    /// Disconnected when the writer has ended.
    ended: mpsc::Receiver<()>,
}

/// Where one thread leaves its lines.
pub(crate) struct Sender {
    slot: Arc<Mutex<Pending>>,
    writer: Thread,
}

/// What the writer did so far.
#[derive(Debug, Default)]
pub(crate) struct Written {
    lines: AtomicU64,
    dropped: AtomicU64,
}

/// What the writer shares with those who ask it for something.
#[derive(Default)]
struct Shared {
    slots: Mutex<Vec<Arc<Mutex<Pending>>>>,
    written: Arc<Written>,
    stop: AtomicBool,
    reopen: AtomicBool,
}

/// Lines that wait to be written.
#[derive(Default)]
struct Pending {
    text: Vec<u8>,
    lines: u64,
    /// Lines that found no place since the lines were last taken.
    dropped: u64,
}

impl LineLog {
    /// `target`: a file, appended to, or `-` for standard error.
    pub(crate) fn open(kind: Kind, target: &str) -> Result<Self, Failure> {
        let Kind { name, flag, thread } = kind;
        let shared = Arc::<Shared>::default();
        let (running, ended) = mpsc::channel();
        let failed = |error| {
            Failure::usage(format!(
                "cannot write the {name} {target} ({error}); choose another with {flag}"
            ))
        };
        let writer = Writer::new(name, Target::new(target), shared.clone()).map_err(failed)?;
        let spawned = thread::Builder::new().name(thread.to_owned()).spawn(move || {
            let _running = running;
            writer.run();
        });
        let writer = spawned.map_err(failed)?.thread().clone();
        Ok(Self { name, shared, writer, ended })
    }

    /// For one thread that carries calls.
    pub(crate) fn sender(&self) -> Sender {
        let slot = Arc::<Mutex<Pending>>::default();
        lock(&self.shared.slots).push(slot.clone());
        Sender { slot, writer: self.writer.clone() }
    }

    /// What the writer counts.
    pub(crate) fn written(&self) -> Arc<Written> {
        self.shared.written.clone()
    }

    /// Opens the file anew at every SIGHUP, for whoever rotates logs. Ends when dropped.
    pub(crate) fn reopen_on_hangup(&self) -> impl Future<Output = ()> + Send + use<> {
        let (name, shared, writer) = (self.name, self.shared.clone(), self.writer.clone());
        async move {
            let mut hangups = match signal(SignalKind::hangup()) {
                Ok(hangups) => hangups,
                Err(error) => {
                    warn!(log = name, %error, "cannot listen for SIGHUP; it is not reopened");
                    return;
                }
            };
            while hangups.recv().await.is_some() {
                shared.reopen.store(true, Release);
                writer.unpark();
            }
        }
    }
}

impl Drop for LineLog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Release);
        self.writer.unpark();
        // Longer than that only for a disk or a pipe that takes nothing: it must not keep us.
        let _ = self.ended.recv_timeout(LAST_WRITE_TIMEOUT);
    }
}

impl Sender {
    /// Leaves a line, its end included, for the writer, or counts it as dropped. Does not wait.
    pub(crate) fn append(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut pending = lock(&self.slot);
        let before = pending.text.len();
        if before >= MAX_PENDING_BYTES {
            pending.dropped += 1;
            return;
        }
        line(&mut pending.text);
        pending.lines += 1;
        let wakes = before < WAKE_BYTES && pending.text.len() >= WAKE_BYTES;
        drop(pending);
        if wakes {
            self.writer.unpark();
        }
    }
}

impl Written {
    /// Lines in the log.
    pub(crate) fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// Lines that are not in the log.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

/// The buffers hold whole lines whenever nobody is inside, even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests;
