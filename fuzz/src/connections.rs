//! A client and a server back to back, doing what honest owners do, with every decision, cut and delay
//! out of the input.
//!
//! Between honest peers no rule is ever broken, what is sent arrives unchanged and in order, nobody
//! waits for ever, and what goes over the wire stays within the windows: an observer that shares no
//! code with the core reads along.

mod call;
mod observer;
mod world;

use strife_wire::{Config, frame::MAX_31_BIT};

use crate::input::Input;
use world::{CLIENT, SERVER, World};

/// What can be decided before the connection ends for good.
const MAX_STEPS: usize = 600;

/// A conversation, and its end.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let configs = [config(&mut input), config(&mut input)];
    let mut world = World::new(configs);
    for _ in 0..MAX_STEPS {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
    }
    world.settle();
    world.check_all_is_done();
}

fn config(input: &mut Input<'_>) -> Config {
    Config {
        max_streams: input.pick(&[100, 1, 2]),
        stream_window: input.pick(&[65_536, 1, 100, 16_384, 65_535, 1 << 20]),
        connection_window: input.pick(&[1 << 20, 1000, 65_535, 100_000]),
        max_header_list: input.pick(&[65_536, 1000]),
        first_stream: input.pick(&[1, 1, MAX_31_BIT - 4]),
        ..Config::default()
    }
}

fn step(world: &mut World, input: &mut Input<'_>) {
    let choice = input.byte();
    let side = if choice & 0x80 == 0 { CLIENT } else { SERVER };
    match choice & 0x0f {
        0 | 1 => world.open(input),
        2 | 3 => world.answer(input),
        4 => world.inform(input),
        5 | 6 => world.offer_some(side, input),
        7 => world.reset(side, input),
        8 => world.release_some(side, input),
        9 | 10 => world.write(side, input.number()),
        11 | 12 => world.hear(side, input.number()),
        13 => {
            world.write(side, usize::MAX);
            world.hear(1 - side, usize::MAX);
        }
        14 => world.wait(10 * u64::from(input.byte())),
        _ => match input.byte() % 16 {
            0 => world.go_away(side),
            1..6 => world.squeeze(side, input),
            6 | 7 => world.open_many(input),
            8 => world.reset_all(side),
            _ => world.offer_all(side),
        },
    }
}
