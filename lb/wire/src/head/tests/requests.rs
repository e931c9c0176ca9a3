//! Requests: their pseudo-header fields, `host`, CONNECT (RFC 9113, sections 8.3.1 and 8.5).

use std::time::Duration;

use super::{parse, parse_with};
use crate::head::{BlockKind, Malformed};

const REQUEST: BlockKind = BlockKind::Request;

#[test]
fn a_good_request_says_what_it_says() {
    let head = parse_with(REQUEST, &[("content-type", "application/grpc"), ("te", "trailers")]);
    let head = head.unwrap();
    assert_eq!(head.method(), b"POST");
    assert_eq!(head.scheme(), b"http");
    assert_eq!(head.path(), b"/a/b");
    assert_eq!(head.authority(), b"bank");
    assert_eq!((head.status(), head.is_informational(), head.is_connect()), (0, false, false));
    assert!(head.is_grpc());
    assert_eq!(head.fields().len(), 6);
}

#[test]
fn pseudo_headers_of_a_request() {
    const METHOD: (&str, &str) = (":method", "GET");
    const SCHEME: (&str, &str) = (":scheme", "https");
    const PATH: (&str, &str) = (":path", "/");
    for (fields, error) in [
        (&[SCHEME, PATH][..], Malformed::MissingMethod),
        (&[METHOD, PATH], Malformed::MissingScheme),
        (&[METHOD, SCHEME], Malformed::MissingPath),
        (&[], Malformed::MissingMethod),
        (&[METHOD, SCHEME, PATH, METHOD], Malformed::DuplicatePseudo),
        (&[METHOD, SCHEME, PATH, SCHEME], Malformed::DuplicatePseudo),
        (&[METHOD, SCHEME, PATH, PATH], Malformed::DuplicatePseudo),
        (
            &[METHOD, SCHEME, PATH, (":authority", "a"), (":authority", "a")],
            Malformed::DuplicatePseudo,
        ),
        (&[METHOD, SCHEME, PATH, (":status", "200")], Malformed::ResponsePseudoInRequest),
        (&[METHOD, SCHEME, PATH, (":protocol", "websocket")], Malformed::UnknownPseudo),
        (&[METHOD, SCHEME, PATH, (":host", "a")], Malformed::UnknownPseudo),
        (&[METHOD, SCHEME, ("a", "b"), PATH], Malformed::PseudoAfterRegular),
        (&[("a", "b"), METHOD, SCHEME, PATH], Malformed::PseudoAfterRegular),
        (&[(":method", ""), SCHEME, PATH], Malformed::InvalidMethod),
        (&[(":method", "G T"), SCHEME, PATH], Malformed::InvalidMethod),
        (&[(":method", "GET\n"), SCHEME, PATH], Malformed::ValueCharacter),
        (&[METHOD, (":scheme", ""), PATH], Malformed::InvalidScheme),
        (&[METHOD, (":scheme", "1http"), PATH], Malformed::InvalidScheme),
        (&[METHOD, (":scheme", "http:"), PATH], Malformed::InvalidScheme),
    ] {
        assert_eq!(parse(REQUEST, fields).map(drop), Err(error), "{fields:?}");
    }
    parse(REQUEST, &[PATH, SCHEME, METHOD]).expect("the order is free, and no authority is fine");
    parse(REQUEST, &[METHOD, (":scheme", "coap+tcp"), PATH]).expect("a scheme");
}

#[test]
fn paths_begin_with_a_slash_unless_options_asks_for_all() {
    for (method, path, expected) in [
        ("GET", "/", Ok(())),
        ("POST", "/strife.bank.v1.Bank/Pay?x=%20{}|", Ok(())),
        ("OPTIONS", "*", Ok(())),
        ("OPTIONS", "/", Ok(())),
        ("GET", "*", Err(Malformed::InvalidPath)),
        ("OPTIONS", "**", Err(Malformed::InvalidPath)),
        ("GET", "", Err(Malformed::EmptyPath)),
        ("OPTIONS", "", Err(Malformed::EmptyPath)),
        ("GET", "a/b", Err(Malformed::InvalidPath)),
        ("GET", "http://a/b", Err(Malformed::InvalidPath)),
        ("GET", "/a b", Err(Malformed::InvalidPath)),
        ("GET", "/a#b", Err(Malformed::InvalidPath)),
        ("GET", "/\u{1}", Err(Malformed::InvalidPath)),
        ("GET", "/\u{7f}", Err(Malformed::InvalidPath)),
        ("GET", "/é", Err(Malformed::InvalidPath)),
    ] {
        let fields = [(":method", method), (":scheme", "http"), (":path", path)];
        assert_eq!(parse(REQUEST, &fields).map(drop), expected, "{method} {path:?}");
    }
}

/// The authority of a request, or why it has none.
fn authority(scheme: &str, authority: Option<&str>, hosts: &[&str]) -> Result<String, Malformed> {
    let mut fields = vec![(":method", "GET"), (":scheme", scheme), (":path", "/")];
    fields.extend(authority.map(|authority| (":authority", authority)));
    fields.extend(hosts.iter().map(|host| ("host", *host)));
    let head = parse(REQUEST, &fields)?;
    Ok(String::from_utf8(head.authority().to_vec()).unwrap())
}

#[test]
fn host_stands_in_for_authority_or_agrees_with_it() {
    const DIFFERS: Result<&str, Malformed> = Err(Malformed::HostDiffers);
    for (scheme, given, hosts, expected) in [
        ("http", None, &[][..], Ok("")),
        ("http", Some("a"), &[], Ok("a")),
        ("http", None, &["a"], Ok("a")),
        ("http", None, &["a:8080", "a:8080"], Ok("a:8080")),
        ("http", None, &["a", "b"], DIFFERS),
        ("http", Some("a"), &["a"], Ok("a")),
        ("http", Some("Example.com"), &["example.COM"], Ok("Example.com")),
        ("http", Some("a"), &["b"], DIFFERS),
        ("http", Some("a"), &["a", "b"], DIFFERS),
        ("http", Some("a"), &[""], DIFFERS),
        ("http", Some(""), &["a"], DIFFERS),
        // The default port of the scheme is no difference, another one is.
        ("http", Some("a"), &["a:80"], Ok("a")),
        ("http", Some("a:80"), &["a"], Ok("a:80")),
        ("http", Some("a"), &["a:443"], DIFFERS),
        ("https", Some("a"), &["a:443"], Ok("a")),
        ("https", Some("a"), &["a:80"], DIFFERS),
        ("http", Some("a:1"), &["a:2"], DIFFERS),
    ] {
        let outcome = authority(scheme, given, hosts);
        let expected = expected.map(str::to_owned);
        assert_eq!(outcome, expected, "{scheme} {given:?} {hosts:?}");
    }
}

#[test]
fn authorities_have_no_user_and_no_path() {
    for good in ["a", "bank.icici", "127.0.0.1:80", "[::1]:8080", "a%2Fb", "A_b~c", "localhost:"] {
        assert_eq!(authority("http", Some(good), &[]).unwrap(), good);
        assert_eq!(authority("http", None, &[good]).unwrap(), good);
    }
    for bad in ["user@a", "a/b", "a?b", "a#b", "a b", "a\\b", "\"a\"", "é", "a\u{1}"] {
        let error = Err(Malformed::InvalidAuthority);
        assert_eq!(authority("http", Some(bad), &[]), error, "{bad:?}");
        assert_eq!(authority("http", None, &[bad]), error, "{bad:?}");
    }
}

#[test]
fn connect_has_an_authority_and_no_target() {
    const CONNECT: (&str, &str) = (":method", "CONNECT");
    const AUTHORITY: (&str, &str) = (":authority", "a:443");
    let head = parse(REQUEST, &[CONNECT, AUTHORITY]).unwrap();
    assert!(head.is_connect());
    assert_eq!((head.authority(), head.path(), head.scheme()), (&b"a:443"[..], &b""[..], &b""[..]));
    for (fields, error) in [
        (&[CONNECT][..], Malformed::ConnectWithoutAuthority),
        (&[CONNECT, (":authority", "")], Malformed::ConnectWithoutAuthority),
        (&[CONNECT, ("host", "a:443")], Malformed::ConnectWithoutAuthority),
        (&[CONNECT, AUTHORITY, (":path", "/")], Malformed::ConnectWithTarget),
        (&[CONNECT, AUTHORITY, (":scheme", "http")], Malformed::ConnectWithTarget),
        (&[CONNECT, AUTHORITY, ("host", "b:443")], Malformed::HostDiffers),
    ] {
        assert_eq!(parse(REQUEST, fields).map(drop), Err(error), "{fields:?}");
    }
}

#[test]
fn grpc_is_told_by_its_content_type() {
    for (value, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("Application/gRPC+json", true),
        ("application/grpc-web", false),
        ("application/grpcx", false),
        ("application/grp", false),
        ("text/html", false),
        ("", false),
    ] {
        for kind in [BlockKind::Request, BlockKind::Response] {
            let head = parse_with(kind, &[("content-type", value)]).unwrap();
            assert_eq!(head.is_grpc(), expected, "{value:?}");
        }
    }
}

#[test]
fn timeouts_of_the_grpc_protocol() {
    for (value, expected) in [
        ("1H", Some(Duration::from_secs(3600))),
        ("2M", Some(Duration::from_secs(120))),
        ("3S", Some(Duration::from_secs(3))),
        ("4m", Some(Duration::from_millis(4))),
        ("5u", Some(Duration::from_micros(5))),
        ("6n", Some(Duration::from_nanos(6))),
        ("0n", Some(Duration::ZERO)),
        ("00000001S", Some(Duration::from_secs(1))),
        ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
        ("100000000n", None),
        ("S", None),
        ("", None),
        ("1", None),
        ("1s", None),
        ("1h", None),
        ("-1S", None),
        ("1 S", None),
        ("1.5S", None),
    ] {
        let head = parse_with(BlockKind::Request, &[("grpc-timeout", value)]).unwrap();
        assert_eq!(head.grpc_timeout(), expected, "{value:?}");
        let head = parse_with(BlockKind::Response, &[("grpc-timeout", value)]).unwrap();
        assert_eq!(head.grpc_timeout(), None);
    }
}
