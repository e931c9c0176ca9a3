//! The flags of `strife load`, by ghz's names where it has them.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};
use strife_runtime::{Failure, Security, TlsArgs, parse};

use crate::{
    run::{DEFAULT_CLIENTS, DEFAULT_CONNECTIONS, DEFAULT_IN_FLIGHT_LIMIT, Length, Pace, RunConfig},
    schedule::Arrivals,
};

/// Measured time, unless told otherwise.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);
/// Warm-up before it.
const DEFAULT_WARMUP: Duration = Duration::from_secs(1);

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

Exit codes: 0 done, 1 failed or more than half of the calls failed, 2 wrong flags or files,
3 the measurement is not valid.")]
pub struct LoadArgs {
    /// Server or balancer to load.
    #[arg(value_name = "HOST:PORT")]
    pub(super) target: String,
    /// Unary method to call.
    #[arg(long, value_name = "PKG.SERVICE/METHOD", required_unless_present = "workload")]
    pub(super) call: Option<String>,
    /// Request as JSON; @ reads it from standard input.
    #[arg(short, long, value_name = "JSON", default_value = "{}")]
    pub(super) data: String,
    /// File with the request as JSON.
    #[arg(short = 'D', long, value_name = "FILE", conflicts_with = "data")]
    pub(super) data_file: Option<PathBuf>,
    /// Headers of every call, a JSON object of strings.
    #[arg(short, long, value_name = "JSON")]
    pub(super) metadata: Option<String>,
    /// File that defines the service, where the server has no reflection.
    #[arg(long, value_name = "FILE")]
    pub(super) proto: Option<PathBuf>,
    /// Directories in which that file's imports are.
    #[arg(short, long, value_name = "DIR", value_delimiter = ',', requires = "proto")]
    pub(super) import_paths: Vec<PathBuf>,
    /// :authority of every call, by which a balancer routes [default: HOST:PORT].
    #[arg(long, conflicts_with = "workload")]
    pub(super) authority: Option<String>,
    /// Strife's own traffic instead of one call.
    #[arg(long, value_enum, conflicts_with = "call", requires = "accounts")]
    pub(super) workload: Option<WorkloadKind>,
    /// Directory of the account files that the banks were started with.
    #[arg(long, value_name = "DIR")]
    pub(super) accounts: Option<PathBuf>,
    /// Banks that --workload bank calls [default: every one in --accounts].
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(super) bank: Vec<String>,
    /// Simulated clients.
    #[arg(short = 'c', long, alias = "concurrency", default_value_t = DEFAULT_CLIENTS, value_name = "N")]
    pub(super) clients: u32,
    /// Connections those clients share.
    #[arg(long, default_value_t = DEFAULT_CONNECTIONS, value_name = "N")]
    pub(super) connections: u32,
    /// Calls a second of all clients together; without, a closed loop.
    #[arg(short, long, value_name = "RATE")]
    pub(super) rps: Option<f64>,
    /// How those calls follow each other.
    #[arg(long, value_enum, default_value = "poisson")]
    pub(super) arrivals: Arrivals,
    /// Measured time [default: 10s].
    #[arg(short = 'z', long, value_parser = parse::duration, value_name = "TIME")]
    pub(super) duration: Option<Duration>,
    /// Calls to make, instead of a time.
    #[arg(short = 'n', long, value_name = "N", conflicts_with_all = ["duration", "warmup"])]
    pub(super) total: Option<u64>,
    /// Time before the measured time, in which calls are sent but not counted [default: 1s].
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub(super) warmup: Option<Duration>,
    /// How long a call may take.
    #[arg(short, long, value_parser = parse::duration, default_value = "2s", value_name = "TIME")]
    pub(super) timeout: Duration,
    /// Calls under way at once; those due beyond it are counted as errors.
    #[arg(long, default_value_t = DEFAULT_IN_FLIGHT_LIMIT, value_name = "N")]
    pub(super) max_in_flight: u32,
    /// Worker threads [default: 1 on up to 2 cores, else 2].
    #[arg(long, value_name = "N")]
    pub(super) threads: Option<u32>,
    /// Decides send times and requests: the same seed, the same load.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// How the result is printed.
    #[arg(short = 'O', long, value_enum, default_value = "text")]
    pub(super) format: Format,
    /// Directory for histograms (.hgrm) and CSV files.
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// As --plaintext, for those who know ghz.
    #[arg(long, hide = true)]
    pub(super) insecure: bool,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
}

/// Strife's own traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WorkloadKind {
    /// Reads and transfers at one or more banks.
    Bank,
    /// Payments between users, through the gateway.
    Payments,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One object, for machines.
    Json,
    /// The row of summary.csv.
    Csv,
}

/// The run that the flags ask for.
pub(super) fn config(args: &LoadArgs, security: &Security) -> Result<RunConfig, Failure> {
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
