//! The main job: boot a fleet, drive it under every cell of a plan, write what was measured, draw it.
//!
//! `plan` says what is wanted, `cells` in which order, `session` what is already there;
//! `measure` does one run on a booted fleet, `queue` waits for what it put off. A sweep that was stopped goes on where it stopped, and
//! after every fleet the money in its banks is counted.

mod cells;
pub(crate) mod costs;
mod faults;
mod fleet;
pub(crate) mod machine;
mod measure;
pub mod plan;
mod progress;
mod queue;
mod session;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::Args;
use strife_runtime::{Failure, Shutdown, executor};

use self::{
    cells::Group,
    plan::{Plan, StoreKind},
    progress::Bar,
    session::Session,
};
use crate::{
    plot,
    results::{ResultDir, RunRow},
};

/// How often a run whose measurement failed is made again before it stands as invalid.
const REPEATS: u32 = 2;

/// Compare policies: boot a fleet, drive it under each, write CSV files, charts and a report.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife sweep                                    the default plan, about two minutes
  strife sweep loadgen/plans/clients.toml         100 to 1,000 clients
  strife sweep loadgen/plans/faults.toml          a server slow, failing, killed, added ...
  strife sweep loadgen/plans/queued.toml          payments that wait while a bank is away
  strife sweep my-plan.toml --out results/mine    results elsewhere; run again to resume

Ctrl-C stops every process and keeps what was measured.
Exit codes: 0 done, 1 failed, 2 wrong plan or flags, 3 a run stayed invalid.")]
pub struct SweepArgs {
    /// The plan, TOML; without one the default plan runs. Ready plans stand in loadgen/plans/.
    #[arg(value_name = "PLAN")]
    pub plan: Option<PathBuf>,
    /// Where to write; results/NAME by default, NAME being the plan's.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where the banks of workloads with store = "postgres" keep their money: an empty database,
    /// postgres://USER@HOST:PORT/DATABASE.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Measure everything again instead of resuming.
    #[arg(long)]
    pub fresh: bool,
    /// Print the plan, every default written out, and do nothing.
    #[arg(long)]
    pub print_plan: bool,
}

/// Runs a sweep to its end, or until Ctrl-C.
pub fn run(args: SweepArgs) -> Result<(), Failure> {
    let plan = match &args.plan {
        Some(path) => Plan::read(path)?,
        None => Plan::parse(plan::DEFAULT, "the default plan")?,
    };
    let on_postgres = |workload: &plan::WorkloadPlan| workload.store == StoreKind::Postgres;
    if args.database.is_none() && plan.workloads.iter().any(on_postgres) {
        return Err(Failure::usage(
            "the plan has a workload with store = \"postgres\"; name the database with --database \
             postgres://USER@HOST:PORT/DATABASE",
        ));
    }
    if args.print_plan {
        print!("{}", plan.to_toml()?);
        return Ok(());
    }
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("results").join(&plan.name));
    let mut session = Session::open(ResultDir::new(out), &plan, args.fresh)?;
    let outcome = executor::block_on(1, async {
        let shutdown = Shutdown::on_signals().map_err(|error| Failure::new(error.to_string()))?;
        sweep(&plan, args.database.as_deref(), &mut session, &shutdown).await
    });
    let drawn = report(&session, &plan);
    match outcome {
        Ok(()) => drawn.and_then(|()| verdict(&session)),
        Err(failure) => Err(failure),
    }
}

async fn sweep(
    plan: &Plan,
    database: Option<&str>,
    session: &mut Session,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let groups: Vec<Group<'_>> = cells::groups(plan);
    let to_do: usize = groups.iter().map(|group| open_runs(plan, session, group)).sum();
    if to_do == 0 {
        eprintln!("every run of this plan is already measured; --fresh measures again");
        return Ok(());
    }
    if to_do < plan.runs() {
        eprintln!("resuming: {} of {} runs are already measured", plan.runs() - to_do, plan.runs());
    }
    let bar = Bar::new(to_do, plan.warmup + plan.duration);
    for (index, group) in groups.iter().enumerate() {
        if open_runs(plan, session, group) > 0 {
            let spec = fleet::spec(plan, group, session, index, database)?;
            fleet::drive(plan, group, spec, session, &bar, shutdown).await?;
        }
    }
    bar.finish();
    session.clean_up();
    Ok(())
}

/// Runs that are not measured yet, those at a share of the most among them.
fn open_runs(plan: &Plan, session: &Session, group: &Group<'_>) -> usize {
    let shares = group.workload.at_share_of_max.len() * plan.policies.len() * plan.trials as usize;
    let at_shares = cells::at_shares(plan, group, session.summary());
    let measured = at_shares.iter().filter(|run| session.has(&run.key)).count();
    group.runs.iter().filter(|run| !session.has(&run.key)).count() + shares - measured.min(shares)
}

/// Draws and prints what has been measured, if anything has.
fn report(session: &Session, plan: &Plan) -> Result<(), Failure> {
    if session.summary().is_empty() {
        return Ok(());
    }
    println!("\n{}", table::table(session.summary(), &plan.policies));
    let costs = costs::table(session.summary(), session.members(), &plan.policies);
    if !costs.is_empty() {
        println!("{costs}");
    }
    let drawn = plot::draw(session.dir()).map_err(|error| Failure::new(error.to_string()))?;
    for headline in &drawn.headlines {
        println!("{headline}");
    }
    for row in session.queue() {
        println!("{}, {}, trial {}: {}", row.key().of(), row.policy, row.trial, row.told());
    }
    for line in session.books() {
        println!("{line}");
    }
    println!(
        "\n{} files of charts (SVG and PNG) in {}",
        drawn.charts.len(),
        session.dir().charts().display()
    );
    println!("report: {}", drawn.report.display());
    Ok(())
}

fn verdict(session: &Session) -> Result<(), Failure> {
    let invalid = session.summary().iter().filter(|row| !row.valid).count();
    if invalid == 0 {
        return Ok(());
    }
    Err(Failure::invalid_measurement(format!(
        "{invalid} of {} runs are INVALID (the measurement failed, not the target; `why` in {} says how); quiet \
         the machine or lower the rates, and run again with --fresh",
        session.summary().len(),
        session.dir().summary().display()
    )))
}
