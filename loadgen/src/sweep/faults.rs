//! What befalls a fleet during a run: done at its time, and undone.
//!
//! Times count from the moment the generator began to send, so that a fault comes at the same call of
//! the schedule under every policy.

use std::time::{Duration, Instant};

use strife_fleet::Fleet;
use strife_runtime::Failure;

use super::plan::{FaultKind, FaultPlan, Plan};
use crate::{run::Progress, summary::FaultTimes};

/// How often it is looked whether the run has begun: connections are made first.
const START_POLL: Duration = Duration::from_millis(2);

/// A fault on its way.
pub(super) struct Injection {
    fault: FaultPlan,
    bank: String,
    /// The server it befalls; of one that is added, once it is there.
    server: String,
    /// Where the server serves that was added.
    address: Option<String>,
    /// Not measured time before the measured time.
    warmup: Duration,
    began: Option<Duration>,
    lifted: Option<Duration>,
}

impl Injection {
    /// `bank`: whose server it befalls.
    pub(super) fn new(plan: &Plan, fault: &FaultPlan, bank: &str) -> Self {
        Self {
            bank: bank.to_owned(),
            server: format!("{bank}-{}", fault.server()),
            address: None,
            fault: fault.clone(),
            warmup: plan.warmup,
            began: None,
            lifted: None,
        }
    }

    /// Sleeps until there is something to do; for ever once all is done.
    pub(super) async fn due(&self, progress: &Progress) {
        let at = match (self.began, self.lifted) {
            (None, _) => self.fault.at,
            (Some(_), None) => self.fault.until(),
            (Some(_), Some(_)) => return std::future::pending().await,
        };
        let origin = loop {
            match progress.origin() {
                Some(origin) => break origin,
                None => tokio::time::sleep(START_POLL).await,
            }
        };
        tokio::time::sleep_until((origin + self.warmup + at).into()).await;
    }

    /// Does what is due.
    pub(super) async fn act(
        &mut self,
        fleet: &mut Fleet,
        progress: &Progress,
    ) -> Result<(), Failure> {
        if self.began.is_none() {
            self.begin(fleet).await?;
            self.began = self.elapsed(progress);
        } else {
            self.end(fleet).await?;
            self.lifted = self.elapsed(progress);
        }
        Ok(())
    }

    /// Undoes what was done and not undone, when a run ends before its time.
    pub(super) async fn undo(&mut self, fleet: &mut Fleet) -> Result<(), Failure> {
        if self.began.is_some() && self.lifted.is_none() {
            self.end(fleet).await?;
        }
        Ok(())
    }

    /// When it was to be and when it was.
    pub(super) fn times(&self) -> FaultTimes {
        let Self { began, lifted, .. } = *self;
        FaultTimes { from: self.fault.at, until: self.fault.until(), began, lifted }
    }

    /// The name of the server at `address`, if it is the one that was added.
    pub(super) fn added(&self, address: &str) -> Option<&str> {
        self.address.as_deref().filter(|own| *own == address).map(|_| self.server.as_str())
    }

    async fn begin(&mut self, fleet: &mut Fleet) -> Result<(), Failure> {
        let server = &self.server;
        match self.fault.kind {
            FaultKind::None => {}
            FaultKind::Add => {
                self.server = fleet.add_server(&self.bank).await?;
                self.address = Some(fleet.address(&self.server)?.to_owned());
            }
            FaultKind::Slow => fleet.slow_down(server, self.fault.factor()).await?,
            FaultKind::FailFast => fleet.fail_fast(server).await?,
            FaultKind::Freeze => fleet.freeze(server)?,
            FaultKind::Kill => fleet.kill(server).await?,
            FaultKind::BankAway => fleet.kill_bank(&self.bank).await?,
        }
        Ok(())
    }

    async fn end(&self, fleet: &mut Fleet) -> Result<(), Failure> {
        let server = &self.server;
        match self.fault.kind {
            FaultKind::None => {}
            FaultKind::Add => fleet.remove_server(server).await?,
            FaultKind::Slow | FaultKind::FailFast => fleet.heal(server).await?,
            FaultKind::Freeze => fleet.thaw(server)?,
            FaultKind::Kill => fleet.restart(server).await?,
            FaultKind::BankAway => fleet.restart_bank(&self.bank).await?,
        }
        Ok(())
    }

    /// Since the start of the measured time.
    fn elapsed(&self, progress: &Progress) -> Option<Duration> {
        let origin = progress.origin()?;
        Some(Instant::now().duration_since(origin).saturating_sub(self.warmup))
    }
}
