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
        EndpointLoad, InvalidReport, LastReport, Outcome, Ramp, Report, Reported,
        leases::LEASE,
        reports::{DEFAULT_REPORT_INTERVAL, TRUSTED_INTERVALS},
    },
    pick_first::PickFirst,
    round_robin::RoundRobin,
};

/// What a server says of itself in ORCA's terms (gRFC A51); 0: it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Orca {
    /// 1.0 is all that the server may use; above it if it may burst.
    pub cpu_utilization: f64,
    /// 0 to 1.
    pub mem_utilization: f64,
    /// As the application measures it; goes before `cpu_utilization`.
    pub application_utilization: f64,
    /// Calls a second (`rps_fractional`).
    pub rps: f64,
    /// Errors a second.
    pub eps: f64,
}

/// Endpoints to choose among: those that take calls, in the pool's order.
pub type Endpoints = Arc<[Arc<EndpointLoad>]>;

/// How a pool chooses endpoints. It outlives its pickers, and what must outlive a change of
/// membership is its own: the turn of a round, a pool of probes.
pub trait Policy: Send + Sync {
    /// As in `--policy`, without parameters.
    fn name(&self) -> &'static str;

    /// A picker over these endpoints. Made anew by the pool's one writer when endpoints come or go,
    /// and every [`Policy::refresh_every`].
    fn picker(&self, endpoints: Endpoints, now: Duration) -> Box<dyn Picker>;

    /// How often the picker is to be made anew though no endpoint came or went; `None`: never.
    fn refresh_every(&self) -> Option<Duration> {
        None
    }

    /// The request header whose value [`PickInfo::hash`] is of; `None`: no hash is looked at.
    fn hashed_header(&self) -> Option<&str> {
        None
    }
}

/// Chooses an endpoint for each call among those it was made for. Used by many threads at once; a
/// pick takes no lock and allocates nothing.
pub trait Picker: Send + Sync {
    /// The endpoint the next call goes to; `None` if and only if there is none.
    fn pick(&self, info: PickInfo<'_>, context: &mut PickContext) -> Option<Pick>;
}

/// What is known of the call.
#[derive(Debug, Clone, Copy, Default)]
pub struct PickInfo<'a> {
    /// Of the header that [`Policy::hashed_header`] names; `None`: the call has none.
    pub hash: Option<u64>,
    /// Endpoints, by index, to pass over while there are others: the call was there already.
    pub avoid: &'a [usize],
}

/// What a pick may depend on beside the endpoints and the call.
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

/// Why there is no policy as it was asked for.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum InvalidPolicy {
    /// No policy has this name.
    #[error("there is no policy `{name}`; choose one of {}", known_names())]
    Unknown {
        /// What was asked for.
        name: String,
    },
}

fn known_names() -> String {
    let names: Vec<_> = POLICIES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// A new policy as it was asked for, with no memory of any call.
pub fn by_spec(spec: &str) -> Result<Box<dyn Policy>, InvalidPolicy> {
    let known = POLICIES.iter().find(|(known, _)| *known == spec);
    known.map(|(_, make)| make()).ok_or_else(|| InvalidPolicy::Unknown { name: spec.to_owned() })
}

/// Of a header's value, the same in every process (FNV-1a, 64 bits).
pub fn hash(value: &[u8]) -> u64 {
    value.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// The first index from this one on, around the end, that is not to be avoided; this one if all are.
/// `None` if there is none at all.
fn next_allowed(index: usize, count: usize, avoid: &[usize]) -> Option<usize> {
    if avoid.is_empty() {
        return (index < count).then_some(index);
    }
    let allowed = (0..count).map(|step| (index + step) % count).find(|one| !avoid.contains(one));
    allowed.or((index < count).then_some(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_found_by_its_own_name() {
        for (name, _) in POLICIES {
            assert_eq!(by_spec(name).unwrap().name(), *name);
        }
        assert!(by_spec(DEFAULT_POLICY).is_ok());
    }

    #[test]
    fn an_unknown_policy_is_told_the_known_ones() {
        let error = by_spec("best").err().unwrap().to_string();
        assert_eq!(
            error,
            "there is no policy `best`; choose one of pick_first, round_robin, least_load"
        );
    }
}
