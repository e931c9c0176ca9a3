//! One call's span: what it was, where it went and why, how it ended.
//!
//! Named as OpenTelemetry's semantic conventions for RPC have it; what they do not know is
//! `strife.`. <https://opentelemetry.io/docs/specs/semconv/rpc/>

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::{CallTrace, Names};
use crate::{access_log::Ended, switch::CallEnd};

/// Of a method's name, so much is kept.
const MAX_NAME_BYTES: usize = 256;

/// A span, as yet in nobody's format.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) parent: Option<[u8; 8]>,
    /// `package.Service/Method`.
    pub(super) name: String,
    pub(super) began_at: SystemTime,
    pub(super) ended_at: SystemTime,
    /// gRPC's; `None`: none came.
    pub(super) grpc_status: Option<u32>,
    pub(super) http_status: u16,
    pub(super) ended: Ended,
    pub(super) pool: Option<String>,
    /// `host:port`.
    pub(super) endpoint: Option<String>,
    pub(super) client: IpAddr,
    /// The policy that picked last, and its rule.
    pub(super) picked: Option<(&'static str, &'static str)>,
    pub(super) attempts: u8,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
}

/// What the switch does not know of a call's end.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) now: Duration,
    pub(super) ended_at: SystemTime,
    pub(super) names: Names<'a>,
}

impl Span {
    /// Of a call that ended.
    pub(super) fn new(trace: &CallTrace, call: &CallEnd<'_>, told: &Told<'_>) -> Self {
        let path = call.head.map_or(&b""[..], |head| head.path());
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let kept = &path[..path.len().min(MAX_NAME_BYTES)];
        Self {
            trace_id: trace.trace_id(),
            span_id: trace.span_id(),
            parent: trace.parent(),
            name: String::from_utf8_lossy(kept).into_owned(),
            began_at: told.ended_at - told.now.saturating_sub(call.started),
            ended_at: told.ended_at,
            grpc_status: call.grpc_status,
            http_status: call.http_status,
            ended: call.ended,
            pool: told.names.pool.map(str::to_owned),
            endpoint: told.names.endpoint.map(str::to_owned),
            client: call.peer.address.ip(),
            picked: trace.last_pick(),
            attempts: call.attempts,
            request_bytes: call.request_bytes,
            response_bytes: call.response_bytes,
        }
    }

    /// Whether the call failed, in the eyes of whoever made it.
    pub(super) fn has_failed(&self) -> bool {
        let is_refused = self.grpc_status.is_some_and(|status| status != 0);
        self.ended != Ended::Completed || is_refused || self.http_status >= 400
    }
}
