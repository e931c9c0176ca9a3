//! Peers that keep to no rules: the switch may send them away, but lives, and so do the others.

use proptest::prelude::*;
use strife_wire::{
    Code,
    frame::{FrameHeader, MAX_31_BIT},
};

use super::{
    peer::{Asked, Piece},
    storm::cases,
    world::{MS, SECOND, World, answer, fields, limits},
};

/// Something a hostile peer does.
#[derive(Debug, Clone)]
enum Deed {
    /// Any frame on any stream, its payload perhaps cut short.
    Frame {
        kind: u8,
        flags: u8,
        stream: u32,
        payload: Vec<u8>,
    },
    /// A byte of what it was about to say is another one.
    Flip {
        at: u16,
        with: u8,
    },
    Call,
    Answer,
    Reset(u8),
    Carry(u16),
    Wait(u16),
    Settle,
    HangUp,
}

/// Of each type: the size of its payload, if it has one, and whether it is the connection's.
const SIZES: [(Option<usize>, bool); 11] = [
    (None, false),
    (None, false),
    (Some(5), false),
    (Some(4), false),
    (Some(6), true),
    (None, false),
    (Some(8), true),
    (Some(8), true),
    (Some(4), false),
    (None, false),
    (None, false),
];

fn deeds() -> impl Strategy<Value = Vec<(u8, Deed)>> {
    let stream = prop_oneof![0_u32..12, Just(u32::MAX)];
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    let frame = (0_u8..11, any::<u8>(), stream, payload);
    let frame = frame.prop_map(|(kind, flags, stream, mut payload)| {
        // Mostly of the right size, so that it is not all that is wrong.
        if let (Some(size), 0..250) = (SIZES[kind as usize].0, flags) {
            payload.resize(size, 0);
        }
        Deed::Frame { kind, flags, stream, payload }
    });
    let deed = prop_oneof![
        2 => frame,
        1 => (any::<u16>(), any::<u8>()).prop_map(|(at, with)| Deed::Flip { at, with }),
        4 => Just(Deed::Call),
        4 => Just(Deed::Answer),
        1 => any::<u8>().prop_map(Deed::Reset),
        8 => any::<u16>().prop_map(Deed::Carry),
        1 => (0_u16..1000).prop_map(Deed::Wait),
        4 => Just(Deed::Settle),
        1 => Just(Deed::HangUp),
    ];
    prop::collection::vec((any::<u8>(), deed), 1..120)
}

fn do_it(world: &mut World, who: u8, deed: Deed) {
    let pipe = 1 + who as usize % (world.pipes.len() - 1);
    let is_client = world.pipes[pipe].endpoint.is_none();
    if !world.pipes[pipe].is_open {
        if is_client && matches!(deed, Deed::Call) {
            world.client(Asked::default());
        }
        return;
    }
    match deed {
        Deed::Frame { kind, flags, stream, payload } => {
            let stream = if SIZES[kind as usize].1 { 0 } else { stream & MAX_31_BIT };
            let header = FrameHeader { length: payload.len(), kind, flags, stream };
            header.write(&mut world.peer(pipe).out);
            world.peer(pipe).out.extend_from_slice(&payload);
        }
        Deed::Flip { at, with } => {
            let out = &mut world.peer(pipe).out;
            if let Some(place) = (at as usize).checked_rem(out.len()) {
                out[place] ^= with;
            }
        }
        Deed::Call if is_client => drop(world.call(pipe, "/hostile", &[], &[who; 300])),
        Deed::Call | Deed::Answer => world.answer_all(&[who; 300]),
        Deed::Reset(chance) => {
            let ids: Vec<_> = world.peer(pipe).streams.keys().copied().collect();
            if let Some(place) = (chance as usize).checked_rem(ids.len()) {
                world.peer(pipe).say_reset(ids[place], Code::REFUSED_STREAM);
            }
        }
        Deed::Carry(bytes) => {
            world.peer(pipe).say_all();
            world.deliver(pipe, bytes as usize);
            world.write(pipe, bytes as usize);
        }
        Deed::Wait(ms) => world.pass(MS * u32::from(ms)),
        Deed::Settle => {
            world.settle();
            world.dial();
        }
        Deed::HangUp => world.hang_up(pipe),
    }
}

proptest! {
    #![proptest_config(cases(200))]

    /// The first client is honest; its calls end, whatever the others and the endpoints do.
    #[test]
    fn nobody_is_hurt(deeds in deeds()) {
        let mut world = World::new(limits(), 2);
        world.hostile = true;
        let honest = world.client(Asked::default());
        for _ in 0..2 {
            world.client(Asked::default());
        }
        world.run();
        let mut calls = Vec::new();
        for (who, deed) in deeds {
            if who.is_multiple_of(16) && world.peer(honest).open_streams() < 50 {
                calls.push(world.call(honest, "/honest", &[("grpc-timeout", "5S")], b"ping"));
                world.deliver(honest, usize::MAX);
            }
            do_it(&mut world, who, deed);
        }
        for _ in 0..40 {
            world.round();
            world.pass(SECOND / 4);
        }
        prop_assert!(world.pipes[honest].is_open);
        prop_assert!(world.peer(honest).goaways.is_empty());
        for id in calls {
            let stream = &world.pipes[honest].peer.streams[&id];
            prop_assert!(stream.ended || stream.reset.is_some(), "call {id} has no end");
        }
        for pipe in 0..world.pipes.len() {
            world.hang_up(pipe);
        }
        world.settle();
        world.assert_idle();
    }
}

/// An endpoint that sends small messages on many streams has many on their way when all of them are
/// cancelled. That is no flood.
#[test]
fn what_was_on_its_way_when_a_client_left_is_no_flood() {
    const STREAMS: usize = 50;
    let (mut world, client, endpoint) = World::acquainted(limits());
    let leaving = world.client(Asked::default());
    world.run();
    let stays = world.call(client, "/stays", &[], b"");
    for _ in 0..STREAMS {
        world.call(leaving, "/stream", &[], b"");
    }
    world.run();
    let ids: Vec<_> = world.peer(endpoint).streams.keys().copied().skip(1).collect();
    for id in &ids {
        let mut pieces: Vec<_> = answer(b"").into();
        pieces.truncate(1);
        world.peer(endpoint).plan(*id, pieces);
    }
    world.run();
    for _ in 0..100 {
        for id in &ids {
            let message = Piece::Data(vec![1; 20], false);
            world.peer(endpoint).plan(*id, [message]);
        }
        world.peer(endpoint).say_all();
    }
    world.hang_up(leaving);
    world.run();
    assert!(world.pipes[endpoint].is_open, "{:?}", world.peer(endpoint).goaways);
    world.peer(endpoint).plan(ids[0], [Piece::Block(fields(&[("grpc-status", "0")]), true)]);
    world.run();
    assert_eq!(world.status(client, stays), Some("0"));
}
