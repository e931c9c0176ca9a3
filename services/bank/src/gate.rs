//! Makes a server behave like one with few slots and a service time, for policy experiments.
//!
//! With `--slots N`, at most N calls are served at once and the others wait, first come, first
//! served, up to a bound. With `--service-time`, a served call first sleeps a seeded random time
//! while it holds its slot, then does its work. Sleeping costs no CPU, so many such servers fit on
//! one machine. tokio's timer counts whole milliseconds and rounds up: a sleep takes on average
//! about half a millisecond to one more than drawn. A [`Fault`] makes it slower or makes it fail
//! while it runs.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use strife_runtime::load::LoadTracker;
pub use strife_runtime::service_time::ServiceTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{BankError, fault::Fault};

/// How long a server that is to fail takes to do so: a call that fails costs little, and looks fast.
const FAILURE_TIME: Duration = Duration::from_millis(1);

/// What a [`Gate`] is to be like.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// Calls served at once; 0: no limit.
    pub slots: u32,
    /// How long a call takes beside its work.
    pub service_time: ServiceTime,
    /// Service times are multiplied by this.
    pub slow: f64,
    /// Seeds the service times.
    pub seed: u64,
    /// Most calls that may wait for a slot.
    pub max_queue: usize,
}

/// Where calls wait for a slot and sleep their service time.
#[derive(Debug)]
pub struct Gate {
    config: GateConfig,
    slots: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
    random: Mutex<StdRng>,
    fault: Mutex<Fault>,
    tracker: Arc<LoadTracker>,
}

/// Leave to work; the slot is free again, and the time counted, when it is dropped.
#[derive(Debug)]
pub struct Admission {
    tracker: Arc<LoadTracker>,
    granted_at: Instant,
    slot: Option<OwnedSemaphorePermit>,
}

impl Gate {
    /// A gate whose waiting and served calls are counted by `tracker`.
    pub fn new(config: GateConfig, tracker: Arc<LoadTracker>) -> Self {
        let slots = (config.slots > 0).then(|| Arc::new(Semaphore::new(config.slots as usize)));
        let random = Mutex::new(StdRng::seed_from_u64(config.seed));
        let (waiting, fault) = (AtomicUsize::new(0), Mutex::new(Fault::default()));
        Self { config, slots, waiting, random, fault, tracker }
    }

    /// What ails the server from now on; calls that have their slot are served as they would have been.
    pub fn set_fault(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Whether calls are served as they come: neither by slots nor for a time that was told.
    pub fn is_open(&self) -> bool {
        self.slots.is_none() && self.config.service_time == ServiceTime::Constant(Duration::ZERO)
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a slot, then sleeps the service time; or fails at once, if the server is to fail.
    pub async fn admit(&self) -> Result<Admission, BankError> {
        if let Some(code) = self.fault().fail_with {
            tokio::time::sleep(FAILURE_TIME).await;
            return Err(BankError::Faulty { code });
        }
        let slot = match &self.slots {
            Some(slots) => Some(self.slot(slots).await?),
            None => None,
        };
        let admission =
            Admission { tracker: self.tracker.clone(), granted_at: Instant::now(), slot };
        let drawn = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            self.config.service_time.draw(&mut *random)
        };
        if !drawn.is_zero() {
            tokio::time::sleep(drawn.mul_f64(self.config.slow * self.fault().slow)).await;
        }
        Ok(admission)
    }

    async fn slot(&self, slots: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, BankError> {
        if let Ok(permit) = slots.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let limit = self.config.max_queue;
        let fits = |now: usize| (now < limit).then_some(now + 1);
        self.waiting
            .fetch_update(Relaxed, Relaxed, fits)
            .map_err(|_| BankError::SlotsExhausted { limit })?;
        let _waiting = Waiting(&self.waiting);
        let _queued = self.tracker.queued();
        let permit = slots.clone().acquire_owned().await;
        Ok(permit.expect("the semaphore is never closed"))
    }
}

/// Counts a waiting call until it has its slot or is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        // Without slots the whole call counts, and the runtime takes the time.
        if self.slot.take().is_some() {
            let now = Instant::now();
            self.tracker.served(now - self.granted_at, now.into_std());
        }
    }
}

#[cfg(test)]
mod tests;
