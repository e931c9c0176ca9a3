//! A request that can be sent once more as long as nothing of it was sent.

use std::{
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::connection::Gone;

/// A request's body, here until a connection asks for its first byte.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Mutex<Option<Body>>>);

impl Kept {
    pub(crate) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// The body for an attempt.
    pub(crate) fn body(&self) -> Body {
        Body::new(Attempt { kept: self.clone(), body: None })
    }

    /// Whether an attempt that failed in this way left the request as it was.
    pub(crate) fn is_unsent(&self, error: &(dyn Error + 'static)) -> bool {
        // hyper cancels a request that it has not begun to send.
        let unsent = |error: &(dyn Error + 'static)| {
            error.is::<Gone>()
                || error.downcast_ref().is_some_and(|error: &hyper::Error| error.is_canceled())
        };
        causes(error).any(unsent) && self.look(|body| body.is_some())
    }

    fn look<T>(&self, at: impl FnOnce(&mut Option<Body>) -> T) -> T {
        at(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An error and what caused it.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Takes the body when it is asked for bytes.
struct Attempt {
    kept: Kept,
    body: Option<Body>,
}

impl http_body::Body for Attempt {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.body.is_none() {
            self.body = self.kept.look(Option::take);
        }
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let kept = || self.kept.look(|body| body.as_ref().is_none_or(Body::is_end_stream));
        self.body.as_ref().map_or_else(kept, Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let kept = || self.kept.look(|body| body.as_ref().map(Body::size_hint).unwrap_or_default());
        self.body.as_ref().map_or_else(kept, Body::size_hint)
    }
}
