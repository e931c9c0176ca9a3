//! Streams of endpoints' connections: there may be few of them, and their ids run out.

use std::rc::Rc;

use strife_wire::{Code, Config as WireConfig, Connection, Role, frame::MAX_31_BIT};

use super::{
    peer::Asked,
    world::{MS, World, limits},
};
use crate::config::Limits;

fn few(max_streams: u32) -> Asked {
    Asked { max_streams: Some(max_streams), window: None }
}

#[test]
fn calls_wait_for_streams_and_get_them_in_turn() {
    let mut world = World::new(Limits { connections_per_server: 2, ..limits() }, 1);
    world.endpoints_ask = few(3);
    let client = world.client(Asked::default());
    world.run();
    let calls: Vec<_> =
        (0..20).map(|call| world.call(client, &format!("/{call}"), &[], b"")).collect();
    world.run();
    let at_once: usize =
        world.connections(0).iter().map(|one| world.pipes[*one].peer.streams.len()).sum();
    assert_eq!((at_once, world.dials(0)), (6, 2));
    for _ in calls.chunks(6) {
        world.answer_all(b"");
        world.run();
    }
    assert!(calls.iter().all(|id| world.status(client, *id) == Some("0")));
    let paths: Vec<_> = world.switch.director.ends.iter().map(|end| end.path.as_str()).collect();
    let position = |path| paths.iter().position(|one| *one == path);
    assert!(position("/6") < position("/19"), "{paths:?}");
    world.assert_idle();
}

#[test]
fn a_call_without_a_stream_gives_up_in_the_end() {
    let mut world = World::new(Limits { connections_per_server: 1, ..limits() }, 1);
    world.endpoints_ask = few(1);
    let client = world.client(Asked::default());
    world.run();
    let first = world.call(client, "/first", &[], b"");
    world.run();
    let second = world.call(client, "/second", &[], b"");
    world.run();
    world.pass(limits().ready_timeout - MS);
    world.run();
    assert_eq!(world.status(client, second), None);
    world.pass(MS * 20);
    world.run();
    assert_eq!(world.status(client, second), Some("8"));
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, first), Some("0"));
    world.assert_idle();
}

#[test]
fn streams_that_an_endpoint_allows_later_are_used_at_once() {
    let mut world = World::new(Limits { connections_per_server: 1, ..limits() }, 1);
    world.endpoints_ask = few(0);
    let client = world.client(Asked::default());
    world.run();
    world.call(client, "/a", &[], b"");
    world.run();
    let endpoint = world.connections(0)[0];
    assert!(world.peer(endpoint).streams.is_empty());
    world.peer(endpoint).ask(few(1));
    world.run();
    assert_eq!(world.peer(endpoint).streams.len(), 1);
}

/// The switch resets unanswered streams a few at a time. Those that come free late, without an event
/// of their own, are given to calls that wait too.
#[test]
fn streams_that_were_reset_are_used_again() {
    for answers_probes in [true, false] {
        check_that_streams_are_used_again(answers_probes);
    }
}

fn check_that_streams_are_used_again(answers_probes: bool) {
    const STREAMS: u32 = 40;
    let mut world = World::new(Limits { connections_per_server: 1, ..limits() }, 1);
    world.endpoints_ask = few(STREAMS);
    let client = world.client(Asked::default());
    world.run();
    let cancelled: Vec<_> = (0..STREAMS).map(|_| world.call(client, "/gone", &[], b"")).collect();
    world.run();
    let waiting: Vec<_> = (0..STREAMS).map(|_| world.call(client, "/late", &[], b"")).collect();
    world.run();
    let endpoint = world.connections(0)[0];
    world.peer(endpoint).answers_probes = answers_probes;
    for id in cancelled {
        world.peer(client).say_reset(id, Code::CANCEL);
    }
    world.run();
    if !answers_probes {
        // The endpoint loses patience before it hears that nobody waits for it.
        for id in (1..2 * STREAMS).step_by(2) {
            world.peer(endpoint).say_reset(id, Code::CANCEL);
        }
        world.run();
    }
    assert_eq!(world.peer(endpoint).streams.len(), 2 * STREAMS as usize);
    world.answer_all(b"");
    world.run();
    assert!(waiting.iter().all(|id| world.status(client, *id) == Some("0")));
    world.assert_idle();
}

/// 2^30 calls, and a connection is used up (RFC 9113, section 5.1.1).
#[test]
fn a_connection_whose_stream_ids_have_run_out_makes_room_for_another() {
    let mut world = World::new(Limits { connections_per_server: 1, ..limits() }, 1);
    let client = world.client(Asked::default());
    world.run();
    let mut calls = vec![world.call(client, "/0", &[], b"")];
    world.round();
    let used_up = world.connections(0)[0];
    let config = WireConfig { first_stream: MAX_31_BIT - 2, ..world.switch.wire_config(100) };
    let wire = Connection::new(Role::Client, config, Rc::default(), world.now);
    world.pipes[used_up].peer = super::peer::Peer::new(false, Asked::default());
    world.switch.links[world.pipes[used_up].link].wire = wire;
    calls.push(world.call(client, "/1", &[], b""));
    world.run();
    assert_eq!(world.peer(used_up).open_streams(), 2);
    calls.push(world.call(client, "/2", &[], b""));
    world.run();
    assert_eq!((world.dials(0), world.pipes[used_up].is_open), (2, true));
    world.answer_all(b"");
    world.run();
    assert!(calls.iter().all(|id| world.status(client, *id) == Some("0")));
    assert!(!world.pipes[used_up].is_open);
    world.assert_idle();
}
