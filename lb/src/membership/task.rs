//! The writer itself: how changes fold into the members, and what is published of them.

use std::{collections::HashSet, mem, sync::Arc, time::Duration};

use strife_runtime::tls::Expected;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};
use tracing::{info, warn};

use super::{
    Change, Drain, Finding, Making, Origin, Writer, absent::AbsentDrained, roster::Roster,
};
use crate::{
    clock::Clock,
    endpoint::Endpoint,
    error::LbError,
    health::{Evidence, Judgement, Verdict},
    metrics::Label,
    pool::Pool,
    snapshot::{self, ChosenPolicy, Member, Snapshot, State},
};

/// Changes folded in before the next snapshot.
const BATCH: usize = 256;

/// What is told when the snapshot that has it is published.
enum Answer {
    Done(oneshot::Sender<()>),
    Drained(oneshot::Sender<Result<bool, LbError>>, Result<bool, LbError>),
}

pub(super) struct Task {
    pool: Arc<Pool>,
    clock: Clock,
    making: Making,
    expected: Expected,
    /// For the watches of new endpoints.
    changes: mpsc::WeakSender<Change>,
    roster: Roster,
    watches: JoinSet<()>,
    registrations: usize,
    /// Servers that were drained when they left.
    absent_drained: AbsentDrained,
    policy: ChosenPolicy,
    /// When the pool got its first endpoint that takes calls, after it had none.
    began_at: Option<Duration>,
    /// Members or their health differ from what is published.
    is_changed: bool,
    answers: Vec<Answer>,
}

impl Task {
    pub(super) fn new(
        pool: Arc<Pool>,
        clock: Clock,
        making: Making,
        expected: Expected,
        changes: mpsc::WeakSender<Change>,
    ) -> Self {
        let policy = pool.snapshot().policy.clone();
        let absent_drained = AbsentDrained::new(pool.clone());
        Self {
            pool,
            clock,
            making,
            expected,
            changes,
            roster: Roster::default(),
            watches: JoinSet::new(),
            registrations: 0,
            absent_drained,
            policy,
            began_at: None,
            is_changed: false,
            answers: Vec::new(),
        }
    }

    pub(super) async fn run(mut self, mut received: mpsc::Receiver<Change>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut refresh_at = self.next_refresh();
        loop {
            tokio::select! {
                count = received.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    let policy = self.policy.policy.clone();
                    for change in batch.drain(..) {
                        self.fold(change);
                    }
                    self.publish();
                    if !Arc::ptr_eq(&policy, &self.policy.policy) {
                        refresh_at = self.next_refresh();
                    }
                }
                () = sleep_until(refresh_at) => {
                    let snapshot = self.pool.snapshot().renewed(self.policy.clone(), self.clock.now());
                    self.pool.publish(snapshot);
                    refresh_at = self.next_refresh();
                }
                Some(_) = self.watches.join_next() => {}
            }
        }
    }

    fn next_refresh(&self) -> Option<Instant> {
        self.policy.policy.refresh_every().map(|every| Instant::now() + every)
    }

    fn fold(&mut self, change: Change) {
        match change {
            Change::Found(finding) => self.note(finding),
            Change::Judged(judgement) => self.carry_out(judgement),
            Change::Drain(drain, answer) => {
                let outcome = self.set_draining(&drain);
                self.answers.push(Answer::Drained(answer, outcome));
            }
            Change::SetPolicy(policy, answer) => {
                info!(pool = self.pool.name, policy = policy.spec, "policy set");
                self.pool.metrics.policy_switches.increment();
                self.policy = policy;
                self.answers.push(Answer::Done(answer));
            }
            Change::Servers(origin, addresses, answer) => {
                self.set_servers(origin, &addresses);
                self.answers.push(Answer::Done(answer));
            }
            Change::Joins(addresses, answer) => {
                for address in addresses {
                    self.registrations += 1;
                    self.add(Origin::Registration, self.registrations, &address);
                }
                self.answers.push(Answer::Done(answer));
            }
            Change::Leaves(addresses, answer) => {
                addresses.iter().for_each(|one| self.withdraw(Origin::Registration, one));
                self.answers.push(Answer::Done(answer));
            }
            Change::Drained(addresses, answer) => {
                addresses.into_iter().for_each(|one| self.have_drained(one));
                self.answers.push(Answer::Done(answer));
            }
        }
    }

    /// Makes what was folded in known, and then answers who waits for it.
    fn publish(&mut self) {
        self.roster.forget_leavers();
        let now = self.clock.now();
        let snapshot = if mem::take(&mut self.is_changed) {
            Some(self.snapshot(self.roster.members(), now))
        } else {
            let before = self.pool.snapshot();
            let is_same = Arc::ptr_eq(&before.policy.policy, &self.policy.policy);
            (!is_same).then(|| before.renewed(self.policy.clone(), now))
        };
        if let Some(snapshot) = snapshot {
            self.began_at = self.began_at.filter(|_| !snapshot.ready.is_empty());
            self.pool.publish(snapshot);
        }
        for answer in self.answers.drain(..) {
            // Nobody waits when who asked hung up.
            let _ = match answer {
                Answer::Done(answer) => answer.send(()).is_ok(),
                Answer::Drained(answer, outcome) => answer.send(outcome).is_ok(),
            };
        }
    }

    fn snapshot(&self, members: Arc<[Member]>, now: Duration) -> Snapshot {
        let panic_percent = self.making.health.panic_percent;
        let before = self.pool.snapshot();
        let snapshot = before.next(members, self.policy.clone(), now, panic_percent);
        if snapshot.panics && !before.panics {
            self.pool.metrics.panics.increment();
            warn!(pool = self.pool.name, "few endpoints left: ejected ones take calls, too");
        }
        snapshot
    }

    fn note(&mut self, finding: Finding) {
        let Finding { id, state, why } = finding;
        // One that has left may still be heard of.
        let Some(member) = self.roster.by_id(id) else { return };
        let (pool, endpoint) = (&self.pool.name, &member.endpoint.address);
        if member.state != state {
            match state {
                State::Ready => {
                    let (now, window) = (self.clock.now(), self.making.health.ramp.window);
                    member.ready_since = now;
                    member.endpoint.note_ready();
                    let began_at = *self.began_at.get_or_insert(now);
                    if now.saturating_sub(began_at) < window {
                        member.endpoint.load.joined_with_all();
                    } else {
                        member.endpoint.load.joined(now);
                    }
                    info!(pool, endpoint, "endpoint ready");
                }
                State::TransientFailure => warn!(pool, endpoint, why, "endpoint down"),
                State::Idle | State::Connecting => {}
            }
        }
        if member.state != state || *member.why != *why {
            (member.state, member.why) = (state, why.into());
            self.is_changed = true;
        }
    }

    fn carry_out(&mut self, Judgement { id, verdict }: Judgement) {
        let Some(member) = self.roster.by_id(id) else { return };
        let (now, pool, health) = (self.clock.now(), &self.pool.name, &self.making.health);
        let endpoint = &member.endpoint;
        match verdict {
            Verdict::Eject(ejection) => {
                let (cause, times) = (ejection.cause.as_str(), ejection.times);
                let time = ejection.until.saturating_sub(now);
                warn!(pool, endpoint = endpoint.address, cause, times, ?time, "endpoint ejected");
                endpoint.ejections.increment(ejection.cause);
                endpoint.evidence.end();
                member.ejection = Some(ejection);
                self.is_changed = true;
            }
            Verdict::Try => {
                info!(pool, endpoint = endpoint.address, "endpoint on trial");
                endpoint.evidence.begin_trial(now);
                endpoint.load.joined(now);
                endpoint.load.ramps_from(now + health.ejection.interval);
                member.ejection = None;
                self.is_changed = true;
            }
            Verdict::HoldBack => endpoint.load.ramps_from(now + health.ejection.interval),
            Verdict::Trust => {
                info!(pool, endpoint = endpoint.address, "endpoint trusted again");
                endpoint.evidence.begin_anew(health.ejection.consecutive_failures);
                endpoint.load.ramps_from(now);
            }
        }
    }

    fn set_draining(&mut self, drain: &Drain) -> Result<bool, LbError> {
        let Drain { address, draining, force } = drain;
        let Some(member) = self.roster.by_address(address) else {
            if !self.absent_drained.has(address) {
                return Err(LbError::NoServerToDrain(address.clone()));
            }
            return Ok(!*draining && self.absent_drained.forget(address));
        };
        if member.draining == *draining {
            return Ok(false);
        }
        if *draining && !force && self.is_last(address) {
            let (pool, address) = (self.pool.name.clone(), address.clone());
            return Err(LbError::LastServer { pool, address });
        }
        self.drain(address, *draining);
        Ok(true)
    }

    /// Whether it is a member.
    fn drain(&mut self, address: &str, draining: bool) -> bool {
        let Some(member) = self.roster.by_address(address) else { return false };
        if !draining {
            member.endpoint.load.joined(self.clock.now());
        }
        member.endpoint.set_draining(draining);
        member.draining = draining;
        info!(pool = self.pool.name, endpoint = address, draining, "endpoint drain set");
        self.is_changed = true;
        true
    }

    /// Whether it is the only one that takes calls.
    fn is_last(&self, address: &str) -> bool {
        let panics = snapshot::panics(self.roster.staying(), self.making.health.panic_percent);
        let mut takers = self.roster.staying().filter(|member| member.takes_calls_if(panics));
        let is_it = |member: &Member| member.endpoint.address == address;
        takers.next().is_some_and(is_it) && takers.next().is_none()
    }

    /// It was drained before this writer knew of it.
    fn have_drained(&mut self, address: String) {
        if !self.drain(&address, true) {
            self.absent_drained.keep(address);
        }
    }

    fn set_servers(&mut self, origin: Origin, addresses: &[String]) {
        let still: HashSet<_> = addresses.iter().map(String::as_str).collect();
        let named = self.roster.named_by(origin);
        let gone: Vec<_> = named.filter(|one| !still.contains(one)).map(str::to_owned).collect();
        gone.iter().for_each(|address| self.withdraw(origin, address));
        for (place, address) in addresses.iter().enumerate() {
            self.add(origin, place, address);
        }
        self.is_changed |= self.roster.put_in_order();
    }

    /// An origin names a server, which it may have named before.
    fn add(&mut self, origin: Origin, place: usize, address: &str) {
        if self.roster.name(origin, place, address) {
            return;
        }
        let Making { health, threads, failures_told, watch } = &self.making;
        let limit = health.ejection.consecutive_failures;
        let evidence = Evidence::new(limit, failures_told.clone());
        let (expected, ramp) = (self.expected.clone(), health.ramp);
        let endpoint = Endpoint::new(address, expected, ramp, *threads, evidence);
        let Some(changes) = self.changes.upgrade() else { return };
        let watch = self.watches.spawn(watch(endpoint.clone(), Writer(changes)));
        info!(pool = self.pool.name, endpoint = address, "endpoint joins");
        self.pool.metrics.endpoints_joined.increment();
        self.roster.add(origin, place, endpoint, watch);
        self.is_changed = true;
        if self.absent_drained.forget(address) {
            self.drain(address, true);
        }
    }

    /// This origin no more names this server.
    fn withdraw(&mut self, origin: Origin, address: &str) {
        let Some(member) = self.roster.withdraw(origin, address) else { return };
        info!(pool = self.pool.name, endpoint = address, "endpoint leaves");
        self.pool.metrics.endpoints_left.increment();
        member.endpoint.set_gone();
        // Whoever still holds the endpoint need not hold its connection.
        member.endpoint.set_channel(None);
        if member.draining {
            self.absent_drained.keep(address.to_owned());
        }
        self.is_changed = true;
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
