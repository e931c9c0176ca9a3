//! Sockets by link, and the reading of one: every byte that is there goes to the switch.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use strife_runtime::tls::Stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use super::worker::Worker;
use crate::metrics::CloseReason;

/// Reads of one socket in a row, if it has that much, before others get their turn.
const MAX_READS: usize = 4;
/// How long, and with how many bytes, a peer may go on after we have ended a connection.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_LINGER_BYTES: usize = 1 << 20;

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

    /// Takes a link's stream out.
    pub(super) fn remove(&self, link: usize) -> Option<Stream> {
        let socket = self.0.borrow_mut()[link].take()?;
        Rc::into_inner(socket).map(|socket| socket.stream.into_inner())
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

/// Ends a connection so that the peer can read what was sent last: a socket closed with bytes unread
/// would reset the connection, and what the peer has not read by then would be lost.
pub(super) async fn linger(mut stream: Stream) {
    let lingering = async {
        stream.shutdown().await?;
        let mut discarded = 0;
        let mut buffer = [0; 4096];
        while discarded < MAX_LINGER_BYTES {
            match stream.read(&mut buffer).await? {
                0 => break,
                bytes => discarded += bytes,
            }
        }
        io::Result::Ok(())
    };
    // Nothing is left to be done about a peer that does not end either.
    let _ = timeout(LINGER_TIMEOUT, lingering).await;
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
        match ended.await {
            Ok(()) => CloseReason::PeerClosed,
            Err(_) => CloseReason::IoError,
        }
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
