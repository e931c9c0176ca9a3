//! Logs: coloured on a terminal, JSON on request, to standard error; never a secret.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing::Dispatch;
use tracing_subscriber::{
    EnvFilter, fmt, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt,
};

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

impl LogArgs {
    /// The same flags, to hand to a child process.
    pub fn to_flags(&self) -> Vec<String> {
        let format = match self.log {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        ["--log", format, "--log-level", &self.log_level].map(str::to_owned).to_vec()
    }
}

/// Installs the process's only subscriber. An unreadable filter is named in the error.
pub fn init(args: &LogArgs) -> Result<(), crate::Failure> {
    let subscriber = subscriber(args, std::io::stderr, std::io::stderr().is_terminal())?;
    // A second call (two commands in one test process) keeps the first subscriber.
    let _ = subscriber.try_init();
    Ok(())
}

/// What [`init`] installs, writing to `writer`.
pub(crate) fn subscriber(
    args: &LogArgs,
    writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
    coloured: bool,
) -> Result<Dispatch, crate::Failure> {
    let filter = EnvFilter::try_new(&args.log_level).map_err(|error| {
        crate::Failure::usage(format!("--log-level `{}`: {error}", args.log_level))
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(writer).with_target(false);
    Ok(match args.log {
        LogFormat::Text => registry.with(layer.with_ansi(coloured)).into(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).into(),
    })
}
