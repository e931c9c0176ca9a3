//! The load and the servers of a benchmark: gRPC calls and answers over `strife-wire`, on one thread.
//!
//! What is compared is the proxy between them, so both ends are as cheap as they can be: requests and
//! answers are encoded once, header blocks that were seen before are recognised and not decoded, and
//! a connection reads, answers and writes in one turn. Still every answer is checked: its status, its
//! length, and the length that its message claims.

mod backend;
mod blocks;
mod caller;
mod message;
mod pace;
mod pump;
mod slab;
mod tally;

use std::{io, rc::Rc, time::Duration};

use strife_runtime::{Security, tls::Expected};
use strife_wire::{Code, Config, ConnectionError};
use thiserror::Error;
use tokio::task::JoinSet;

use self::{
    caller::Caller,
    pace::Inbox,
    pump::{Pump, Shared},
};

pub(super) use self::{
    backend::Backends,
    pace::Pace,
    tally::{Tally, Times, percentile_us},
};

/// The method that is called; servers answer any other with UNIMPLEMENTED.
const METHOD: &str = "/strife.bench.Echo/Call";
/// How long connections may take to be made, all together.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls went wrong: what was measured is worth nothing.
#[derive(Debug, Error)]
pub(super) enum TrafficError {
    /// A socket could not be opened, or broke.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The other end closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// The other end broke a rule of HTTP/2.
    #[error("{0}")]
    Protocol(#[from] ConnectionError),
    /// A call was reset.
    #[error("a call was reset: {0}")]
    Reset(Code),
    /// A call did not end as it must.
    #[error("a call went wrong: {0}")]
    Call(&'static str),
    /// Not all connections were made in time.
    #[error("connections were not made within {} s", OPEN_TIMEOUT.as_secs())]
    TooSlow,
}

/// Windows and streams so large that neither end ever waits for the other.
fn config() -> Config {
    Config {
        max_streams: 8192,
        stream_window: 1 << 20,
        connection_window: 1 << 28,
        ..Config::default()
    }
}

/// What calls are made on a connection.
#[derive(Debug, Clone, Copy)]
pub(super) enum Calls {
    /// So many at once, each followed by the next.
    Closed(u32),
    /// When the pace says so.
    Paced,
    /// One, and then none.
    Single,
}

/// Load on a proxy; it stops when this is dropped.
pub(super) struct Load {
    shared: Rc<Shared>,
    tally: Rc<Tally>,
    inboxes: Vec<Rc<Inbox>>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Opens the connections, one after the other, and returns when all are in use and, of single calls,
    /// all are answered. Must run on a local runtime.
    pub(super) async fn open(
        address: &str,
        security: &Security,
        connections: u32,
        message_bytes: u32,
        calls: Calls,
    ) -> Result<Self, TrafficError> {
        let (shared, tally) = (Shared::new(), Tally::new());
        let mut load = Self { shared, tally, inboxes: Vec::new(), tasks: JoinSet::new() };
        let opening = async {
            for number in 1..=connections {
                load.connect(address, security, message_bytes, calls).await?;
                if matches!(calls, Calls::Single) {
                    load.tally.until(|tally| tally.calls() >= u64::from(number)).await?;
                }
            }
            load.tally.until(|tally| tally.connected() >= connections).await
        };
        tokio::time::timeout(OPEN_TIMEOUT, opening).await.map_err(|_| TrafficError::TooSlow)??;
        Ok(load)
    }

    async fn connect(
        &mut self,
        address: &str,
        security: &Security,
        message_bytes: u32,
        calls: Calls,
    ) -> Result<(), TrafficError> {
        let stream = security.connect(address, &Expected::AnyServer).await?;
        let https = matches!(security, Security::Mutual(_));
        let (inbox, tally) = (Rc::new(Inbox::default()), self.tally.clone());
        self.inboxes.push(inbox.clone());
        let shared = self.shared.clone();
        let caller = Caller::new(calls, https, message_bytes, inbox, tally.clone(), shared.clone());
        let pump = Pump::new(stream, caller, shared);
        self.tasks.spawn_local(async move { tally.failed(pump.await) });
        Ok(())
    }

    /// What is counted.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Calls are timed from now on.
    pub(super) fn begin(&self) {
        self.tally.begin(self.shared.now());
    }

    /// Makes calls at the pace, for so long.
    pub(super) async fn pace(&self, pace: Pace, time: Duration) -> io::Result<()> {
        let until = self.shared.now() + time;
        pace::run(pace, &self.inboxes, &self.shared, &self.tally, until).await
    }

    /// Closes the connections. Paced calls that have not ended count as having taken until now.
    pub(super) async fn close(mut self) -> Times {
        self.tasks.shutdown().await;
        self.tally.take()
    }
}

#[cfg(test)]
mod tests;
