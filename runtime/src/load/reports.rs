//! Numbered reports, however they leave.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use http::HeaderMap;
use strife_proto::{lb::v1::LoadReport, xds::data::orca::v3::OrcaLoadReport};

use super::{
    LoadTracker, orca,
    usage::{Counts, Usage, UsageMeter, cores, process_cpu_time},
};

/// Least time between two reports in trailers. A balancer knows header blocks again by their bytes: if
/// every call ended with other trailers it would have to read each of them, and a report every few
/// milliseconds is as fresh as one a call.
const PIGGYBACK_INTERVAL: Duration = Duration::from_millis(10);

/// Makes reports of one server's load. Shared by all channels they leave by.
#[derive(Debug)]
pub struct Reports {
    tracker: Arc<LoadTracker>,
    /// When the process started, ms since 1970.
    epoch: u64,
    sequence: AtomicU64,
    usage: Mutex<UsageMeter>,
}

impl Reports {
    /// Reports of what `tracker` counts. To be made inside the runtime that serves.
    pub fn new(tracker: Arc<LoadTracker>) -> Arc<Self> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let epoch = since.map_or(0, |since| since.as_millis() as u64);
        let now = Instant::now();
        let usage = UsageMeter::new(cores(), now, counts(&tracker, now));
        Arc::new(Self { tracker, epoch, sequence: AtomicU64::new(0), usage: Mutex::new(usage) })
    }

    /// What the reports are of.
    pub fn tracker(&self) -> &Arc<LoadTracker> {
        &self.tracker
    }

    /// The load now, with the next number; `pool` and `address` are empty.
    pub(super) fn next(&self) -> LoadReport {
        self.at(Instant::now()).0
    }

    /// The same as ORCA has it.
    pub(super) fn next_orca(&self) -> OrcaLoadReport {
        let (report, usage) = self.at(Instant::now());
        orca::report(&report, usage)
    }

    fn at(&self, now: Instant) -> (LoadReport, Usage) {
        let mut meter = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = meter.read(now, || counts(&self.tracker, now));
        drop(meter);
        let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
        let report = LoadReport {
            sequence,
            epoch: self.epoch,
            cpu_utilization: usage.cpu_utilization,
            ..self.tracker.report(now)
        };
        (report, usage)
    }
}

fn counts(tracker: &LoadTracker, now: Instant) -> Counts {
    let (completed, failed) = tracker.ended();
    Counts { cpu: process_cpu_time(), completed, failed, call_time: tracker.call_time(now) }
}

/// Reports in the trailers of calls: some call every [`PIGGYBACK_INTERVAL`] carries one.
#[derive(Debug)]
pub(crate) struct Piggyback {
    reports: Arc<Reports>,
    since: Instant,
    /// When the next report is due, microseconds after `since`.
    due_us: AtomicU64,
}

impl Piggyback {
    pub(crate) fn new(reports: Arc<Reports>) -> Arc<Self> {
        Arc::new(Self { reports, since: Instant::now(), due_us: AtomicU64::new(0) })
    }

    /// What the trailers of a call that ends at `now` shall have more, if anything.
    pub(crate) fn due(&self, now: Instant) -> Option<HeaderMap> {
        let now_us = now.saturating_duration_since(self.since).as_micros() as u64;
        let due_us = self.due_us.load(Relaxed);
        if now_us < due_us {
            return None;
        }
        let next_us = now_us + PIGGYBACK_INTERVAL.as_micros() as u64;
        // Of calls that end at once, one carries the report.
        self.due_us.compare_exchange(due_us, next_us, Relaxed, Relaxed).ok()?;
        Some(orca::trailer(&self.reports.next_orca()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_has_a_higher_number_whichever_way_it_leaves() {
        let reports = Reports::new(LoadTracker::new(0));
        let piggyback = Piggyback::new(reports.clone());
        assert_eq!((reports.next().sequence, reports.next().sequence), (1, 2));
        let trailer = piggyback.due(Instant::now()).expect("the first call carries one");
        assert_eq!(orca::tests::read(&trailer).named_metrics["strife.sequence"], 3.0);
        assert_eq!(reports.next_orca().named_metrics["strife.sequence"], 4.0);
        let report = reports.next();
        assert_eq!(report.sequence, 5);
        assert!(report.epoch > 0);
    }

    #[test]
    fn trailers_carry_a_report_now_and_then() {
        let piggyback = Piggyback::new(Reports::new(LoadTracker::new(0)));
        let start = piggyback.since;
        let calls = (0..1_000).map(|us| start + Duration::from_micros(100 * us));
        let carried = calls.filter(|end| piggyback.due(*end).is_some()).count();
        assert_eq!(carried, 10, "in 100 ms");
    }
}
