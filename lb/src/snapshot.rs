//! A pool's members, their health and its policy at one moment: immutable, so that a pick sees one
//! truth.

use std::{sync::Arc, time::Duration};

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
    pub(crate) picker: Box<dyn Picker>,
}

impl Snapshot {
    /// `panic_percent`: when fewer of the members take calls, ejected ones do, too (Envoy's panic
    /// threshold); 0: never. Those that drain count neither way.
    pub(crate) fn new(
        members: Arc<[Member]>,
        policy: ChosenPolicy,
        now: Duration,
        panic_percent: u8,
    ) -> Self {
        let count = |is_counted: fn(&Member) -> bool| {
            members.iter().filter(|member| is_counted(member)).count()
        };
        let staying = count(|member| !member.draining);
        let (takers, could) = (count(Member::takes_calls), count(Member::could_take_calls));
        let panics = could > takers && takers * 100 < staying * usize::from(panic_percent);
        let is_taken = |member: &&Member| {
            if panics { member.could_take_calls() } else { member.takes_calls() }
        };
        let ready = members.iter().filter(is_taken).map(|member| member.endpoint.clone()).collect();
        Self::of(members, panics, ready, policy, now)
    }

    /// The same members, with a picker made anew, of this policy.
    pub(crate) fn renewed(&self, policy: ChosenPolicy, now: Duration) -> Self {
        Self::of(self.members.clone(), self.panics, self.ready.clone(), policy, now)
    }

    fn of(
        members: Arc<[Member]>,
        panics: bool,
        ready: Arc<[Arc<Endpoint>]>,
        policy: ChosenPolicy,
        now: Duration,
    ) -> Self {
        let loads = ready.iter().map(|endpoint| endpoint.load.clone()).collect();
        let picker = policy.policy.picker(loads, now);
        Self { members, panics, ready, policy, picker }
    }

    /// Whether every member was tried at least once.
    pub(crate) fn is_settled(&self) -> bool {
        let untried = [State::Idle, State::Connecting];
        self.members.iter().all(|member| !untried.contains(&member.state))
    }
}
