//! A pool: its members, its policy, and picks.
//!
//! Members and policy stand behind an `ArcSwap` each: a pick takes what is there, and a switch of
//! either touches no call under way. Only [`crate::membership`] writes snapshots.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use strife_policy::{EndpointLoad, PickContext, Policy, Regime, UnknownPolicy, by_name};
use strife_runtime::tls::Expected;
use tokio::sync::watch;

use crate::{
    config::PoolConfig,
    endpoint::Endpoint,
    snapshot::{Member, Snapshot, State},
};

/// Interchangeable endpoints under one policy.
pub(crate) struct Pool {
    pub(crate) name: String,
    policy: ArcSwap<Box<dyn Policy>>,
    snapshot: ArcSwap<Snapshot>,
    /// Told at every new snapshot.
    published: watch::Sender<()>,
    unavailable: AtomicU64,
}

/// A policy's choice, resolved.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) regime: Regime,
}

impl Pool {
    /// `first_number`: of the pool's first endpoint; the others follow.
    pub(crate) fn new(config: &PoolConfig, first_number: usize) -> Result<Self, UnknownPolicy> {
        let member = |(index, address): (usize, &String)| Member {
            endpoint: Endpoint::new(first_number + index, address, Expected::of_pool(&config.name)),
            state: State::Idle,
            why: "not tried yet".to_owned(),
            draining: false,
        };
        let members = config.addresses.iter().enumerate().map(member).collect();
        Ok(Self {
            name: config.name.clone(),
            policy: ArcSwap::from_pointee(by_name(&config.policy)?),
            snapshot: ArcSwap::from_pointee(Snapshot::new(members)),
            published: watch::Sender::new(()),
            unavailable: AtomicU64::new(0),
        })
    }

    /// The endpoint for the next call; `None` when none is ready.
    pub(crate) fn pick(&self, context: &mut PickContext) -> Option<Picked> {
        let snapshot = self.snapshot.load();
        let pick = self.policy.load().pick(&snapshot.ready_loads, context)?;
        Some(Picked { endpoint: snapshot.ready[pick.index].clone(), regime: pick.regime })
    }

    /// As [`Pool::pick`], but an endpoint that was not `tried` before if there is one ready.
    pub(crate) fn pick_other(
        &self,
        context: &mut PickContext,
        tried: &[Arc<Endpoint>],
    ) -> Option<Picked> {
        let snapshot = self.snapshot.load();
        let is_new =
            |endpoint: &&Arc<Endpoint>| tried.iter().all(|old| !Arc::ptr_eq(old, endpoint));
        let others: Vec<_> = snapshot.ready.iter().filter(is_new).cloned().collect();
        if others.is_empty() {
            return self.pick(context);
        }
        let loads: Vec<Arc<EndpointLoad>> = others.iter().map(|other| other.load.clone()).collect();
        let pick = self.policy.load().pick(&loads, context)?;
        Some(Picked { endpoint: others[pick.index].clone(), regime: pick.regime })
    }

    /// Waits until every endpoint was tried once, `timeout` at most.
    pub(crate) async fn wait_until_settled(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, Snapshot::is_settled).await
    }

    async fn wait_until(&self, timeout: Duration, condition: impl Fn(&Snapshot) -> bool) -> bool {
        let mut published = self.published.subscribe();
        let wait = async {
            while !condition(&self.snapshot.load()) {
                // Cannot fail: the sender is ours.
                let _ = published.changed().await;
            }
        };
        tokio::time::timeout(timeout, wait).await.is_ok()
    }

    /// Told at every new snapshot.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.published.subscribe()
    }

    /// For the one writer only.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.published.send_replace(());
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(crate) fn endpoint(&self, address: &str) -> Option<Arc<Endpoint>> {
        let snapshot = self.snapshot.load();
        let found = snapshot.members.iter().find(|member| member.endpoint.address == address);
        found.map(|member| member.endpoint.clone())
    }

    /// From the next pick on.
    pub(crate) fn set_policy(&self, name: &str) -> Result<(), UnknownPolicy> {
        self.policy.store(Arc::new(by_name(name)?));
        Ok(())
    }

    pub(crate) fn policy_name(&self) -> &'static str {
        self.policy.load().name()
    }

    /// A call found no endpoint ready and was refused.
    pub(crate) fn count_unavailable(&self) {
        self.unavailable.fetch_add(1, Relaxed);
    }

    pub(crate) fn unavailable(&self) -> u64 {
        self.unavailable.load(Relaxed)
    }
}
