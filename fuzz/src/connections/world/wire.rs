//! Bytes between the two sides: written, on their way, heard; and what goes by with time.

use std::time::Duration;

use strife_wire::{
    Config,
    frame::{kind, setting},
};

use super::{Wake, World};
use crate::input::Input;

/// Below the shortest timeout, which only silence would reach.
const MAX_WAIT: Duration = Duration::from_millis(4500);

impl World {
    /// A side's socket takes this much of its output.
    pub(in crate::connections) fn write(&mut self, side: usize, bytes: usize) {
        let output = self.sides[side].core.output();
        let bytes = bytes.min(output.len());
        if bytes == 0 {
            return;
        }
        let written = output[..bytes].to_vec();
        self.sides[1 - side].coming.extend(written);
        self.sides[side].observed -= bytes;
        if self.sides[side].core.written(self.now, bytes) {
            self.wake(side, &[Wake::All]);
        }
    }

    /// So many bytes arrive.
    pub(in crate::connections) fn hear(&mut self, side: usize, bytes: usize) {
        let now = self.now;
        let here = &mut self.sides[side];
        let arrived: Vec<_> = here.coming.drain(..bytes.min(here.coming.len())).collect();
        here.observer.heard(&arrived);
        here.waiting.extend(arrived);
        let waiting = std::mem::take(&mut here.waiting);
        let mut input = &waiting[..];
        let mut wakes = Vec::new();
        while let Some(event) =
            self.sides[side].core.receive(now, &mut input).expect("honest peers break no rule")
        {
            wakes.extend(self.told(side, event));
        }
        self.sides[side].waiting = input.to_vec();
        self.observe();
        self.wake(side, &wakes);
    }

    fn wake(&mut self, side: usize, wakes: &[Wake]) {
        for wake in wakes {
            let ids = match wake {
                Wake::Stream(id) => vec![*id],
                Wake::All => self.ids(),
            };
            for id in ids {
                let flow = self.calls.get(&id).and_then(|call| call.flows[side].as_ref());
                if flow.is_some_and(|flow| flow.blocked > 0) {
                    self.push(side, id);
                }
            }
        }
    }

    pub(in crate::connections) fn wait(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
        self.now = self.now.min(self.began + MAX_WAIT);
        for side in &mut self.sides {
            assert_eq!(side.core.check(self.now), Ok(()));
        }
        self.observe();
    }

    /// A side allows less than its configuration for a while: SETTINGS that its core knows nothing of,
    /// between two frames.
    pub(in crate::connections) fn squeeze(&mut self, side: usize, input: &mut Input<'_>) {
        let Config { max_streams, stream_window, .. } = self.sides[side].config;
        let window = input.pick(&[0, 1, 100]).min(stream_window);
        let streams = input.pick(&[0, 1, 100]).min(max_streams);
        self.inject(side, window, streams);
    }

    fn inject(&mut self, side: usize, window: u32, streams: u32) -> bool {
        if self.sides[side].core.output_len() > 0 {
            return false;
        }
        let mut frame = vec![0, 0, 18, kind::SETTINGS, 0, 0, 0, 0, 0];
        let settings = [
            (setting::INITIAL_WINDOW_SIZE, window),
            (setting::MAX_CONCURRENT_STREAMS, streams),
            (setting::HEADER_TABLE_SIZE, window % 2),
        ];
        for (id, value) in settings {
            frame.extend(id.to_be_bytes());
            frame.extend(value.to_be_bytes());
        }
        self.sides[side].observer.sent(&frame);
        self.sides[side].squeezed = true;
        self.sides[1 - side].coming.extend(frame);
        true
    }

    /// What was squeezed is let go.
    pub(super) fn relax(&mut self, side: usize) {
        let Config { max_streams, stream_window, .. } = self.sides[side].config;
        if self.sides[side].squeezed && self.inject(side, stream_window, max_streams) {
            self.sides[side].squeezed = false;
        }
    }

    pub(in crate::connections) fn go_away(&mut self, side: usize) {
        self.sides[side].core.go_away(self.now);
        self.sides[side].went_away = true;
        self.observe();
    }
}
