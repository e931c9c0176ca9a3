//! A pool's members, their health and its policy at one moment: immutable, so that a pick sees one
//! truth.

use std::{collections::HashMap, sync::Arc, time::Duration};

use strife_policy::{Picker, Policy};

use crate::{endpoint::Endpoint, metrics::Label};

/// As gRPC's connectivity states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody has tried to connect yet.
    Idle,
    /// The first attempt is under way.
    Connecting,
    /// Connected, and well as far as it can be asked. Only these are picked, unless they drain.
    Ready,
    /// Lost or not well; tried again with backoff.
    TransientFailure,
}

pub(crate) use crate::metrics::EjectionCause;

/// A server gets no calls for a while, because of how it answered those it had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ejection {
    pub(crate) cause: EjectionCause,
    /// Since the balancer started.
    pub(crate) until: Duration,
    /// Which one this is, from 1, since the last that is forgiven.
    pub(crate) times: u32,
}

/// An endpoint and its health.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) state: State,
    /// Why it is not ready; empty when it is.
    pub(crate) why: Arc<str>,
    /// An operator keeps new calls from it, whatever its health.
    pub(crate) draining: bool,
    pub(crate) ejection: Option<Ejection>,
    /// When it last became READY.
    pub(crate) ready_since: Duration,
}

impl Member {
    /// Of a server that nobody has tried to reach.
    pub(crate) fn new(endpoint: Arc<Endpoint>) -> Self {
        Self {
            endpoint,
            state: State::Idle,
            why: "not tried yet".into(),
            draining: false,
            ejection: None,
            ready_since: Duration::ZERO,
        }
    }

    /// Unless there is [panic](Snapshot::panics), when an ejection is no hindrance.
    pub(crate) fn takes_calls(&self) -> bool {
        self.could_take_calls() && self.ejection.is_none()
    }

    /// Why it gets no calls, in words; empty if it does, or an operator keeps them from it.
    pub(crate) fn reason(&self, now: Duration) -> String {
        match &self.ejection {
            Some(Ejection { cause, until, times }) if self.state == State::Ready => {
                let left = Duration::from_secs_f64(until.saturating_sub(now).as_secs_f64().ceil());
                format!("{}, ejection {times}, tried again in {left:?}", cause.as_str())
            }
            _ => self.why.to_string(),
        }
    }

    /// Whether it takes calls of a pool that panics, or does not.
    pub(crate) fn takes_calls_if(&self, panics: bool) -> bool {
        if panics { self.could_take_calls() } else { self.takes_calls() }
    }

    fn could_take_calls(&self) -> bool {
        self.state == State::Ready && !self.draining
    }
}

/// A pool's policy as it was asked for.
#[derive(Clone)]
pub(crate) struct ChosenPolicy {
    /// With its parameters, as in `--policy`.
    pub(crate) spec: String,
    pub(crate) policy: Arc<dyn Policy>,
    /// Among [`strife_policy::POLICIES`], by which its picks are counted.
    pub(crate) place: usize,
}

/// All members of a pool, its policy, and what picks among those that take calls.
pub(crate) struct Snapshot {
    pub(crate) members: Arc<[Member]>,
    /// So few members are left that ejected ones take calls, too.
    pub(crate) panics: bool,
    /// Those that take calls, in the pool's order. The same slice as long as they are the same.
    pub(crate) ready: Arc<[Arc<Endpoint>]>,
    pub(crate) policy: ChosenPolicy,
    /// Over `ready`.
    pub(crate) picker: Arc<dyn Picker>,
    /// Places among `members`, by address.
    places: Arc<HashMap<String, usize>>,
}

/// Whether so few of these take calls that ejected ones do, too (Envoy's panic threshold): less than
/// this percentage of those that do not drain; 0: never.
pub(crate) fn panics<'a>(members: impl Iterator<Item = &'a Member>, panic_percent: u8) -> bool {
    let (mut staying, mut takers, mut could) = (0, 0, 0);
    for member in members {
        staying += usize::from(!member.draining);
        takers += usize::from(member.takes_calls());
        could += usize::from(member.could_take_calls());
    }
    could > takers && takers * 100 < staying * usize::from(panic_percent)
}

impl Snapshot {
    /// `panic_percent`: see [`panics`].
    pub(crate) fn new(
        members: Arc<[Member]>,
        policy: ChosenPolicy,
        now: Duration,
        panic_percent: u8,
    ) -> Self {
        let panics = panics(members.iter(), panic_percent);
        let ready: Arc<[_]> = takers(&members, panics).cloned().collect();
        let places = Arc::new(places(&members));
        let picker = picker(&ready, &policy, now);
        Self { members, panics, ready, policy, picker, places }
    }

    /// The one after this. What is as it was is not made anew: threads, probes and turns go on where
    /// they are.
    pub(crate) fn next(
        &self,
        members: Arc<[Member]>,
        policy: ChosenPolicy,
        now: Duration,
        panic_percent: u8,
    ) -> Self {
        let panics = panics(members.iter(), panic_percent);
        let is_same =
            takers(&members, panics).map(Arc::as_ptr).eq(self.ready.iter().map(Arc::as_ptr));
        let ready =
            if is_same { self.ready.clone() } else { takers(&members, panics).cloned().collect() };
        let picker = if is_same && Arc::ptr_eq(&self.policy.policy, &policy.policy) {
            self.picker.clone()
        } else {
            picker(&ready, &policy, now)
        };
        let endpoint = |member: &Member| Arc::as_ptr(&member.endpoint);
        let places = if members.iter().map(endpoint).eq(self.members.iter().map(endpoint)) {
            self.places.clone()
        } else {
            Arc::new(places(&members))
        };
        Self { members, panics, ready, policy, picker, places }
    }

    /// The same members, with a picker made anew, of this policy.
    pub(crate) fn renewed(&self, policy: ChosenPolicy, now: Duration) -> Self {
        let (members, ready) = (self.members.clone(), self.ready.clone());
        let picker = picker(&ready, &policy, now);
        Self { members, panics: self.panics, ready, policy, picker, places: self.places.clone() }
    }

    /// `host:port`.
    pub(crate) fn member(&self, address: &str) -> Option<&Member> {
        self.places.get(address).map(|place| &self.members[*place])
    }

    /// Whether somebody takes calls who did not in the one before.
    pub(crate) fn has_newcomers(&self, before: &Self) -> bool {
        // Both are in the pool's order. One that moved is taken for a newcomer, which costs little.
        let mut before = before.ready.iter();
        !self.ready.iter().all(|one| before.any(|other| Arc::ptr_eq(one, other)))
    }

    /// Whether every member was tried at least once.
    pub(crate) fn is_settled(&self) -> bool {
        let untried = [State::Idle, State::Connecting];
        self.members.iter().all(|member| !untried.contains(&member.state))
    }
}

fn takers(members: &[Member], panics: bool) -> impl Iterator<Item = &Arc<Endpoint>> {
    let takers = members.iter().filter(move |member| member.takes_calls_if(panics));
    takers.map(|member| &member.endpoint)
}

fn places(members: &[Member]) -> HashMap<String, usize> {
    let addresses = members.iter().map(|member| member.endpoint.address.clone());
    addresses.zip(0..).collect()
}

fn picker(ready: &[Arc<Endpoint>], policy: &ChosenPolicy, now: Duration) -> Arc<dyn Picker> {
    let loads = ready.iter().map(|endpoint| endpoint.load.clone()).collect();
    policy.policy.picker(loads, now).into()
}
