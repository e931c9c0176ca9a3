//! What the detector remembers of one server: a circuit breaker, and the counts of the window.

use std::{collections::VecDeque, time::Duration};

use super::{Seen, Verdict, compare::Counts};
use crate::{
    config::EjectionConfig,
    snapshot::{Ejection, EjectionCause},
};

/// Intervals that are looked back on: ten of one second are A50's interval of ten seconds, looked at
/// every second.
const WINDOW_INTERVALS: usize = 10;

/// The breaker's state.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Closed,
    /// Ejected.
    Open {
        until: Duration,
    },
    /// On trial: what it had counted when that began.
    HalfOpen {
        before: Counts,
    },
}

#[derive(Debug)]
pub(super) struct Server {
    /// The number of the look that saw it last.
    pub(super) seen_at: u64,
    state: State,
    /// Ejections that are not forgiven yet: the next is that many times longer, and once more.
    times: u32,
    /// Since when it has been closed, or was last forgiven.
    well_since: Duration,
    ready_since: Duration,
    /// Its counts at the ends of the last intervals, the oldest first: never empty.
    history: VecDeque<Counts>,
}

impl Server {
    pub(super) fn new(seen: &Seen, now: Duration) -> Self {
        Self {
            seen_at: 0,
            state: State::Closed,
            times: 0,
            well_since: now,
            ready_since: seen.ready_since,
            // Counters begin with the server.
            history: VecDeque::from([Counts::default()]),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn has_failed_its_trial(&self, seen: &Seen) -> bool {
        matches!(self.state, State::HalfOpen { before } if seen.counts.failed > before.failed)
    }

    /// It should be ejected and cannot be. One on trial has its trial begin anew: what it failed is not
    /// held against it for ever, and it is trusted after as many successes as before.
    pub(super) fn spare(&mut self, seen: &Seen) {
        if let State::HalfOpen { before } = &mut self.state {
            *before = seen.counts;
        }
    }

    /// What time and its calls make of it, ejection aside.
    pub(super) fn advance(
        &mut self,
        now: Duration,
        seen: &Seen,
        ends_interval: bool,
        trial_calls: u64,
    ) -> Option<Verdict> {
        // It was away, and may be another process: what the old one did is no judgement on it.
        let is_back =
            std::mem::replace(&mut self.ready_since, seen.ready_since) != seen.ready_since;
        if is_back {
            self.history = VecDeque::from([seen.counts]);
        }
        match self.state {
            State::Open { until } if until <= now || is_back => self.begin_trial(seen),
            State::HalfOpen { .. } if is_back => self.begin_trial(seen),
            State::HalfOpen { before } if seen.counts.failed == before.failed => {
                if seen.counts.succeeded >= before.succeeded + trial_calls {
                    (self.state, self.well_since) = (State::Closed, now);
                    return Some(Verdict::Trust);
                }
                ends_interval.then_some(Verdict::HoldBack)
            }
            _ => None,
        }
    }

    fn begin_trial(&mut self, seen: &Seen) -> Option<Verdict> {
        self.state = State::HalfOpen { before: seen.counts };
        self.history = VecDeque::from([seen.counts]);
        Some(Verdict::Try)
    }

    /// An ejection is forgiven for every time without one that is as long as the first.
    pub(super) fn forgive(&mut self, now: Duration, ejection_time: Duration) {
        if self.is_closed() && now.saturating_sub(self.well_since) >= ejection_time {
            self.times = self.times.saturating_sub(1);
            self.well_since = now;
        }
    }

    /// `longer`: a factor from 1.
    pub(super) fn eject(
        &mut self,
        now: Duration,
        cause: EjectionCause,
        config: &EjectionConfig,
        longer: f64,
    ) -> Verdict {
        self.times = self.times.saturating_add(1);
        let time = config.ejection_time.saturating_mul(self.times).min(config.max_ejection_time);
        let until = now + time.mul_f64(longer);
        self.state = State::Open { until };
        Verdict::Eject(Ejection { cause, until, times: self.times })
    }

    /// An interval ended with these counts.
    pub(super) fn remember(&mut self, counts: Counts) {
        if self.history.len() == WINDOW_INTERVALS {
            self.history.pop_front();
        }
        self.history.push_back(counts);
    }

    /// What was counted in the window that ends with these counts.
    pub(super) fn in_window(&self, counts: Counts) -> Counts {
        let before = self.history.front().expect("there is always one");
        counts - *before
    }
}
