//! Servers that say themselves that they are there: for the time of a lease, and again and again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::Mutex as Turn, time::MissedTickBehavior};
use tracing::info;

use super::{
    SourceStatus,
    leases::{Full, Leases, SWEEPS_PER_LEASE},
};
use crate::{clock::Clock, error::LbError, membership::Writer, pool::Pool};

/// Servers that may be registered with one pool.
const MAX_REGISTRATIONS: usize = 10_000;

/// The registrations of one pool.
pub(crate) struct Registrations {
    pool: Arc<Pool>,
    writer: Writer,
    clock: Clock,
    lease: Duration,
    leases: Mutex<Leases>,
    /// Held while the table and the pool change, so that both do in the same order. Who may register
    /// is told of here; nobody may while it is empty.
    source: Turn<Option<Arc<SourceStatus>>>,
}

impl Registrations {
    /// Nobody may register yet.
    pub(crate) fn new(pool: Arc<Pool>, writer: Writer, clock: Clock, lease: Duration) -> Arc<Self> {
        let leases = Mutex::new(Leases::new(lease, MAX_REGISTRATIONS));
        Arc::new(Self { pool, writer, clock, lease, leases, source: Turn::new(None) })
    }

    /// Servers may register from now on, or no more if there is no such source: then those that did
    /// leave.
    pub(super) async fn open(&self, source: Option<Arc<SourceStatus>>) {
        let mut turn = self.source.lock().await;
        *turn = source;
        if turn.is_none() {
            let gone = self.leases().clear();
            self.leave(gone).await;
        }
        self.count(&turn);
    }

    /// A server is there for the time of a lease. How long that is, once the next pick knows of it.
    pub(crate) async fn register(&self, address: &str) -> Result<Duration, LbError> {
        let turn = self.source.lock().await;
        if turn.is_none() {
            return Err(LbError::NoRegistration(self.pool.name.clone()));
        }
        let renewed = self.leases().renew(address, self.clock.now());
        let is_new = renewed.map_err(|Full| LbError::TooManyRegistrations {
            pool: self.pool.name.clone(),
            most: MAX_REGISTRATIONS,
        })?;
        if is_new {
            info!(pool = self.pool.name, endpoint = address, "server registered");
            self.writer.joins(address.to_owned()).await;
            self.count(&turn);
        }
        Ok(self.lease)
    }

    /// A server is there no more; whether it was registered.
    pub(crate) async fn deregister(&self, address: &str) -> Result<bool, LbError> {
        let turn = self.source.lock().await;
        if turn.is_none() {
            return Err(LbError::NoRegistration(self.pool.name.clone()));
        }
        let was_there = self.leases().end(address);
        if was_there {
            info!(pool = self.pool.name, endpoint = address, "server deregistered");
            self.writer.leaves(address.to_owned()).await;
            self.count(&turn);
        }
        Ok(was_there)
    }

    /// Takes out those that did not register again, as long as it is polled.
    pub(crate) async fn expire(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(self.lease / SWEEPS_PER_LEASE);
        // After a pause one look is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let turn = self.source.lock().await;
            let gone = self.leases().sweep(self.clock.now());
            if !gone.is_empty() {
                for endpoint in &gone {
                    info!(pool = self.pool.name, endpoint, "registration ended");
                }
                self.leave(gone).await;
                self.count(&turn);
            }
        }
    }

    /// Who is registered, `host:port`.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.leases().addresses().map(str::to_owned).collect()
    }

    /// Side by side, so that the pool is written once.
    async fn leave(&self, gone: Vec<String>) {
        join_all(gone.into_iter().map(|address| self.writer.leaves(address))).await;
    }

    fn count(&self, source: &Option<Arc<SourceStatus>>) {
        let servers = self.leases().len();
        if let Some(status) = source {
            status.say(|said| said.servers = servers);
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
