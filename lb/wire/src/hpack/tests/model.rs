//! The decoder against a model of RFC 7541 that is as plain as can be: a list of strings.

use proptest::prelude::*;

use super::{WIDE, codes};
use crate::hpack::{
    Decoder, Fields, encode_table_size, integer::put_integer, static_table::STATIC_TABLE,
};

/// One representation (section 6), its index still to be fitted to what the tables hold.
#[derive(Debug, Clone)]
enum Step {
    Indexed(usize),
    /// The pattern and prefix of the kind of literal; a name index or a name; a value.
    Literal((u8, u32), Result<usize, Text>, Text),
}

/// A string and whether it is Huffman coded.
type Text = (Vec<u8>, bool);

const INCREMENTAL: (u8, u32) = (0x40, 6);
const NEVER: (u8, u32) = (0x10, 4);
const WITHOUT: (u8, u32) = (0x00, 4);

fn text() -> impl Strategy<Value = Text> {
    let octets = prop_oneof![
        4 => prop::collection::vec(b'a'..b'e', 0..12),
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ];
    (octets, any::<bool>())
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(INCREMENTAL), Just(NEVER), Just(WITHOUT)];
    let name = prop_oneof![any::<usize>().prop_map(Ok), text().prop_map(Err)];
    prop_oneof![
        any::<usize>().prop_map(Step::Indexed),
        (kind, name, text()).prop_map(|(kind, name, value)| Step::Literal(kind, name, value)),
    ]
}

/// Size updates, as shares of the limit in 1/255, and representations.
fn block() -> impl Strategy<Value = (Vec<u8>, Vec<Step>)> {
    let updates = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    (updates, prop::collection::vec(step(), 0..12))
}

#[derive(Default)]
struct Model {
    /// The newest first.
    table: Vec<(Vec<u8>, Vec<u8>)>,
    max_table: usize,
    block: Vec<u8>,
    fields: Fields,
}

impl Model {
    fn table_bytes(&self) -> usize {
        self.table.iter().map(|(name, value)| name.len() + value.len() + 32).sum()
    }

    fn evict(&mut self) {
        while self.table_bytes() > self.max_table {
            self.table.pop();
        }
    }

    fn resize(&mut self, bytes: usize) {
        encode_table_size(&mut self.block, bytes);
        self.max_table = bytes;
        self.evict();
    }

    /// An index that exists: the newest entries twice as often as chance has it.
    fn fit(&self, index: usize) -> (usize, (Vec<u8>, Vec<u8>)) {
        let all = STATIC_TABLE.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
        let all: Vec<_> = all.chain(self.table.iter().cloned()).collect();
        let dynamic = index.is_multiple_of(2) && !self.table.is_empty();
        let place = match dynamic {
            true => STATIC_TABLE.len() + index / 2 % self.table.len(),
            false => index / 2 % all.len(),
        };
        (place + 1, all[place].clone())
    }

    fn put(&mut self, (octets, is_huffman): &Text) {
        let (pattern, octets) = match is_huffman {
            true => (0x80, codes::encode(octets)),
            false => (0, octets.clone()),
        };
        put_integer(&mut self.block, pattern, 7, octets.len());
        self.block.extend(octets);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Indexed(index) => {
                let (index, (name, value)) = self.fit(*index);
                put_integer(&mut self.block, 0x80, 7, index);
                self.fields.push(&name, &value, false);
            }
            Step::Literal(kind, name, value) => {
                let (pattern, prefix_bits) = *kind;
                let name = match name {
                    Ok(index) => {
                        let (index, (name, _)) = self.fit(*index);
                        put_integer(&mut self.block, pattern, prefix_bits, index);
                        name
                    }
                    Err(text) => {
                        self.block.push(pattern);
                        self.put(text);
                        text.0.clone()
                    }
                };
                self.put(value);
                self.fields.push(&name, &value.0, *kind == NEVER);
                if *kind == INCREMENTAL {
                    // Larger than the table evicts itself last, which is section 4.4.
                    self.table.insert(0, (name, value.0.clone()));
                    self.evict();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_decoder_does_what_the_model_does(
        limit in 0_usize..1200,
        blocks in prop::collection::vec(block(), 1..12),
    ) {
        let mut model = Model { max_table: limit, ..Model::default() };
        let mut decoder = Decoder::new(limit);
        let mut fields = Fields::new();
        for (updates, steps) in &blocks {
            model.block.clear();
            model.fields.clear();
            for share in updates {
                model.resize(limit * usize::from(*share) / 255);
            }
            for step in steps {
                model.step(step);
            }
            let before = decoder.generation();
            let usage = decoder.decode(&model.block, &WIDE, &mut fields).unwrap();
            prop_assert_eq!(&fields, &model.fields);
            prop_assert_eq!(decoder.table.len(), model.table.len());
            prop_assert_eq!(decoder.table.table_bytes(), model.table_bytes());
            for (place, (name, value)) in model.table.iter().enumerate() {
                prop_assert_eq!(decoder.table.get(place), Some((&name[..], &value[..])));
            }
            prop_assert!(decoder.table.get(model.table.len()).is_none());
            if usage.table_free {
                prop_assert_eq!(decoder.generation(), before);
                let mut elsewhere = Fields::new();
                Decoder::new(0).decode(&model.block, &WIDE, &mut elsewhere).unwrap();
                prop_assert_eq!(&elsewhere, &fields);
            }
        }
    }
}
