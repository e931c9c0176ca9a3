//! Servers that have as many calls as they may, and calls that wait for one.

use strife_wire::Code;

use super::{
    peer::Asked,
    retries::called,
    world::{MS, World, answer, limits},
};
use crate::{config::Limits, metrics::Refusal};

#[test]
fn a_server_has_no_more_calls_than_it_may() {
    let limits = Limits { max_calls_per_server: Some(2), ..limits() };
    let mut world = World::new(limits, 2);
    let client = world.client(Asked::default());
    world.run();
    let calls: Vec<_> = (0..6).map(|_| world.call(client, "/write/a", &[], b"")).collect();
    world.run();
    assert_eq!(world.switch.director.in_flight, [2, 2]);
    // One goes as soon as there is room, the other is told that there was none.
    let pipe = world.connections(0)[0];
    world.peer(pipe).plan(1, answer(b""));
    world.run();
    assert_eq!(world.switch.director.in_flight, [2, 2]);
    world.pass(limits.ready_timeout + MS * 20);
    world.run();
    let exhausted = calls.iter().filter(|id| world.status(client, **id) == Some("8")).count();
    assert_eq!((exhausted, world.switch.director.unavailable), (1, 0));
    assert_eq!(world.metrics.refused_calls.get(Refusal::NoFreeStream), 1);
    world.answer_all(b"");
    world.run();
    world.assert_idle();
}

#[test]
fn full_servers_are_passed_over_and_are_no_attempts() {
    let limits = Limits { max_calls_per_server: Some(1), max_attempts: 2, ..limits() };
    let mut world = World::new(limits, 6);
    let client = world.client(Asked::default());
    world.run();
    let calls: Vec<_> = (0..5)
        .map(|_| {
            // As `pick_first` has it.
            world.switch.director.next = 0;
            let id = world.call(client, "/write/a", &[], b"");
            world.run();
            id
        })
        .collect();
    assert_eq!(world.switch.director.in_flight, [1, 1, 1, 1, 1, 0]);
    // The fifth passed over four that are full, and may still be refused once.
    let pipe = world.connections(4)[0];
    world.switch.director.next = 0;
    world.peer(pipe).say_reset(1, Code::REFUSED_STREAM);
    world.run();
    assert_eq!(world.switch.director.in_flight, [1, 1, 1, 1, 0, 1]);
    world.answer_all(b"");
    world.run();
    assert!(calls.iter().all(|id| world.status(client, *id) == Some("0")));
    world.assert_idle();
}

#[test]
fn a_call_that_comes_back_may_wait_as_long_as_any_other() {
    let (mut world, client, id) = called(limits(), 1, "/write/a");
    // It waited for its connection, and was sent.
    world.pass(limits().ready_timeout + MS * 100);
    world.run();
    world.switch.director.is_ready[0] = false;
    let pipe = world.connections(0)[0];
    world.peer(pipe).say_goaway(0);
    world.run();
    world.pass(limits().ready_timeout - MS * 100);
    world.run();
    assert_eq!(world.status(client, id), None);
    world.switch.director.is_ready[0] = true;
    world.pass(MS * 60);
    world.run();
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    world.assert_idle();
}

#[test]
fn a_call_that_is_given_back_for_ever_is_told_so() {
    let (mut world, client, id) = called(limits(), 1, "/write/a");
    for _ in 0..limits().max_attempts {
        assert_eq!(world.peer(client).streams[&id].reset, None);
        // It has to wait each time.
        world.switch.director.is_ready[0] = false;
        for pipe in world.connections(0) {
            world.peer(pipe).say_goaway(0);
        }
        world.run();
        world.switch.director.is_ready[0] = true;
        world.pass(MS * 60);
        world.run();
    }
    assert_eq!(world.peer(client).streams[&id].reset, Some(Code::REFUSED_STREAM));
    world.assert_idle();
}
