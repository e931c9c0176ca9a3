//! An answer that is being read: its call is in flight until the last of it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use strife_policy::Outcome;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Sleep, sleep_until},
};
use tonic::{Status, body::Body};

use crate::{call, in_flight::InFlight};

/// The answer's body, and the call.
pub(crate) struct Counted {
    body: Body,
    in_flight: InFlight,
    deadline: Option<Pin<Box<Sleep>>>,
    _room: OwnedSemaphorePermit,
}

impl Counted {
    pub(crate) fn new(body: Body, in_flight: InFlight, room: OwnedSemaphorePermit) -> Self {
        let deadline = in_flight.deadline().map(|at| Box::pin(sleep_until(at)));
        Self { body, in_flight, deadline, _room: room }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            let Some(deadline) = &mut self.deadline else { return Poll::Pending };
            std::task::ready!(deadline.as_mut().poll(context));
            self.in_flight.end(Outcome::TimedOut);
            return Poll::Ready(Some(Err(call::deadline_exceeded())));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.in_flight.answered(trailers);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(call::failed(&mut self.in_flight, error.into()))),
            None => {
                // Without trailers, unless they have been here.
                self.in_flight.end(Outcome::Failed);
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
