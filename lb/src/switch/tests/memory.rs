//! What the switch holds for calls that do not move, and for how many.

use strife_wire::Code;

use super::{
    peer::{Asked, Piece},
    world::{SECOND, World, fields, limits, request},
};
use crate::{access_log::Ended, config::Limits, metrics::Refusal};

const WINDOW: u32 = 16 * 1024;
const LARGE: usize = 1 << 20;

fn narrow() -> Limits {
    Limits { stream_window_bytes: WINDOW, ..limits() }
}

fn refused(world: &World, why: Refusal) -> usize {
    let ends = &world.switch.director.ends;
    ends.iter().filter(|end| end.ended == Ended::Refused(why)).count()
}

/// One that goes through while others stand still.
fn assert_that_others_go_on(world: &mut World, client: usize) {
    let id = world.call(client, "/other", &[], b"ping");
    world.run();
    for pipe in world.pipes.iter_mut().filter(|pipe| pipe.endpoint.is_some()) {
        for stream in pipe.peer.streams.values_mut().filter(|stream| !stream.is_closed()) {
            if stream.blocks[0].contains(&(":path".to_owned(), "/other".to_owned())) {
                stream.plan.extend(super::world::answer(b"pong"));
            }
        }
    }
    world.run();
    assert_eq!(world.status(client, id), Some("0"));
    assert_eq!(world.peer(client).streams[&id].body, b"pong");
}

#[test]
fn a_client_that_reads_no_answer_costs_a_window_a_call() {
    let (mut world, client, _) = World::acquainted(narrow());
    let lazy = world.client(Asked { window: Some(100), max_streams: None });
    world.run();
    world.pipes[lazy].gives_windows = false;
    let calls: Vec<_> = (0..50).map(|_| world.call(lazy, "/large", &[], b"")).collect();
    world.run();
    world.answer_all(&vec![1; LARGE]);
    world.run();
    let held = world.held_bytes();
    assert!(held <= u64::from(WINDOW) * 50, "{held}");
    assert!(held >= u64::from(WINDOW) * 49 - 50 * 100, "{held}");
    assert_that_others_go_on(&mut world, client);
    for id in calls {
        world.peer(lazy).say_reset(id, Code::CANCEL);
    }
    world.run();
    world.assert_idle();
}

#[test]
fn a_client_whose_socket_takes_nothing_costs_no_more() {
    let (mut world, client, _) = World::acquainted(narrow());
    let deaf = world.client(Asked::default());
    world.run();
    for _ in 0..50 {
        world.call(deaf, "/large", &[], b"");
    }
    world.run();
    world.pipes[deaf].reads = false;
    world.answer_all(&vec![1; LARGE]);
    world.run();
    let held = world.held_bytes() + world.switch.output(world.pipes[deaf].link).len() as u64;
    assert!(held <= u64::from(WINDOW) * 50 + 512 * 1024, "{held}");
    assert_that_others_go_on(&mut world, client);
    // It is cut off in the end.
    world.pass(limits().stall_timeout + SECOND * 2);
    world.settle();
    assert!(!world.pipes[deaf].is_open);
    world.run();
    world.assert_idle();
}

#[test]
fn an_endpoint_that_reads_no_request_costs_a_window_a_call() {
    let (mut world, client, endpoint) = World::acquainted(narrow());
    world.peer(endpoint).ask(Asked { window: Some(0), max_streams: None });
    world.run();
    let calls: Vec<_> =
        (0..20).map(|_| world.call(client, "/large", &[], &vec![1; LARGE])).collect();
    world.run();
    let held = world.held_bytes();
    // What was sent before the client knew of the narrow window counts too.
    assert!(held <= u64::from(WINDOW) * 20, "{held}");
    world.peer(endpoint).ask(Asked { window: Some(WINDOW), max_streams: None });
    world.run();
    assert_that_others_go_on(&mut world, client);
    world.answer_all(b"");
    world.run();
    assert!(calls.iter().all(|id| world.status(client, *id) == Some("0")));
    world.assert_idle();
}

/// The bytes of a request are kept to be sent again, but a client gets its window back once.
#[test]
fn a_request_that_is_sent_twice_opens_its_window_once() {
    let mut world = World::new(narrow(), 2);
    world.switch.director.is_ready[1] = false;
    let client = world.client(Asked::default());
    world.run();
    let head = Piece::Block(request("/twice", &[]), false);
    let id = world.peer(client).open([head, Piece::Data(vec![1; WINDOW as usize], false)]);
    world.run();
    let window = world.peer(client).streams[&id].send_window;
    world.switch.director.is_ready = vec![false, true];
    let first = world.connections(0)[0];
    world.peer(first).say_reset(1, Code::REFUSED_STREAM);
    world.run();
    let second = world.connections(1)[0];
    assert_eq!(world.peer(second).streams[&1].body.len(), WINDOW as usize);
    assert_eq!(world.peer(client).streams[&id].send_window, window);
}

#[test]
fn who_holds_most_is_ended_when_there_is_no_room_left() {
    let max_buffer_bytes = 10 * WINDOW as usize;
    let (mut world, client, endpoint) = World::acquainted(Limits { max_buffer_bytes, ..narrow() });
    world.peer(endpoint).ask(Asked { window: Some(0), max_streams: None });
    world.run();
    let small = world.call(client, "/small", &[], &[1; 10]);
    let large: Vec<_> =
        (0..20).map(|_| world.call(client, "/large", &[], &vec![1; LARGE])).collect();
    world.run();
    assert!(world.held_bytes() <= max_buffer_bytes as u64, "{}", world.held_bytes());
    let ended = large.iter().filter(|id| world.status(client, **id) == Some("8")).count();
    assert_eq!(refused(&world, Refusal::BufferFull), ended);
    assert!(ended >= 10, "{ended}");
    assert_eq!(world.status(client, small), None);
    world.peer(endpoint).ask(Asked { window: Some(1 << 20), max_streams: None });
    world.run();
    world.answer_all(b"");
    world.run();
    assert_eq!(world.status(client, small), Some("0"));
    world.assert_idle();
}

/// Also when the endpoint had begun to answer: what counts is that bytes are held and do not move.
#[test]
fn bytes_that_do_not_move_are_not_held_for_ever() {
    for has_begun in [false, true] {
        let (mut world, client, endpoint) = World::acquainted(narrow());
        world.peer(endpoint).ask(Asked { window: Some(0), max_streams: None });
        world.run();
        let id = world.call(client, "/stuck", &[], b"some");
        world.run();
        if has_begun {
            let head = [(":status", "200"), ("content-type", "application/grpc")];
            let at_endpoint = *world.peer(endpoint).streams.keys().last().unwrap();
            world.peer(endpoint).plan(at_endpoint, [Piece::Block(fields(&head), false)]);
            world.run();
        }
        for _ in 0..limits().stall_timeout.as_secs() - 1 {
            world.pass(SECOND);
            world.run();
        }
        assert_eq!(world.status(client, id), None, "begun: {has_begun}");
        world.pass(SECOND * 2);
        world.run();
        assert_eq!(world.status(client, id), Some("8"), "begun: {has_begun}");
        assert_eq!(refused(&world, Refusal::Stalled), 1);
        world.assert_idle();
    }
}

/// Calls that were given up leave nothing in the queues they stood in.
#[test]
fn cancelled_calls_leave_no_entries_behind() {
    let (mut world, client, endpoint) = World::acquainted(narrow());
    world.pipes[client].gives_windows = false;
    world.peer(endpoint).ask(Asked { window: Some(0), max_streams: None });
    world.run();
    for _ in 0..400 {
        let id = world.call(client, "/gone", &[], b"some");
        world.run();
        world.answer_all(&[1; 1000]);
        world.run();
        world.peer(client).say_reset(id, Code::CANCEL);
        world.run();
    }
    assert!(world.switch.links.iter().all(|(_, link)| link.blocked.len() < 100));
    assert!(world.switch.slots.iter().all(|slot| slot.waiting.len() < 100));
    world.assert_idle();
}
