//! What a server knows of its own load, and the task that tells the balancer.
//!
//! A [`LoadTracker`] counts calls as they start, wait, run and end. A [`Reporter`] sends what it
//! says to `LoadBalancer.ReportServerLoad`, each report with the next sequence number, so that the
//! balancer can tell an old report from a new one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use strife_proto::lb::v1::{LoadReport, load_balancer_client::LoadBalancerClient};
use tracing::{info, warn};

use crate::{
    Failure, Shutdown, connect,
    tls::{Expected, Security},
};

/// Weight of the newest call in the moving average of service times.
const SERVICE_TIME_WEIGHT: f64 = 0.05;
/// Reports lost in a row before the log says so: servers often start before their balancer.
const LOST_REPORTS: u64 = 30;

/// Counts one server's calls. Shared by everything that serves them.
#[derive(Debug, Default)]
pub struct LoadTracker {
    slots: u32,
    in_flight: AtomicU32,
    queued: AtomicU32,
    completed: AtomicU64,
    failed: AtomicU64,
    /// Microseconds, an `f64` as bits: an exponentially weighted moving average.
    service_time_us: AtomicU64,
}

/// A call under way; ends when dropped. A call that is dropped unfinished was cancelled, which is
/// not the server's failure.
#[derive(Debug)]
pub struct CallGuard {
    tracker: Arc<LoadTracker>,
    started: Instant,
}

/// A call that waits for a slot; stops waiting when dropped.
#[derive(Debug)]
pub struct QueueGuard(Arc<LoadTracker>);

impl LoadTracker {
    /// `slots`: how many calls the server serves at once, 0 for no limit. With a limit, whoever
    /// grants the slots calls [`LoadTracker::served`]; without, the time of the whole call counts.
    pub fn new(slots: u32) -> Arc<Self> {
        Arc::new(Self { slots, ..Self::default() })
    }

    /// A call arrived.
    pub fn started(self: &Arc<Self>) -> CallGuard {
        self.in_flight.fetch_add(1, Relaxed);
        CallGuard { tracker: self.clone(), started: Instant::now() }
    }

    /// A call begins to wait for a slot.
    pub fn queued(self: &Arc<Self>) -> QueueGuard {
        self.queued.fetch_add(1, Relaxed);
        QueueGuard(self.clone())
    }

    /// A call was served in `time`, waiting apart.
    pub fn served(&self, time: Duration) {
        let sample = time.as_secs_f64() * 1e6;
        let average = f64::from_bits(self.service_time_us.load(Relaxed));
        let next = if average == 0.0 {
            sample
        } else {
            average + SERVICE_TIME_WEIGHT * (sample - average)
        };
        // Two calls ending at once may lose one sample of the average; that is harmless.
        self.service_time_us.store(next.to_bits(), Relaxed);
    }

    /// Calls under way, and calls that ended.
    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u32, u64) {
        (self.in_flight.load(Relaxed), self.completed.load(Relaxed))
    }

    fn report(&self) -> LoadReport {
        LoadReport {
            in_flight: self.in_flight.load(Relaxed),
            queued: self.queued.load(Relaxed),
            slots: self.slots,
            service_time_us: f64::from_bits(self.service_time_us.load(Relaxed)) as u32,
            completed: self.completed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            ..LoadReport::default()
        }
    }
}

impl CallGuard {
    /// The call ended; `failed` if by the server's fault.
    pub fn finish(self, failed: bool) {
        if failed {
            self.tracker.failed.fetch_add(1, Relaxed);
        } else if self.tracker.slots == 0 {
            self.tracker.served(self.started.elapsed());
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.tracker.in_flight.fetch_sub(1, Relaxed);
        self.tracker.completed.fetch_add(1, Relaxed);
    }
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Relaxed);
    }
}

/// Where and how often to report.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// The balancer's control address, `host:port`.
    pub balancer: String,
    /// The pool this server belongs to.
    pub pool: String,
    /// This server as the balancer knows it, `host:port`.
    pub address: String,
    /// Time between reports.
    pub interval: Duration,
}

impl Reporter {
    /// Reports until shutdown, in the background. A balancer that cannot be reached for long is
    /// told of once in the log and tried again at every interval.
    pub fn spawn(
        self,
        tracker: Arc<LoadTracker>,
        security: &Security,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        let channel = connect::direct(&self.balancer, Expected::LB, security)?;
        tokio::spawn(async move {
            tokio::select! {
                () = self.run(LoadBalancerClient::new(channel), &tracker) => {}
                () = shutdown.requested() => {}
            }
        });
        Ok(())
    }

    async fn run(
        self,
        mut balancer: LoadBalancerClient<tonic::transport::Channel>,
        tracker: &LoadTracker,
    ) {
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let epoch = started.map_or(0, |since| since.as_millis() as u64);
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut cpu = CpuMeter::new();
        let mut lost = 0_u64;
        for sequence in 1.. {
            ticks.tick().await;
            let report = LoadReport {
                pool: self.pool.clone(),
                address: self.address.clone(),
                sequence,
                epoch,
                cpu_utilization: cpu.utilization(),
                ..tracker.report()
            };
            let sent = tokio::time::timeout(self.interval * 5, balancer.report_server_load(report));
            let outcome = match sent.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(status)) => Err(status.message().to_owned()),
                Err(_) => Err("no answer".to_owned()),
            };
            match outcome {
                Ok(()) => {
                    if lost >= LOST_REPORTS {
                        info!(balancer = %self.balancer, "load reports arrive again");
                    }
                    lost = 0;
                }
                Err(why) => {
                    lost += 1;
                    if lost == LOST_REPORTS {
                        warn!(balancer = %self.balancer, why, "load reports do not arrive; will keep trying");
                    }
                }
            }
        }
    }
}

/// CPU time of this process over wall time, between two readings.
struct CpuMeter {
    read_at: Instant,
    cpu: Duration,
}

impl CpuMeter {
    fn new() -> Self {
        Self { read_at: Instant::now(), cpu: process_cpu_time() }
    }

    /// 1.0 is one core kept busy since the last reading.
    fn utilization(&mut self) -> f64 {
        let next = Self::new();
        let wall = next.read_at.duration_since(self.read_at).as_secs_f64();
        let busy = next.cpu.saturating_sub(self.cpu).as_secs_f64();
        *self = next;
        if wall > 0.0 { busy / wall } else { 0.0 }
    }
}

/// User and system time of this process so far.
pub fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_what_is_under_way_and_what_ended() {
        let tracker = LoadTracker::new(4);
        let (first, second) = (tracker.started(), tracker.started());
        let waiting = tracker.queued();
        let report = tracker.report();
        assert_eq!((report.in_flight, report.queued, report.slots), (2, 1, 4));
        drop(waiting);
        first.finish(true);
        drop(second);
        let report = tracker.report();
        assert_eq!((report.in_flight, report.queued), (0, 0));
        assert_eq!((report.completed, report.failed), (2, 1));
    }

    #[test]
    fn service_time_follows_what_was_served() {
        let tracker = LoadTracker::new(1);
        for _ in 0..200 {
            tracker.served(Duration::from_millis(5));
        }
        assert_eq!(tracker.report().service_time_us, 5000);
        for _ in 0..200 {
            tracker.served(Duration::from_millis(15));
        }
        assert!(tracker.report().service_time_us > 14_900);
    }
}
