//! Every bound of the balancer: its flag, its default, and the range it may have.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use clap::Args;
use strife_runtime::parse;

use crate::error::LbError;

/// No time given by a flag is longer: a clock can be advanced by it without a thought.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Flags for the balancer's bounds.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Client connections served at once; more wait to be accepted.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub max_connections: usize,
    /// Calls a client may have under way on one connection, 100000 at most; more wait in the
    /// client.
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub max_streams: u32,
    /// Decoded size of the headers or trailers of a call (RFC 9113, section 6.5.2); a call with
    /// more is refused.
    #[arg(long, default_value = "64KiB", value_parser = parse::bytes, value_name = "BYTES")]
    pub max_header_list: u64,
    /// What one call may send ahead of its receiver, each way.
    #[arg(long, default_value = "64KiB", value_parser = parse::bytes, value_name = "BYTES")]
    pub stream_window: u64,
    /// Bytes of calls that do not move, per thread; when there is no room left, the calls that hold most are
    /// ended.
    #[arg(long, default_value = "256MiB", value_parser = parse::bytes, value_name = "BYTES")]
    pub max_buffer: u64,
    /// Connections to one server, per thread; another is opened when the calls on all of them are
    /// as many as they may be.
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub connections_per_server: usize,
    /// Calls on one connection to a server, fewer if the server allows fewer.
    #[arg(long, default_value_t = 1024, value_name = "N")]
    pub streams_per_connection: u32,
    /// Calls under way at one server, all threads together: a circuit breaker against overload. What is
    /// more goes to another server or waits for --ready-timeout. None if not given.
    #[arg(long, value_name = "N")]
    pub max_calls_per_server: Option<u64>,
    /// Servers a call is tried on, as long as it cannot have run on the one before or may run twice
    /// (--idempotent).
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub max_attempts: usize,
    /// Retries of calls that a server refused or failed, in percent of the pool's calls of the last ten
    /// seconds, per thread.
    #[arg(long, default_value_t = 20, value_name = "PERCENT")]
    pub retry_budget: u32,
    /// As many such retries a second are allowed beside, per pool and thread.
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub min_retries: u32,
    /// How long a call waits for a server when none is ready or all their streams are in use.
    #[arg(long, default_value = "500ms", value_parser = parse::duration, value_name = "TIME")]
    pub ready_timeout: Duration,
    /// How long connecting to a server may take, TLS included.
    #[arg(long, default_value = "3s", value_parser = parse::duration, value_name = "TIME")]
    pub connect_timeout: Duration,
    /// How long a client may take for its TLS handshake, preface and SETTINGS, and any peer for the
    /// rest of a frame or header block that it began.
    #[arg(long, default_value = "5s", value_parser = parse::duration, value_name = "TIME")]
    pub handshake_timeout: Duration,
    /// How long a call may hold bytes that do not move, or a connection not take what is written to
    /// it, before it is reset.
    #[arg(long, default_value = "60s", value_parser = parse::duration, value_name = "TIME")]
    pub stall_timeout: Duration,
    /// After how long a silent connection is asked for a sign of life: a client by PING, a server by
    /// SETTINGS.
    #[arg(long, default_value = "30s", value_parser = parse::duration, value_name = "TIME")]
    pub keepalive: Duration,
    /// How long the answer to a ping may take before the connection counts as lost.
    #[arg(long, default_value = "20s", value_parser = parse::duration, value_name = "TIME")]
    pub keepalive_timeout: Duration,
    /// Age at which a client's connection is asked to go, spread by a tenth either way; its calls
    /// end well. Never if not given.
    #[arg(long, value_parser = parse::duration, value_name = "TIME")]
    pub max_connection_age: Option<Duration>,
    /// How long calls under way may take to end once the balancer was asked to stop; 0s cuts them
    /// off.
    #[arg(long, default_value = "10s", value_parser = parse::duration, value_name = "TIME")]
    pub drain_timeout: Duration,
    /// Time between health checks of a server that is well.
    #[arg(long, default_value = "1s", value_parser = parse::duration, value_name = "TIME")]
    pub health_interval: Duration,
    /// How long a health check may take before the server counts as down.
    #[arg(long, default_value = "2s", value_parser = parse::duration, value_name = "TIME")]
    pub health_timeout: Duration,
}

/// Bounds of what the balancer holds and waits for; see [`LimitArgs`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Client connections.
    pub max_connections: usize,
    /// Calls under way per client connection.
    pub max_streams: u32,
    /// Decoded size of one header block (RFC 9113, section 6.5.2).
    pub max_header_list_bytes: u32,
    /// What one stream may send ahead of its receiver, each way.
    pub stream_window_bytes: u32,
    /// Per thread: bytes of calls that do not move.
    pub max_buffer_bytes: usize,
    /// Connections per server and thread.
    pub connections_per_server: usize,
    /// Calls on one connection to a server.
    pub streams_per_connection: u32,
    /// Calls under way at one server, over all threads.
    pub max_calls_per_server: Option<u64>,
    /// Servers a call is tried on when it cannot have run, or may run twice.
    pub max_attempts: usize,
    /// Percent of a pool's recent calls that may be retried.
    pub retry_budget_percent: u32,
    /// And so many beside.
    pub min_retries_per_second: u32,
    /// For a server to become ready, or a stream to it free, when a call finds none.
    pub ready_timeout: Duration,
    /// For a connection to a server.
    pub connect_timeout: Duration,
    /// For a client's TLS handshake, preface and SETTINGS; for the rest of a frame or header block.
    pub handshake_timeout: Duration,
    /// For bytes that do not move.
    pub stall_timeout: Duration,
    /// Silence after which a connection is pinged.
    pub keepalive: Duration,
    /// For the answer to a ping.
    pub keepalive_timeout: Duration,
    /// When a client's connection is asked to go, before jitter of a tenth either way.
    pub max_connection_age: Option<Duration>,
    /// For calls to end when the balancer stops.
    pub drain_timeout: Duration,
    /// Between health checks.
    pub health_interval: Duration,
    /// For one health check.
    pub health_timeout: Duration,
}

impl LimitArgs {
    /// Checks every bound against its range.
    pub(crate) fn limits(&self) -> Result<Limits, LbError> {
        self.check_counts()?;
        self.check_sizes()?;
        self.check_times()?;
        Ok(Limits {
            max_connections: self.max_connections,
            max_streams: self.max_streams,
            max_header_list_bytes: self.max_header_list as u32,
            stream_window_bytes: self.stream_window as u32,
            max_buffer_bytes: self.max_buffer as usize,
            connections_per_server: self.connections_per_server,
            streams_per_connection: self.streams_per_connection,
            max_calls_per_server: self.max_calls_per_server,
            max_attempts: self.max_attempts,
            retry_budget_percent: self.retry_budget,
            min_retries_per_second: self.min_retries,
            ready_timeout: self.ready_timeout,
            connect_timeout: self.connect_timeout,
            handshake_timeout: self.handshake_timeout,
            stall_timeout: self.stall_timeout,
            keepalive: self.keepalive,
            keepalive_timeout: self.keepalive_timeout,
            max_connection_age: self.max_connection_age,
            drain_timeout: self.drain_timeout,
            health_interval: self.health_interval,
            health_timeout: self.health_timeout,
        })
    }

    fn check_counts(&self) -> Result<(), LbError> {
        let most_calls = self.max_calls_per_server.map_or(1, |most| most as usize);
        let counts = [
            ("--max-connections", self.max_connections, 1..=10_000_000),
            ("--max-streams", self.max_streams as usize, 1..=100_000),
            ("--connections-per-server", self.connections_per_server, 1..=64),
            ("--streams-per-connection", self.streams_per_connection as usize, 1..=100_000),
            ("--max-calls-per-server", most_calls, 1..=10_000_000),
            ("--max-attempts", self.max_attempts, 1..=10),
            ("--retry-budget", self.retry_budget as usize, 0..=100),
            ("--min-retries", self.min_retries as usize, 0..=10_000),
        ];
        counts.into_iter().try_for_each(|(flag, value, range)| check(flag, value, range, |n| n))
    }

    fn check_sizes(&self) -> Result<(), LbError> {
        let sizes = [
            ("--max-header-list", self.max_header_list, KIB..=MIB),
            ("--stream-window", self.stream_window, KIB..=16 * MIB),
            ("--max-buffer", self.max_buffer, self.stream_window..=1024 * GIB),
        ];
        let check = |(flag, value, range)| check(flag, value, range, parse::format_bytes);
        sizes.into_iter().try_for_each(check)
    }

    fn check_times(&self) -> Result<(), LbError> {
        let (least, none) = (Duration::from_millis(1), Duration::ZERO);
        let times = [
            ("--ready-timeout", self.ready_timeout, none),
            ("--connect-timeout", self.connect_timeout, least),
            ("--handshake-timeout", self.handshake_timeout, least),
            ("--stall-timeout", self.stall_timeout, least),
            ("--keepalive", self.keepalive, least),
            ("--keepalive-timeout", self.keepalive_timeout, least),
            ("--max-connection-age", self.max_connection_age.unwrap_or(LONGEST), least),
            ("--drain-timeout", self.drain_timeout, none),
            ("--health-interval", self.health_interval, least),
            ("--health-timeout", self.health_timeout, least),
        ];
        times.into_iter().try_for_each(|(flag, value, least)| {
            check(flag, value, least..=LONGEST, parse::format_duration)
        })
    }
}

pub(super) fn check<T: Copy + PartialOrd, S: Display>(
    flag: &'static str,
    value: T,
    range: RangeInclusive<T>,
    format: impl Fn(T) -> S,
) -> Result<(), LbError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (format(*range.start()).to_string(), format(*range.end()).to_string());
    Err(LbError::OutOfRange { flag, least, most })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: LimitArgs,
    }

    fn limits(flags: &str) -> Result<Limits, String> {
        let words = std::iter::once("lb").chain(flags.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        command.args.limits().map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_as_documented() {
        let limits = limits("").unwrap();
        assert_eq!((limits.max_connections, limits.max_streams), (20_000, 1024));
        assert_eq!((limits.max_header_list_bytes, limits.stream_window_bytes), (65_536, 65_536));
        assert_eq!(limits.max_buffer_bytes, 268_435_456);
        assert_eq!(limits.max_connection_age, None);
        assert_eq!(limits.drain_timeout, strife_runtime::shutdown::DRAIN_TIMEOUT);
    }

    #[test]
    fn bounds_out_of_range_are_refused_with_the_range() {
        let check = |flags: &str, expected: &str| {
            let error = limits(flags).err().unwrap_or_else(|| panic!("{flags} was accepted"));
            assert!(error.contains(expected) && !error.contains('\n'), "{flags}: {error}");
        };
        check("--max-connections 0", "--max-connections must be between 1 and 10000000");
        check("--max-streams 0", "--max-streams must be between 1 and 100000");
        check("--max-streams 100001", "--max-streams must be between 1 and 100000");
        check("--connections-per-server 65", "--connections-per-server must be between 1 and 64");
        check("--streams-per-connection 0", "--streams-per-connection must be between 1 and");
        check("--max-attempts 11", "--max-attempts must be between 1 and 10");
        check("--max-header-list 1023", "--max-header-list must be between 1KiB and 1MiB");
        check("--stream-window 16777217", "--stream-window must be between 1KiB and 16MiB");
        check(
            "--stream-window 1M --max-buffer 1k",
            "--max-buffer must be between 1MiB and 1024GiB",
        );
        check("--keepalive 0s", "--keepalive must be between 1ms and 720h");
        check("--max-connection-age 0s", "--max-connection-age must be between 1ms and 720h");
        check("--health-interval 1000h", "--health-interval must be between 1ms and 720h");
    }

    #[test]
    fn a_call_may_have_no_time_to_wait_and_none_to_end() {
        let limits = limits("--ready-timeout 0s --drain-timeout 0s").unwrap();
        assert!(limits.ready_timeout.is_zero() && limits.drain_timeout.is_zero());
    }
}
