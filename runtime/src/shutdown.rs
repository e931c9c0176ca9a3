//! When to stop: SIGINT, SIGTERM, or the end of the parent that started us.
//!
//! A child of `strife up` or `strife sweep` holds the read end of a pipe as its standard input
//! (`STRIFE_LIFELINE=stdin`); when the parent ends, however it ends, the pipe closes and the child
//! stops. So no fleet outlives the command that made it.

use std::{
    io::{self, Read},
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// The environment variable that ties a child to its parent.
pub const LIFELINE: &str = "STRIFE_LIFELINE";

/// How long calls under way may take to end once a process was asked to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A clonable wish to stop. Resolves at once when the wish came before the wait.
#[derive(Debug, Clone)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
    request: watch::Sender<bool>,
}

impl Shutdown {
    /// Stops only when [`Shutdown::request`] is called.
    pub fn manual() -> Self {
        let (request, requested) = watch::channel(false);
        Self { requested, request }
    }

    /// Stops on SIGINT, SIGTERM, or when the lifeline ends. Must run inside a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::manual();
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        if std::env::var_os(LIFELINE).is_some() {
            let request = shutdown.request.clone();
            // A thread of its own: a read of standard input cannot be cancelled.
            std::thread::spawn(move || {
                wait_for_end_of_input();
                request.send_replace(true);
            });
        }
        let request = shutdown.request.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            request.send_replace(true);
        });
        Ok(shutdown)
    }

    /// Asks everyone who waits to stop.
    pub fn request(&self) {
        self.request.send_replace(true);
    }

    /// Whether the wish was expressed.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Resolves when it is time to stop.
    pub async fn requested(&self) {
        let mut requested = self.requested.clone();
        // Cannot fail: `self` holds a sender.
        let _ = requested.wait_for(|requested| *requested).await;
    }
}

fn wait_for_end_of_input() {
    let mut byte = [0_u8; 1];
    while matches!(io::stdin().read(&mut byte), Ok(1..)) {}
}
