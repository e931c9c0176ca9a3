//! Two connections back to back, without a socket between them.

mod resets;
mod rules;

use super::*;
use crate::hpack::encode;

type Core = Connection<()>;

/// A client and a server, and what either was told.
struct Pair {
    client: Core,
    server: Core,
    now: Duration,
}

fn pair_with(client: Config, server: Config) -> Pair {
    let buffers = Rc::new(BufferPool::new());
    let now = Duration::from_secs(1);
    Pair {
        client: Connection::new(Role::Client, client, buffers.clone(), now),
        server: Connection::new(Role::Server, server, buffers, now),
        now,
    }
}

fn pair() -> Pair {
    let mut pair = pair_with(Config::default(), Config::default());
    pair.settle();
    assert!(pair.client.can_open() && pair.server.is_ready());
    pair
}

/// What one side was told, in words.
fn tell(event: &Event<'_, ()>) -> String {
    match event {
        Event::Headers { stream, block, part, end_stream, .. } => {
            let head = &block.head;
            let what = match part {
                Part::Request => String::from_utf8_lossy(head.path()).into_owned(),
                Part::Trailers => format!("{:?}", head.grpc_status()),
                _ => head.status().to_string(),
            };
            format!("{stream} {part:?} {what} {end_stream}")
        }
        Event::Data { stream, payload, end_stream, .. } => {
            format!("{stream} {} bytes {end_stream}", payload.len())
        }
        Event::Reset { stream, code, by_us, .. } => format!("{stream} {code} {by_us}"),
        other => format!("{other:?}"),
    }
}

fn carry(from: &mut Core, to: &mut Core, now: Duration) -> Vec<String> {
    let mut told = Vec::new();
    let bytes = from.output().to_vec();
    from.written(now, bytes.len());
    let mut input = &bytes[..];
    while let Some(event) = to.receive(now, &mut input).expect("no rule was broken") {
        told.push(tell(&event));
        if let Event::Data { stream, payload, .. } = event {
            to.release(stream, payload.len());
        }
    }
    assert!(input.is_empty(), "whole frames were sent");
    told
}

impl Pair {
    /// Carries bytes until there are none; what the server and the client were told.
    fn settle(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        while self.client.output_len() + self.server.output_len() > 0 {
            to_server.extend(carry(&mut self.client, &mut self.server, self.now));
            to_client.extend(carry(&mut self.server, &mut self.client, self.now));
        }
        (to_server, to_client)
    }
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        encode(&mut block, name.as_bytes(), value.as_bytes(), false);
    }
    block
}

fn request() -> Vec<u8> {
    block(&[(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "x")])
}

#[test]
fn a_call_goes_there_and_back() {
    let mut pair = pair();
    let id = pair.client.open(7, &request(), false, false).unwrap();
    assert_eq!(pair.client.send_data(id, b"hello", true), 5);
    let (told, _) = pair.settle();
    assert_eq!(told, ["1 Request /a/b false", "1 5 bytes true"]);
    pair.server.send_headers(id, &block(&[(":status", "200")]), false);
    assert_eq!(pair.server.send_data(id, b"hi", false), 2);
    pair.server.send_headers(id, &block(&[("grpc-status", "0")]), true);
    let (_, told) = pair.settle();
    assert_eq!(told, ["1 Response 200 false", "1 2 bytes false", "1 Trailers Some(0) true"]);
    assert_eq!((pair.client.open_streams(), pair.server.open_streams()), (0, 0));
}

#[test]
fn a_window_holds_one_stream_back_and_no_other() {
    let mut pair = pair();
    let large = vec![1; 200_000];
    let id = pair.client.open(0, &request(), false, false).unwrap();
    let window = Config::default().stream_window as usize;
    assert_eq!(pair.client.send_data(id, &large, true), window);
    let other = pair.client.open(1, &request(), false, false).unwrap();
    assert_eq!(pair.client.send_data(other, &large[..10], true), 10);
    let (told, back) = pair.settle();
    assert!(told.contains(&"3 10 bytes true".to_owned()), "{told:?}");
    assert!(back.iter().any(|told| told.starts_with("Writable")), "{back:?}");
    assert!(pair.client.send_data(id, &large[window..], true) > 0);
}

#[test]
fn a_block_that_comes_again_is_recognised() {
    let mut pair = pair();
    let mut blocks = Vec::new();
    for _ in 0..2 {
        pair.client.open(0, &request(), true, false).unwrap();
        let bytes = pair.client.output().to_vec();
        pair.client.written(pair.now, bytes.len());
        let mut input = &bytes[..];
        match pair.server.receive(pair.now, &mut input).unwrap().unwrap() {
            Event::Headers { block, .. } => blocks.push(block),
            other => panic!("{other:?}"),
        }
    }
    assert!(Rc::ptr_eq(&blocks[0], &blocks[1]));
}

#[test]
fn the_end_is_announced_before_it_is_final() {
    let mut pair = pair();
    let first = pair.client.open(0, &request(), false, false).unwrap();
    pair.server.go_away(pair.now);
    // On its way when the server began to end: served all the same.
    let crossing = pair.client.open(0, &request(), true, false).unwrap();
    let (told, back) = pair.settle();
    assert!(told.contains(&format!("{crossing} Request /a/b true")), "{told:?}");
    assert_eq!(back.len(), 2, "{back:?}");
    assert!(!pair.client.takes_streams() && !pair.server.is_finished());
    for id in [first, crossing] {
        pair.server.send_headers(id, &block(&[(":status", "200")]), true);
    }
    pair.client.send_data(first, b"", true);
    pair.settle();
    assert!(pair.server.is_finished() && pair.client.is_finished());
}

#[test]
fn stream_ids_run_out_once() {
    let config = Config { first_stream: MAX_31_BIT, ..Config::default() };
    let mut pair = pair_with(config, Config::default());
    pair.settle();
    assert_eq!(pair.client.open(0, &request(), true, false), Some(MAX_31_BIT));
    assert!(!pair.client.takes_streams());
    assert_eq!(pair.client.open(0, &request(), true, false), None);
}

#[test]
fn silence_is_pinged_and_then_cut_off() {
    let mut pair = pair();
    let (silence, patience) = Config::default().keepalive;
    let second = Duration::from_secs(1);
    assert_eq!(pair.server.check(pair.now + silence + second), Ok(()));
    assert!(pair.server.output_len() > 0, "a ping");
    pair.now += silence + second * 2;
    pair.settle();
    assert_eq!(pair.server.check(pair.now), Ok(()));
    assert_eq!(pair.client.check(pair.now + silence + second), Ok(()));
    let late = pair.now + silence + patience + second * 3;
    assert_eq!(pair.client.check(late), Err(Expired::Keepalive));
}

#[test]
fn the_same_bytes_mean_different_things_in_different_places() {
    let mut pair = pair();
    let fields = block(&[("grpc-status", "0")]);
    for _ in 0..2 {
        let id = pair.client.open(0, &request(), true, false).unwrap();
        pair.settle();
        pair.server.send_headers(id, &block(&[(":status", "200")]), false);
        pair.server.send_headers(id, &fields, true);
        let (_, told) = pair.settle();
        assert_eq!(told.last().unwrap(), &format!("{id} Trailers Some(0) true"));
        // As the head of an answer the same block is malformed, remembered or not.
        let id = pair.client.open(0, &request(), true, false).unwrap();
        pair.settle();
        pair.server.send_headers(id, &fields, true);
        let (_, told) = pair.settle();
        assert_eq!(told, [format!("{id} PROTOCOL_ERROR true")]);
    }
}

#[test]
fn an_end_without_bytes_needs_no_window() {
    let narrow = Config { stream_window: 1, ..Config::default() };
    let mut pair = pair_with(Config::default(), narrow);
    // More than the server allows, sent before its SETTINGS arrive.
    pair.settle();
    let id = pair.client.open(0, &request(), false, false).unwrap();
    assert_eq!(pair.client.send_data(id, b"x", false), 1);
    assert_eq!(pair.client.send_data(id, b"", true), 0);
    let (told, _) = pair.settle();
    assert_eq!(
        told,
        [
            format!("{id} Request /a/b false"),
            format!("{id} 1 bytes false"),
            format!("{id} 0 bytes true")
        ]
    );
}
