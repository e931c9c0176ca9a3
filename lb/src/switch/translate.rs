//! Header blocks on their way through: decoded with the sender's table, written again without one.
//!
//! What the balancer knows of a client takes the place of what the client says of itself; the answer
//! names the endpoint it came from. Everything else stays as it was, in order, never-indexed
//! literals included (RFC 7541, section 7.1.3).

use core::net::SocketAddr;

use strife_runtime::calls::{FORWARDED_ADDRESS, FORWARDED_IDENTITY};
use strife_wire::{Head, hpack::encode};

use super::{ENDPOINT_HEADER, ServerReport, TrailerReport, reports};
use crate::trace::{CallTrace, TRACEPARENT};

/// The authority of a request that names none.
const NO_AUTHORITY: &[u8] = b"default";

/// Who is on the other end of a client's connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// From its certificate.
    pub(crate) identity: Option<String>,
    /// The header fields that say so to the endpoints, encoded.
    stamp: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, identity: Option<String>) -> Self {
        let mut stamp = Vec::new();
        if let Some(identity) = &identity {
            let value = format!("URI={identity}");
            encode(&mut stamp, FORWARDED_IDENTITY.as_bytes(), value.as_bytes(), false);
        }
        let ip = address.ip().to_string();
        encode(&mut stamp, FORWARDED_ADDRESS.as_bytes(), ip.as_bytes(), false);
        Self { address, identity, stamp }
    }
}

/// The block of a request as the endpoint gets it; `trace`: if the call is traced.
pub(super) fn request(head: &Head, peer: &Peer, trace: Option<&CallTrace>) -> Box<[u8]> {
    let mut block = Vec::with_capacity(head.fields().list_bytes() + peer.stamp.len());
    let authority = match head.authority() {
        b"" => NO_AUTHORITY,
        authority => authority,
    };
    encode(&mut block, b":method", head.method(), false);
    encode(&mut block, b":scheme", head.scheme(), false);
    encode(&mut block, b":authority", authority, false);
    encode(&mut block, b":path", head.path(), false);
    let said_by_us = [FORWARDED_ADDRESS.as_bytes(), FORWARDED_IDENTITY.as_bytes(), b"host"];
    for field in head.fields().iter() {
        let is_kept = trace.is_none_or(|trace| trace.keeps(field.name));
        if field.name[0] != b':' && !said_by_us.contains(&field.name) && is_kept {
            encode(&mut block, field.name, field.value, field.sensitive);
        }
    }
    if let Some(trace) = trace {
        encode(&mut block, TRACEPARENT, &trace.traceparent(), false);
    }
    block.extend_from_slice(&peer.stamp);
    block.into()
}

/// The block of an answer as the client gets it; `endpoint`: who gave it.
pub(super) fn answer(head: &Head, endpoint: &str) -> Box<[u8]> {
    let mut block = Vec::with_capacity(head.fields().list_bytes() + endpoint.len() + 32);
    for field in head.fields().iter() {
        if field.name != ENDPOINT_HEADER.as_str().as_bytes() {
            encode(&mut block, field.name, field.value, field.sensitive);
        }
    }
    encode(&mut block, ENDPOINT_HEADER.as_str().as_bytes(), endpoint.as_bytes(), false);
    block.into()
}

/// The load report that an endpoint put into the end of an answer.
pub(super) fn report(head: &Head) -> Option<Box<TrailerReport>> {
    let value = head.fields().get(reports::HEADER)?;
    Some(Box::new(ServerReport::from_trailer(value)))
}

/// A block as it was: trailers and informational answers.
pub(super) fn unchanged(head: &Head) -> Box<[u8]> {
    let mut block = Vec::with_capacity(head.fields().list_bytes());
    for field in head.fields().iter() {
        encode(&mut block, field.name, field.value, field.sensitive);
    }
    block.into()
}
