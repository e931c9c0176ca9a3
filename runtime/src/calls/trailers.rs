//! Adds fields to the end of a response.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

/// `response` with `more` in its trailers, or in its head if that is all there is of it.
pub(super) fn with(mut response: Response<Body>, more: HeaderMap) -> Response<Body> {
    if response.headers().contains_key(Status::GRPC_STATUS) {
        response.headers_mut().extend(more);
        return response;
    }
    response.map(|inner| Body::new(Longer { inner, more }))
}

/// A body whose trailers are longer than it knows.
struct Longer {
    inner: Body,
    more: HeaderMap,
}

impl http_body::Body for Longer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut next = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &mut next
            && let Some(trailers) = frame.trailers_mut()
        {
            trailers.extend(std::mem::take(&mut self.more));
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

    use super::*;

    fn more() -> HeaderMap {
        [("more".parse().unwrap(), "1".parse().unwrap())].into_iter().collect()
    }

    #[tokio::test]
    async fn trailers_are_made_longer_and_nothing_else_is_touched() {
        let status: HeaderMap =
            [("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect();
        let data = Full::new(Bytes::from_static(b"data")).map_err(|never| match never {});
        let body = UnsyncBoxBody::<Bytes, Status>::new(
            data.with_trailers(std::future::ready(Some(Ok(status)))),
        );
        let response = with(Response::new(Body::new(body)), more());
        assert!(response.headers().is_empty());
        let collected = response.into_body().collect().await.unwrap();
        let trailers = collected.trailers().unwrap();
        assert_eq!(
            (&trailers["grpc-status"], &trailers["more"]),
            (&"0".parse().unwrap(), &"1".parse().unwrap())
        );
        assert_eq!(collected.to_bytes(), "data");
    }

    #[test]
    fn a_head_that_is_all_there_is_gets_them() {
        let response = with(Status::not_found("no").into_http(), more());
        assert_eq!(response.headers()["more"], "1");
        assert_eq!(response.headers()["grpc-status"], "5");
    }
}
