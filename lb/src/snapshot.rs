//! A pool's members and their health at one moment: immutable, so that a pick sees one truth.

use std::sync::Arc;

use strife_policy::EndpointLoad;

use crate::endpoint::Endpoint;

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

/// An endpoint and its health.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) state: State,
    /// Why it is not ready; empty when it is.
    pub(crate) why: String,
    /// An operator keeps new calls from it, whatever its health.
    pub(crate) draining: bool,
}

impl Member {
    fn takes_calls(&self) -> bool {
        self.state == State::Ready && !self.draining
    }
}

/// All members of a pool.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) members: Vec<Member>,
    /// Those that take calls, in the pool's order, and their loads in the same order.
    pub(crate) ready: Vec<Arc<Endpoint>>,
    pub(crate) ready_loads: Vec<Arc<EndpointLoad>>,
}

impl Snapshot {
    pub(crate) fn new(members: Vec<Member>) -> Self {
        let ready = || members.iter().filter(|member| member.takes_calls());
        Self {
            ready: ready().map(|member| member.endpoint.clone()).collect(),
            ready_loads: ready().map(|member| member.endpoint.load.clone()).collect(),
            members,
        }
    }

    /// The same pool with one member's health changed.
    pub(crate) fn with(&self, index: usize, state: State, why: String) -> Self {
        let mut members = self.members.clone();
        members[index].state = state;
        members[index].why = why;
        Self::new(members)
    }

    /// The same pool with one member draining, or no more.
    pub(crate) fn with_draining(&self, index: usize, draining: bool) -> Self {
        let mut members = self.members.clone();
        members[index].draining = draining;
        Self::new(members)
    }

    /// Whether no other member takes calls.
    pub(crate) fn is_last(&self, index: usize) -> bool {
        self.members[index].takes_calls() && self.ready.len() == 1
    }

    /// Whether every member was tried at least once.
    pub(crate) fn is_settled(&self) -> bool {
        let untried = [State::Idle, State::Connecting];
        self.members.iter().all(|member| !untried.contains(&member.state))
    }
}
