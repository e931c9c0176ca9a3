//! One group of runs: boot their fleet, make them, wait for what they queued, count the money, stop the
//! fleet.

use std::time::{Duration, Instant};

use strife_fleet::{Fleet, FleetSpec};
use strife_runtime::{Failure, Shutdown};

use super::{
    REPEATS,
    cells::{self, Group, Run},
    measure::{self, Target},
    plan::{Plan, StoreKind, WorkloadKind},
    progress::Bar,
    queue::QueueWatch,
    session::Session,
};
use crate::workload::AccountBook;

/// How long the calls of the last run may take to end, and holds to be released.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the balancer may take to find every server ready again after a fault, ejections included.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How often it is looked meanwhile whether they all live.
const READY_LOOK: Duration = Duration::from_secs(1);
/// The members yield to the generator: who measures is scheduled before what is measured.
const MEMBERS_NICENESS: i32 = 5;

/// Boots the fleet of `group` and makes all its runs that are not measured yet.
pub(super) async fn drive(
    plan: &Plan,
    group: &Group<'_>,
    spec: FleetSpec,
    session: &mut Session,
    bar: &Bar,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let label = group.workload.label();
    let banks = group.workload.banks;
    bar.doing(&format!("booting the fleet: {banks} x {} bank servers ({label})", group.servers));
    let accounts = spec.accounts();
    let mut fleet = tokio::select! {
        fleet = Fleet::boot(spec) => fleet?,
        () = shutdown.requested() => return Err(stopped(session, plan)),
    };
    session.describe_machine()?;
    let outcome = async {
        let before = fleet.totals().await?;
        let book = AccountBook::load(&accounts).map_err(|error| Failure::new(error.to_string()))?;
        let target = Target::new(plan, group, &fleet, &book)?;
        for run in &group.runs {
            if !session.has(&run.key) {
                one_run(plan, run, &target, &mut fleet, session, bar, shutdown).await?;
            }
        }
        for run in cells::at_shares(plan, group, session.summary()) {
            if !session.has(&run.key) {
                one_run(plan, &run, &target, &mut fleet, session, bar, shutdown).await?;
            }
        }
        bar.doing("counting the money");
        fleet.until_idle(SETTLE_TIMEOUT).await?;
        let books = fleet.settled_totals(SETTLE_TIMEOUT).await?.check_against(&before)?;
        session.add_books(format!("{label}: {books}"));
        Ok(())
    };
    let outcome = outcome.await;
    bar.doing("stopping the fleet");
    fleet.stop().await;
    outcome
}

/// Makes a run, again if its measurement failed, and keeps the last.
async fn one_run(
    plan: &Plan,
    run: &Run,
    target: &Target,
    fleet: &mut Fleet,
    session: &mut Session,
    bar: &Bar,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    for repeat in 0.. {
        if run.fault.is_some() {
            // What the balancer has learned of a fault, and the averages that the servers report, must not be
            // known in the next run.
            fleet.renew().await?;
        }
        until_ready(fleet).await?;
        fleet.set_policy(&run.key.policy).await?;
        fleet.until_idle(SETTLE_TIMEOUT).await?;
        let queue = QueueWatch::begin(target.queue_for, fleet).await?;
        let done = session.summary().len();
        let measured = measure::measure(plan, run, target, fleet, shutdown, |elapsed, progress| {
            bar.update(done, run, elapsed, progress);
        });
        let Some(mut measured) = measured.await? else { return Err(stopped(session, plan)) };
        measured.summary.attempts = repeat + 1;
        bar.finished(run, &measured.summary);
        if let Some(queue) = queue {
            let waiting = |open| bar.doing(&format!("waiting for {open} payments of the queue"));
            let row = tokio::select! {
                row = queue.drained(run, fleet, waiting) => row?,
                () = shutdown.requested() => return Err(stopped(session, plan)),
            };
            bar.line(&format!("  {}", row.told()));
            measured.queue = Some(row);
        }
        if measured.summary.valid || repeat == REPEATS {
            return session.add(&run.key, measured);
        }
        bar.line("  the measurement failed; making this run again");
    }
    Ok(())
}

/// Waits until every server takes calls; one that has ended never will.
async fn until_ready(fleet: &mut Fleet) -> Result<(), Failure> {
    let begun = Instant::now();
    while let Err(not_yet) = fleet.until_ready(READY_LOOK).await {
        fleet.check_alive()?;
        if begun.elapsed() > READY_TIMEOUT {
            return Err(not_yet.into());
        }
    }
    Ok(())
}

fn stopped(session: &Session, plan: &Plan) -> Failure {
    Failure::new(format!(
        "stopped; {} of {} runs are measured and kept in {}; the same command resumes",
        session.summary().len(),
        plan.runs(),
        session.dir().path().display()
    ))
}

/// The fleet of a group, the one of that number; `database` is where banks on PostgreSQL keep their money.
pub(super) fn spec(
    plan: &Plan,
    group: &Group<'_>,
    session: &Session,
    index: usize,
    database: Option<&str>,
) -> Result<FleetSpec, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find the strife program: {error}")))?;
    let dir = session.fleet_dir(index);
    // A fleet that was stopped amid a run left a store that is of no use to anyone.
    if dir.exists() {
        std::fs::remove_dir_all(&dir)
            .map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
    }
    let mut spec = FleetSpec::new(program, dir);
    spec.banks = group.workload.bank_specs(group.servers);
    spec.accounts_per_bank = group.workload.accounts;
    spec.database = match group.workload.store {
        StoreKind::Embedded => None,
        StoreKind::Postgres => database.map(str::to_owned),
    };
    spec.gateway = group.workload.kind == WorkloadKind::Payments;
    if !group.workload.payment_timeout.is_zero() {
        spec.payment_timeout = group.workload.payment_timeout;
    }
    if let Some(policy) = plan.policies.first() {
        spec.policy.clone_from(policy);
    }
    spec.plaintext = plan.plaintext;
    spec.report_interval = plan.report_interval;
    spec.balancer_threads = plan.balancer_threads;
    spec.allow_faults = !group.workload.faults.is_empty();
    spec.seed = plan.seed;
    spec.niceness = MEMBERS_NICENESS;
    Ok(spec)
}
