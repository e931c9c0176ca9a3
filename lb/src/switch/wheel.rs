//! Timers of calls: a hashed timing wheel (Varghese and Lauck 1987, scheme 6).
//!
//! Most calls have a deadline and almost none reaches it, so setting and clearing a timer must cost
//! next to nothing: both are a link in a list, found by the number of the call. A timer further away
//! than one turn of the wheel is passed over until its turn comes.

use std::time::Duration;

/// How exact a timer is: it fires up to so much late.
const TICK: Duration = Duration::from_millis(8);
/// Slots: one turn is about 8 s, so a usual deadline is passed over once or twice.
const SLOTS: usize = 1024;
const NONE: u32 = u32::MAX;

/// Timers by number, at most one each.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Box<[u32; SLOTS]>,
    nodes: Vec<Node>,
    set: usize,
    /// The last tick that was looked at.
    tick: u64,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// [`NOT_SET`] if there is no timer.
    due: u64,
}

const NOT_SET: u64 = u64::MAX;
const EMPTY: Node = Node { previous: NONE, next: NONE, due: NOT_SET };

impl Wheel {
    pub(super) fn new(now: Duration) -> Self {
        let heads = Box::new([NONE; SLOTS]);
        Self { heads, nodes: Vec::new(), set: 0, tick: ticks(now) }
    }

    /// Sets the timer of `number`, in place of the one it had.
    pub(super) fn set(&mut self, number: u32, at: Duration) {
        self.clear(number);
        if self.nodes.len() <= number as usize {
            self.nodes.resize(number as usize + 1, EMPTY);
        }
        let due = (ticks(at) + 1).max(self.tick + 1);
        let head = &mut self.heads[due as usize % SLOTS];
        let next = std::mem::replace(head, number);
        if next != NONE {
            self.nodes[next as usize].previous = number;
        }
        self.nodes[number as usize] = Node { previous: NONE, next, due };
        self.set += 1;
    }

    /// Takes the timer of `number` out, if it has one.
    pub(super) fn clear(&mut self, number: u32) {
        let Some(node) = self.nodes.get_mut(number as usize) else { return };
        if node.due == NOT_SET {
            return;
        }
        let Node { previous, next, due } = std::mem::replace(node, EMPTY);
        self.set -= 1;
        if previous == NONE {
            self.heads[due as usize % SLOTS] = next;
        } else {
            self.nodes[previous as usize].next = next;
        }
        if next != NONE {
            self.nodes[next as usize].previous = previous;
        }
    }

    /// Takes out every timer that is due and appends its number.
    pub(super) fn expire(&mut self, now: Duration, expired: &mut Vec<u32>) {
        let until = ticks(now);
        // After a long pause one turn sees every slot.
        let turns = until.saturating_sub(self.tick).min(SLOTS as u64);
        for tick in until + 1 - turns.min(until + 1)..=until {
            if turns == 0 || self.set == 0 {
                break;
            }
            let mut number = self.heads[tick as usize % SLOTS];
            while number != NONE {
                let Node { next, due, .. } = self.nodes[number as usize];
                if due <= until {
                    self.clear(number);
                    expired.push(number);
                }
                number = next;
            }
        }
        self.tick = self.tick.max(until);
    }

    /// How long until it is worth looking again; `None` without timers.
    pub(super) fn next_look(&self) -> Option<Duration> {
        (self.set > 0).then_some(TICK)
    }
}

fn ticks(time: Duration) -> u64 {
    (time.as_nanos() / TICK.as_nanos()) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list of due times.
        #[test]
        fn timers_fire_once_and_never_early(
            steps in prop::collection::vec((0_u32..8, 0_u64..20_000, 0_u64..9_000), 1..200),
        ) {
            let mut now = Duration::from_secs(5);
            let mut wheel = Wheel::new(now);
            let mut model = [None; 8];
            for (number, delay_ms, pause_ms) in steps {
                if delay_ms < 2_000 {
                    wheel.clear(number);
                    model[number as usize] = None;
                } else {
                    let at = now + Duration::from_millis(delay_ms);
                    wheel.set(number, at);
                    model[number as usize] = Some(at);
                }
                now += Duration::from_millis(pause_ms);
                let mut expired = Vec::new();
                wheel.expire(now, &mut expired);
                for number in 0..8 {
                    let fired = expired.iter().filter(|one| **one == number).count();
                    let Some(at) = model[number as usize] else {
                        prop_assert_eq!(fired, 0);
                        continue;
                    };
                    prop_assert!(fired == 0 || at <= now, "early");
                    prop_assert!(fired == 1 || at + 2 * TICK > now, "late");
                    if fired == 1 {
                        model[number as usize] = None;
                    }
                }
                prop_assert_eq!(wheel.next_look().is_some(), model.iter().any(Option::is_some));
            }
        }
    }
}
