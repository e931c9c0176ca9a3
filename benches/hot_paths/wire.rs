//! The HTTP/2 core, piece by piece: header blocks decoded, checked, recognised and encoded, Huffman
//! codes, and DATA.

use std::{hint::black_box, rc::Rc, time::Duration};

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use strife_wire::{
    Config, Connection, Event, Role,
    frame::{FrameHeader, MAX_PAYLOAD, flag, kind},
    head::{BlockKind, Head},
    hpack::{Decoder, Fields, Limits},
};

use crate::in_memory::{REQUEST_HEAD, block};

const LIMITS: Limits = Limits { max_list_bytes: 64 * 1024, max_decoded_bytes: 256 * 1024 };
const TABLE_BYTES: usize = 4096;
/// Begins a literal that goes into the dynamic table (RFC 7541, section 6.2.1).
const INCREMENTAL: u8 = 0x40;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// A literal field whose strings are shorter than 127 bytes, `coded` in Huffman's way or not.
fn literal(out: &mut Vec<u8>, pattern: u8, name: &[u8], value: &[u8], coded: bool) {
    out.push(pattern);
    for string in [name, value] {
        let bit = if coded { 0x80 } else { 0 };
        out.push(bit | string.len() as u8);
        out.extend_from_slice(string);
    }
}

/// The request's head as a client sends it that uses the table: the first time and from then on.
fn head_with_table() -> (Vec<u8>, Vec<u8>) {
    let mut first = Vec::new();
    for (name, value) in REQUEST_HEAD {
        literal(&mut first, INCREMENTAL, name.as_bytes(), value.as_bytes(), false);
    }
    // The newest entry is the first after the 61 of the static table (RFC 7541, section 2.3.3).
    let indexed = (0..REQUEST_HEAD.len() as u8).rev().map(|age| 0x80 | (62 + age));
    (first, indexed.collect())
}

fn hpack(group: &mut Group<'_>) {
    let (first, indexed) = head_with_table();
    let plain = block(&REQUEST_HEAD);
    let mut fields = Fields::new();
    let mut decoder = Decoder::new(TABLE_BYTES);
    // Each once before any is measured, for a filter may leave out any: the table is filled, and what is
    // measured is no error.
    for head in [&plain, &first, &indexed] {
        decoder.decode(head, &LIMITS, &mut fields).expect("a good head");
        assert_eq!(fields.len(), REQUEST_HEAD.len(), "the head was decoded");
    }
    group.bench_function("decode/without table", |bencher| {
        bencher.iter(|| decoder.decode(black_box(&plain), &LIMITS, &mut fields).is_ok());
    });
    group.bench_function("decode/into the table", |bencher| {
        bencher.iter(|| decoder.decode(black_box(&first), &LIMITS, &mut fields).is_ok());
    });
    group.bench_function("decode/from the table", |bencher| {
        bencher.iter(|| decoder.decode(black_box(&indexed), &LIMITS, &mut fields).is_ok());
    });
    // "www.example.com" (RFC 7541, appendix C.4.1), eight times.
    let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    let mut huffman = Vec::new();
    (0..4).for_each(|_| literal(&mut huffman, 0, &coded, &coded, true));
    decoder.decode(&huffman, &LIMITS, &mut fields).expect("good codes");
    assert_eq!(fields.get(b"www.example.com"), Some(&b"www.example.com"[..]));
    group.bench_function("decode/120 octets in Huffman codes", |bencher| {
        bencher.iter(|| decoder.decode(black_box(&huffman), &LIMITS, &mut fields).is_ok());
    });
    group.bench_function("encode", |bencher| bencher.iter(|| block(black_box(&REQUEST_HEAD))));
}

fn check(group: &mut Group<'_>) {
    let mut fields = Fields::new();
    for (name, value) in REQUEST_HEAD {
        fields.push(name.as_bytes(), value.as_bytes(), false);
    }
    group.bench_function("check a head", |bencher| {
        bencher.iter_batched(
            || fields.clone(),
            |fields| Head::parse(BlockKind::Request, fields).expect("a good head"),
            BatchSize::SmallInput,
        );
    });
}

/// A server's connection, and the bytes that a client sends on it.
struct Served {
    core: Connection<()>,
    now: Duration,
    input: Vec<u8>,
    next_stream: u32,
}

impl Served {
    fn new() -> Self {
        let now = Duration::from_secs(1);
        let core = |role| Connection::<()>::new(role, Config::default(), Rc::default(), now);
        let mut served = Self { core: core(Role::Server), now, input: Vec::new(), next_stream: 1 };
        served.input.extend_from_slice(core(Role::Client).output());
        let events = served.receive();
        assert_eq!(events, 1, "it is ready");
        served
    }

    /// Takes all of the input; how many events it made. DATA is released at once.
    fn receive(&mut self) -> usize {
        let mut events = 0;
        let mut input = self.input.as_slice();
        while let Some(event) = self.core.receive(self.now, &mut input).expect("no error") {
            events += 1;
            if let Event::Data { stream, payload, .. } = event {
                self.core.release(stream, payload.len());
            }
        }
        let length = self.core.output_len();
        self.core.written(self.now, length);
        events
    }

    /// A request's head on a stream of its own.
    fn request(&mut self, block: &[u8], flags: u8) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.input.clear();
        let flags = flags | flag::END_HEADERS;
        FrameHeader { length: block.len(), kind: kind::HEADERS, flags, stream }
            .write(&mut self.input);
        self.input.extend_from_slice(block);
        assert_eq!(self.receive(), 1, "a request");
        stream
    }

    /// A request without a message, answered with trailers only.
    fn empty_call(&mut self, block: &[u8], trailers: &[u8]) {
        let stream = self.request(block, flag::END_STREAM);
        self.core.send_headers(stream, trailers, true);
    }
}

fn calls(group: &mut Group<'_>) {
    let trailers = block(&[(":status", "200"), ("grpc-status", "0")]);
    let known = block(&REQUEST_HEAD);
    let mut served = Served::new();
    group.bench_function("empty call/head recognised", |bencher| {
        bencher.iter(|| served.empty_call(black_box(&known), &trailers));
    });
    let mut new = known.clone();
    literal(&mut new, 0, b"x-request-id", b"00000000", false);
    let id = new.len() - 8;
    let mut number = 0_u64;
    let mut served = Served::new();
    group.bench_function("empty call/head new", |bencher| {
        bencher.iter(|| {
            number += 1;
            let digits = format!("{:08}", number % 100_000_000);
            new[id..].copy_from_slice(digits.as_bytes());
            served.empty_call(black_box(&new), &trailers);
        });
    });
}

fn data(group: &mut Group<'_>) {
    let mut served = Served::new();
    let stream = served.request(&block(&REQUEST_HEAD), 0);
    served.input.clear();
    FrameHeader { length: MAX_PAYLOAD, kind: kind::DATA, flags: 0, stream }
        .write(&mut served.input);
    served.input.resize(served.input.len() + MAX_PAYLOAD, 7);
    group.throughput(Throughput::Bytes(MAX_PAYLOAD as u64));
    group.bench_function("16 KiB of DATA", |bencher| bencher.iter(|| served.receive()));
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    hpack(&mut group);
    check(&mut group);
    calls(&mut group);
    data(&mut group);
    group.finish();
}
