//! How much is made of servers that fail, and of those that come back: flags, defaults and ranges.

use std::time::Duration;

use clap::Args;
use strife_policy::Ramp;
use strife_runtime::parse;

use super::limits::{LONGEST, check};
use crate::error::LbError;

/// More than that is no outlier detection any more.
const MOST_FAILURES_IN_A_ROW: u32 = 1_000_000;
const MOST_DEVIATIONS: f64 = 100.0;
/// Calls that a server on trial has to answer, if it is not told how many failures in a row are many.
const DEFAULT_TRIAL_CALLS: u64 = 5;

/// Flags for health.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Health")]
pub struct HealthArgs {
    /// The service that health checks ask for (gRPC health checking protocol); the server as a whole if
    /// not given.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub health_service: String,
    /// How long a server that became ready takes to get its full share; 0s gives it at once.
    #[arg(long, default_value = "1s", value_parser = parse::duration, value_name = "TIME")]
    pub slow_start: Duration,
    /// Percent of its share that such a server gets at least.
    #[arg(long, default_value_t = 10, value_name = "PERCENT")]
    pub slow_start_floor: u8,
    /// Calls in a row that eject a server when they fail, while another does better; 0 turns this off.
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub consecutive_failures: u32,
    /// Standard deviations below the servers' mean success rate that eject a server; with fewer than
    /// five servers or few calls it is compared with the others instead. 0 turns this off.
    #[arg(long, default_value_t = 1.9, value_name = "N")]
    pub success_rate_deviations: f64,
    /// Percent of failed calls that eject a server, while the others do better; 0 turns this off.
    #[arg(long, default_value_t = 85, value_name = "PERCENT")]
    pub failure_percentage: u8,
    /// How often success rates and failure percentages of the last ten intervals are looked at.
    #[arg(long, default_value = "1s", value_parser = parse::duration, value_name = "TIME")]
    pub outlier_interval: Duration,
    /// How long the first ejection lasts; the second in a row lasts twice as long, and so on.
    #[arg(long, default_value = "5s", value_parser = parse::duration, value_name = "TIME")]
    pub ejection_time: Duration,
    /// How long an ejection lasts at most.
    #[arg(long, default_value = "5m", value_parser = parse::duration, value_name = "TIME")]
    pub max_ejection_time: Duration,
    /// Percent of a pool's servers that may be ejected at once: always one, never the last that takes
    /// calls. 0 turns ejection off.
    #[arg(long, default_value_t = 50, value_name = "PERCENT")]
    pub max_ejection_percent: u8,
    /// When fewer percent of a pool's servers take calls, ejected ones do, too; 0: never.
    #[arg(long, default_value_t = 50, value_name = "PERCENT")]
    pub panic_threshold: u8,
}

/// What is made of servers' failures; see [`HealthArgs`].
#[derive(Debug, Clone, PartialEq)]
pub struct HealthConfig {
    /// Whom health checks ask for; empty: the server as a whole.
    pub service: String,
    /// Slow start.
    pub ramp: Ramp,
    /// Outlier detection.
    pub ejection: EjectionConfig,
    /// Percent of servers below which ejections do not count; 0: never.
    pub panic_percent: u8,
}

/// When servers are ejected, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EjectionConfig {
    /// 0: off.
    pub consecutive_failures: u32,
    /// 0.0: off.
    pub success_rate_deviations: f64,
    /// 0: off.
    pub failure_percentage: u8,
    /// Between two looks.
    pub interval: Duration,
    /// Of the first.
    pub ejection_time: Duration,
    /// Of any.
    pub max_ejection_time: Duration,
    /// Of servers that could take calls; 0: none is ejected.
    pub max_ejection_percent: u8,
}

impl EjectionConfig {
    /// Calls that a server on trial has to answer before it is trusted.
    pub(crate) fn trial_calls(&self) -> u64 {
        let calls = u64::from(self.consecutive_failures);
        if calls > 0 { calls } else { DEFAULT_TRIAL_CALLS }
    }
}

impl HealthArgs {
    /// Checks every figure against its range.
    pub(super) fn health(&self) -> Result<HealthConfig, LbError> {
        let percents = [
            ("--slow-start-floor", self.slow_start_floor, 1),
            ("--failure-percentage", self.failure_percentage, 0),
            ("--max-ejection-percent", self.max_ejection_percent, 0),
            ("--panic-threshold", self.panic_threshold, 0),
        ];
        for (flag, value, least) in percents {
            check(flag, value, least..=100, |percent| percent)?;
        }
        let failures = self.consecutive_failures;
        check("--consecutive-failures", failures, 0..=MOST_FAILURES_IN_A_ROW, |count| count)?;
        let deviations = self.success_rate_deviations;
        check("--success-rate-deviations", deviations, 0.0..=MOST_DEVIATIONS, |count| count)?;
        let least = Duration::from_millis(1);
        let times = [
            ("--slow-start", self.slow_start, Duration::ZERO),
            ("--outlier-interval", self.outlier_interval, least),
            ("--ejection-time", self.ejection_time, least),
            ("--max-ejection-time", self.max_ejection_time, self.ejection_time),
        ];
        for (flag, value, least) in times {
            check(flag, value, least..=LONGEST, parse::format_duration)?;
        }
        Ok(HealthConfig {
            service: self.health_service.clone(),
            ramp: Ramp { window: self.slow_start, floor: f64::from(self.slow_start_floor) / 100.0 },
            ejection: EjectionConfig {
                consecutive_failures: failures,
                success_rate_deviations: deviations,
                failure_percentage: self.failure_percentage,
                interval: self.outlier_interval,
                ejection_time: self.ejection_time,
                max_ejection_time: self.max_ejection_time,
                max_ejection_percent: self.max_ejection_percent,
            },
            panic_percent: self.panic_threshold,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: HealthArgs,
    }

    fn health(flags: &str) -> Result<HealthConfig, String> {
        let words = std::iter::once("lb").chain(flags.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        command.args.health().map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_as_documented() {
        let health = health("").unwrap();
        assert_eq!((health.ramp, health.panic_percent), (Ramp::default(), 50));
        assert_eq!(health.ramp.window, Duration::from_secs(1));
        assert_eq!(health.ejection.consecutive_failures, 5);
        assert_eq!(health.ejection.trial_calls(), 5);
        assert_eq!(health.ejection.max_ejection_percent, 50);
        assert!(health.service.is_empty());
    }

    #[test]
    fn figures_out_of_range_are_refused_with_the_range() {
        let check = |flags: &str, expected: &str| {
            let error = health(flags).err().unwrap_or_else(|| panic!("{flags} was accepted"));
            assert!(error.contains(expected) && !error.contains('\n'), "{flags}: {error}");
        };
        check("--slow-start-floor 0", "--slow-start-floor must be between 1 and 100");
        check("--panic-threshold 101", "--panic-threshold must be between 0 and 100");
        check("--success-rate-deviations NaN", "--success-rate-deviations must be between 0 and");
        check("--ejection-time 0s", "--ejection-time must be between 1ms and 720h");
        check(
            "--ejection-time 10s --max-ejection-time 9s",
            "--max-ejection-time must be between 10s and 720h",
        );
    }

    #[test]
    fn everything_can_be_turned_off() {
        let flags = "--consecutive-failures 0 --success-rate-deviations 0 --failure-percentage 0 \
                     --max-ejection-percent 0 --panic-threshold 0 --slow-start 0s";
        let health = health(flags).unwrap();
        assert_eq!((health.panic_percent, health.ramp.window), (0, Duration::ZERO));
        assert_eq!(health.ejection.trial_calls(), DEFAULT_TRIAL_CALLS);
    }
}
