//! Sockets by link, and the reading of one: every byte that is there goes to the switch.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use strife_runtime::tls::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use super::worker::Worker;
use crate::metrics::CloseReason;

/// Reads of one socket in a row, if it has that much, before others get their turn.
const MAX_READS: usize = 4;

/// One connection's socket.
pub(super) struct Socket {
    pub(super) stream: RefCell<Stream>,
    /// It takes no more output for now: its own task goes on writing when it does.
    pub(super) is_blocked: Cell<bool>,
    /// Writing failed.
    pub(super) failed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// One thread's sockets.
#[derive(Default)]
pub(super) struct Sockets(RefCell<Vec<Option<Rc<Socket>>>>);

impl Sockets {
    pub(super) fn insert(&self, link: usize, stream: Stream) {
        let mut sockets = self.0.borrow_mut();
        if sockets.len() <= link {
            sockets.resize_with(link + 1, || None);
        }
        sockets[link] = Some(Rc::new(Socket {
            stream: RefCell::new(stream),
            is_blocked: Cell::new(false),
            failed: Cell::new(false),
            waker: RefCell::new(None),
        }));
    }

    pub(super) fn remove(&self, link: usize) {
        self.0.borrow_mut()[link] = None;
    }

    pub(super) fn get(&self, link: usize) -> Option<Rc<Socket>> {
        self.0.borrow().get(link).cloned().flatten()
    }
}

impl Socket {
    /// Wakes the task that reads it.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn remember(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }
}

impl Worker {
    /// Reads a link's socket until either side ends it; why it ended.
    pub(super) async fn read_to_the_end(&self, link: usize) -> CloseReason {
        let socket = self.sockets.get(link).expect("it was inserted");
        let ended = poll_fn(|cx| {
            socket.remember(cx.waker());
            if socket.is_blocked.get() {
                self.write(link, &socket, cx);
            }
            if socket.failed.get() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if self.switch.borrow().is_over(link) {
                return Poll::Ready(Ok(()));
            }
            self.read(link, &socket, cx)
        });
        Self::close_reason(&ended.await)
    }

    fn read(&self, link: usize, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = self.scratch.borrow_mut();
        for _ in 0..MAX_READS {
            let mut buffer = ReadBuf::new(&mut scratch);
            let mut stream = socket.stream.borrow_mut();
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            self.switch.borrow_mut().receive(self.clock.now(), link, buffer.filled());
            self.flusher.request();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
