//! All that a policy may know of an endpoint at one moment, to be written down and built anew.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use serde::{Deserialize, Serialize};

use super::{EndpointLoad, LastOrca, LastReport, Ramp, nanoseconds};

/// A balancer runs no longer than that: 146 years in nanoseconds.
pub(crate) const LONGEST: Duration = Duration::from_nanos(1 << 62);
/// More calls than there are anywhere.
const MOST_CALLS: u64 = 1 << 32;

/// An endpoint as it was when a call was picked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointState {
    /// `host:port`.
    pub address: String,
    /// How it is ramped up.
    pub ramp: Ramp,
    /// When it became READY.
    pub joined_at: Option<Duration>,
    /// Our own calls under way.
    pub in_flight: u64,
    /// Look-aside picks that no report had confirmed.
    pub leased: u64,
    /// When a call last ended.
    pub finished_at: Duration,
    /// Share of the latest calls that failed.
    pub failure_ratio: f64,
    /// The peak-sensitive average of how long calls took when it last changed; 0: none ended.
    pub latency_ns: f64,
    /// When that was.
    pub latency_updated_at: Duration,
    /// The last load report.
    pub report: Option<LastReport>,
    /// The last ORCA report.
    pub orca: Option<LastOrca>,
}

impl EndpointState {
    /// A figure that no balancer has written, by its name.
    pub(crate) fn damage(&self) -> Option<&'static str> {
        let (report, orca) = (self.report.as_ref(), self.orca.as_ref());
        let times = [
            ("ramp", Some(self.ramp.window)),
            ("joined_at", self.joined_at),
            ("finished_at", Some(self.finished_at)),
            ("latency_updated_at", Some(self.latency_updated_at)),
            ("report", report.map(|report| report.received_at.max(report.interval))),
            ("orca", orca.map(|orca| orca.received_at.max(orca.interval))),
        ];
        let counts = [("in_flight", self.in_flight), ("leased", self.leased)];
        let late = times.iter().find(|(_, time)| time.is_some_and(|time| time > LONGEST));
        let many = counts.iter().find(|(_, count)| *count > MOST_CALLS);
        late.map(|(name, _)| *name).or(many.map(|(name, _)| *name))
    }
}

impl EndpointLoad {
    /// What is known now.
    pub fn state(&self, now: Duration) -> EndpointState {
        let (latency_ns, latency_updated_at) = self.latency.get();
        EndpointState {
            address: self.address.clone(),
            ramp: self.ramp,
            joined_at: self.joined_at(),
            in_flight: self.in_flight(),
            leased: self.leased(now),
            finished_at: Duration::from_nanos(self.finished_at_ns.load(Relaxed)),
            failure_ratio: self.failure_ratio(now),
            latency_ns,
            latency_updated_at,
            report: self.last_report(),
            orca: self.last_orca(),
        }
    }

    /// An endpoint of which, at `now`, policies know the same.
    pub fn of_state(state: &EndpointState, now: Duration) -> Self {
        let load = Self::new(&state.address, state.ramp);
        if let Some(joined_at) = state.joined_at {
            load.joined(joined_at);
        }
        load.in_flight.store(state.in_flight, Relaxed);
        load.leases.grant(now, state.leased);
        load.finished_at_ns.store(nanoseconds(state.finished_at), Relaxed);
        load.failures.set(now, state.failure_ratio);
        load.latency.set(state.latency_updated_at, state.latency_ns);
        if let Some(report) = &state.report {
            load.reports.set(report);
            load.figures.set(report);
        }
        if let Some(orca) = &state.orca {
            load.orca.set(orca);
            load.conclude_from_orca();
        }
        load
    }
}
