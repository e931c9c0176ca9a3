//! `traceparent`s, well-formed and not: the cases of the specification, and whatever chance brings.

use proptest::prelude::*;
use strife_wire::hpack::Fields;

use super::*;

const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        fields.push(name.as_bytes(), value.as_bytes(), false);
    }
    fields
}

#[test]
fn what_the_specification_allows_is_read_and_nothing_else() {
    let check = |text: &str, is_valid| {
        assert_eq!(TraceContext::parse(text.as_bytes()).is_some(), is_valid, "{text}");
    };
    check(EXAMPLE, true);
    check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", true);
    check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings", true);
    check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true);
    check("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", false);
    check("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false);
    check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", false);
    check("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false);
    check("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false);
    check("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false);
    check("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", false);
    check("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false);
    check("00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", false);
    check("", false);
}

#[test]
fn flags_without_a_meaning_are_not_sent_on() {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff";
    let context = TraceContext::parse(text.as_bytes()).unwrap();
    assert!(context.is_sampled() && context.format().ends_with(b"-03"));
}

#[test]
fn a_call_stands_in_its_clients_trace_and_keeps_its_state() {
    let incoming = Incoming::of(&fields(&[("traceparent", EXAMPLE), ("tracestate", "a=b")]));
    let trace = CallTrace::new(&incoming, &[0xab; 24]);
    let expected = "00-4bf92f3577b34da6a3ce929d0e0e4736-abababababababab-01";
    assert_eq!(str::from_utf8(&trace.traceparent()).unwrap(), expected);
    assert_eq!(trace.parent(), Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
    assert!(trace.keeps(TRACESTATE) && trace.keeps(b"baggage") && !trace.keeps(TRACEPARENT));
}

#[test]
fn a_trace_that_cannot_be_read_is_begun_anew_without_its_state() {
    let check = |list: &[(&str, &str)], expected| {
        let incoming = Incoming::of(&fields(list));
        assert_eq!(incoming, expected, "{list:?}");
        let trace = CallTrace::new(&incoming, &[0; 24]);
        assert_eq!(trace.parent(), None);
        assert!(!trace.keeps(TRACESTATE) && trace.keeps(b"baggage"));
        assert!(TraceContext::parse(&trace.traceparent()).unwrap().is_sampled());
    };
    check(&[("tracestate", "a=b")], Incoming::None);
    check(&[("traceparent", "nonsense"), ("tracestate", "a=b")], Incoming::Malformed);
    check(&[("traceparent", EXAMPLE), ("traceparent", EXAMPLE)], Incoming::Malformed);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(
        trace_id: [u8; 16], span_id: [u8; 8], flags in 0..=KNOWN_FLAGS,
    ) {
        prop_assume!(trace_id != [0; 16] && span_id != [0; 8]);
        let context = TraceContext { trace_id, span_id, flags };
        prop_assert_eq!(TraceContext::parse(&context.format()), Some(context));
    }

    #[test]
    fn a_changed_octet_is_another_context_or_none(place in 0..LENGTH, octet: u8) {
        let mut text = EXAMPLE.as_bytes().to_vec();
        prop_assume!(text[place] != octet);
        text[place] = octet;
        if let Some(read) = TraceContext::parse(&text) {
            let again = read.format();
            // A version to come, or a flag without a meaning, is all that is not kept.
            let differing = again.iter().zip(&text).enumerate().filter(|(_, (one, other))| one != other);
            prop_assert!(differing.into_iter().all(|(at, _)| !(2..53).contains(&at)));
        }
    }

    #[test]
    fn nothing_that_comes_panics(value in proptest::collection::vec(any::<u8>(), 0..80)) {
        let read = TraceContext::parse(&value);
        prop_assert!(read.is_none() || value.len() >= LENGTH);
    }
}
