//! Logs: coloured on a terminal, JSON on request, to standard error; never a secret.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; coloured when standard error is a terminal.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Flags every long-running command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Log format.
    #[arg(
        long,
        value_enum,
        default_value = "text",
        global = true,
        value_name = "FORMAT",
        display_order = 1000
    )]
    pub log: LogFormat,
    /// Log filter: error, warn, info, debug, or a tracing filter such as `warn,strife_lb=debug`.
    #[arg(
        long,
        default_value = "info",
        global = true,
        env = "STRIFE_LOG",
        value_name = "FILTER",
        display_order = 1001
    )]
    pub log_level: String,
}

/// Installs the process's only subscriber. An unreadable filter is named in the error.
pub fn init(args: &LogArgs) -> Result<(), crate::Failure> {
    let filter = EnvFilter::try_new(&args.log_level).map_err(|error| {
        crate::Failure::usage(format!("--log-level `{}`: {error}", args.log_level))
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr).with_target(false);
    // A second call (two commands in one test process) keeps the first subscriber.
    let _ = match args.log {
        LogFormat::Text => {
            registry.with(layer.with_ansi(std::io::stderr().is_terminal())).try_init()
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    Ok(())
}
