//! Which endpoint gets the next call: the policies and what they know of each endpoint's load.
//!
//! Pure code: time and randomness come in with [`PickContext`], so the balancer, the look-aside API
//! and a simulator run the very same policies. [`EndpointLoad`] is written by whoever sends calls
//! and receives reports, and read here; it is atomics only, so a pick takes no lock and allocates
//! nothing. A new policy is one new file and one line in [`POLICIES`].

mod draw;
mod explain;
mod kind;
mod load;
mod trace;

mod least_load;
mod least_request;
mod peak_ewma;
mod pick_first;
mod prequal;
mod random;
mod ring_hash;
mod round_robin;
mod weighted_round_robin;

use std::{sync::Arc, time::Duration};

use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::{
    explain::{Candidate, Exclusion, Explanation, Figure},
    kind::{Domain, InvalidPolicy, Parameter, PolicyKind, by_spec, parameters_help},
    load::{
        EndpointLoad, EndpointState, InvalidReport, LastOrca, LastReport, Orca, Outcome, Ramp,
        Report, Reported,
        leases::LEASE,
        reports::{DEFAULT_REPORT_INTERVAL, TRUSTED_INTERVALS},
    },
    prequal::MOST_PROBES_AT_ONCE,
    ring_hash::hash,
    trace::{InvalidTrace, MOST_TRACED_ENDPOINTS, Origin, PickTrace, replay},
};

/// Every policy.
pub const POLICIES: &[PolicyKind] = &[
    pick_first::KIND,
    round_robin::KIND,
    random::KIND,
    least_request::KIND,
    least_load::KIND,
    weighted_round_robin::KIND,
    peak_ewma::KIND,
    prequal::KIND,
    ring_hash::KIND,
];

/// The policy a balancer uses when it is told none.
pub const DEFAULT_POLICY: &str = least_load::KIND.name;

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

    /// The picker as it was when it remembered this ([`Explanation::memory`]). An error: no picker
    /// of this policy remembers such a thing.
    fn recalled(
        &self,
        endpoints: Endpoints,
        now: Duration,
        memory: &Value,
    ) -> Result<Box<dyn Picker>, serde_json::Error> {
        let _ = memory;
        Ok(self.picker(endpoints, now))
    }

    /// How often the picker is to be made anew though no endpoint came or went; `None`: never.
    fn refresh_every(&self) -> Option<Duration> {
        None
    }

    /// The request header whose value [`PickInfo::hash`] is of; `None`: no hash is looked at.
    fn hashed_header(&self) -> Option<&str> {
        None
    }

    /// Whether a pick depends on the addresses of all endpoints, not only of those it looks at.
    fn needs_all_endpoints(&self) -> bool {
        false
    }
}

/// Chooses an endpoint for each call among those it was made for. Used by many threads at once; a
/// pick takes no lock and allocates nothing.
pub trait Picker: Send + Sync {
    /// The endpoint the next call goes to; `None` if and only if there is none.
    fn pick(&self, info: PickInfo<'_>, context: &mut PickContext) -> Option<Pick>;

    /// A pick like any other, written down. Allocates.
    fn explain(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        explanation: &mut Explanation,
    ) -> Option<Pick>;

    /// Those it was made for.
    fn endpoints(&self) -> &Endpoints;

    /// Who is to be asked for probes, and told what they say; `None`: the policy needs none.
    fn prober(&self) -> Option<&dyn Prober>;
}

/// The side of a picker that asks servers how they are (`strife.lb.v1.ServerLoad/Probe`), for one
/// task beside the picks.
pub trait Prober: Send + Sync {
    /// Adds the endpoints to ask now, by index, at most [`MOST_PROBES_AT_ONCE`]; the same one
    /// at most once. To be called every few milliseconds. Also forgets what has grown too old.
    fn due(&self, context: &mut PickContext, ask: &mut Vec<usize>);

    /// An endpoint that was to be asked has answered: its calls in flight, and how long calls lately
    /// took with that many (0: not known).
    fn answered(&self, now: Duration, index: usize, in_flight: u32, latency_us: u32);
}

/// What is known of the call.
#[derive(Debug, Clone, Copy, Default)]
pub struct PickInfo<'a> {
    /// Of the header that [`Policy::hashed_header`] names, by [`hash`]; `None`: the call has none.
    pub hash: Option<u64>,
    /// Endpoints, by index and ascending, to pass over while there are others: the call was there already.
    pub avoid: &'a [usize],
}

impl PickInfo<'_> {
    /// Whether this one is to be passed over.
    #[inline]
    pub(crate) fn avoids(&self, index: usize) -> bool {
        !self.avoid.is_empty() && self.avoid.binary_search(&index).is_ok()
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Into the slice the policy was given.
    pub index: usize,
    /// What the choice rests on.
    pub regime: Regime,
}

/// Which of a policy's rules decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Regime {
    /// The policy has one rule only.
    Only,
    /// Load reports at most one report interval old.
    Fresh,
    /// Older load reports, discounted toward the pool's mean.
    Decayed,
    /// Our own calls in flight, for want of anything better or by design.
    InFlight,
    /// How long calls took.
    Latency,
    /// The lowest latency among probes of endpoints that have few calls in flight.
    Cold,
    /// The fewest calls in flight among probes, for all have many.
    Hot,
    /// Turns by weight.
    Weighted,
    /// Turns of equal weight: too few weights are known.
    Unweighted,
    /// The hash of a header.
    Hashed,
    /// Chance, for the call has no header to hash.
    Unhashed,
}

impl Regime {
    /// All of them; each at its [`Regime::index`].
    pub const ALL: [Self; 11] = [
        Self::Only,
        Self::Fresh,
        Self::Decayed,
        Self::InFlight,
        Self::Latency,
        Self::Cold,
        Self::Hot,
        Self::Weighted,
        Self::Unweighted,
        Self::Hashed,
        Self::Unhashed,
    ];

    /// Into [`Regime::ALL`], for counters.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// As on the wire: `fresh`, `in_flight`; empty for [`Regime::Only`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Only => "",
            Self::Fresh => "fresh",
            Self::Decayed => "decayed",
            Self::InFlight => "in_flight",
            Self::Latency => "latency",
            Self::Cold => "cold",
            Self::Hot => "hot",
            Self::Weighted => "weighted",
            Self::Unweighted => "unweighted",
            Self::Hashed => "hashed",
            Self::Unhashed => "unhashed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_is_found_by_its_own_name() {
        for kind in POLICIES {
            assert_eq!(by_spec(kind.name).unwrap().name(), kind.name);
        }
        assert!(by_spec(DEFAULT_POLICY).is_ok());
    }

    #[test]
    fn every_regime_stands_at_its_index() {
        for (index, regime) in Regime::ALL.into_iter().enumerate() {
            assert_eq!(regime.index(), index);
        }
    }
}
