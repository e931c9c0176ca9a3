//! Which endpoint gets the next call: the policies and what they know of each endpoint's load.
//!
//! Pure code: time and randomness come in with [`PickContext`], so the balancer, the look-aside API
//! and a simulator run the very same policies. [`EndpointLoad`] is written by whoever sends calls
//! and receives reports, and read here; it is atomics only, so a pick takes no lock and allocates
//! nothing. A new policy is one new file and one line in [`POLICIES`].

mod least_load;
mod load;
mod pick_first;
mod round_robin;

use std::{sync::Arc, time::Duration};

use rand::rngs::SmallRng;
use thiserror::Error;

pub use crate::{
    least_load::LeastLoad,
    load::{
        EndpointLoad, InvalidReport, LastReport, Outcome, Report, Reported,
        leases::LEASE,
        reports::{DEFAULT_REPORT_INTERVAL, TRUSTED_INTERVALS},
    },
    pick_first::PickFirst,
    round_robin::RoundRobin,
};

/// Chooses an endpoint for each call.
pub trait Policy: Send + Sync {
    /// As in `--policy`.
    fn name(&self) -> &'static str;

    /// The endpoint the next call goes to; `None` if and only if there is none. `endpoints` are
    /// those that are READY, in the pool's order.
    fn pick(&self, endpoints: &[Arc<EndpointLoad>], context: &mut PickContext) -> Option<Pick>;
}

/// What a pick may depend on beside the endpoints.
#[derive(Debug, Clone)]
pub struct PickContext {
    /// Since the balancer started.
    pub now: Duration,
    /// Seeded by the caller.
    pub rng: SmallRng,
}

/// A policy's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Into the slice the policy was given.
    pub index: usize,
    /// What the choice rests on.
    pub regime: Regime,
}

/// Which of a policy's rules decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Regime {
    /// The policy has one rule only.
    Only,
    /// Load reports at most one report interval old.
    Fresh,
    /// Older load reports, discounted toward the pool's mean.
    Decayed,
    /// No load report that can be trusted: our own calls in flight.
    InFlight,
}

impl Regime {
    /// As on the wire: `fresh`, `decayed`, `in_flight`, or empty for [`Regime::Only`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Only => "",
            Self::Fresh => "fresh",
            Self::Decayed => "decayed",
            Self::InFlight => "in_flight",
        }
    }
}

type Make = fn() -> Box<dyn Policy>;

/// Every policy: its name and how to make one.
pub const POLICIES: &[(&str, Make)] = &[
    (pick_first::NAME, || Box::new(PickFirst::default())),
    (round_robin::NAME, || Box::new(RoundRobin::default())),
    (least_load::NAME, || Box::new(LeastLoad::default())),
];

/// The policy a balancer uses when it is told none.
pub const DEFAULT_POLICY: &str = least_load::NAME;

/// No policy has this name.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("there is no policy `{name}`; choose one of {}", known_names())]
pub struct UnknownPolicy {
    /// What was asked for.
    pub name: String,
}

fn known_names() -> String {
    let names: Vec<_> = POLICIES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// A new policy of this name, with no memory of any call.
pub fn by_name(name: &str) -> Result<Box<dyn Policy>, UnknownPolicy> {
    let known = POLICIES.iter().find(|(known, _)| *known == name);
    known.map(|(_, make)| make()).ok_or_else(|| UnknownPolicy { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_found_by_its_own_name() {
        for (name, _) in POLICIES {
            assert_eq!(by_name(name).unwrap().name(), *name);
        }
        assert!(by_name(DEFAULT_POLICY).is_ok());
    }

    #[test]
    fn an_unknown_policy_is_told_the_known_ones() {
        let error = by_name("best").err().unwrap().to_string();
        assert_eq!(
            error,
            "there is no policy `best`; choose one of pick_first, round_robin, least_load"
        );
    }
}
