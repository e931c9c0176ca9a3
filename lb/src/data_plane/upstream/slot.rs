//! The connections to one endpoint, and the places for streams on them.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use hyper::{body::Incoming, client::conn::http2::SendRequest};
use tokio::sync::Notify;

use super::{MAX_CONNECTIONS, MAX_STREAMS_PER_CONNECTION};

/// The connections to one endpoint.
#[derive(Default)]
pub(super) struct Slot {
    connections: Mutex<Vec<Connection>>,
    /// Held by whoever connects; the others wait for what it gets.
    pub(super) connecting: tokio::sync::Mutex<()>,
    /// Told at every stream given back.
    freed: Arc<Notify>,
    failures: AtomicU64,
    last_failure: Mutex<String>,
}

/// One connection and how much of it is in use.
struct Connection {
    sender: SendRequest<Incoming>,
    usage: Arc<Usage>,
    /// The endpoint's own limit.
    max_streams: Arc<AtomicUsize>,
}

/// The streams of one connection.
struct Usage {
    streams: AtomicUsize,
    freed: Arc<Notify>,
}

/// A stream in use on a connection; given back when dropped.
pub(in crate::data_plane) struct StreamPlace(Arc<Usage>);

/// A stream that is free, and the connection it is on.
pub(super) type Stream = (SendRequest<Incoming>, StreamPlace);

/// Whether there is a stream for another call.
pub(super) enum Vacancy {
    Free(Stream),
    /// Not now, but there may be another connection.
    Room,
    Full,
}

impl Slot {
    pub(super) fn vacancy(&self) -> Vacancy {
        let mut connections = lock(&self.connections);
        connections.retain(|connection| !connection.sender.is_closed());
        match connections.iter().find(|connection| connection.has_free_stream()) {
            Some(connection) => Vacancy::Free(connection.stream()),
            None if connections.len() < MAX_CONNECTIONS => Vacancy::Room,
            None => Vacancy::Full,
        }
    }

    /// Waits until a stream is free; `None` when another connection may be made.
    pub(super) async fn stream_or_room(&self) -> Option<Stream> {
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            match self.vacancy() {
                Vacancy::Free(stream) => return Some(stream),
                Vacancy::Room => return None,
                Vacancy::Full => freed.await,
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let connections = lock(&self.connections);
        connections.len() >= MAX_CONNECTIONS
            && connections.iter().all(|one| !one.sender.is_closed() && !one.has_free_stream())
    }

    /// Keeps a new connection and takes its first stream.
    pub(super) fn add(
        &self,
        sender: SendRequest<Incoming>,
        max_streams: Arc<AtomicUsize>,
    ) -> Stream {
        let usage = Usage { streams: AtomicUsize::new(0), freed: self.freed.clone() };
        let connection = Connection { sender, usage: Arc::new(usage), max_streams };
        let stream = connection.stream();
        lock(&self.connections).push(connection);
        stream
    }

    /// Attempts to connect that failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    pub(super) fn last_failure(&self) -> String {
        lock(&self.last_failure).clone()
    }

    pub(super) fn note_failure(&self, why: &str) {
        why.clone_into(&mut lock(&self.last_failure));
        self.failures.fetch_add(1, Relaxed);
    }
}

impl Connection {
    fn has_free_stream(&self) -> bool {
        let limit = self.max_streams.load(Relaxed).min(MAX_STREAMS_PER_CONNECTION as usize);
        self.usage.streams.load(Relaxed) < limit
    }

    fn stream(&self) -> Stream {
        self.usage.streams.fetch_add(1, Relaxed);
        (self.sender.clone(), StreamPlace(self.usage.clone()))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Relaxed);
        self.0.freed.notify_one();
    }
}

/// Every critical section leaves whole data behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
