//! What time does: deadlines, patience, age, silence, the drain.

use proptest::prelude::*;
use strife_wire::{Code, frame::MAX_31_BIT};

use super::{
    peer::{Asked, Piece},
    world::{MS, SECOND, World, answer, fields, limits, request},
};
use crate::{
    access_log::Ended,
    config::Limits,
    metrics::{CloseReason, Refusal, Retry},
};

/// A timer fires at most so much late: two ticks of the wheel.
const LATE_MS: u32 = 16;

proptest! {
    #![proptest_config(super::storm::cases(32))]

    /// Never early, hardly late, and the endpoint hears of it.
    #[test]
    fn deadlines_are_kept(
        deadlines_ms in prop::collection::vec(1_u64..12_000, 1..6),
        steps_ms in prop::collection::vec(1_u64..700, 1..60),
    ) {
        let (mut world, client, endpoint) = World::acquainted(limits());
        let begun = world.now;
        let mut calls = Vec::new();
        for deadline_ms in &deadlines_ms {
            let timeout = format!("{deadline_ms}m");
            calls.push(world.call(client, "/slow", &[("grpc-timeout", &timeout)], b""));
        }
        world.run();
        for step_ms in steps_ms {
            world.pass(MS * step_ms as u32);
            world.run();
            for (id, deadline_ms) in calls.iter().zip(&deadlines_ms) {
                let due = begun + MS * *deadline_ms as u32;
                let status = world.status(client, *id);
                prop_assert!(status.is_none() || due <= world.now, "early");
                prop_assert!(status == Some("4") || world.now < due + MS * LATE_MS, "late");
            }
        }
        world.pass(SECOND * 13);
        world.run();
        prop_assert!(calls.iter().all(|id| world.status(client, *id) == Some("4")));
        let at_endpoint = world.peer(endpoint).streams.values().skip(1);
        prop_assert!(at_endpoint.clone().all(|stream| stream.reset == Some(Code::CANCEL)));
        world.assert_idle();
    }
}

#[test]
fn a_deadline_in_the_middle_of_an_answer_ends_it_with_trailers() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    let id = world.call(client, "/half", &[("grpc-timeout", "100m")], b"");
    world.run();
    let head = fields(&[(":status", "200"), ("content-type", "application/grpc")]);
    let half = [Piece::Block(head, false), Piece::Data(b"half".to_vec(), false)];
    world.peer(endpoint).plan(3, half);
    world.run();
    world.pass(MS * 120);
    world.run();
    assert_eq!(world.peer(client).streams[&id].body, b"half");
    assert_eq!(world.status(client, id), Some("4"));
    assert_eq!(world.switch.director.ends[1].ended, Ended::DeadlineExceeded);
    world.assert_idle();
}

#[test]
fn a_call_waits_for_an_endpoint_and_then_gives_up() {
    let mut world = World::new(limits(), 1);
    world.switch.director.is_ready[0] = false;
    let client = world.client(Asked::default());
    world.run();
    let (served, given_up) = (world.call(client, "/a", &[], b""), limits().ready_timeout);
    world.run();
    world.pass(given_up - MS * 60);
    assert_eq!(world.status(client, served), None);
    // It looks again by itself.
    world.switch.director.is_ready[0] = true;
    world.pass(MS * 55);
    world.run();
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, served), Some("0"));

    world.switch.director.is_ready[0] = false;
    let late = world.call(client, "/b", &[], b"");
    world.run();
    world.pass(given_up - MS);
    world.run();
    assert_eq!(world.status(client, late), None);
    world.pass(MS * (LATE_MS + 1));
    world.run();
    assert_eq!(world.status(client, late), Some("14"));
    assert_eq!(world.switch.director.unavailable, 1);
    world.assert_idle();
}

#[test]
fn a_parked_call_goes_as_soon_as_endpoints_change() {
    let mut world = World::new(limits(), 1);
    world.switch.director.is_ready[0] = false;
    let client = world.client(Asked::default());
    world.run();
    let id = world.call(client, "/a", &[], b"");
    world.run();
    world.switch.director.is_ready[0] = true;
    world.switch.endpoints_changed(world.now);
    world.run();
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
}

#[test]
fn dials_that_fail_are_spread_out_and_the_call_gives_up() {
    let mut world = World::new(limits(), 1);
    world.dials_fail.extend([true; 1000]);
    let client = world.client(Asked::default());
    world.run();
    let id = world.call(client, "/a", &[], b"");
    let mut waited_ms = 0;
    while world.status(client, id).is_none() {
        world.run();
        world.pass(MS * 10);
        waited_ms += 10;
        assert!(waited_ms < 30_000, "it waits for ever");
    }
    assert_eq!(world.status(client, id), Some("14"));
    assert!(world.dials(0) < 15, "{} dials in {waited_ms} ms", world.dials(0));
    world.assert_idle();
}

#[test]
fn only_who_became_ready_is_dialled_before_its_time() {
    let mut world = World::new(limits(), 2);
    world.dials_fail.extend([true; 1000]);
    let client = world.client(Asked::default());
    world.run();
    world.call(client, "/a", &[], b"");
    world.run();
    let dials = |world: &World| [world.dials(0), world.dials(1)];
    assert_eq!(dials(&world), [1, 1]);
    world.switch.director.times_ready[0] += 1;
    for _ in 0..3 {
        world.switch.endpoints_changed(world.now);
        world.run();
    }
    assert_eq!(dials(&world), [2, 1]);
}

#[test]
fn clients_are_asked_to_go_in_two_steps_when_draining() {
    let (mut world, client, _) = World::acquainted(limits());
    let under_way = world.call(client, "/a", &[], b"");
    world.run();
    world.peer(client).answers_probes = false;
    world.switch.drain(world.now);
    // On its way when the drain began.
    let crossing = world.call(client, "/b", &[], b"");
    world.run();
    let last = |world: &mut World| world.peer(client).goaways.iter().map(|one| one.0).next_back();
    assert_eq!(last(&mut world), Some(MAX_31_BIT));
    world.pass(SECOND * 3);
    world.run();
    assert_eq!(last(&mut world), Some(crossing));
    assert!(world.pipes[client].is_open);
    world.answer_all(b"");
    world.run();
    for id in [under_way, crossing] {
        assert_eq!(world.status(client, id), Some("0"));
    }
    assert!(!world.pipes[client].is_open);
    assert_eq!(world.metrics.downstream.connections_closed.get(CloseReason::Drained), 1);
    // Whoever comes now is asked at once.
    let latecomer = world.client(Asked::default());
    world.run();
    assert!(!world.pipes[latecomer].is_open);
    world.assert_idle();
}

#[test]
fn an_old_connection_is_asked_to_go() {
    let age = SECOND * 100;
    let limits = Limits { max_connection_age: Some(age), ..limits() };
    let (mut world, client, endpoint) = World::acquainted(limits);
    let id = world.call(client, "/long", &[], b"");
    for second in 0..111 {
        world.pass(SECOND);
        world.run();
        assert!(second >= 89 || world.peer(client).goaways.is_empty(), "after {second} s");
    }
    assert!(world.pipes[client].is_open && !world.peer(client).goaways.is_empty());
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    assert!(!world.pipes[client].is_open && world.pipes[endpoint].is_open);
    assert_eq!(world.metrics.downstream.connections_closed.get(CloseReason::Age), 1);
}

#[test]
fn who_is_silent_is_pinged_and_then_left() {
    let (mut world, client, endpoint) = World::acquainted(limits());
    world.peer(endpoint).answers_probes = false;
    let id = world.call(client, "/a", &[], b"");
    for _ in 0..60 {
        world.pass(SECOND);
        world.run();
    }
    assert_eq!(world.status(client, id), Some("14"));
    assert!(world.pipes[client].is_open && !world.pipes[endpoint].is_open);
    let closed = &world.metrics.upstream.connections_closed;
    assert_eq!(closed.get(CloseReason::KeepaliveTimeout), 1);
    world.assert_idle();
}

#[test]
fn half_a_frame_is_not_waited_for_for_ever() {
    let (mut world, client, _) = World::acquainted(limits());
    world.peer(client).open([Piece::Block(request("/half", &[]), true)]);
    world.deliver(client, 20);
    world.pass(limits().handshake_timeout + SECOND);
    world.write(client, usize::MAX);
    world.settle();
    assert!(!world.pipes[client].is_open);
    let closed = &world.metrics.downstream.connections_closed;
    assert_eq!(closed.get(CloseReason::FrameTimeout), 1);
}

/// A rolling restart: the endpoint says which calls it takes, serves them, and closes; the client
/// reads slowly.
#[test]
fn an_answer_is_read_to_its_end_though_its_endpoint_is_gone() {
    for is_replaced in [false, true] {
        check_that_an_answer_is_read(is_replaced);
    }
}

fn check_that_an_answer_is_read(is_replaced: bool) {
    let (mut world, client, endpoint) = World::acquainted(limits());
    world.pipes[client].gives_windows = false;
    world.peer(client).ask(Asked { window: Some(10), max_streams: None });
    world.run();
    let id = world.call(client, "/slow", &[], b"");
    world.run();
    world.peer(endpoint).plan(3, answer(&[7; 10_000]));
    world.peer(endpoint).say_goaway(3);
    world.run();
    world.hang_up(endpoint);
    assert_eq!(world.status(client, id), None);
    if is_replaced {
        // Another connection gets the number of the one that is gone, and has such a stream.
        let other = world.client(Asked::default());
        assert_eq!(world.pipes[other].link, world.pipes[endpoint].link);
        world.run();
        let others = [world.call(other, "/a", &[], b""), world.call(other, "/b", &[], b"")];
        world.run();
        world.pipes[client].gives_windows = true;
        world.run();
        world.answer_all(b"");
        world.run();
        assert_eq!(others.map(|id| world.status(other, id)), [Some("0"); 2]);
    }
    world.pipes[client].gives_windows = true;
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    assert_eq!(world.peer(client).streams[&id].body, [7; 10_000]);
    world.assert_idle();
}

#[test]
fn a_call_that_was_refused_goes_elsewhere_at_most_so_often() {
    let mut world = World::new(limits(), 4);
    let client = world.client(Asked::default());
    world.run();
    let id = world.call(client, "/refused", &[], b"body");
    for _ in 0..limits().max_attempts {
        world.run();
        for pipe in world.pipes.iter_mut().filter(|pipe| pipe.endpoint.is_some()) {
            for id in pipe.peer.streams.keys().copied().collect::<Vec<_>>() {
                pipe.peer.say_reset(id, Code::REFUSED_STREAM);
            }
        }
    }
    world.run();
    assert_eq!(world.peer(client).streams[&id].reset, Some(Code::REFUSED_STREAM));
    let director = &world.switch.director;
    assert_eq!(director.moved, [(0, Retry::Refused), (1, Retry::Refused)]);
    assert_eq!((director.ends[0].attempts, director.ends[0].endpoint), (3, Some(2)));
    world.assert_idle();
}

#[test]
fn a_call_that_may_have_run_goes_nowhere_else() {
    let mut world = World::new(limits(), 2);
    let client = world.client(Asked::default());
    world.run();
    let id = world.call(client, "/run", &[], b"body");
    world.run();
    let endpoint = world.connections(0)[0];
    world.hang_up(endpoint);
    world.run();
    assert_eq!(world.status(client, id), Some("14"));
    assert_eq!(world.dials(1), 0);
    assert_eq!(world.metrics.refused_calls.get(Refusal::AttemptsExhausted), 0);
    world.assert_idle();
}

/// Nothing of it was written: another connection takes it.
#[test]
fn a_call_of_which_nothing_was_sent_goes_elsewhere() {
    let mut world = World::new(limits(), 2);
    let client = world.client(Asked::default());
    world.run();
    let warm_up = world.call(client, "/a", &[], b"");
    world.run();
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, warm_up), Some("0"));
    world.switch.director.next = 0;
    let endpoint = world.connections(0)[0];
    world.pipes[endpoint].reads = false;
    let id = world.call(client, "/b", &[], b"body");
    world.run();
    world.hang_up(endpoint);
    world.run();
    assert_eq!(world.switch.director.moved, [(0, Retry::Unsent)]);
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    world.assert_idle();
}

/// It stood in the queue of a connection that is gone; it has to stand in that of the next.
#[test]
fn a_call_that_moves_on_waits_for_room_where_it_is() {
    let mut world = World::new(limits(), 2);
    world.endpoints_ask = Asked { window: Some(1 << 20), max_streams: None };
    let client = world.client(Asked::default());
    world.run();
    // Each takes all that a connection may send before it hears from its peer.
    let body = vec![1; 60_000];
    let calls = [world.call(client, "/a", &[], &body), world.call(client, "/b", &[], &body)];
    world.round();
    world.round();
    for endpoint in [0, 1] {
        let pipe = world.connections(endpoint)[0];
        world.pipes[pipe].gives_windows = false;
    }
    world.run();
    let moved = [world.call(client, "/c", &[], &body), world.call(client, "/d", &[], &body)];
    world.run();
    let (gone, stays) = (world.connections(0)[0], world.connections(1)[0]);
    world.peer(gone).say_reset(3, Code::REFUSED_STREAM);
    world.run();
    world.hang_up(gone);
    world.run();
    world.pipes[stays].gives_windows = true;
    world.run();
    let bodies = world.peer(stays).streams.values().map(|stream| stream.body.len());
    assert_eq!(bodies.collect::<Vec<_>>(), [body.len(); 3]);
    world.answer_all(b"");
    world.run();
    let statuses = [calls[0], calls[1], moved[0], moved[1]].map(|id| world.status(client, id));
    assert_eq!(statuses, [Some("14"), Some("0"), Some("0"), Some("0")]);
    world.assert_idle();
}
