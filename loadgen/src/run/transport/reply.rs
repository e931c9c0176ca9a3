//! A response, read to its end.

use bytes::{Buf, Bytes, BytesMut};
use h2::client::ResponseFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::{samples::ErrorKind, workload::FRAME_HEADER};

/// The response header by which a balancer or a server says which endpoint answered.
const ENDPOINT_HEADER: HeaderName = HeaderName::from_static("x-strife-endpoint");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The largest response that is read.
const MAX_RESPONSE_BYTES: usize = 16 << 20;

/// An answer that came to its end.
#[derive(Debug)]
pub(in crate::run) struct Reply {
    /// Who answered, if the response says.
    pub(in crate::run) server: Option<HeaderValue>,
    /// The message, if the status was OK.
    pub(in crate::run) result: Result<Bytes, ErrorKind>,
}

/// Reads a response to its end.
pub(super) async fn read(response: ResponseFuture) -> Reply {
    let response = match response.await {
        Ok(response) => response,
        Err(error) => return Reply { server: None, result: Err(kind_of(&error)) },
    };
    let (mut head, mut body) = response.into_parts();
    let server = head.headers.remove(ENDPOINT_HEADER);
    let result = async {
        if head.status != StatusCode::OK {
            return Err(ErrorKind::Http(head.status.as_u16()));
        }
        check_status(&head.headers)?;
        let message = read_body(&mut body).await?;
        let trailers = body.trailers().await.map_err(|error| kind_of(&error))?;
        let trailers = trailers.ok_or(ErrorKind::Malformed)?;
        if !trailers.contains_key(GRPC_STATUS) {
            return Err(ErrorKind::Malformed);
        }
        check_status(&trailers)?;
        unframed(message)
    };
    Reply { server, result: result.await }
}

async fn read_body(body: &mut h2::RecvStream) -> Result<Bytes, ErrorKind> {
    let mut whole = Bytes::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| kind_of(&error))?;
        // Fails only when the stream is gone, which the next read tells.
        let _ = body.flow_control().release_capacity(chunk.len());
        if whole.is_empty() {
            whole = chunk;
        } else if whole.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(ErrorKind::Malformed);
        } else {
            let mut joined = BytesMut::from(whole);
            joined.extend_from_slice(&chunk);
            whole = joined.freeze();
        }
    }
    Ok(whole)
}

/// The one message of a unary response.
fn unframed(mut body: Bytes) -> Result<Bytes, ErrorKind> {
    if body.len() < FRAME_HEADER || body.get_u8() != 0 || body.get_u32() as usize != body.len() {
        return Err(ErrorKind::Malformed);
    }
    Ok(body)
}

/// An error unless the status is OK or not told yet.
fn check_status(headers: &HeaderMap) -> Result<(), ErrorKind> {
    let Some(status) = headers.get(GRPC_STATUS) else { return Ok(()) };
    let code = status.to_str().ok().and_then(|text| text.parse().ok());
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(ErrorKind::Status(code)),
        None => Err(ErrorKind::Malformed),
    }
}

fn kind_of(error: &h2::Error) -> ErrorKind {
    if error.is_reset() { ErrorKind::StreamReset } else { ErrorKind::ConnectionLost }
}
