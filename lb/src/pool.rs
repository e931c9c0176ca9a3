//! A pool: its members and its policy, as picks see them.
//!
//! Both stand in one snapshot behind an `ArcSwap`: a pick takes what is there, and no change touches
//! a call under way. Only [`crate::membership`] writes snapshots.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Cache};
use strife_policy::{InvalidPolicy, POLICIES, Policy, by_spec};
use tokio::{sync::watch, time::Instant};

use crate::{
    config::{PoolConfig, RouteConfig},
    discovery::SourceStatus,
    endpoint::Endpoint,
    error::LbError,
    metrics::PoolMetrics,
    picks::PoolPicks,
    snapshot::{ChosenPolicy, Member, Snapshot},
};

/// Interchangeable endpoints under one policy.
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) route: RouteConfig,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Told when members or their health change; a picker made anew is no such change.
    changed: watch::Sender<()>,
    /// Told when a member takes calls that took none.
    gained: watch::Sender<()>,
    /// Told when the policy is another.
    switched: watch::Sender<()>,
    /// Servers that were drained when they left, `host:port`: drained they come back.
    absent_drained: ArcSwap<Vec<String>>,
    /// Where its members come from.
    sources: ArcSwap<Vec<Arc<SourceStatus>>>,
    unavailable: AtomicU64,
    pub(crate) metrics: PoolMetrics,
    pub(crate) picks: Arc<PoolPicks>,
}

/// A reader's own view of the newest snapshot: almost free while there is no newer one.
pub(crate) type View = Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>;

impl Pool {
    /// Without members: those come from its sources.
    pub(crate) fn new(config: &PoolConfig) -> Result<Self, InvalidPolicy> {
        let snapshot = Snapshot::new(Arc::new([]), chosen(&config.policy)?, Duration::ZERO, 0);
        Ok(Self {
            name: config.name.clone(),
            route: config.route.clone(),
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            changed: watch::Sender::new(()),
            gained: watch::Sender::new(()),
            switched: watch::Sender::new(()),
            absent_drained: ArcSwap::default(),
            sources: ArcSwap::default(),
            unavailable: AtomicU64::new(0),
            metrics: PoolMetrics::default(),
            picks: Arc::default(),
        })
    }

    /// Waits until every source was asked and every member tried once, `timeout` at most.
    pub(crate) async fn wait_until_settled(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        for source in self.sources().iter() {
            if !source.wait_until_asked(left()).await {
                return false;
            }
        }
        self.wait_until(left(), Snapshot::is_settled).await
    }

    async fn wait_until(&self, timeout: Duration, condition: impl Fn(&Snapshot) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !condition(&self.snapshot.load()) {
                // Cannot fail: the sender is ours.
                let _ = changed.changed().await;
            }
        };
        tokio::time::timeout(timeout, wait).await.is_ok()
    }

    /// Told when members or their health change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Told when a member takes calls that took none.
    pub(crate) fn gains(&self) -> watch::Receiver<()> {
        self.gained.subscribe()
    }

    /// Told when the policy is another.
    pub(crate) fn policy_switches(&self) -> watch::Receiver<()> {
        self.switched.subscribe()
    }

    /// For the one writer only.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        let new = Arc::new(snapshot);
        let old = self.snapshot.swap(new.clone());
        if !Arc::ptr_eq(&old.members, &new.members) {
            self.changed.send_replace(());
        }
        if !Arc::ptr_eq(&old.ready, &new.ready) && new.has_newcomers(&old) {
            self.gained.send_replace(());
        }
        if !Arc::ptr_eq(&old.policy.policy, &new.policy.policy) {
            self.switched.send_replace(());
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(crate) fn view(&self) -> View {
        Cache::new(self.snapshot.clone())
    }

    pub(crate) fn member(&self, address: &str) -> Option<Member> {
        self.snapshot.load().member(address).cloned()
    }

    pub(crate) fn endpoint(&self, address: &str) -> Option<Arc<Endpoint>> {
        self.member(address).map(|member| member.endpoint)
    }

    /// Servers that were drained when they left, `host:port`: drained they come back.
    pub(crate) fn absent_drained(&self) -> Arc<Vec<String>> {
        self.absent_drained.load_full()
    }

    /// For the one writer only.
    pub(crate) fn set_absent_drained(&self, addresses: Vec<String>) {
        self.absent_drained.store(Arc::new(addresses));
    }

    /// Where its members come from, in their order.
    pub(crate) fn sources(&self) -> Arc<Vec<Arc<SourceStatus>>> {
        self.sources.load_full()
    }

    /// For [`crate::discovery`] only.
    pub(crate) fn set_sources(&self, sources: Vec<Arc<SourceStatus>>) {
        self.sources.store(Arc::new(sources));
    }

    /// Why there is nobody to send a call to.
    pub(crate) fn why_unavailable(&self) -> LbError {
        let pool = self.name.clone();
        if !self.snapshot.load().members.is_empty() {
            return LbError::NoReadyEndpoint(pool);
        }
        let why = |source: &Arc<SourceStatus>| match source.said().problem {
            problem if problem.is_empty() => format!("{} names none", source.name),
            problem => format!("{}: {problem}", source.name),
        };
        let why: Vec<_> = self.sources().iter().map(why).collect();
        LbError::NoServers { pool, why: why.join("; ") }
    }

    /// A call found no endpoint ready and was refused.
    pub(crate) fn count_unavailable(&self) {
        self.unavailable.fetch_add(1, Relaxed);
    }

    pub(crate) fn unavailable(&self) -> u64 {
        self.unavailable.load(Relaxed)
    }
}

#[cfg(test)]
impl Pool {
    /// Publishes these members without a writer.
    pub(crate) fn publish_members(&self, members: Vec<Member>) {
        let policy = self.snapshot().policy.clone();
        self.publish(Snapshot::new(members.into(), policy, Duration::ZERO, 0));
    }
}

/// The policy that this text asks for.
pub(crate) fn chosen(spec: &str) -> Result<ChosenPolicy, InvalidPolicy> {
    let policy: Arc<dyn Policy> = by_spec(spec)?.into();
    let place = POLICIES.iter().position(|kind| kind.name == policy.name());
    let place = place.expect("a policy that can be asked for is one of the policies");
    Ok(ChosenPolicy { spec: spec.to_owned(), policy, place })
}
