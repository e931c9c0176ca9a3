//! `strife load`: one run against any gRPC service, told in ghz's words.
//!
//! `describe` turns `--call` and `--data` into request bytes, with the server's reflection or a
//! `.proto` file; `report` writes down what was measured and `judge` decides how it ends. In between stands [`crate::run`].

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use indicatif::{ProgressBar, ProgressStyle};
use strife_runtime::{Failure, Role, Security, Shutdown, executor};

use crate::{
    run::{self, Length, Progress, RunConfig},
    samples::Samples,
    summary,
    workload::{
        AccountBook, AccountsError, BankWorkload, FixedWorkload, MethodName, PaymentMix,
        PaymentsWorkload, Workload,
    },
};

mod args;
mod describe;
mod judge;
mod report;
#[cfg(test)]
mod tests;

pub use args::LoadArgs;
use args::WorkloadKind;

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Makes one run and reports it.
pub fn run(args: LoadArgs) -> Result<(), Failure> {
    executor::block_on(1, load(args))
}

async fn load(mut args: LoadArgs) -> Result<(), Failure> {
    args.tls.plaintext |= args.insecure;
    let stop = Shutdown::on_signals()
        .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
    let security = Security::load(&args.tls, Role::Loadgen, "1")?;
    let config = args::config(&args, &security)?;
    let calls = tokio::select! {
        calls = Calls::of(&args, &security) => calls?,
        () = stop.requested() => return Ok(()),
    };
    let samples = drive(&config, calls.clone(), &stop).await?;
    let summary = summary::summarize(&samples, config.offered_rps(), &[]);
    let report = report::Report {
        what: calls.name(),
        config: &config,
        samples: &samples,
        summary: &summary,
    };
    print!("{}", report.printed(args.format)?);
    if let Some(dir) = &args.out {
        report.write(dir)?;
    }
    let lower = if config.offered_rps().is_some() { "-r" } else { "-c" };
    judge::judge(&samples, &summary.verdict, judge::busy_machine(lower).as_deref())
}

/// What is called; makes a workload for each thread.
#[derive(Clone)]
enum Calls {
    Fixed(FixedWorkload),
    Bank(Arc<AccountBook>, Vec<String>),
    Payments(Arc<AccountBook>),
}

impl Calls {
    async fn of(args: &LoadArgs, security: &Security) -> Result<Self, Failure> {
        let unusable = |error: AccountsError| Failure::usage(error.to_string());
        if let (Some(kind), Some(dir)) = (args.workload, &args.accounts) {
            let book = Arc::new(AccountBook::load(dir).map_err(unusable)?);
            return match kind {
                WorkloadKind::Bank => {
                    book.banks(&args.bank).map_err(unusable)?;
                    Ok(Self::Bank(book, args.bank.clone()))
                }
                WorkloadKind::Payments => {
                    book.owned().map_err(unusable)?;
                    Ok(Self::Payments(book))
                }
            };
        }
        let call = args.call.as_deref().unwrap_or_default();
        let method = MethodName::parse(call).ok_or_else(|| {
            Failure::usage(format!("`{call}` is not a method; write --call pkg.Service/Method"))
        })?;
        let authority = args.authority.as_deref().unwrap_or(&args.target);
        let described = match &args.proto {
            Some(file) => describe::from_file(&method, file, &args.import_paths)?,
            None => describe::by_reflection(&method, &args.target, authority, security).await?,
        };
        let json = match &args.data_file {
            Some(file) => describe::read_file(file)?,
            None if args.data == "@" => describe::read_stdin()?,
            None => args.data.clone(),
        };
        let message = describe::encode(&described, &json)?;
        Ok(Self::Fixed(FixedWorkload::new(method, authority, &message)))
    }

    fn name(&self) -> String {
        match self {
            Self::Fixed(workload) => workload.methods()[0].to_string(),
            Self::Bank(..) => "bank".to_owned(),
            Self::Payments(_) => "payments".to_owned(),
        }
    }

    /// `nonce` differs between runs, so that payment ids do.
    fn workload(&self, seed: u64, nonce: u64) -> Box<dyn Workload> {
        let checked = "checked when the book was read";
        match self {
            Self::Fixed(workload) => Box::new(workload.clone()),
            Self::Bank(book, banks) => {
                Box::new(BankWorkload::new(book.banks(banks).expect(checked), seed, nonce))
            }
            Self::Payments(book) => Box::new(PaymentsWorkload::new(
                book.owned().expect(checked),
                PaymentMix::default(),
                seed,
                nonce,
            )),
        }
    }
}

/// Runs on threads of its own while this one moves the progress bar and listens for Ctrl-C.
async fn drive(config: &RunConfig, calls: Calls, stop: &Shutdown) -> Result<Samples, Failure> {
    let progress = Progress::default();
    let mut running = tokio::task::spawn_blocking({
        let (config, progress, stop) = (config.clone(), progress.clone(), stop.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nonce = now.as_nanos() as u64;
        move || run::run(&config, &|seed| calls.workload(seed, nonce), &progress, &stop)
    });
    let bar = bar(config);
    let mut ticks = tokio::time::interval(TICK);
    let ran = loop {
        tokio::select! {
            ran = &mut running => break ran,
            _ = ticks.tick() => show(&bar, config, &progress),
        }
    };
    bar.finish_and_clear();
    let ran = ran.map_err(|error| Failure::new(format!("the load generator failed: {error}")))?;
    Ok(ran?)
}

/// Shown on a terminal only.
fn bar(config: &RunConfig) -> ProgressBar {
    let length = match config.length {
        Length::For(measured) => (config.warmup + measured).as_millis() as u64,
        Length::Calls(calls) => calls,
    };
    let style = ProgressStyle::with_template("{bar:32} {elapsed} {msg}")
        .expect("the template is a constant");
    ProgressBar::new(length).with_style(style)
}

fn show(bar: &ProgressBar, config: &RunConfig, progress: &Progress) {
    bar.set_position(match config.length {
        Length::For(_) => bar.elapsed().as_millis() as u64,
        Length::Calls(_) => progress.done(),
    });
    let (done, errors, in_flight) = (progress.done(), progress.errors(), progress.in_flight());
    bar.set_message(format!("{done} calls, {errors} errors, {in_flight} in flight"));
}
