//! One connection: reads what is there, lets its side act on it, writes what that gave, in one turn.
//!
//! Reading goes on while writing waits, so that two ends whose buffers are full never wait for each
//! other. All connections read into one buffer, which so stays in the cache.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use strife_runtime::tls::Stream;
use strife_wire::BufferPool;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TrafficError;

/// Read at once, bytes.
const READ_BYTES: usize = 64 * 1024;

/// What the connections of one end share.
#[derive(Debug)]
pub(super) struct Shared {
    /// All times count from it.
    pub(super) origin: Instant,
    pub(super) buffers: Rc<BufferPool>,
    scratch: RefCell<Vec<u8>>,
}

impl Shared {
    pub(super) fn new() -> Rc<Self> {
        let scratch = RefCell::new(vec![0; READ_BYTES]);
        Rc::new(Self { origin: Instant::now(), buffers: Rc::new(BufferPool::new()), scratch })
    }

    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// What a connection is for. Times are since the origin.
pub(super) trait Side: Unpin {
    /// Does what is due, whether or not something arrived; `waker` is to be woken when there is more.
    fn turn(&mut self, now: Duration, waker: &Waker);

    /// Acts on what arrived, and leaves in `input` what it needs more of to understand.
    fn take(&mut self, now: Duration, input: &mut &[u8]) -> Result<(), TrafficError>;

    /// What is to be sent.
    fn output(&self) -> &[u8];

    /// So much of it was.
    fn written(&mut self, now: Duration, bytes: usize);
}

/// Drives a connection; resolves only with what ended it.
pub(super) struct Pump<S> {
    stream: Stream,
    side: S,
    shared: Rc<Shared>,
    /// What arrived and was not understood yet: part of a frame.
    left: Vec<u8>,
}

impl<S: Side> Pump<S> {
    pub(super) fn new(stream: Stream, side: S, shared: Rc<Shared>) -> Self {
        Self { stream, side, shared, left: Vec::new() }
    }

    /// Reads once and acts on it. Pending: nothing was there.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TrafficError>> {
        let mut scratch = self.shared.scratch.borrow_mut();
        let kept = self.left.len();
        if scratch.len() < kept + READ_BYTES / 2 {
            scratch.resize(kept + READ_BYTES, 0);
        }
        let mut buffer = ReadBuf::new(&mut scratch[kept..]);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
            Poll::Ready(Ok(())) => {}
        }
        let read = buffer.filled().len();
        if read == 0 {
            return Poll::Ready(Err(TrafficError::Closed));
        }
        scratch[..kept].copy_from_slice(&self.left);
        let mut input = &scratch[..kept + read];
        let taken = self.side.take(self.shared.now(), &mut input);
        self.left.clear();
        self.left.extend_from_slice(input);
        Poll::Ready(taken)
    }

    /// Writes what there is, as far as the socket takes it.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), TrafficError> {
        let mut wrote = false;
        while !self.side.output().is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.side.output()) {
                Poll::Pending => return Ok(()),
                Poll::Ready(bytes) => self.side.written(self.shared.now(), bytes?),
            }
            wrote = true;
        }
        if wrote && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx) {
            flushed?;
        }
        Ok(())
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Result<(), TrafficError> {
        loop {
            self.side.turn(self.shared.now(), cx.waker());
            let read = self.poll_read(cx);
            let nothing_there = read.is_pending();
            if let Poll::Ready(outcome) = read {
                outcome?;
            }
            self.poll_write(cx)?;
            if nothing_there {
                return Ok(());
            }
        }
    }
}

impl<S: Side> Future for Pump<S> {
    type Output = TrafficError;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TrafficError> {
        match self.get_mut().step(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }
}
