//! The header blocks of a call, encoded once, and what those of the other end say.
//!
//! Requests are encoded as gRPC's own clients encode them: the first of a connection puts its fields
//! into the table (RFC 7541, section 6.2.1), all others are a few bytes that refer to it (section
//! 6.1). Answers use no table, which not every proxy offers its servers.

use strife_wire::{Head, Part, hpack};

use super::METHOD;

/// What a block of the other end means for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The request is for the method that is served; the answer or its trailers are as they must be.
    Good,
    /// It is something else.
    Bad(&'static str),
}

impl Meaning {
    pub(super) fn of(head: &Head, part: Part) -> Self {
        let status = head.grpc_status();
        match part {
            Part::Request if head.path() == METHOD.as_bytes() => Self::Good,
            Part::Request => Self::Bad("not the method that is served"),
            Part::Response | Part::Informational if head.status() != 200 => {
                Self::Bad("its HTTP status is not 200")
            }
            Part::Response | Part::Informational if status.is_some_and(|status| status != 0) => {
                Self::Bad("its gRPC status is not 0")
            }
            Part::Response | Part::Informational => Self::Good,
            Part::Trailers if status == Some(0) => Self::Good,
            Part::Trailers if status.is_none() => Self::Bad("it has no gRPC status"),
            Part::Trailers => Self::Bad("its gRPC status is not 0"),
        }
    }
}

/// A request's blocks.
#[derive(Debug)]
pub(super) struct RequestBlocks {
    /// The first of a connection.
    pub(super) first: Vec<u8>,
    /// Every other.
    pub(super) later: Vec<u8>,
}

/// Places in HPACK's static table (RFC 7541, appendix A).
const AUTHORITY: u8 = 1;
const POST: u8 = 3;
const PATH: u8 = 4;
const HTTP: u8 = 6;
const HTTPS: u8 = 7;
const CONTENT_TYPE: u8 = 31;
const USER_AGENT: u8 = 58;
/// The first place of the dynamic table: the field that was put there last.
const NEWEST: u8 = 62;
/// First bits of a field that is in a table, and of one that is to be put into it.
const INDEXED: u8 = 0x80;
const TO_INDEX: u8 = 0x40;

impl RequestBlocks {
    pub(super) fn new(https: bool) -> Self {
        let pseudo = [INDEXED | POST, INDEXED | if https { HTTPS } else { HTTP }];
        let mut first = pseudo.to_vec();
        let fields: [(Option<u8>, &str); 5] = [
            (Some(PATH), METHOD),
            (Some(AUTHORITY), "bench"),
            (Some(CONTENT_TYPE), "application/grpc"),
            (None, "trailers"),
            (Some(USER_AGENT), "strife-bench"),
        ];
        for (name, value) in fields {
            first.push(TO_INDEX | name.unwrap_or(0));
            if name.is_none() {
                put_string(&mut first, "te");
            }
            put_string(&mut first, value);
        }
        let mut later = pseudo.to_vec();
        later.extend((0..fields.len() as u8).rev().map(|age| INDEXED | (NEWEST + age)));
        Self { first, later }
    }
}

/// A length and what is so long: less than 127 bytes (RFC 7541, section 5.2).
fn put_string(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// The blocks of an answer.
#[derive(Debug)]
pub(super) struct AnswerBlocks {
    pub(super) head: Vec<u8>,
    pub(super) trailers: Vec<u8>,
    /// Head and trailers at once: no such method.
    pub(super) unimplemented: Vec<u8>,
    /// Head and trailers at once: the message was not whole.
    pub(super) internal: Vec<u8>,
}

impl AnswerBlocks {
    pub(super) fn new() -> Self {
        let encoded = |fields: &[(&str, &str)]| {
            let mut block = Vec::new();
            for (name, value) in fields {
                hpack::encode(&mut block, name.as_bytes(), value.as_bytes(), false);
            }
            block
        };
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        let alone = |status| encoded(&[head[0], head[1], ("grpc-status", status)]);
        Self {
            head: encoded(&head),
            trailers: encoded(&[("grpc-status", "0")]),
            unimplemented: alone("12"),
            internal: alone("13"),
        }
    }
}

#[cfg(test)]
mod tests {
    use strife_wire::{
        head::BlockKind,
        hpack::{Decoder, Fields, Limits},
    };

    use super::*;

    fn decode(decoder: &mut Decoder, kind: BlockKind, block: &[u8]) -> Head {
        let limits = Limits { max_list_bytes: 4096, max_decoded_bytes: 4096 };
        let mut fields = Fields::new();
        decoder.decode(block, &limits, &mut fields).unwrap();
        Head::parse(kind, fields).unwrap()
    }

    #[test]
    fn the_first_request_and_all_others_say_the_same() {
        for https in [false, true] {
            let blocks = RequestBlocks::new(https);
            let mut decoder = Decoder::new(4096);
            let first = decode(&mut decoder, BlockKind::Request, &blocks.first);
            for _ in 0..3 {
                let later = decode(&mut decoder, BlockKind::Request, &blocks.later);
                let fields = |head: &Head| -> Vec<(Vec<u8>, Vec<u8>)> {
                    let fields = head.fields().iter();
                    fields.map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
                };
                assert_eq!(fields(&later), fields(&first));
            }
            assert_eq!(first.path(), METHOD.as_bytes());
            assert_eq!(first.scheme(), if https { b"https".as_slice() } else { b"http" });
            assert!(first.is_grpc() && blocks.later.len() == 7);
            assert_eq!(Meaning::of(&first, Part::Request), Meaning::Good);
        }
    }

    #[test]
    fn answers_are_good_or_bad() {
        let blocks = AnswerBlocks::new();
        let mut decoder = Decoder::new(0);
        let mut check = |block: &[u8], kind, part, good: bool| {
            let meaning = Meaning::of(&decode(&mut decoder, kind, block), part);
            assert_eq!(meaning == Meaning::Good, good, "{meaning:?}");
        };
        check(&blocks.head, BlockKind::Response, Part::Response, true);
        check(&blocks.trailers, BlockKind::Trailers, Part::Trailers, true);
        check(&blocks.unimplemented, BlockKind::Response, Part::Response, false);
        check(&blocks.internal, BlockKind::Response, Part::Response, false);
        check(&[], BlockKind::Trailers, Part::Trailers, false);
    }
}
