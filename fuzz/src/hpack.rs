//! The HPACK decoder against arbitrary blocks and limits, and everything it understood through the
//! encoder and back; and each list of fields as a head.

use strife_wire::{
    head::{BlockKind, Head},
    hpack::{Decoder, Fields, Limits, encode},
};

use crate::input::Input;

const KINDS: [BlockKind; 3] = [BlockKind::Request, BlockKind::Response, BlockKind::Trailers];

/// Blocks into one decoder until one breaks a rule.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut decoder = Decoder::new(input.number());
    let max_list_bytes = input.number();
    let limits = Limits { max_list_bytes, max_decoded_bytes: 4 * max_list_bytes };
    let mut fields = Fields::new();
    while !input.is_empty() {
        if input.byte() % 8 == 7 {
            decoder.set_max_table(input.number());
        }
        let length = usize::from(input.byte());
        let block = input.bytes(length);
        let before = decoder.generation();
        let outcome = decoder.decode(block, &limits, &mut fields);
        assert!(fields.list_bytes() <= max_list_bytes);
        let Ok(usage) = outcome else {
            assert!(fields.is_empty());
            return;
        };
        if usage.table_free {
            assert_eq!(decoder.generation(), before);
            let mut elsewhere = Fields::new();
            let again = Decoder::new(0).decode(block, &limits, &mut elsewhere);
            assert_eq!((again, &elsewhere), (Ok(usage), &fields));
        }
        come_back(&fields);
    }
}

/// Fields that were decoded survive the encoder, and a head that was accepted is accepted again.
fn come_back(fields: &Fields) {
    let mut block = Vec::new();
    for field in fields.iter() {
        encode(&mut block, field.name, field.value, field.sensitive);
    }
    let limits = Limits { max_list_bytes: usize::MAX, max_decoded_bytes: usize::MAX };
    let mut again = Fields::new();
    let usage = Decoder::new(0).decode(&block, &limits, &mut again).expect("we wrote it");
    assert!(usage.table_free && !usage.too_large);
    assert_eq!(fields, &again);
    for kind in KINDS {
        let outcome = Head::parse(kind, again.clone());
        if let Ok(head) = &outcome {
            assert_eq!(head.fields(), fields);
        }
        assert_eq!(outcome.map(drop), Head::parse(kind, fields.clone()).map(drop));
    }
}
