//! `strife load`: one run against any gRPC service, told in ghz's words.
//!
//! [`describe`] turns `--call` and `--data` into request bytes, with the server's reflection or a
//! `.proto` file; [`report`] writes down what was measured. In between stands [`crate::run`].

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};
use indicatif::{ProgressBar, ProgressStyle};
use strife_runtime::{Failure, Role, Security, Shutdown, TlsArgs, executor, parse};

use crate::{
    run::{
        self, DEFAULT_CLIENTS, DEFAULT_CONNECTIONS, DEFAULT_IN_FLIGHT_LIMIT, Length, Pace,
        Progress, RunConfig,
    },
    samples::Samples,
    schedule::Arrivals,
    summary,
    workload::{
        AccountBook, AccountsError, BankWorkload, FixedWorkload, MethodName, PaymentsWorkload,
        Workload,
    },
};

mod describe;
mod report;
#[cfg(test)]
mod tests;

/// Measured time, unless told otherwise.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Warm-up before it.
const DEFAULT_WARMUP: Duration = Duration::from_secs(1);
/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

/// Load a gRPC service and measure it
///
/// With --rps calls are sent when they are due, whatever the target does, and response times count
/// from then; without, each client sends its next call when its last one ended.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife load 127.0.0.1:50051 --call helloworld.Greeter/SayHello -d '{\"name\":\"Ann\"}' -r 2000 -z 30s --plaintext
  strife load 127.0.0.1:7000 --call strife.bank.v1.BankService/ValidateAccount \\
      -d '{\"account_id\":\"ICICI-000001\"}' --authority bank.icici -c 500 -r 5000
  strife load 127.0.0.1:50051 --call helloworld.Greeter/SayHello --proto hello.proto -n 1000 --plaintext
  strife load 127.0.0.1:7000 --workload payments --accounts accounts -r 500 -z 1m --out results/payments

Exit codes: 0 done, 1 failed, 2 wrong flags or files, 3 the measurement is not valid.")]
pub struct LoadArgs {
    /// Server or balancer to load.
    #[arg(value_name = "HOST:PORT")]
    target: String,
    /// Unary method to call.
    #[arg(long, value_name = "PKG.SERVICE/METHOD", required_unless_present = "workload")]
    call: Option<String>,
    /// Request as JSON; @ reads it from standard input.
    #[arg(short, long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// File with the request as JSON.
    #[arg(short = 'D', long, value_name = "FILE", conflicts_with = "data")]
    data_file: Option<PathBuf>,
    /// Headers of every call, a JSON object of strings.
    #[arg(short, long, value_name = "JSON")]
    metadata: Option<String>,
    /// File that defines the service, where the server has no reflection.
    #[arg(long, value_name = "FILE")]
    proto: Option<PathBuf>,
    /// Directories in which that file's imports are.
    #[arg(short, long, value_name = "DIR", value_delimiter = ',', requires = "proto")]
    import_paths: Vec<PathBuf>,
    /// :authority of every call, by which a balancer routes [default: HOST:PORT].
    #[arg(long, conflicts_with = "workload")]
    authority: Option<String>,
    /// Strife's own traffic instead of one call.
    #[arg(long, value_enum, conflicts_with = "call", requires = "accounts")]
    workload: Option<WorkloadKind>,
    /// Directory of the account files that the banks were started with.
    #[arg(long, value_name = "DIR")]
    accounts: Option<PathBuf>,
    /// Banks that --workload bank calls [default: every one in --accounts].
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    bank: Vec<String>,
    /// Simulated clients.
    #[arg(short = 'c', long, alias = "concurrency", default_value_t = DEFAULT_CLIENTS, value_name = "N")]
    clients: u32,
    /// Connections those clients share.
    #[arg(long, default_value_t = DEFAULT_CONNECTIONS, value_name = "N")]
    connections: u32,
    /// Calls a second of all clients together; without, a closed loop.
    #[arg(short, long, value_name = "RATE")]
    rps: Option<f64>,
    /// How those calls follow each other.
    #[arg(long, value_enum, default_value = "poisson")]
    arrivals: Arrivals,
    /// Measured time [default: 10s].
    #[arg(short = 'z', long, value_parser = parse::duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// Calls to make, instead of a time.
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["duration", "warmup"])]
    total: Option<u64>,
    /// Time before the measured time, in which calls are sent but not counted [default: 1s].
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    warmup: Option<Duration>,
    /// How long a call may take.
    #[arg(short, long, value_parser = parse::duration, default_value = "2s", value_name = "TIME")]
    timeout: Duration,
    /// Calls under way at once; those due beyond it are counted as errors.
    #[arg(long, default_value_t = DEFAULT_IN_FLIGHT_LIMIT, value_name = "N")]
    max_in_flight: u32,
    /// Worker threads [default: 1 on up to 2 cores, else 2].
    #[arg(long, value_name = "N")]
    threads: Option<u32>,
    /// Decides send times and requests: the same seed, the same load.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How the result is printed.
    #[arg(short = 'O', long, value_enum, default_value = "text")]
    format: Format,
    /// Directory for histograms (.hgrm) and CSV files.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// As --plaintext, for those who know ghz.
    #[arg(long, hide = true)]
    insecure: bool,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Strife's own traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorkloadKind {
    /// Reads and transfers at one or more banks.
    Bank,
    /// Payments between users, through the gateway.
    Payments,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One object, for machines.
    Json,
    /// The row of summary.csv.
    Csv,
}

/// Makes one run and reports it.
pub fn run(args: LoadArgs) -> Result<(), Failure> {
    executor::block_on(1, load(args))
}

async fn load(mut args: LoadArgs) -> Result<(), Failure> {
    args.tls.plaintext |= args.insecure;
    let stop = Shutdown::on_signals()
        .map_err(|error| Failure::new(format!("cannot listen for signals: {error}")))?;
    let security = Security::load(&args.tls, Role::Loadgen, "1")?;
    let config = config(&args, &security)?;
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
    judge(&samples, &summary)
}

fn config(args: &LoadArgs, security: &Security) -> Result<RunConfig, Failure> {
    let defaults = RunConfig::new(&args.target, security.clone());
    let duration = args.duration.unwrap_or(DEFAULT_DURATION);
    Ok(RunConfig {
        clients: args.clients,
        connections: args.connections.min(args.clients),
        threads: args.threads.unwrap_or(defaults.threads),
        pace: match args.rps {
            Some(rate) => Pace::Open { rate, arrivals: args.arrivals },
            None => Pace::Closed,
        },
        warmup: args.warmup.unwrap_or(DEFAULT_WARMUP),
        length: args.total.map_or(Length::For(duration), Length::Calls),
        timeout: args.timeout,
        in_flight_limit: args.max_in_flight,
        seed: args.seed,
        metadata: args.metadata.as_deref().map(metadata).transpose()?.unwrap_or_default(),
        ..defaults
    })
}

/// Reads `{"name": "value"}`.
fn metadata(json: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let unusable = |why: String| {
        Failure::usage(format!(
            "--metadata: {why}; write a JSON object such as {{\"trace\":\"1\"}}"
        ))
    };
    let pairs: std::collections::BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|error| unusable(error.to_string()))?;
    let header = |(name, value): (String, String)| {
        let wrong = |_| unusable(format!("`{name}: {value}` cannot be a header"));
        let parsed = (name.parse::<HeaderName>(), value.parse::<HeaderValue>());
        Ok((parsed.0.map_err(|_| wrong(()))?, parsed.1.map_err(|_| wrong(()))?))
    };
    pairs.into_iter().map(header).collect()
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
            Self::Payments(book) => {
                Box::new(PaymentsWorkload::new(book.owned().expect(checked), seed, nonce))
            }
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

/// A measurement that cannot be trusted, or that measured no answer at all, is not a success.
fn judge(samples: &Samples, summary: &summary::Summary) -> Result<(), Failure> {
    let counters = &samples.counters;
    if samples.stopped_early && counters.due == 0 {
        return Err(Failure::new("stopped before anything was measured"));
    }
    if counters.due > 0 && counters.ok + counters.refused == 0 {
        let causes: Vec<String> = report::errors(samples).into_iter().map(|it| it.0).collect();
        return Err(Failure::new(format!(
            "no call succeeded ({}); check the target, the authority and the request",
            causes.join(", ")
        )));
    }
    if !summary.verdict.is_valid() {
        return Err(Failure::invalid_measurement(format!(
            "the measurement is not valid: {}; lower the rate, add --threads, or free the machine",
            summary.verdict.invalid.join("; ")
        )));
    }
    Ok(())
}
