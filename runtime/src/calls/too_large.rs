//! Requests larger than their service takes: answered RESOURCE_EXHAUSTED, as gRPC's other implementations do
//! (<https://grpc.io/docs/guides/status-codes/>), where tonic says OUT_OF_RANGE.
//!
//! RESOURCE_EXHAUSTED is also how a server says that it can take no more, and whoever balances counts that
//! against it. So that no caller has a healthy server shunned by what he sends, the answer says whose fault
//! it is.

use http::{HeaderName, HeaderValue, Response};
use tonic::{Status, body::Body};

/// In an answer of any status: it is due to what was asked, and says nothing of the server.
pub const AT_FAULT: HeaderName = HeaderName::from_static("x-strife-at-fault");
const CALLER: HeaderValue = HeaderValue::from_static("caller");

/// The answer to give instead of tonic's to a request that is too large; `None` if this is not that.
pub(super) fn instead_of(status: &Status) -> Option<Response<Body>> {
    let (found, limit) = sizes(status.message())?;
    let why = format!("the message has {found} bytes, more than the {limit} that are taken here");
    let mut response = Status::resource_exhausted(why).into_http();
    response.headers_mut().insert(AT_FAULT, CALLER);
    Some(response)
}

/// How large it is, and how large it may be, bytes, in the words of tonic's decoder.
fn sizes(message: &str) -> Option<(u64, u64)> {
    let sizes = message.strip_prefix("Error, decoded message length too large: found ")?;
    let (found, limit) = sizes.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
    Some((found.parse().ok()?, limit.parse().ok()?))
}
