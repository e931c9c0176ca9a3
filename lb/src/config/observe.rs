//! What is told of calls while they run: which picks are explained, where traces go.

use clap::{Args, builder::TypedValueParser, value_parser};
use http::Uri;

use crate::{picks, trace::Tracing};

/// Share of the calls without a decision of their client that are traced, unless a flag says so.
const DEFAULT_TRACE_RATIO: &str = "0.01";

/// Flags for pick traces and OpenTelemetry.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Explain and observe")]
pub struct ObserveArgs {
    /// One pick in so many is explained: which servers it was among, what was known of them, which
    /// rule decided. 0: none, but while `strife admin picks` watches.
    #[arg(long, value_name = "N", default_value_t = picks::DEFAULT_EVERY, value_parser = every())]
    pub pick_sample: u64,
    /// A line of JSON for every pick that is explained, appended to this file, for `strife replay`;
    /// `-` is standard error.
    #[arg(long, value_name = "FILE")]
    pub pick_log: Option<String>,
    /// Where spans of calls are sent: a collector's OTLP/gRPC address, as in http://127.0.0.1:4317.
    #[arg(long, value_name = "URL", value_parser = collector)]
    pub otlp_endpoint: Option<Uri>,
    /// Share of the calls that are traced, 0 to 1, of those whose client sends no `traceparent`;
    /// where it does, its sampled flag decides.
    #[arg(long, value_name = "RATIO", default_value = DEFAULT_TRACE_RATIO, value_parser = ratio)]
    pub trace_sample: f64,
}

/// What is told of calls while they run; see [`ObserveArgs`].
#[derive(Debug, Clone, Default)]
pub struct Observe {
    /// One pick in so many is explained; 0: none.
    pub pick_every: u64,
    /// Where explained picks are logged.
    pub pick_log: Option<String>,
    /// Where spans go; nowhere if `None`.
    pub tracing: Option<Tracing>,
}

impl ObserveArgs {
    /// Every flag was checked when it was parsed.
    pub(crate) fn observe(&self) -> Observe {
        let tracing = self
            .otlp_endpoint
            .clone()
            .map(|endpoint| Tracing { endpoint, ratio: self.trace_sample });
        Observe { pick_every: self.pick_sample, pick_log: self.pick_log.clone(), tracing }
    }
}

/// More would not fit where gaps are drawn.
fn every() -> impl TypedValueParser<Value = u64> {
    value_parser!(u64).range(..=1 << 40)
}

fn collector(text: &str) -> Result<Uri, String> {
    let wanted = || {
        "write http://HOST:PORT, the collector's OTLP/gRPC address; for a collector that wants TLS \
         run one beside the balancer"
            .to_owned()
    };
    let uri: Uri = text.parse().map_err(|_| wanted())?;
    let has_no_path = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let is_meant = uri.scheme_str() == Some("http") && uri.port_u16().is_some() && has_no_path;
    if is_meant { Ok(uri) } else { Err(wanted()) }
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    let is_ratio = (0.0..=1.0).contains(&ratio);
    if is_ratio { Ok(ratio) } else { Err("it must be between 0 and 1".to_owned()) }
}
