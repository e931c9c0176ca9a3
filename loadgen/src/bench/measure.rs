//! One run: a proxy is started, loaded, watched, and ended.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::{
    child::{Place, Running},
    plan::{Cell, Due},
    procfs::Group,
    proxies::found::Found,
    site::Site,
    traffic::{Calls, Load, Pace, TrafficError},
};
use crate::results::peers::{PeerRunRow, Phase};
use row::{Mark, Measured, Seen};

mod row;

/// How long a proxy may take from its start to its first answer.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks whether it answers.
const START_POLL: Duration = Duration::from_millis(20);
/// How often a start is tried: somebody else may take the port that was free.
const START_TRIES: u32 = 3;
/// What kind of run, and how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) phase: Phase,
    pub(super) warmup: Duration,
    pub(super) time: Duration,
    /// Of a paced run.
    pub(super) pace: Option<Pace>,
}

/// Makes one run. An error is why the proxy does not serve, in its own words.
pub(super) async fn run(
    site: &Site,
    found: &Found,
    due: Due,
    timing: Timing,
) -> Result<PeerRunRow, String> {
    let running = serving(site, found, due).await?;
    let watched = Watched { group: running.group(), address: &running.address, site, due, timing };
    let before_kib = watched.group.memory_kib();
    let outcome = watched.run().await;
    Ok(row::row(due, timing, before_kib, outcome.map_err(|error| error.to_string())))
}

/// Starts the proxy and waits for its first answer.
async fn serving(site: &Site, found: &Found, due: Due) -> Result<Running, String> {
    let mut tries = 1;
    loop {
        match serving_once(site, found, due).await {
            Err(_) if tries < START_TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn serving_once(site: &Site, found: &Found, due: Due) -> Result<Running, String> {
    let Cell { tls, message_bytes, .. } = due.cell;
    let side = site.side(tls);
    let place = Place {
        core: site.cores.proxy,
        backends: &side.backends.addresses,
        tls: tls.then_some(&site.certificates),
        dir: site.dir.path().join(due.proxy.name()),
    };
    let mut running = Running::start(due.proxy, found, &place).map_err(|e| e.to_string())?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(status) = running.ended() {
            return Err(format!("it ended ({status}): {}", running.last_words()));
        }
        let probe =
            Load::open(&running.address, &side.security, 1, message_bytes, Calls::Single).await;
        match probe {
            Ok(_) => return Ok(running),
            Err(error) if Instant::now() >= deadline => {
                let (seconds, words) = (START_TIMEOUT.as_secs(), running.last_words());
                return Err(format!("no answer within {seconds} s: {error}; it said: {words}"));
            }
            Err(_) => tokio::time::sleep(START_POLL).await,
        }
    }
}

/// A proxy that serves, and what is to be measured.
struct Watched<'a> {
    group: Group,
    address: &'a str,
    site: &'a Site,
    due: Due,
    timing: Timing,
}

impl Watched<'_> {
    async fn run(&self) -> Result<Measured, TrafficError> {
        match (self.timing.phase, self.timing.pace) {
            (Phase::Idle, _) => self.idle().await,
            (Phase::Paced, Some(pace)) => self.paced(pace).await,
            (Phase::Saturated | Phase::Paced, _) => self.saturated().await,
        }
    }

    async fn open(&self, calls: Calls) -> Result<Load, TrafficError> {
        let Cell { tls, shape, message_bytes } = self.due.cell;
        let security = &self.site.side(tls).security;
        Load::open(self.address, security, shape.connections, message_bytes, calls).await
    }

    fn mark(&self, calls: u64) -> Mark {
        let thread = clock_gettime(ClockId::ThreadCPUTime);
        Mark {
            at: Instant::now(),
            proxy: self.group.cpu_time(),
            proxy_waited: self.group.waited(),
            load: Duration::new(thread.tv_sec.unsigned_abs(), thread.tv_nsec as u32),
            calls,
        }
    }

    fn look(&self, load: &Load) -> Seen {
        let tally = load.tally();
        Seen {
            errors: tally.errors(),
            first_error: tally.first_error().unwrap_or_default(),
            memory_kib: self.group.memory_kib(),
        }
    }

    async fn saturated(&self) -> Result<Measured, TrafficError> {
        let load = self.open(Calls::Closed(self.due.cell.shape.streams)).await?;
        tokio::time::sleep(self.timing.warmup).await;
        load.begin();
        let first = self.mark(load.tally().calls());
        tokio::time::sleep(self.timing.time).await;
        let last = self.mark(load.tally().calls());
        let times = load.tally().take();
        Ok(Measured { first, last, times, seen: self.look(&load) })
    }

    async fn paced(&self, pace: Pace) -> Result<Measured, TrafficError> {
        let load = self.open(Calls::Paced).await?;
        let warmup = Pace { seed: pace.seed.wrapping_add(1), ..pace };
        load.pace(warmup, self.timing.warmup).await?;
        load.begin();
        let first = self.mark(load.tally().calls());
        load.pace(pace, self.timing.time).await?;
        let last = self.mark(load.tally().calls());
        let seen = self.look(&load);
        Ok(Measured { first, last, seen, times: load.close().await })
    }

    async fn idle(&self) -> Result<Measured, TrafficError> {
        let first = self.mark(0);
        let load = self.open(Calls::Single).await?;
        let last = self.mark(load.tally().calls());
        let times = load.tally().take();
        Ok(Measured { first, last, times, seen: self.look(&load) })
    }
}
