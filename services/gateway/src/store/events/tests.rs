//! Events are read as they were written, and bytes that were not are found out.

use super::*;

#[test]
fn every_kind_is_read_as_it_was_written() {
    let changes: Vec<Change> = KINDS
        .iter()
        .zip([0, 1, u64::MAX, 1 << 40, 7])
        .zip([i64::MIN, -1, 0, 17, i64::MAX])
        .map(|(((kind, _), sequence), at_ms)| Change { kind: *kind, sequence, at_ms })
        .collect();
    let mut packed = Packed::default();
    changes.iter().for_each(|change| packed.push(*change));
    assert_eq!(count(packed.bytes()), KINDS.len());
    assert_eq!(unpack(packed.bytes()), Some(changes));
    assert_eq!(unpack(&[]), Some(vec![]));
}

#[test]
fn other_bytes_are_found_out() {
    let mut packed = Packed::default();
    packed.push(Change { kind: EventKind::Queued, sequence: 3, at_ms: 4 });
    let bytes = packed.bytes();
    assert_eq!(unpack(&bytes[..bytes.len() - 1]), None);
    assert_eq!(unpack(&[bytes, &[1]].concat()), None);
    for code in [0, 6, u8::MAX] {
        assert_eq!(unpack(&[&[code], &bytes[1..]].concat()), None, "{code}");
    }
}
