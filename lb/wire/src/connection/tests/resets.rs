//! A client that cancels: resets go out a few at a time, and what comes for streams that wait for
//! theirs is nobody's business any more.

use super::*;
use crate::frame;

/// The client's side of many calls that were all cancelled before they were answered.
fn cancelled(calls: usize) -> (Pair, Vec<u32>) {
    let mut pair = pair();
    let ids: Vec<_> =
        (0..calls).map(|_| pair.client.open(0, &request(), true, false).unwrap()).collect();
    pair.settle();
    ids.iter().for_each(|id| pair.client.reset(*id, Code::CANCEL));
    (pair, ids)
}

/// The kinds and streams of the frames in an output.
fn frames(core: &Core) -> Vec<(u8, u32)> {
    let mut rest = core.output();
    let mut frames = Vec::new();
    while let Some(header) = frame::FrameHeader::parse(rest) {
        frames.push((header.kind, header.stream));
        rest = &rest[frame::HEADER_LEN + header.length..];
    }
    frames
}

#[test]
fn a_few_resets_go_out_and_then_a_proof_is_asked_for_without_a_ping() {
    let (mut pair, ids) = cancelled(40);
    let sent = frames(&pair.client);
    let resets = sent.iter().filter(|(kind, _)| *kind == kind::RST_STREAM).count();
    assert_eq!(resets, 16);
    assert_eq!(sent.last(), Some(&(kind::SETTINGS, 0)));
    assert_eq!(pair.client.open_streams(), ids.len() - resets);
    pair.settle();
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn a_server_that_breaks_rules_on_a_cancelled_stream_tells_the_owner_nothing() {
    for (kind, payload) in [
        (kind::WINDOW_UPDATE, &[0, 0, 0, 0][..]),
        (kind::WINDOW_UPDATE, &[0x7f, 0xff, 0xff, 0xff]),
        (kind::PRIORITY, &[0, 0, 0]),
        (kind::RST_STREAM, &[0, 0, 0, 8]),
    ] {
        let (mut pair, ids) = cancelled(40);
        let last = *ids.last().unwrap();
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, 0, last, payload);
        let mut input = &bytes[..];
        let event = pair.client.receive(pair.now, &mut input).unwrap();
        assert!(event.is_none(), "{kind}: {event:?}");
    }
}

#[test]
fn an_answer_to_a_cancelled_call_is_dropped() {
    let (mut pair, ids) = cancelled(40);
    let last = *ids.last().unwrap();
    pair.server.send_headers(last, &block(&[(":status", "200")]), false);
    pair.server.send_data(last, b"late", false);
    pair.server.send_headers(last, &block(&[("grpc-status", "0")]), true);
    let (_, told) = pair.settle();
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(pair.client.open_streams(), 0);
    assert!(frames(&pair.client).is_empty() && !pair.client.has_failed());
}
