//! Lines as others will parse them, and what hostile bytes become.

use serde_json::Value;

use super::*;
use crate::line_log::tests::call;

fn line(call: &CallRecord<'_>) -> String {
    let mut text = Vec::new();
    call.write_line(&mut text);
    let line = String::from_utf8(text).unwrap();
    assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line:?}");
    line
}

#[test]
fn fields_have_their_order_and_units() {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_210_096_000_789);
    let call = CallRecord {
        client_identity: Some("spiffe://strife/client/alice"),
        grpc_status: Some(14),
        attempts: 2,
        ended: Ended::ResetByServer(Code::REFUSED_STREAM),
        ..call(time, Duration::from_nanos(1_234_567))
    };
    let expected = concat!(
        r#"{"time":"2024-02-29T12:34:56.000789Z","method":"/grpc.testing.TestService/UnaryCall","#,
        r#""authority":"default","pool":"default","endpoint":"127.0.0.1:9101","#,
        r#""client":"127.0.0.1:50000","client_identity":"spiffe://strife/client/alice","#,
        r#""http_status":200,"grpc_status":14,"duration_us":1234,"request_bytes":5,"#,
        r#""response_bytes":105,"attempts":2,"ended":"reset_by_server","#,
        r#""reason":"REFUSED_STREAM"}"#,
        "\n"
    );
    assert_eq!(line(&call), expected);
}

#[test]
fn what_ended_a_call_is_told_with_its_reason() {
    let check = |ended, expected: [Option<&str>; 2]| {
        let call = CallRecord { ended, ..call(SystemTime::UNIX_EPOCH, Duration::ZERO) };
        let line: Value = serde_json::from_str(&line(&call)).unwrap();
        assert_eq!([line["ended"].as_str(), line["reason"].as_str()], expected);
    };
    check(Ended::Completed, [Some("completed"), None]);
    check(Ended::CancelledByClient(Code::CANCEL), [Some("cancelled_by_client"), Some("CANCEL")]);
    check(Ended::ResetByServer(Code(0xffff)), [Some("reset_by_server"), Some("undefined")]);
    check(Ended::ConnectionLost, [Some("connection_lost"), None]);
    check(Ended::DeadlineExceeded, [Some("deadline_exceeded"), None]);
    check(Ended::Refused(Refusal::NoPool), [Some("refused"), Some("no_pool")]);
}

#[test]
fn hostile_bytes_are_escaped_replaced_and_cut() {
    let check = |bytes: &[u8], expected: &str| {
        let call = CallRecord { method: bytes, ..call(SystemTime::UNIX_EPOCH, Duration::ZERO) };
        let line: Value = serde_json::from_str(&line(&call)).unwrap();
        assert_eq!(line["method"], expected, "{bytes:?}");
    };
    check(b"", "");
    check(b"/a\"b\\c\n\r\t\0\x1b[31m", "/a\"b\\c\n\r\t\0\x1b[31m");
    check("/zahl\u{e4}\u{1f4b8}".as_bytes(), "/zahl\u{e4}\u{1f4b8}");
    check(b"/\xff\xfe\xc3", "/\u{fffd}\u{fffd}\u{fffd}");
    check("/\u{9b}31m\u{7f}".as_bytes(), "/\u{fffd}31m\u{fffd}");
    let long = "x".repeat(MAX_TEXT_BYTES);
    check(long.as_bytes(), &long);
    check(format!("{long}y").as_bytes(), &format!("{long}\u{2026}"));
    let torn = format!("{}\u{e4}", "x".repeat(MAX_TEXT_BYTES - 1));
    check(torn.as_bytes(), &format!("{}\u{fffd}\u{2026}", "x".repeat(MAX_TEXT_BYTES - 1)));
}

#[test]
fn no_line_is_long_whatever_is_sent() {
    let hostile = [0_u8; 100_000];
    let call = CallRecord {
        method: &hostile,
        authority: &hostile,
        ..call(SystemTime::UNIX_EPOCH, Duration::MAX)
    };
    assert!(line(&call).len() < 2 * 6 * MAX_TEXT_BYTES + 1024);
}

#[test]
fn times_are_right_where_calendars_are_hard() {
    let check = |seconds, expected: &str| {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(Timestamp::new(time).as_str(), format!("{expected}.000000Z"));
    };
    check(0, "1970-01-01T00:00:00");
    check(951_782_399, "2000-02-28T23:59:59");
    check(951_782_400, "2000-02-29T00:00:00");
    check(4_107_542_400, "2100-03-01T00:00:00");
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(Timestamp::new(before).as_str(), "1970-01-01T00:00:00.000000Z");
}

#[test]
fn every_address_has_its_place() {
    let check = |text: &str| {
        let address: SocketAddr = text.parse().unwrap();
        assert_eq!(Address::new(address).as_bytes(), text.as_bytes());
    };
    check("0.0.0.0:0");
    check("255.255.255.255:65535");
    check("[::1]:80");
    check("[fe80:1234:1234:1234:1234:1234:1234:1234%4294967295]:65535");
}
