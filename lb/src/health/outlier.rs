//! Which servers of a pool answer so much worse than the others that they get no calls for a while.
//!
//! Outlier detection as gRFC A50 has it (success rate and failure percentage over a window) and
//! Envoy (failures in a row), made to work in small pools too, with ejection as the open state of a
//! circuit breaker: a server whose time is over is on trial, and one failure sends it back.
//!
//! Pure: counts and time come in, verdicts go out. Whoever carries them out is in [`super::passive`].

mod compare;
mod server;

use std::{collections::HashMap, time::Duration};

use rand::{Rng, RngExt};

pub(super) use self::compare::Counts;
use self::{compare::Windows, server::Server};
use crate::{
    config::EjectionConfig,
    snapshot::{Ejection, EjectionCause},
};

/// Ejections are longer by up to this share, so that servers that were ejected together do not all
/// come back at once (Envoy's `max_ejection_time_jitter`).
const JITTER: f64 = 0.1;

/// What there is to see of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// [`crate::endpoint::Endpoint::id`].
    pub(super) id: u64,
    /// Calls answered and failed since it is known.
    pub(super) counts: Counts,
    /// Calls that failed since the last that did not.
    pub(super) failures_in_a_row: u32,
    /// It is connected, well when asked, and no operator keeps calls from it: it takes calls unless it
    /// is ejected.
    pub(super) is_candidate: bool,
    /// When it last became READY.
    pub(super) ready_since: Duration,
}

/// What is to become of a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// No calls until its time is over.
    Eject(Ejection),
    /// A trickle of calls, to see how it answers them: half-open.
    Try,
    /// As long as it is on trial its slow start does not move on.
    HoldBack,
    /// Calls as any other: closed.
    Trust,
}

/// Judges the servers of one pool.
#[derive(Debug)]
pub(super) struct Detector {
    config: EjectionConfig,
    servers: HashMap<u64, Server>,
    interval_ends_at: Duration,
    /// Looks so far: whom the last one did not see has left.
    looks: u64,
}

/// Servers that could be ejected, and how many may be.
struct Takers<'s> {
    seen: Vec<&'s Seen>,
    windows: Windows,
    /// How many of them answered their last call.
    unharmed: usize,
    may_be_ejected: usize,
}

impl Detector {
    pub(super) fn new(config: EjectionConfig, now: Duration) -> Self {
        let interval_ends_at = now + config.interval;
        Self { config, servers: HashMap::new(), interval_ends_at, looks: 0 }
    }

    /// Looks at all members of the pool: at the end of every interval, and whenever one of them
    /// failed often in a row.
    pub(super) fn judge(
        &mut self,
        now: Duration,
        seen: &[Seen],
        rng: &mut impl Rng,
    ) -> Vec<(u64, Verdict)> {
        let ends_interval = now >= self.interval_ends_at;
        let mut verdicts = self.advance(now, seen, ends_interval);
        let takers = self.takers(seen);
        let mut suspects = self.suspects(&takers, ends_interval);
        let spared = suspects.split_off(suspects.len().min(takers.may_be_ejected));
        for one in takers.seen.iter().filter(|one| spared.iter().any(|(id, _)| *id == one.id)) {
            let server = self.servers.get_mut(&one.id).expect("every member is known");
            server.spare(one);
        }
        for (id, cause) in suspects {
            let server = self.servers.get_mut(&id).expect("every member is known");
            let longer = 1.0 + rng.random_range(0.0..JITTER);
            verdicts.push((id, server.eject(now, cause, &self.config, longer)));
        }
        if ends_interval {
            self.interval_ends_at = now + self.config.interval;
            for one in seen {
                self.servers.get_mut(&one.id).expect("every member is known").remember(one.counts);
            }
        }
        verdicts
    }

    /// Time goes on for those that are there.
    fn advance(
        &mut self,
        now: Duration,
        seen: &[Seen],
        ends_interval: bool,
    ) -> Vec<(u64, Verdict)> {
        self.looks += 1;
        let mut verdicts = Vec::new();
        for one in seen {
            let server = self.servers.entry(one.id).or_insert_with(|| Server::new(one, now));
            server.seen_at = self.looks;
            if ends_interval {
                server.forgive(now, self.config.ejection_time);
            }
            let verdict = server.advance(now, one, ends_interval, self.config.trial_calls());
            verdicts.extend(verdict.map(|verdict| (one.id, verdict)));
        }
        if self.servers.len() > seen.len() {
            self.servers.retain(|_, server| server.seen_at == self.looks);
        }
        verdicts
    }

    /// One may always be ejected, never the last, and no more than the configured share.
    fn takers<'s>(&self, seen: &'s [Seen]) -> Takers<'s> {
        let candidates = seen.iter().filter(|one| one.is_candidate);
        let (open, takers): (Vec<&Seen>, Vec<&Seen>) =
            candidates.partition(|one| self.servers[&one.id].is_open());
        let percent = usize::from(self.config.max_ejection_percent);
        let most = (open.len() + takers.len()) * percent / 100;
        let most = if percent == 0 { 0 } else { most.max(1) };
        Takers {
            windows: takers.iter().map(|one| self.window(one)).collect(),
            unharmed: takers.iter().filter(|one| one.failures_in_a_row == 0).count(),
            may_be_ejected: most.saturating_sub(open.len()).min(takers.len().saturating_sub(1)),
            seen: takers,
        }
    }

    fn window(&self, one: &Seen) -> Counts {
        self.servers[&one.id].in_window(one.counts)
    }

    /// Who should be ejected, the worst first.
    fn suspects(&self, takers: &Takers<'_>, ends_interval: bool) -> Vec<(u64, EjectionCause)> {
        let mut suspects = Vec::new();
        for one in &takers.seen {
            let server = &self.servers[&one.id];
            let own = self.window(one);
            let cause = if !server.is_closed() {
                server.has_failed_its_trial(one).then_some(EjectionCause::Trial)
            } else if self.fails_in_a_row(one, own, takers) {
                Some(EjectionCause::ConsecutiveFailures)
            } else if ends_interval {
                takers.windows.outlier(&self.config, own)
            } else {
                None
            };
            suspects.extend(cause.map(|cause| (own.failure_ratio(), one.id, cause)));
        }
        suspects.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
        suspects.into_iter().map(|(_, id, cause)| (id, cause)).collect()
    }

    /// When nobody does better, whatever they all depend on is to blame, or the callers are.
    fn fails_in_a_row(&self, one: &Seen, own: Counts, takers: &Takers<'_>) -> bool {
        let limit = self.config.consecutive_failures;
        let is_long = limit > 0 && one.failures_in_a_row >= limit;
        is_long && takers.unharmed > 0 && takers.windows.is_no_chance(own, one.failures_in_a_row)
    }
}

#[cfg(test)]
mod tests;
