//! Who is asked, and what becomes of the answers.
//!
//! The paper's rates are for each pick; a balancer that picks a hundred thousand times a second asks
//! in rounds of at most [`MOST_PROBES_AT_ONCE`], and then what is asked, removed and reused keeps its
//! proportion: fewer probes, each used more often. An idle balancer keeps its pool fresh.

use std::{
    collections::VecDeque,
    sync::{MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    BestProbed, FEWEST_PROBES, Parameters,
    pool::{MOST_USES, Probe, milliseconds},
};
use crate::{PickContext, Prober, draw::one_of};

/// Servers asked in one round: a round every 5 ms is 3,200 probes a second.
pub const MOST_PROBES_AT_ONCE: usize = 16;
/// Answers whose calls in flight make the distribution that hot is told from.
const RECENT_ANSWERS: usize = 128;
/// Weight of the newest round in the share of the wanted probes that are asked.
const ROUND_WEIGHT: f64 = 0.1;

/// What the prober keeps from round to round.
#[derive(Debug)]
pub(super) struct Asking {
    /// Probes wanted and not asked yet, less than one; and probes to remove.
    wanted: f64,
    to_remove: f64,
    removes_oldest: bool,
    /// Probes that may be asked although nobody picks, and when that was last reckoned.
    refill: f64,
    refilled_at: Option<Duration>,
    /// Probes asked ÷ probes wanted, lately.
    asked_share: f64,
    /// Uses owed: a probe has a whole number of them.
    uses: f64,
    recent: VecDeque<u32>,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            wanted: 0.0,
            to_remove: 0.0,
            refill: 0.0,
            refilled_at: None,
            removes_oldest: false,
            asked_share: 1.0,
            uses: 0.0,
            recent: VecDeque::with_capacity(RECENT_ANSWERS),
        }
    }
}

impl Parameters {
    /// Probes kept of so many servers: of half of them at most. A pool that holds all of them lets every
    /// balancer send to the same one; and the paper's sizes (16 of 100) leave out most.
    pub(super) fn kept_of(&self, servers: usize) -> usize {
        self.pool_size.min(servers.div_ceil(2)).max(FEWEST_PROBES)
    }

    /// How often a probe is used: max(1, (1 + δ) ÷ ((1 − m/n)·r_probe − r_remove)), with m probes in
    /// the pool and n servers, and the rates as they are when not all that is wanted is asked.
    fn reuse(&self, servers: usize, asked_share: f64) -> f64 {
        let size = self.kept_of(servers) as f64;
        let net = (1.0 - size / servers as f64) * self.r_probe - self.r_remove;
        let uses = (1.0 + self.delta) / (net * asked_share);
        // Removed as fast as asked: a probe is used until a newer one takes its place.
        if net > 0.0 { uses.clamp(1.0, f64::from(MOST_USES)) } else { f64::from(MOST_USES) }
    }
}

impl Asking {
    /// Probes wanted for so many picks.
    fn wanted_for(&mut self, picks: u64, parameters: &Parameters) -> f64 {
        self.wanted += picks as f64 * parameters.r_probe;
        let wanted = self.wanted.floor();
        self.wanted -= wanted;
        wanted
    }

    /// So many were asked of those that picks wanted; some of the kept ones are to go for them.
    fn asked(&mut self, asked: usize, wanted: f64, parameters: &Parameters) {
        if wanted > 0.0 {
            let asked = wanted.min(asked as f64);
            self.asked_share += ROUND_WEIGHT * (asked / wanted - self.asked_share);
            self.to_remove += asked * parameters.r_remove / parameters.r_probe;
        }
    }

    /// Probes to ask because the pool has run low, picks or not. Servers that do not answer are not
    /// asked for ever and a day: twice the pool while a probe lives.
    fn for_refill(
        &mut self,
        now: Duration,
        missing: usize,
        kept: usize,
        max_age: Duration,
    ) -> usize {
        let since = self.refilled_at.replace(now).map_or(max_age, |at| now.saturating_sub(at));
        let due = since.as_secs_f64() / max_age.as_secs_f64() * 2.0 * kept as f64;
        self.refill = (self.refill + due).min(kept as f64);
        let asked = missing.min(self.refill as usize).min(MOST_PROBES_AT_ONCE);
        self.refill -= asked as f64;
        asked
    }
}

impl BestProbed {
    fn asking(&self) -> MutexGuard<'_, Asking> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is removed for the probes that are asked, the worst and the oldest in turn: the worst
    /// would else be all that is left.
    fn remove(&self, now: Duration, asking: &mut Asking) {
        while asking.to_remove >= 1.0 {
            asking.to_remove -= 1.0;
            asking.removes_oldest = !asking.removes_oldest;
            if asking.removes_oldest {
                self.probes.remove_oldest(now);
            } else {
                self.probes.remove_worst(now);
            }
        }
    }
}

impl Prober for BestProbed {
    fn due(&self, context: &mut PickContext, ask: &mut Vec<usize>) {
        let (now, count) = (context.now, self.endpoints.len());
        let mut asking = self.asking();
        self.probes.forget_old(now);
        let wanted = asking.wanted_for(self.probes.take_picks(), &self.parameters);
        let for_picks = wanted.min(MOST_PROBES_AT_ONCE.min(count) as f64) as usize;
        let kept = self.parameters.kept_of(count).min(count);
        let missing = kept.saturating_sub(self.probes.usable(now).count());
        let for_refill = asking.for_refill(now, missing, kept, self.parameters.max_age);
        // Drawn with replacement: of a few servers, fewer are asked.
        for _ in 0..for_picks.max(for_refill) {
            let index = one_of(count, &mut context.rng);
            if !ask.contains(&index) {
                ask.push(index);
            }
        }
        asking.asked(ask.len(), wanted, &self.parameters);
        self.remove(now, &mut asking);
    }

    fn answered(&self, now: Duration, index: usize, in_flight: u32, latency_us: u32) {
        let Some(load) = self.endpoints.get(index) else { return };
        let mut asking = self.asking();
        if asking.recent.len() == RECENT_ANSWERS {
            asking.recent.pop_front();
        }
        asking.recent.push_back(in_flight);
        self.probes.hot_above.store(quantile(&asking.recent, self.parameters.q_rif), Relaxed);
        asking.uses += self.parameters.reuse(self.endpoints.len(), asking.asked_share);
        let uses = asking.uses.floor();
        asking.uses -= uses;
        // A server that does not know how long its calls take: as long as they take for us.
        let measured_us = || load.latency(now).map_or(0, |latency| latency.as_micros() as u32);
        let latency_us = if latency_us > 0 { latency_us } else { measured_us() };
        let price = load.failure_cost(now);
        let latency_us = (f64::from(latency_us.max(1)) * price) as u32;
        let in_flight = (f64::from(in_flight) + 1.0).mul_add(price, -1.0) as u32;
        let expires_at_ms = milliseconds(now + self.parameters.max_age);
        self.probes.put(Probe { index, in_flight, latency_us, uses: uses as u32, expires_at_ms });
    }
}

fn quantile(values: &VecDeque<u32>, q: f64) -> u32 {
    let mut sorted: Vec<_> = values.iter().copied().collect();
    sorted.sort_unstable();
    let rank = (q * (sorted.len() - 1) as f64).floor() as usize;
    sorted[rank]
}

#[cfg(test)]
mod tests;
