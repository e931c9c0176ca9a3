//! One write a touched socket: everything that the bytes of all ready sockets gave rise to goes out
//! together.
//!
//! The tasks that read are woken by the reactor side by side; the first of them wakes the flusher,
//! which so comes behind them all in the run queue.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use strife_runtime::tls::Stream;
use tokio::io::AsyncWrite;

use super::{socket::Socket, worker::Worker};

/// Wakes the task that writes.
#[derive(Default)]
pub(super) struct Flusher {
    requested: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Flusher {
    /// There may be output, or new calls, or connections to make.
    pub(super) fn request(&self) {
        if !self.requested.replace(true)
            && let Some(waker) = self.waker.take()
        {
            waker.wake();
        }
    }

    async fn requested(&self) {
        poll_fn(|cx| {
            if self.requested.replace(false) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Worker {
    /// Settles the switch and writes what there is, whenever asked to.
    pub(super) async fn flush_for_ever(self: Rc<Self>) {
        let mut links = Vec::new();
        loop {
            self.flusher.requested().await;
            self.switch.borrow_mut().settle(self.clock.now());
            for endpoint in self.switch.borrow_mut().take_connects() {
                self.spawn(self.clone().serve_endpoint(endpoint));
            }
            self.switch.borrow_mut().take_dirty(&mut links);
            // Sockets without room are left to their own tasks, which are woken when there is.
            let mut nobody = Context::from_waker(Waker::noop());
            for link in &links {
                if let Some(socket) = self.sockets.get(*link) {
                    self.flush(*link, &socket, &mut nobody);
                }
            }
            self.switch.borrow_mut().shed_overflowing(&links);
            self.adjust_clock();
            if !links.is_empty() {
                // Room that was made may have been for somebody who waited.
                self.request_if_dirty();
            }
        }
    }

    fn request_if_dirty(&self) {
        if self.switch.borrow().is_dirty() {
            self.flusher.request();
        }
    }

    fn flush(&self, link: usize, socket: &Socket, nobody: &mut Context<'_>) {
        if !socket.is_blocked.get() {
            self.write(link, socket, nobody);
        }
        if socket.is_blocked.get() || socket.failed.get() || self.switch.borrow().is_over(link) {
            socket.wake();
        }
    }

    /// Writes as much of a link's output as its socket takes.
    pub(super) fn write(&self, link: usize, socket: &Socket, cx: &mut Context<'_>) {
        let mut stream = socket.stream.borrow_mut();
        socket.is_blocked.set(false);
        loop {
            let written = {
                let switch = self.switch.borrow();
                let output = switch.output(link);
                if output.is_empty() {
                    break;
                }
                Pin::new(&mut *stream).poll_write(cx, output)
            };
            match written {
                Poll::Ready(Ok(bytes)) => {
                    self.switch.borrow_mut().written(self.clock.now(), link, bytes);
                    self.request_if_dirty();
                }
                Poll::Ready(Err(_)) => return socket.failed.set(true),
                Poll::Pending => return socket.is_blocked.set(true),
            }
        }
        // A secured stream may hold records back.
        if !matches!(*stream, Stream::Plain(_)) {
            match Pin::new(&mut *stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => socket.failed.set(true),
                Poll::Pending => socket.is_blocked.set(true),
            }
        }
    }
}
