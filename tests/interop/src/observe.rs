//! A layer around the service that does what a handler cannot: echo metadata and report load in the
//! trailers of a call that succeeded, and see every call's end.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body::{Body as _, Frame};
use strife_proto::xds::data::orca::v3::OrcaLoadReport;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    events::{Event, Events, What},
    headers::{CALL, ECHO_INITIAL, ECHO_TRAILING, HOLD},
    orca,
};

/// Adds [`Observed`] to a service.
#[derive(Debug, Clone)]
pub(crate) struct Observe(pub(crate) Events);

/// A service whose calls are echoed and reported.
#[derive(Debug, Clone)]
pub(crate) struct Observed<S> {
    inner: S,
    events: Events,
}

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, events: self.0.clone() }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let watch = Watch::begin(request.headers(), &self.events);
        let echo = |name: &'static str| {
            let value = request.headers().get(name)?.clone();
            Some((HeaderName::from_static(name), value))
        };
        let initial = echo(ECHO_INITIAL);
        let mut trailing: HeaderMap = echo(ECHO_TRAILING).into_iter().collect();
        if request.headers().contains_key(HOLD) {
            let held = Body::new(Held { _request: request.into_body(), _watch: watch });
            let grpc = HeaderValue::from_static("application/grpc");
            let mut response = Response::new(held);
            response.headers_mut().insert(CONTENT_TYPE, grpc);
            return Box::pin(async { Ok(response) });
        }
        let answering = self.inner.call(request);
        Box::pin(async move {
            let mut response = answering.await?;
            response.headers_mut().extend(initial);
            if let Some(report) = response.extensions_mut().remove::<OrcaLoadReport>() {
                trailing.extend(orca::trailers(&report));
            }
            Ok(response.map(|inner| Body::new(Watched::new(inner, trailing, watch))))
        })
    }
}

/// Reports a call's beginning, and its end when dropped.
struct Watch {
    call: Option<String>,
    events: Events,
    ending: What,
}

impl Watch {
    fn begin(headers: &HeaderMap, events: &Events) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let call = text(CALL).map(str::to_owned);
        if let Some(call) = call.clone() {
            let left = text("grpc-timeout").and_then(timeout);
            events.record(Event { call, what: What::Began(left) });
        }
        Self { call, events: events.clone(), ending: What::Cancelled }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            self.events.record(Event { call, what: self.ending });
        }
    }
}

/// The value of `grpc-timeout` (gRPC over HTTP2, "Timeout").
fn timeout(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A response body that never comes. It keeps the request's, as a handler at work would.
struct Held {
    _request: Body,
    _watch: Watch,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Poll::Pending
    }
}

/// A response body with more trailers and a watched end.
struct Watched {
    inner: Body,
    trailing: HeaderMap,
    watch: Watch,
}

impl Watched {
    fn new(inner: Body, trailing: HeaderMap, mut watch: Watch) -> Self {
        if inner.is_end_stream() {
            watch.ending = What::Ended;
        }
        Self { inner, trailing, watch }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        polled.map(|next| match next {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    self.watch.ending = What::Ended;
                    trailers.extend(std::mem::take(&mut self.trailing));
                }
                Some(Ok(frame))
            }
            Some(Err(status)) => Some(Err(status)),
            None => {
                self.watch.ending = What::Ended;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_number_and_a_unit() {
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(timeout("1S"), Some(Duration::from_secs(1)));
        assert_eq!([timeout(""), timeout("1"), timeout("S"), timeout("1x")], [None; 4]);
    }
}
