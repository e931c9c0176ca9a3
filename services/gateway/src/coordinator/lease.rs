//! Who is there: every gateway on a shared store says again and again that it goes on, and takes over
//! from those it has not heard of for a lease.
//!
//! Only the observer's own monotonic clock counts, and only for as long as it could look: where the
//! store stands still, for one or for all, nobody is silent. A suspicion that is wrong, because somebody was
//! merely slow, costs that gateway its run and undecided payments an abort; never money, for what counts is
//! the fence, and not the suspicion.
//!
//! A fence waits for what its run has under way in the store. No sign of life waits for a fence.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{StreamExt, future::join, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{debug, error, warn};

use super::Shared;
use crate::{
    banks::Banks,
    retry,
    store::{RunEntry, Store},
    transaction::RunNumber,
};

/// How often in a lease a gateway says that it goes on, and looks for others.
const BEATS_PER_LEASE: u32 = 3;
/// Silent gateways that are fenced at once: each may keep a connection of the store waiting.
const FENCED_AT_ONCE: usize = 2;

/// What one gateway knows of the others. Pure: the time comes in.
#[derive(Debug)]
struct Observer {
    own: RunNumber,
    lease: Duration,
    /// Of every other live run: its beats, and since when they are so many.
    heard: HashMap<RunNumber, (u64, Duration)>,
    /// When it looked last.
    looked: Duration,
}

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    /// Not heard of for a lease.
    silent: Vec<RunNumber>,
    /// Whether some run is fenced and not yet forgotten.
    orphaned: bool,
    /// Whether other gateways are there.
    others: bool,
}

impl Observer {
    fn new(own: RunNumber, lease: Duration) -> Self {
        Self { own, lease, heard: HashMap::new(), looked: Duration::ZERO }
    }

    /// Looks at what the store says at `now`, a time since any fixed one.
    fn look(&mut self, runs: &[RunEntry], now: Duration) -> Findings {
        let mut findings =
            Findings { orphaned: runs.iter().any(|run| !run.live), ..Default::default() };
        let others = || runs.iter().filter(|run| run.live && run.number != self.own);
        let is_there = |number: &RunNumber| others().any(|run| run.number == *number);
        // Who could not look for so long may have stood still itself, or the store has: then the others'
        // beats may be on their way as well.
        if now.saturating_sub(self.looked) >= self.lease / 2 {
            self.heard.clear();
        }
        self.looked = now;
        let mut heard = std::mem::take(&mut self.heard);
        heard.retain(|number, _| is_there(number));
        for run in others() {
            findings.others = true;
            let (beats, since) = heard.entry(run.number).or_insert((run.beats, now));
            if *beats != run.beats {
                (*beats, *since) = (run.beats, now);
            } else if now.saturating_sub(*since) >= self.lease {
                findings.silent.push(run.number);
            }
        }
        self.heard = heard;
        findings
    }
}

/// Until the gateway ends.
pub(super) async fn run<B: Banks, S: Store>(shared: Arc<Shared<B, S>>) {
    let (silent, found) = watch::channel(Vec::new());
    join(beat(&shared, silent), fence(&shared, found)).await;
}

/// Says that this gateway goes on, and looks who else does: who does not is put into `silent`, at every
/// look anew.
async fn beat<B: Banks, S: Store>(shared: &Shared<B, S>, silent: watch::Sender<Vec<RunNumber>>) {
    let lease = shared.settings.lease;
    let (mut observer, started) = (Observer::new(shared.run.number, lease), Instant::now());
    let mut ticks = interval(lease / BEATS_PER_LEASE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match shared.store.beat(shared.run.number).await {
            Ok(true) => {}
            Ok(false) => shared.stop_fenced().await,
            Err(why) => debug!(%why, "the store cannot be told that this gateway goes on"),
        }
        match shared.store.runs().await {
            Ok(runs) => {
                let found = observer.look(&runs, started.elapsed());
                shared.others.store(found.others, Relaxed);
                if found.orphaned {
                    shared.orphaned.notify_one();
                }
                silent.send_replace(found.silent);
            }
            Err(why) => debug!(%why, "the store cannot be asked who is there"),
        }
    }
}

/// Fences those that are found silent, each once at a time. For whom there is no room now there will be at
/// a later look, if he is silent still.
async fn fence<B: Banks, S: Store>(
    shared: &Shared<B, S>,
    mut silent: watch::Receiver<Vec<RunNumber>>,
) {
    let (mut fencing, mut under_way) = (FuturesUnordered::new(), HashSet::new());
    loop {
        tokio::select! {
            Some(run) = fencing.next() => drop(under_way.remove(&run)),
            Ok(()) = silent.changed() => {
                for run in silent.borrow_and_update().iter().copied() {
                    if under_way.len() < FENCED_AT_ONCE && under_way.insert(run) {
                        fencing.push(shared.take_over_from(run));
                    }
                }
            }
            else => return,
        }
    }
}

impl<B: Banks, S: Store> Shared<B, S> {
    /// Fences a run, if that can be done now; which it was.
    async fn take_over_from(&self, run: RunNumber) -> RunNumber {
        match self.store.fence(run).await {
            Ok(true) => {
                warn!(run, "a gateway is silent; taking over its payments");
                self.orphaned.notify_one();
            }
            Ok(false) => {}
            Err(why) if retry::is_passing(&why) => debug!(run, %why, "cannot be fenced yet"),
            Err(why) => error!(run, %why, "a silent gateway cannot be fenced"),
        }
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(3);

    fn entry(number: RunNumber, beats: u64, live: bool) -> RunEntry {
        RunEntry { number, gateway: String::new(), beats, live }
    }

    fn check(
        observer: &mut Observer,
        now_ms: u64,
        runs: &[RunEntry],
        silent: &[RunNumber],
        others: bool,
    ) {
        let found = observer.look(runs, Duration::from_millis(now_ms));
        let expected = Findings { silent: silent.to_vec(), orphaned: false, others };
        assert_eq!(found, expected, "at {now_ms}");
    }

    #[test]
    fn who_is_not_heard_of_for_a_lease_is_silent() {
        let mut observer = Observer::new(1, LEASE);
        let both = |beats| [entry(1, 0, true), entry(2, beats, true)];
        check(&mut observer, 0, &both(5), &[], true);
        check(&mut observer, 1_000, &both(6), &[], true);
        for now_ms in [2_000, 3_000, 3_999] {
            check(&mut observer, now_ms, &both(6), &[], true);
        }
        check(&mut observer, 4_000, &both(6), &[2], true);
        check(&mut observer, 5_000, &[entry(1, 0, true)], &[], false);
    }

    #[test]
    fn who_comes_anew_has_a_lease() {
        let mut observer = Observer::new(1, LEASE);
        check(&mut observer, 0, &[entry(2, 5, true)], &[], true);
        let both = [entry(2, 5, true), entry(3, 0, true)];
        for now_ms in [1_000, 2_000] {
            check(&mut observer, now_ms, &both, &[], true);
        }
        check(&mut observer, 3_000, &both, &[2], true);
        check(&mut observer, 4_000, &both[1..], &[3], true);
    }

    #[test]
    fn nobody_is_silent_where_nobody_could_look() {
        let mut observer = Observer::new(1, LEASE);
        for now_ms in [0, 1_000, 2_000, 9_000, 10_000, 11_000] {
            check(&mut observer, now_ms, &[entry(2, 5, true)], &[], true);
        }
        check(&mut observer, 12_000, &[entry(2, 5, true)], &[2], true);
    }

    #[test]
    fn a_fenced_run_is_an_orphan_and_no_other() {
        let mut observer = Observer::new(3, LEASE);
        let found = observer.look(&[entry(1, 5, false), entry(3, 0, true)], Duration::ZERO);
        assert_eq!(found, Findings { silent: vec![], orphaned: true, others: false });
    }
}
