//! What can be read of a trailer, and what becomes of figures that no server should send.

use proptest::prelude::*;

use super::*;

fn encoded(message: &OrcaLoadReport) -> String {
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(message.encode_to_vec())
}

fn message(named: &[(&str, f64)]) -> OrcaLoadReport {
    OrcaLoadReport {
        cpu_utilization: 0.5,
        rps_fractional: 100.0,
        eps: 1.0,
        named_metrics: named.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        ..OrcaLoadReport::default()
    }
}

#[test]
fn a_foreign_server_says_how_busy_it_is() {
    let report = ServerReport::from_trailer(encoded(&message(&[("queue", 3.0)])).as_bytes());
    let ServerReport { orca, report } = report.unwrap();
    let orca = orca.unwrap();
    assert_eq!((orca.cpu_utilization, orca.rps, orca.eps), (0.5, 100.0, 1.0));
    assert_eq!(report, None);
}

#[test]
fn our_own_servers_say_all_they_know() {
    let named = [("strife.sequence", 7.0), ("strife.epoch", 1.7e12), ("strife.in_flight", 3.0)];
    let report = ServerReport::from_trailer(encoded(&message(&named)).as_bytes()).unwrap();
    let report = report.report.unwrap();
    assert_eq!((report.sequence, report.epoch, report.in_flight), (7, 1_700_000_000_000, 3));
    assert_eq!(report.slots, 0);
}

#[test]
fn figures_beyond_their_range_are_brought_back_into_it() {
    let named = [
        ("strife.sequence", 1.0),
        ("strife.in_flight", -5.0),
        ("strife.slots", f64::NAN),
        ("strife.queued", 1e300),
    ];
    let report = ServerReport::from_trailer(encoded(&message(&named)).as_bytes()).unwrap();
    let report = report.report.unwrap();
    assert_eq!((report.in_flight, report.slots, report.queued), (0, 0, u32::MAX));
}

#[test]
fn padding_is_allowed_and_rubbish_is_not() {
    let bytes = message(&[("strife.sequence", 1.0)]).encode_to_vec();
    let padded = base64::engine::general_purpose::STANDARD.encode(bytes);
    assert!(ServerReport::from_trailer(padded.as_bytes()).is_ok());
    assert_eq!(ServerReport::from_trailer(b"%%%"), Err(Unreadable));
    assert_eq!(ServerReport::from_trailer(b"/////w"), Err(Unreadable));
    let long = "A".repeat(MAX_BYTES + 1);
    assert_eq!(ServerReport::from_trailer(long.as_bytes()), Err(Unreadable));
}

proptest! {
    #[test]
    fn whatever_is_sent_is_read_or_refused(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ServerReport::from_trailer(&value);
        let _ = ServerReport::from_trailer(BASE64.encode(&value).as_bytes());
    }
}
