//! The body of an answer on its way to the client: passed on frame by frame, never buffered, and
//! read only for the status in its trailers.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use strife_policy::Outcome;

use super::{outcome, outcome::SentCall, upstream::StreamPlace};

/// What the client gets as a body.
#[derive(Default)]
pub(super) struct AnswerBody(Option<Proxied>);

/// An endpoint's answer.
struct Proxied {
    incoming: Incoming,
    /// Until its outcome is known.
    call: Option<SentCall>,
    /// If the answer ends without trailers.
    without_trailers: Outcome,
    _place: StreamPlace,
}

impl AnswerBody {
    pub(super) fn new(
        incoming: Incoming,
        call: Option<SentCall>,
        without_trailers: Outcome,
        place: StreamPlace,
    ) -> Self {
        let mut proxied = Proxied { incoming, call, without_trailers, _place: place };
        proxied.note_end();
        Self(Some(proxied))
    }
}

impl Proxied {
    fn finish(&mut self, outcome: Outcome) {
        if let Some(call) = self.call.take() {
            call.finish(outcome);
        }
    }

    /// Nothing polls a body again once it says that it ended.
    fn note_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish(self.without_trailers);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(proxied) = &mut self.0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut proxied.incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => proxied.finish(proxied.without_trailers),
            Poll::Ready(Some(Err(_))) => proxied.finish(Outcome::Failed),
            Poll::Ready(Some(Ok(frame))) => match frame.trailers_ref() {
                Some(trailers) => {
                    let outcome = outcome::told_by(trailers);
                    proxied.finish(outcome.unwrap_or(proxied.without_trailers));
                }
                None => proxied.note_end(),
            },
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|proxied| proxied.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(proxied) => proxied.incoming.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}
