//! Calls that failed and are sent again, and those that must not be.

use std::collections::HashMap;

use proptest::prelude::*;
use strife_wire::Code;

use super::{
    director::IDEMPOTENT,
    peer::{Asked, Block, Piece},
    world::{MS, SECOND, World, fields, limits},
};
use crate::{config::Limits, metrics::Retry};

/// An answer that is UNAVAILABLE and nothing else.
fn unavailable(more: &[(&str, &str)]) -> Piece {
    let head = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "14")];
    let mut head = fields(&head);
    head.extend(fields(more));
    Piece::Block(head, true)
}

fn value<'b>(block: &'b Block, name: &str) -> Option<&'b str> {
    block.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
}

/// A client, and a call of this path with its request at endpoint 0.
pub(super) fn called(limits: Limits, endpoints: usize, path: &str) -> (World, usize, u32) {
    let mut world = World::new(limits, endpoints);
    let client = world.client(Asked::default());
    world.run();
    let id = world.call(client, path, &[], b"body");
    world.run();
    (world, client, id)
}

/// What endpoint 0 does to the first stream of its first connection.
fn say(world: &mut World, pieces: impl IntoIterator<Item = Piece>) {
    let pipe = world.connections(0)[0];
    world.peer(pipe).plan(1, pieces);
    world.run();
}

/// The call was answered by endpoint 1, once and whole.
fn assert_answered_elsewhere(world: &mut World, client: usize, id: u32) {
    world.answer_all(b"second");
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    let heard = &world.peer(client).streams[&id];
    assert_eq!((heard.blocks.len(), &heard.body[..]), (2, &b"second"[..]));
    let pipe = world.connections(1)[0];
    let again = &world.peer(pipe).streams[&1];
    assert_eq!(value(&again.blocks[0], "grpc-previous-rpc-attempts"), Some("1"));
    assert_eq!(again.body, b"body");
    assert_eq!(world.switch.director.moved, [(0, Retry::Idempotent)]);
    assert_eq!(world.switch.director.ends[0].attempts, 2);
    world.assert_idle();
}

#[test]
fn a_lost_connection_is_hidden() {
    let (mut world, client, id) = called(limits(), 2, "/read/a");
    let pipe = world.connections(0)[0];
    world.hang_up(pipe);
    world.run();
    assert_answered_elsewhere(&mut world, client, id);
}

#[test]
fn an_answer_that_is_only_unavailable_is_hidden() {
    let (mut world, client, id) = called(limits(), 2, "/read/a");
    say(&mut world, [unavailable(&[])]);
    assert_answered_elsewhere(&mut world, client, id);
}

#[test]
fn a_reset_is_hidden() {
    let (mut world, client, id) = called(limits(), 2, "/read/a");
    let pipe = world.connections(0)[0];
    world.peer(pipe).say_reset(1, Code::INTERNAL_ERROR);
    world.run();
    assert_answered_elsewhere(&mut world, client, id);
}

#[test]
fn a_method_that_may_not_run_twice_is_told_of_each() {
    let (mut world, client, id) = called(limits(), 2, "/write/a");
    say(&mut world, [unavailable(&[])]);
    assert_eq!(world.status(client, id), Some("14"));
    assert_eq!((world.dials(1), world.switch.director.moved.len()), (0, 0));
    world.assert_idle();
}

#[test]
fn once_anything_of_an_answer_was_passed_on_it_is_that_one() {
    let begun = fields(&[(":status", "200"), ("content-type", "application/grpc")]);
    let hint = fields(&[(":status", "103")]);
    let failed = fields(&[("grpc-status", "14")]);
    for said in [
        vec![Piece::Block(begun, false), Piece::Block(failed, true)],
        vec![Piece::Block(hint, false), unavailable(&[])],
    ] {
        let (mut world, client, id) = called(limits(), 2, "/read/a");
        say(&mut world, said);
        assert_eq!(world.status(client, id), Some("14"));
        assert_eq!(world.dials(1), 0);
        world.assert_idle();
    }
}

#[test]
fn with_nobody_else_to_ask_the_answer_is_passed_on() {
    let (mut world, client, id) = called(limits(), 1, "/read/a");
    say(&mut world, [unavailable(&[])]);
    assert_eq!(world.status(client, id), Some("14"));
    world.assert_idle();
}

#[test]
fn a_call_is_tried_so_often_and_then_told() {
    let (mut world, client, id) = called(limits(), 5, "/read/a");
    for endpoint in 0..limits().max_attempts {
        let pipe = world.connections(endpoint)[0];
        world.peer(pipe).plan(1, [unavailable(&[])]);
        world.run();
    }
    assert_eq!(world.status(client, id), Some("14"));
    assert_eq!((world.dials(2), world.dials(3)), (1, 0));
    world.assert_idle();
}

#[test]
fn an_endpoint_may_push_back() {
    for not_again in ["-1", "soon", "", "60000"] {
        let (mut world, client, id) = called(limits(), 2, "/read/a");
        say(&mut world, [unavailable(&[("grpc-retry-pushback-ms", not_again)])]);
        assert_eq!(world.status(client, id), Some("14"), "{not_again}");
        world.assert_idle();
    }
    let (mut world, client, id) = called(limits(), 2, "/read/a");
    say(&mut world, [unavailable(&[("grpc-retry-pushback-ms", "300")])]);
    world.pass(MS * 290);
    world.run();
    assert_eq!((world.dials(1), world.switch.director.in_flight[0]), (0, 0));
    world.pass(MS * 30);
    world.run();
    assert_answered_elsewhere(&mut world, client, id);
}

#[test]
fn a_call_that_waits_does_not_avoid_whoever_has_the_number_of_one_that_is_gone() {
    let (mut world, client, id) = called(limits(), 2, "/read/a");
    say(&mut world, [unavailable(&[("grpc-retry-pushback-ms", "4500")])]);
    let tried = |world: &World| -> Vec<usize> {
        world.switch.calls.iter().flat_map(|(_, call)| call.tried.clone()).collect()
    };
    assert_eq!(tried(&world), [0]);
    (world.switch.director.is_ready[0], world.switch.director.is_gone[0]) = (false, true);
    for _ in 0..3 {
        world.pass(SECOND);
        world.run();
    }
    assert_eq!(world.switch.director.released, [0]);
    assert!(tried(&world).is_empty());
    world.pass(SECOND * 2);
    world.run();
    assert_answered_elsewhere(&mut world, client, id);
}

#[test]
fn no_call_waits_in_vain_nor_after_its_client_left() {
    let mut world = World::new(limits(), 2);
    let client = world.client(Asked::default());
    world.run();
    let hurried = world.call(client, "/read/a", &[("grpc-timeout", "200m")], b"");
    world.run();
    say(&mut world, [unavailable(&[("grpc-retry-pushback-ms", "300")])]);
    assert_eq!(world.status(client, hurried), Some("14"));
    let cancelled = world.call(client, "/read/b", &[], b"");
    world.run();
    let pipe = world.connections(1)[0];
    world.peer(pipe).plan(1, [unavailable(&[("grpc-retry-pushback-ms", "300")])]);
    world.run();
    world.peer(client).say_reset(cancelled, Code::CANCEL);
    world.run();
    world.assert_idle();
}

#[test]
fn retries_end_with_their_budget() {
    let limits = Limits { retry_budget_percent: 20, min_retries_per_second: 0, ..limits() };
    let mut world = World::new(limits, 2);
    let client = world.client(Asked::default());
    world.run();
    let calls: Vec<_> =
        (0..20).map(|n| world.call(client, &format!("{IDEMPOTENT}{n}"), &[], b"")).collect();
    world.run();
    for _ in 0..3 {
        for pipe in world.pipes.iter_mut().filter(|pipe| pipe.endpoint.is_some()) {
            for stream in pipe.peer.streams.values_mut().filter(|stream| !stream.said_end) {
                stream.plan.push_back(unavailable(&[]));
            }
        }
        world.run();
    }
    assert!(calls.iter().all(|id| world.status(client, *id) == Some("14")));
    assert_eq!(world.switch.director.moved.len(), 4, "20% of 20");
    assert!(world.switch.director.retries_denied >= 16);
    world.assert_idle();
}

#[test]
fn a_refusal_over_budget_is_counted_once() {
    let limits = Limits { retry_budget_percent: 0, min_retries_per_second: 0, ..limits() };
    let (mut world, client, id) = called(limits, 2, "/read/a");
    let pipe = world.connections(0)[0];
    world.peer(pipe).say_reset(1, Code::REFUSED_STREAM);
    world.run();
    assert_eq!(world.peer(client).streams[&id].reset, Some(Code::REFUSED_STREAM));
    assert_eq!(world.switch.director.retries_denied, 1);
    world.assert_idle();
}

#[test]
fn an_answer_that_is_hidden_tells_the_load() {
    let (mut world, client, id) = called(limits(), 2, "/read/a");
    say(&mut world, [unavailable(&[("endpoint-load-metrics-bin", "CQAAAAAAAOA/")])]);
    let from: Vec<_> = world.switch.director.reported.iter().map(|(from, _)| *from).collect();
    assert_eq!(from, [0]);
    assert_answered_elsewhere(&mut world, client, id);
}

/// What an endpoint does to a stream: one of these, by chance.
fn misbehave(world: &mut World, pipe: usize, id: u32, how: u8, run: &mut Runs) {
    let stream = &world.pipes[pipe].peer.streams[&id];
    if stream.is_closed() || stream.said_end || !stream.plan.is_empty() {
        return;
    }
    let from = format!("{pipe}-{id}");
    let head = [(":status", "200"), ("content-type", "application/grpc"), ("x-from", &*from)];
    let peer = world.peer(pipe);
    match how % 6 {
        0 => peer.say_reset(id, Code::INTERNAL_ERROR),
        1 => {
            run.refused.push((pipe, id));
            peer.say_reset(id, Code::REFUSED_STREAM);
        }
        2 => peer.plan(id, [unavailable(&[("x-from", &from)])]),
        3 => peer.plan(id, [unavailable(&[("x-from", &from), ("grpc-retry-pushback-ms", "40")])]),
        4 => {
            let failed = Piece::Block(fields(&[("grpc-status", "14"), ("x-from", &from)]), true);
            peer.plan(id, [Piece::Block(fields(&head), false), failed]);
        }
        _ => {
            let body = Piece::Data(from.clone().into_bytes(), false);
            let ok = Piece::Block(fields(&[("grpc-status", "0"), ("x-from", &from)]), true);
            peer.plan(id, [Piece::Block(fields(&head), false), body, ok]);
        }
    }
}

#[derive(Default)]
struct Runs {
    /// Streams that their endpoints said they did not look at.
    refused: Vec<(usize, u32)>,
}

proptest! {
    #![proptest_config(super::storm::cases(96))]

    /// Resets, refusals, UNAVAILABLE, connections asked to go and lost, in any order and at any byte.
    #[test]
    fn calls_run_twice_only_if_they_may_and_are_answered_once(
        calls in prop::collection::vec(any::<bool>(), 1..25),
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 0..400),
        percent in 0_u32..=100,
    ) {
        const ENDPOINTS: usize = 3;
        let limits = Limits {
            retry_budget_percent: percent,
            min_retries_per_second: 1,
            ready_timeout: SECOND * 20,
            ..limits()
        };
        let mut world = World::new(limits, ENDPOINTS);
        let client = world.client(Asked::default());
        world.run();
        let mut runs = Runs::default();
        let mut waiting = calls.iter().enumerate();
        let mut opened = Vec::new();
        for (what, who, how) in steps {
            let upstream: Vec<_> = (0..ENDPOINTS).flat_map(|one| world.connections(one)).collect();
            let pipe = upstream.get(usize::from(who) % upstream.len().max(1)).copied();
            match what {
                0..60 => {
                    let Some((number, is_idempotent)) = waiting.next() else { continue };
                    let kind = if *is_idempotent { IDEMPOTENT } else { "/write/" };
                    opened.push(world.call(client, &format!("{kind}{number}"), &[], b"body"));
                }
                60..170 => {
                    let Some(pipe) = pipe else { continue };
                    let ids: Vec<_> = world.peer(pipe).streams.keys().copied().collect();
                    if let Some(id) = ids.get(usize::from(how / 6) % ids.len().max(1)) {
                        misbehave(&mut world, pipe, *id, how, &mut runs);
                        world.peer(pipe).say_all();
                    }
                }
                170..180 => world.pass(MS * u32::from(how)),
                180..190 => drop(pipe.map(|pipe| world.hang_up(pipe))),
                190..196 => {
                    let Some(pipe) = pipe else { continue };
                    let begun = world.peer(pipe).streams.iter()
                        .filter(|(_, one)| one.is_closed() || one.said_end || !one.plan.is_empty());
                    let last = begun.map(|(id, _)| *id).max().unwrap_or(0);
                    let last = last.min(world.peer(pipe).last_served);
                    world.peer(pipe).say_goaway(last);
                }
                196..215 => drop(pipe.map(|pipe| world.write(pipe, usize::from(how) * 8))),
                215..225 => drop(pipe.map(|pipe| world.deliver(pipe, usize::from(how)))),
                _ => {
                    world.peer(client).say_all();
                    world.round();
                }
            }
        }
        for _ in 0..300 {
            world.run();
            world.answer_all(b"");
            world.run();
            world.pass(MS * 60);
            if world.switch.calls.is_empty() {
                break;
            }
        }
        world.run();
        let mut sent = HashMap::new();
        for (number, pipe) in world.pipes.iter().enumerate().filter(|(_, one)| one.endpoint.is_some()) {
            for (id, stream) in &pipe.peer.streams {
                if *id <= pipe.peer.last_served && !runs.refused.contains(&(number, *id)) {
                    let path = value(&stream.blocks[0], ":path").unwrap().to_owned();
                    *sent.entry(path).or_insert(0_usize) += 1;
                }
            }
        }
        for (path, times) in &sent {
            let most = if path.starts_with(IDEMPOTENT) { limits.max_attempts } else { 1 };
            prop_assert!(*times <= most, "{path} may have run {times} times");
        }
        let is_bounded = |(_, why): &&(usize, Retry)| matches!(why, Retry::Idempotent | Retry::Refused);
        let retries = world.switch.director.moved.iter().filter(is_bounded).count();
        // All calls and more than ten seconds of retries without any.
        let windows = (world.now.as_secs() as usize).div_ceil(10);
        let most = windows * 10 + opened.len() * percent as usize / 100;
        prop_assert!(retries <= most, "{retries} of {} calls", opened.len());
        for id in &opened {
            let heard = &world.pipes[client].peer.streams[id];
            prop_assert!(heard.ended || heard.reset.is_some(), "call {id} has no end");
            let from: Vec<_> = heard.blocks.iter().filter_map(|one| value(one, "x-from")).collect();
            prop_assert!(from.iter().all(|one| *one == from[0]), "parts of several answers: {from:?}");
            let body = std::str::from_utf8(&heard.body).unwrap();
            prop_assert!(body.is_empty() || body == from[0], "{body} and {from:?}");
            let heads = heard.blocks.iter().filter(|one| value(one, ":status").is_some()).count();
            prop_assert!(heads <= 1, "{:?}", heard.blocks);
        }
        world.assert_idle();
    }
}
