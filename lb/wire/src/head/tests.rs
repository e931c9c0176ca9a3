//! Every way to be malformed by name, and what well-formed blocks say.

use proptest::prelude::*;

use super::{BlockKind, Head, Malformed};
use crate::hpack::Fields;

mod requests;

/// A block of these fields.
fn parse(kind: BlockKind, fields: &[(&str, &str)]) -> Result<Head, Malformed> {
    let mut list = Fields::new();
    for (name, value) in fields {
        list.push(name.as_bytes(), value.as_bytes(), false);
    }
    Head::parse(kind, list)
}

const GOOD_REQUEST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "bank")];
const GOOD_RESPONSE: [(&str, &str); 1] = [(":status", "200")];

/// A block that is good but for what `fields` add to it.
fn parse_with(kind: BlockKind, fields: &[(&str, &str)]) -> Result<Head, Malformed> {
    let good: &[_] = match kind {
        BlockKind::Request => &GOOD_REQUEST,
        BlockKind::Response => &GOOD_RESPONSE,
        BlockKind::Trailers => &[],
    };
    parse(kind, &[good, fields].concat())
}

#[test]
fn fields_that_no_block_may_have() {
    for kind in [BlockKind::Request, BlockKind::Response, BlockKind::Trailers] {
        for (name, value, error) in [
            // Section 8.2.1.
            ("", "a", Malformed::EmptyName),
            ("Upper", "a", Malformed::UpperCaseName),
            ("uppeR", "a", Malformed::UpperCaseName),
            ("a b", "a", Malformed::NameCharacter),
            ("a:b", "a", Malformed::NameCharacter),
            ("a\0", "a", Malformed::NameCharacter),
            ("a\x7f", "a", Malformed::NameCharacter),
            ("é", "a", Malformed::NameCharacter),
            ("a(b", "a", Malformed::NameCharacter),
            ("a", "a\0b", Malformed::ValueCharacter),
            ("a", "a\rb", Malformed::ValueCharacter),
            ("a", "a\nb", Malformed::ValueCharacter),
            ("a", "\n", Malformed::ValueCharacter),
            ("a", " a", Malformed::ValueWhitespace),
            ("a", "a ", Malformed::ValueWhitespace),
            ("a", "\ta", Malformed::ValueWhitespace),
            ("a", "a\t", Malformed::ValueWhitespace),
            ("a", " ", Malformed::ValueWhitespace),
            // Section 8.2.2.
            ("connection", "close", Malformed::ConnectionSpecific),
            ("connection", "", Malformed::ConnectionSpecific),
            ("proxy-connection", "keep-alive", Malformed::ConnectionSpecific),
            ("keep-alive", "timeout=5", Malformed::ConnectionSpecific),
            ("transfer-encoding", "chunked", Malformed::ConnectionSpecific),
            ("upgrade", "h2c", Malformed::ConnectionSpecific),
        ] {
            let outcome = parse_with(kind, &[(name, value)]).map(drop);
            assert_eq!(outcome, Err(error), "{kind:?} {name:?}: {value:?}");
        }
    }
}

#[test]
fn fields_that_every_block_may_have() {
    for kind in [BlockKind::Request, BlockKind::Response, BlockKind::Trailers] {
        for (name, value) in [
            ("a", ""),
            ("a", "a b\tc"),
            ("a", "\u{1}\u{7f}é"),
            ("!#$%&'*+-.^_`|~09az", "a"),
            ("cookie", "a=b"),
            ("grpc-message", "%20"),
        ] {
            let head = parse_with(kind, &[("x", "y"), (name, value), ("x", "z")]).unwrap();
            assert_eq!(head.fields().get(name.as_bytes()), Some(value.as_bytes()));
        }
    }
}

#[test]
fn te_says_trailers_in_a_request_and_is_nowhere_else() {
    for (kind, value, expected) in [
        (BlockKind::Request, "trailers", Ok(())),
        (BlockKind::Request, "Trailers", Ok(())),
        (BlockKind::Request, "", Err(Malformed::TeNotTrailers)),
        (BlockKind::Request, "gzip", Err(Malformed::TeNotTrailers)),
        (BlockKind::Request, "trailers, gzip", Err(Malformed::TeNotTrailers)),
        (BlockKind::Response, "trailers", Err(Malformed::ConnectionSpecific)),
        (BlockKind::Trailers, "trailers", Err(Malformed::ConnectionSpecific)),
    ] {
        let outcome = parse_with(kind, &[("te", value)]).map(drop);
        assert_eq!(outcome, expected, "{kind:?} {value:?}");
    }
}

#[test]
fn responses_have_a_status_and_no_other_pseudo_header() {
    for (fields, error) in [
        (&[][..], Malformed::MissingStatus),
        (&[("a", "b")], Malformed::MissingStatus),
        (&[(":status", "200"), (":status", "200")], Malformed::DuplicatePseudo),
        (&[(":status", "200"), (":method", "GET")], Malformed::RequestPseudoInResponse),
        (&[(":status", "200"), (":path", "/")], Malformed::RequestPseudoInResponse),
        (&[(":status", "200"), (":scheme", "http")], Malformed::RequestPseudoInResponse),
        (&[(":status", "200"), (":authority", "a")], Malformed::RequestPseudoInResponse),
        (&[(":status", "200"), (":protocol", "a")], Malformed::UnknownPseudo),
        (&[(":status", "200"), (":", "a")], Malformed::UnknownPseudo),
        (&[(":Status", "200")], Malformed::UnknownPseudo),
        (&[("a", "b"), (":status", "200")], Malformed::PseudoAfterRegular),
        (&[(":status", "")], Malformed::InvalidStatus),
        (&[(":status", "20")], Malformed::InvalidStatus),
        (&[(":status", "2000")], Malformed::InvalidStatus),
        (&[(":status", "099")], Malformed::InvalidStatus),
        (&[(":status", "2x0")], Malformed::InvalidStatus),
        (&[(":status", "+20")], Malformed::InvalidStatus),
        (&[(":status", "200 OK")], Malformed::InvalidStatus),
        (&[(":status", " 200")], Malformed::ValueWhitespace),
        (&[(":status", "101")], Malformed::SwitchingProtocols),
    ] {
        assert_eq!(parse(BlockKind::Response, fields).map(drop), Err(error), "{fields:?}");
    }
    for (status, code, informational) in
        [("100", 100, true), ("199", 199, true), ("200", 200, false), ("999", 999, false)]
    {
        let head = parse(BlockKind::Response, &[(":status", status)]).unwrap();
        assert_eq!((head.status(), head.is_informational()), (code, informational));
        assert_eq!(
            (head.method(), head.authority(), head.is_connect()),
            (&b""[..], &b""[..], false)
        );
    }
}

#[test]
fn trailers_have_no_pseudo_header() {
    for name in [":status", ":method", ":path", ":x"] {
        for fields in [&[(name, "a")][..], &[("a", "b"), (name, "a")]] {
            let outcome = parse(BlockKind::Trailers, fields).map(drop);
            assert_eq!(outcome, Err(Malformed::PseudoInTrailers), "{fields:?}");
        }
    }
    let head = parse(BlockKind::Trailers, &[]).unwrap();
    assert_eq!((head.status(), head.grpc_status(), head.fields().len()), (0, None, 0));
}

#[test]
fn content_lengths_are_numbers_that_agree() {
    const MOST: &str = "18446744073709551615";
    for kind in [BlockKind::Request, BlockKind::Response] {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["0"], Ok(Some(0))),
            (&["007"], Ok(Some(7))),
            (&[MOST], Ok(Some(u64::MAX))),
            (&["5", "5"], Ok(Some(5))),
            (&["5", "05"], Ok(Some(5))),
            (&["5", "6"], Err(Malformed::DifferingContentLengths)),
            (&["5", "x"], Err(Malformed::InvalidContentLength)),
            (&["18446744073709551616"], Err(Malformed::InvalidContentLength)),
            (&[""], Err(Malformed::InvalidContentLength)),
            (&["-1"], Err(Malformed::InvalidContentLength)),
            (&["+1"], Err(Malformed::InvalidContentLength)),
            (&["1 1"], Err(Malformed::InvalidContentLength)),
            (&["5, 5"], Err(Malformed::InvalidContentLength)),
            (&["0x5"], Err(Malformed::InvalidContentLength)),
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("content-length", *value)).collect();
            let length = parse_with(kind, &fields).map(|head| head.content_length());
            assert_eq!(length, expected, "{kind:?} {values:?}");
        }
    }
    // Trailers describe no body: there is nothing to compare with.
    let head = parse(BlockKind::Trailers, &[("content-length", "x")]).unwrap();
    assert_eq!(head.content_length(), None);
}

#[test]
fn grpc_status_is_read_where_the_server_ends() {
    for (value, expected) in [
        ("0", 0),
        ("14", 14),
        ("00", 0),
        ("4294967295", u32::MAX),
        ("4294967296", 2),
        ("", 2),
        ("-1", 2),
        ("OK", 2),
        ("1x", 2),
    ] {
        for kind in [BlockKind::Response, BlockKind::Trailers] {
            let head = parse_with(kind, &[("grpc-status", value), ("grpc-status", "7")]).unwrap();
            assert_eq!(head.grpc_status(), Some(expected), "{value:?}");
        }
        let head = parse_with(BlockKind::Request, &[("grpc-status", value)]).unwrap();
        assert_eq!(head.grpc_status(), None);
    }
}

proptest! {
    /// Good blocks with random edits. Whatever is accepted has been checked: the accessors say what
    /// the fields say.
    #[test]
    fn what_is_accepted_is_well_formed(
        kind in prop::sample::select(vec![
            BlockKind::Request, BlockKind::Response, BlockKind::Trailers,
        ]),
        removed in prop::option::weighted(0.2, 0_usize..4),
        edits in prop::collection::vec((0_usize..8, 0_usize..14, 0_usize..12), 0..3),
    ) {
        let names = [
            ":method", ":scheme", ":path", ":authority", ":status", "host", "te", "a", "A", "",
            "connection", "content-length", "grpc-timeout", "content-type",
        ];
        let values = [
            "", "/", "*", "GET", "CONNECT", "OPTIONS", "http", "200", "a b", "trailers", " ", "a\n",
        ];
        let mut fields = match kind {
            BlockKind::Request => GOOD_REQUEST.to_vec(),
            BlockKind::Response => GOOD_RESPONSE.to_vec(),
            BlockKind::Trailers => vec![("grpc-status", "0")],
        };
        if let Some(place) = removed {
            fields.remove(place % fields.len());
        }
        for (place, name, value) in edits {
            fields.insert(place % (fields.len() + 1), (names[name], values[value]));
        }
        let count = |wanted: &str| fields.iter().filter(|(name, _)| *name == wanted).count();
        let pseudo = [":method", ":scheme", ":path", ":authority", ":status"];
        if let Ok(head) = parse(kind, &fields) {
            prop_assert!(fields.iter().all(|(_, value)| !value.contains('\n') && *value != " "));
            prop_assert_eq!(count("A") + count("") + count("connection"), 0);
            let regular = fields.iter().skip_while(|(name, _)| name.starts_with(':'));
            prop_assert!(regular.into_iter().all(|(name, _)| !name.starts_with(':')));
            prop_assert!(pseudo.iter().all(|name| count(name) <= 1));
            let present = pseudo.map(|name| count(name) == 1);
            match kind {
                BlockKind::Request if head.is_connect() => {
                    prop_assert_eq!(present[..3].to_vec(), [true, false, false]);
                    prop_assert!(!head.authority().is_empty() && !present[4]);
                }
                BlockKind::Request => {
                    prop_assert_eq!(present[..3].to_vec(), [true; 3]);
                    prop_assert!(!present[4] && !head.path().is_empty());
                }
                BlockKind::Response => {
                    prop_assert_eq!(present, [false, false, false, false, true]);
                    prop_assert_eq!(head.status(), 200);
                }
                BlockKind::Trailers => prop_assert_eq!(present, [false; 5]),
            }
        }
    }

    #[test]
    fn random_fields_never_panic(
        fields in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..6), prop::collection::vec(any::<u8>(), 0..6)),
            0..6,
        ),
    ) {
        let mut list = Fields::new();
        for (name, value) in &fields {
            list.push(name, value, false);
        }
        for kind in [BlockKind::Request, BlockKind::Response, BlockKind::Trailers] {
            if let Ok(head) = Head::parse(kind, list.clone()) {
                prop_assert_eq!(head.fields(), &list);
            }
        }
    }
}
