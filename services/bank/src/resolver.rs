//! Finds legs left in doubt and asks their coordinators what was decided.
//!
//! A leg that is still prepared some seconds after its prepare may have lost its coordinator. The
//! bank never decides by its own clock: it asks, again and again with backoff and jitter, and keeps
//! the hold until there is an answer. Every process whose store is the bank's own asks: the owner of
//! a file, or each server on a database. Several that ask about one leg are told the same and do the
//! same, which a ledger does once. Legs that an operator ended are asked about as well, until it is known
//! whether he did what was decided.

use std::{collections::HashMap, future::Future, time::Duration};

use futures_util::{StreamExt, stream};
use rand::RngExt;
use strife_runtime::Shutdown;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::{
    BankError, clock,
    ledger::{Command, LegKey, Refusal},
    store::{KnownLeg, WholeStore},
};

/// How often legs in doubt are looked for, on average: each pause is up to a quarter off, so that
/// servers which started together do not go on asking together.
const INTERVAL: Duration = Duration::from_millis(250);
/// Pause after a store that could not be read.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(2);
/// Legs asked about in one pass, and at a time.
const LEGS_PER_PASS: usize = 4_096;
const QUESTIONS_IN_FLIGHT: usize = 64;
/// Passes of which one looks for legs that operators ended, too.
const PASSES_PER_LOOK_AT_FORCED: u64 = 8;
/// First and longest pause before a leg is asked about again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// How often people are told of legs that are in doubt for long.
const ALARM_INTERVAL: Duration = Duration::from_secs(30);

/// A leg in doubt for this long is a matter for people, unless told otherwise.
const DEFAULT_ALARM_AGE: Duration = Duration::from_secs(60);

/// What a coordinator says became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It moved the money: post the leg.
    Commit,
    /// It did not: give the leg up.
    Abort,
    /// Not decided yet: keep the hold.
    StillActive,
}

/// Those who decide.
pub trait Coordinators: Send + Sync + 'static {
    /// What the coordinator of that name decided; an error is why there is no answer.
    fn decision(
        &self,
        coordinator: &str,
        transaction_id: &str,
    ) -> impl Future<Output = Result<Decision, String>> + Send;
}

/// Resolves the legs of one store.
pub struct Resolver<S, C> {
    store: S,
    coordinators: C,
    max_age: Duration,
    alarm_age: Duration,
    is_alone: bool,
    attempts: HashMap<LegKey, Attempt>,
    passes: u64,
    alarmed_at: Option<Instant>,
}

/// How often a leg was asked about in vain, and when it is next.
struct Attempt {
    count: u32,
    next_ms: u64,
}

/// What a pass achieved.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Legs posted.
    pub committed: usize,
    /// Legs given up.
    pub aborted: usize,
    /// Legs that stay in doubt.
    pub undecided: usize,
}

impl<S: WholeStore, C: Coordinators> Resolver<S, C> {
    /// `max_age`: how long a leg may be in doubt before its coordinator is asked.
    pub fn new(store: S, coordinators: C, max_age: Duration) -> Self {
        let (alarm_age, attempts) = (DEFAULT_ALARM_AGE, HashMap::new());
        Self {
            store,
            coordinators,
            max_age,
            alarm_age,
            is_alone: true,
            attempts,
            passes: 0,
            alarmed_at: None,
        }
    }

    /// `age`: how long a leg may be in doubt before it is a matter for people.
    pub fn alarming_after(self, age: Duration) -> Self {
        Self { alarm_age: age, ..self }
    }

    /// Others write to the store too: what is in doubt at the start may be under way with them.
    pub fn beside_others(self) -> Self {
        Self { is_alone: false, ..self }
    }

    /// Until shutdown. Who is alone asks about what is in doubt at the start at once, whatever its
    /// age.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut grace_ms = if self.is_alone { 0 } else { self.max_age.as_millis() as u64 };
        loop {
            let now_ms = clock::now_ms();
            let mut pause = INTERVAL.mul_f64(rand::rng().random_range(0.75..=1.25));
            match self.pass(now_ms.saturating_sub(grace_ms), now_ms).await {
                Ok(pass) if pass.committed + pass.aborted > 0 => {
                    let Pass { committed, aborted, undecided } = pass;
                    info!(committed, aborted, undecided, "resolved legs that were in doubt");
                }
                Ok(_) => {}
                Err(error) => {
                    error!(%error, "cannot look for legs in doubt");
                    pause = PAUSE_AFTER_ERROR;
                }
            }
            grace_ms = self.max_age.as_millis() as u64;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Asks about every leg that was prepared no later than `until_ms` and whose turn it is.
    pub async fn pass(&mut self, until_ms: u64, now_ms: u64) -> Result<Pass, BankError> {
        let attempts = &self.attempts;
        let is_due = |key: &LegKey| attempts.get(key).is_none_or(|a| a.next_ms <= now_ms);
        let mut legs = self.store.in_doubt(until_ms, LEGS_PER_PASS, is_due).await?;
        let mut forced = match self.passes % PASSES_PER_LOOK_AT_FORCED {
            0 => self.store.forced(LEGS_PER_PASS).await?,
            _ => Vec::new(),
        };
        forced.retain(|leg| is_due(&leg.key));
        self.passes += 1;
        self.alarm(&legs, now_ms);
        legs.extend(forced);
        let (store, coordinators) = (&self.store, &self.coordinators);
        let resolved: Vec<_> = stream::iter(legs)
            .map(|leg| resolve(store, coordinators, leg))
            .buffer_unordered(QUESTIONS_IN_FLIGHT)
            .collect()
            .await;
        let mut pass = Pass::default();
        for (key, decision) in resolved {
            match decision {
                Some(Decision::Commit) => pass.committed += 1,
                Some(Decision::Abort) => pass.aborted += 1,
                Some(Decision::StillActive) | None => {
                    pass.undecided += 1;
                    self.postpone(key, now_ms);
                    continue;
                }
            }
            self.attempts.remove(&key);
        }
        self.forget_those_ended_elsewhere(now_ms);
        Ok(pass)
    }

    fn postpone(&mut self, key: LegKey, now_ms: u64) {
        let attempt = self.attempts.entry(key).or_insert(Attempt { count: 0, next_ms: 0 });
        let (first, longest) = BACKOFF;
        let full = first.saturating_mul(1 << attempt.count.min(16)).min(longest);
        let pause = full.mul_f64(rand::rng().random_range(0.5..=1.0));
        attempt.count += 1;
        attempt.next_ms = now_ms + pause.as_millis() as u64;
    }

    /// A leg that was due and did not turn up was ended by its coordinator itself.
    fn forget_those_ended_elsewhere(&mut self, now_ms: u64) {
        let patience_ms = BACKOFF.1.as_millis() as u64;
        self.attempts.retain(|_, attempt| attempt.next_ms + patience_ms > now_ms);
    }

    fn alarm(&mut self, legs: &[KnownLeg], now_ms: u64) {
        let age_ms = |leg: &KnownLeg| now_ms.saturating_sub(leg.leg.prepared_at_ms);
        let Some(oldest) = legs.iter().max_by_key(|leg| age_ms(leg)) else { return };
        let quiet = self.alarmed_at.is_some_and(|at| at.elapsed() < ALARM_INTERVAL);
        if quiet || u128::from(age_ms(oldest)) < self.alarm_age.as_millis() {
            return;
        }
        self.alarmed_at = Some(Instant::now());
        warn!(
            legs = legs.len(),
            oldest = %oldest.key,
            age_s = age_ms(oldest) / 1000,
            "legs are in doubt for long and their money is held; check their coordinator"
        );
    }
}

/// Asks about one leg and does what was decided. `None` when there was no answer or it could not be
/// followed.
async fn resolve(
    store: &impl WholeStore,
    coordinators: &impl Coordinators,
    leg: KnownLeg,
) -> (LegKey, Option<Decision>) {
    let KnownLeg { key, leg, .. } = leg;
    let coordinator = leg.body.map(|body| body.coordinator).unwrap_or_default();
    let decision = match coordinators.decision(&coordinator, &key.transaction_id).await {
        Ok(decision) => decision,
        Err(why) => {
            tracing::debug!(leg = %key, coordinator, why, "no decision yet");
            return (key, None);
        }
    };
    let command = match decision {
        Decision::Commit => Command::Commit(key.clone()),
        Decision::Abort => Command::Abort(key.clone()),
        Decision::StillActive => return (key, Some(decision)),
    };
    match store.apply(command).await {
        Ok(Ok(_)) => (key, Some(decision)),
        Ok(Err(Refusal::Forced)) => {
            error!(leg = %key, ?decision, "an operator has ended this leg the other way");
            (key, Some(decision))
        }
        Ok(Err(refusal)) => {
            error!(leg = %key, ?decision, %refusal, "a decision contradicts the ledger");
            (key, None)
        }
        Err(error) => {
            error!(leg = %key, %error, "the decision could not be applied");
            (key, None)
        }
    }
}

#[cfg(test)]
mod tests;
