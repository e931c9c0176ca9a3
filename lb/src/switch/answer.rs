//! Answers that the balancer gives itself.
//!
//! A gRPC client gets a status, trailers-only or in trailers; any other client gets an HTTP status
//! beside it (gRPC over HTTP/2; the pairs are those of gRPC's HTTP mapping).

use std::fmt::Write;

use strife_policy::Outcome;
use strife_wire::{Code, hpack::encode};

use super::{Director, Switch, call::Stage};
use crate::{access_log::Ended, metrics::Refusal};

/// A gRPC status code, and the HTTP status for whoever does not speak gRPC.
type Codes = (u32, u16);

const DEADLINE_EXCEEDED: Codes = (4, 504);
const RESOURCE_EXHAUSTED: Codes = (8, 429);
const UNIMPLEMENTED: Codes = (12, 404);
const UNAVAILABLE: Codes = (14, 503);

const fn codes(refusal: Refusal) -> Codes {
    match refusal {
        Refusal::NoPool | Refusal::Malformed => UNIMPLEMENTED,
        Refusal::NoReadyEndpoint | Refusal::AttemptsExhausted => UNAVAILABLE,
        Refusal::NoFreeStream | Refusal::BufferFull | Refusal::Stalled => RESOURCE_EXHAUSTED,
        Refusal::HeadersTooLarge => (8, 431),
        Refusal::DeadlineExceeded => DEADLINE_EXCEEDED,
    }
}

impl<D: Director> Switch<D> {
    /// The balancer has no way to serve a call; no endpoint is to blame but for a deadline.
    pub(super) fn refuse(&mut self, number: usize, refusal: Refusal, why: &str) {
        self.metrics.refused_calls.increment(refusal);
        let ended = match refusal {
            Refusal::DeadlineExceeded => Ended::DeadlineExceeded,
            other => Ended::Refused(other),
        };
        // The endpoint had the call and said nothing, or not all: who waited for it may be to blame, too.
        let was_there = matches!(self.calls[number].stage, Stage::Sent | Stage::Answered);
        let outcome = match refusal {
            Refusal::DeadlineExceeded if was_there => Outcome::TimedOut,
            _ => Outcome::Cancelled,
        };
        self.answer(number, codes(refusal), why, ended, outcome);
    }

    /// The endpoint failed a call, which may have run.
    pub(super) fn fail(&mut self, number: usize, ended: Ended, why: &str) {
        if let Ended::Refused(refusal) = ended {
            self.metrics.refused_calls.increment(refusal);
        }
        let endpoint = self.calls[number].endpoint;
        let address = endpoint.map_or("", |endpoint| self.director.address(endpoint));
        let why = format!("server {address}: {why}");
        self.answer(number, UNAVAILABLE, &why, ended, Outcome::Failed);
    }

    fn answer(
        &mut self,
        number: usize,
        (grpc, http): Codes,
        why: &str,
        ended: Ended,
        outcome: Outcome,
    ) {
        self.reset_up(number, Code::CANCEL);
        let call = &mut self.calls[number];
        let down = call.down;
        let wire = &mut self.links[down.link].wire;
        if call.stage != Stage::Answered {
            let is_grpc = call.head.as_ref().is_none_or(|block| block.head.is_grpc());
            call.http_status = if is_grpc { 200 } else { http };
            wire.send_headers(down.stream, &trailers_only(call.http_status, grpc, why), true);
            call.grpc_status = Some(grpc);
        } else if call.answer_is_grpc {
            let mut block = Vec::new();
            put_status(&mut block, grpc, why);
            wire.send_headers(down.stream, &block, true);
            call.grpc_status = Some(grpc);
        } else {
            wire.reset(down.stream, Code::INTERNAL_ERROR);
            self.metrics.client_resets_sent.increment();
        }
        // It may still be sending its request: there is no use in that.
        wire.reset(down.stream, Code::NO_ERROR);
        self.mark_dirty(down.link);
        self.look_whether_finished(down.link);
        self.finish(number, ended, outcome);
    }
}

fn trailers_only(http: u16, grpc: u32, why: &str) -> Vec<u8> {
    let mut block = Vec::new();
    encode(&mut block, b":status", http.to_string().as_bytes(), false);
    encode(&mut block, b"content-type", b"application/grpc", false);
    put_status(&mut block, grpc, why);
    block
}

fn put_status(block: &mut Vec<u8>, grpc: u32, why: &str) {
    encode(block, b"grpc-status", grpc.to_string().as_bytes(), false);
    encode(block, b"grpc-message", percent_encoded(why).as_bytes(), false);
}

/// As gRPC has its messages: printable ASCII but for `%` (gRPC over HTTP/2, Status-Message).
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(byte as char);
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes all that is written to it");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_printable() {
        assert_eq!(percent_encoded("no `a` – 5%"), "no `a` %E2%80%93 5%25");
    }
}
