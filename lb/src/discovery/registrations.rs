//! Servers that say themselves that they are there: for the time of a lease, and again and again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Mutex as Turn,
    time::{Instant, MissedTickBehavior},
};
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
    /// Held while the table and the pool change, so that both do in the same order. Nobody may
    /// register while it is empty.
    source: Turn<Option<Open>>,
}

/// Servers may register.
struct Open {
    /// Who registered is told of here.
    status: Arc<SourceStatus>,
    since: Instant,
}

impl Registrations {
    /// Nobody may register yet.
    pub(crate) fn new(pool: Arc<Pool>, writer: Writer, clock: Clock, lease: Duration) -> Arc<Self> {
        let leases = Mutex::new(Leases::new(lease, MAX_REGISTRATIONS));
        Arc::new(Self { pool, writer, clock, lease, leases, source: Turn::new(None) })
    }

    /// Servers may register from now on, if they might not already.
    pub(super) async fn open(&self, status: Arc<SourceStatus>) {
        let mut turn = self.source.lock().await;
        let since = turn.as_ref().map_or_else(Instant::now, |open| open.since);
        *turn = Some(Open { status, since });
        self.count(&turn);
    }

    /// Nobody may register any more, and those that did leave.
    pub(super) async fn close(&self) {
        let mut turn = self.source.lock().await;
        let source = &mut *turn;
        let close = || {
            *source = None;
            self.leases().clear()
        };
        self.writer.leave(close).await;
    }

    /// Resolves when every server that is there had the time to register.
    pub(super) async fn until_heard(&self) {
        let since = self.source.lock().await.as_ref().map(|open| open.since);
        if let Some(since) = since {
            tokio::time::sleep_until(since + self.lease).await;
        }
    }

    /// A server is there for the time of a lease. How long that is, once the next pick knows of it.
    pub(crate) async fn register(&self, address: &str) -> Result<Duration, LbError> {
        self.register_all(vec![address.to_owned()]).await?;
        Ok(self.lease)
    }

    /// As [`Registrations::register`], of many at once. Those that there is room for are there.
    pub(crate) async fn register_all(&self, addresses: Vec<String>) -> Result<(), LbError> {
        let turn = self.source.lock().await;
        if turn.is_none() {
            return Err(LbError::NoRegistration(self.pool.name.clone()));
        }
        let (mut new, mut is_full) = (Vec::new(), false);
        for address in addresses {
            match self.leases().renew(&address, self.clock.now()) {
                Ok(true) => {
                    info!(pool = self.pool.name, endpoint = address, "server registered");
                    new.push(address);
                }
                Ok(false) => {}
                Err(Full) => is_full = true,
            }
        }
        if !new.is_empty() {
            self.writer.join(new).await;
            self.count(&turn);
        }
        if is_full {
            let (pool, most) = (self.pool.name.clone(), MAX_REGISTRATIONS);
            return Err(LbError::TooManyRegistrations { pool, most });
        }
        Ok(())
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
            self.writer.leave(|| vec![address.to_owned()]).await;
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
                self.writer.leave(|| gone).await;
                self.count(&turn);
            }
        }
    }

    /// Who is registered, `host:port`.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.leases().addresses().map(str::to_owned).collect()
    }

    fn count(&self, source: &Option<Open>) {
        let servers = self.leases().len();
        if let Some(Open { status, .. }) = source {
            status.say(|said| said.servers = servers);
        }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
