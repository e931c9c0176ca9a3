//! Calls made up by chance: what a client says, what an endpoint answers, and when.

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use strife_runtime::calls::{FORWARDED_ADDRESS, FORWARDED_IDENTITY};

use super::{
    peer::{Block, Piece, Stream},
    world::{fields, request},
};
use crate::switch::ENDPOINT_HEADER;

/// Names the call, on both sides.
pub(super) const CALL: &str = "x-call";

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// With its head: trailers only.
    Head,
    /// With its last byte.
    Data,
    Trailers,
}

/// When an endpoint begins to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    AtOnce,
    /// At the first byte of the request.
    FirstByte,
    AtTheEnd,
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) client: usize,
    pub(super) deadline_ms: Option<u16>,
    request_head_bytes: usize,
    request_bytes: Vec<usize>,
    request_trailers: bool,
    answer_at: Moment,
    informational: u8,
    answer_head_bytes: usize,
    answer_bytes: Vec<usize>,
    ending: Ending,
}

/// Mostly small, at times larger than any window or frame.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![4 => 0_usize..200, 2 => 200_usize..20_000, 1 => 20_000_usize..150_000];
    prop::collection::vec(size, 0..4)
}

fn head_bytes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0_usize), 3 => 1_usize..3_000, 1 => 16_000_usize..60_000]
}

pub(super) fn plans(clients: usize) -> impl Strategy<Value = Vec<Plan>> {
    let moment = prop_oneof![Just(Moment::AtOnce), Just(Moment::FirstByte), Just(Moment::AtTheEnd)];
    let ending =
        prop_oneof![1 => Just(Ending::Head), 1 => Just(Ending::Data), 3 => Just(Ending::Trailers)];
    let request = (0..clients, head_bytes(), sizes(), any::<bool>());
    let answer = (moment, 0_u8..3, head_bytes(), sizes(), ending);
    let deadline = prop_oneof![3 => Just(None), 1 => (1_u16..400).prop_map(Some)];
    let plan = (request, answer, deadline).prop_map(|(request, answer, deadline_ms)| {
        let (client, request_head_bytes, request_bytes, request_trailers) = request;
        let (answer_at, informational, answer_head_bytes, answer_bytes, ending) = answer;
        let answer_bytes = if ending == Ending::Head { Vec::new() } else { answer_bytes };
        Plan {
            client,
            deadline_ms,
            request_head_bytes,
            request_bytes,
            request_trailers,
            answer_at,
            informational,
            answer_head_bytes,
            answer_bytes,
            ending,
        }
    });
    prop::collection::vec(plan, 1..12)
}

/// Bytes that no other call has, in either direction.
fn content(call: usize, is_answer: bool, length: usize) -> Vec<u8> {
    let mut rng = SmallRng::seed_from_u64(2 * call as u64 + u64::from(is_answer));
    (0..length).map(|_| rng.random()).collect()
}

/// A body in as many pieces as the plan has.
fn pieces(body: &[u8], sizes: &[usize], ends: bool) -> Vec<Piece> {
    let mut rest = body;
    let mut pieces = Vec::new();
    for (place, size) in sizes.iter().enumerate() {
        let (piece, after) = rest.split_at(*size);
        pieces.push(Piece::Data(piece.to_vec(), ends && place + 1 == sizes.len()));
        rest = after;
    }
    if ends && sizes.is_empty() {
        pieces.push(Piece::Data(Vec::new(), true));
    }
    pieces
}

fn padded(mut head: Block, bytes: usize) -> Block {
    for (number, start) in (0..bytes).step_by(10_000).enumerate() {
        let value = "v".repeat(bytes.min(start + 10_000) - start);
        head.push((format!("x-large-{number}"), value));
    }
    head
}

impl Plan {
    fn request_head(&self, call: usize) -> Block {
        let call = call.to_string();
        let mut more = vec![(CALL, call.as_str()), ("x-always", "the same")];
        let deadline = self.deadline_ms.map(|deadline| format!("{deadline}m"));
        if let Some(deadline) = &deadline {
            more.push(("grpc-timeout", deadline));
        }
        padded(request("/plan/made", &more), self.request_head_bytes)
    }

    fn request_body(&self, call: usize) -> Vec<u8> {
        content(call, false, self.request_bytes.iter().sum())
    }

    fn answer_body(&self, call: usize) -> Vec<u8> {
        content(call, true, self.answer_bytes.iter().sum())
    }

    fn request_trailers(&self, call: usize) -> Block {
        fields(&[("x-request-trailer", &call.to_string())])
    }

    fn answer_trailers(&self, call: usize) -> Block {
        fields(&[("grpc-status", "0"), ("x-answer-trailer", &call.to_string())])
    }

    fn informational_head(call: usize) -> Block {
        fields(&[(":status", "103"), ("x-hint", &call.to_string())])
    }

    fn answer_head(&self, call: usize) -> Block {
        let call = call.to_string();
        let head = [(":status", "200"), ("content-type", "application/grpc"), (CALL, &call)];
        let mut head = padded(fields(&head), self.answer_head_bytes);
        if self.ending == Ending::Head {
            head.push(("grpc-status".to_owned(), "0".to_owned()));
        }
        head
    }

    /// What the client says. Some say what only the balancer may.
    pub(super) fn request(&self, call: usize) -> Vec<Piece> {
        let ends =
            self.request_bytes.is_empty() && !self.request_trailers && call.is_multiple_of(2);
        let mut head = self.request_head(call);
        if call.is_multiple_of(3) {
            head.insert(4, (FORWARDED_ADDRESS.to_string(), "6.6.6.6".to_owned()));
            head.insert(5, (FORWARDED_IDENTITY.to_string(), "URI=forged".to_owned()));
            head.insert(6, ("host".to_owned(), "a".to_owned()));
        }
        let mut said = vec![Piece::Block(head, ends)];
        if !ends {
            let body = self.request_body(call);
            said.extend(pieces(&body, &self.request_bytes, !self.request_trailers));
        }
        if self.request_trailers {
            said.push(Piece::Block(self.request_trailers(call), true));
        }
        said
    }

    /// What the endpoint says, if it is time.
    pub(super) fn answer(&self, call: usize, heard: &Stream) -> Option<Vec<Piece>> {
        let is_time = match self.answer_at {
            Moment::AtOnce => true,
            Moment::FirstByte => heard.ended || !heard.body.is_empty(),
            Moment::AtTheEnd => heard.ended,
        };
        if !is_time {
            return None;
        }
        let hint = || Piece::Block(Self::informational_head(call), false);
        let mut said: Vec<_> = (0..self.informational).map(|_| hint()).collect();
        said.push(Piece::Block(self.answer_head(call), self.ending == Ending::Head));
        let ends = self.ending == Ending::Data;
        said.extend(pieces(&self.answer_body(call), &self.answer_bytes, ends));
        if self.ending == Ending::Trailers {
            said.push(Piece::Block(self.answer_trailers(call), true));
        }
        Some(said)
    }

    /// What an endpoint heard is this request, or the beginning of it.
    pub(super) fn check_request(&self, call: usize, heard: &Stream) {
        let mut expected = vec![self.request_head(call)];
        expected[0].push((FORWARDED_ADDRESS.to_string(), "10.0.0.1".to_owned()));
        if self.request_trailers && heard.ended {
            expected.push(self.request_trailers(call));
        }
        assert_eq!(heard.blocks, expected, "the head of call {call}");
        check_body(&heard.body, &self.request_body(call), heard.ended, call);
    }

    /// What a client heard is this answer, or the beginning of it and then the balancer's end.
    pub(super) fn check_answer(&self, call: usize, heard: &Stream, must_be_whole: bool) {
        let mut expected = vec![Self::informational_head(call); usize::from(self.informational)];
        expected.push(self.answer_head(call));
        if self.ending == Ending::Trailers {
            expected.push(self.answer_trailers(call));
        }
        let is_ours = |block: &Block| block.iter().any(|(name, _)| name == "grpc-message");
        let by_balancer = heard.blocks.last().is_some_and(is_ours);
        let own = heard.blocks.len() - usize::from(by_balancer);
        for (number, (heard, expected)) in heard.blocks[..own].iter().zip(&expected).enumerate() {
            let mut heard = heard.clone();
            if number == usize::from(self.informational) {
                let (name, value) = heard.pop().expect("fields");
                assert_eq!(name, ENDPOINT_HEADER.as_str());
                assert!(value.starts_with("endpoint-"), "{value}");
            }
            assert_eq!(&heard, expected, "block {number} of the answer to call {call}");
        }
        let is_whole = heard.ended && !by_balancer;
        assert!(is_whole || !must_be_whole, "call {call}: {:?} {:?}", heard.reset, heard.blocks);
        if is_whole {
            assert_eq!(own, expected.len(), "blocks of the answer to call {call}");
        }
        check_body(&heard.body, &self.answer_body(call), is_whole, call);
    }
}

fn check_body(heard: &[u8], said: &[u8], is_whole: bool, call: usize) {
    let (heard_len, said_len) = (heard.len(), said.len());
    assert!(said.starts_with(heard), "{heard_len} bytes of call {call} are not its own");
    assert!(!is_whole || heard_len == said_len, "call {call}: {heard_len} of {said_len} bytes");
}
