//! What a plan lets befall a fleet: one server slow, suspended, failing, killed or added, or a whole bank
//! away, at a given time.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strife_runtime::{
    identity,
    parse::{duration_text, format_duration},
    service_time,
};

use crate::summary::{SLICE, WINDOW};

/// Longest measured time of a run with faults: its slices must stay as short as they are.
const MAX_DURATION: Duration = Duration::from_secs(150);

/// A fault; one cell each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// What happens.
    pub kind: FaultKind,
    /// Names the cell in every file and chart; its kind by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which server of the first bank it befalls, numbered from 1; 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<u32>,
    /// When it begins, in measured time.
    #[serde(with = "duration_text", default, skip_serializing_if = "Duration::is_zero")]
    pub at: Duration,
    /// How long it lasts.
    #[serde(
        with = "duration_text",
        default,
        rename = "for",
        skip_serializing_if = "Duration::is_zero"
    )]
    pub lasts: Duration,
    /// How many times as long a call takes on a slow server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Nothing: the cell to compare with.
    None,
    /// Every call takes `factor` times as long.
    Slow,
    /// The process is suspended (SIGSTOP), then goes on.
    Freeze,
    /// Every call fails with UNAVAILABLE in a millisecond.
    FailFast,
    /// The process is killed (SIGKILL), then started again where it was.
    Kill,
    /// One more server registers itself, then drains and leaves.
    Add,
    /// Every process of the first bank is killed (SIGKILL), then started again where it was.
    BankAway,
}

impl FaultKind {
    /// As in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slow => "slow",
            Self::Freeze => "freeze",
            Self::FailFast => "fail_fast",
            Self::Kill => "kill",
            Self::Add => "add",
            Self::BankAway => "bank_away",
        }
    }
}

impl FaultPlan {
    /// What the fault is called in every file and chart.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.as_str())
    }

    /// The server's number.
    pub fn server(&self) -> u32 {
        self.server.unwrap_or(1)
    }

    /// How much slower a slow server is.
    pub fn factor(&self) -> f64 {
        self.factor.unwrap_or(1.0)
    }

    /// When it ends, in measured time.
    pub fn until(&self) -> Duration {
        self.at + self.lasts
    }

    /// What is wrong with it in a plan of that measured time, whose smallest fleet has `servers`.
    pub(super) fn check(&self, duration: Duration, servers: u32) -> Result<(), String> {
        let label = self.label();
        if !identity::is_name(label) {
            return Err(format!("fault name `{label}` is not 1 to 64 of a-z, 0-9, _ and -"));
        }
        let wrong = |what: String| Err(format!("fault `{label}`: {what}"));
        if self.kind == FaultKind::None {
            let bare = Self { name: self.name.clone(), ..Self::none() };
            return match *self == bare {
                true => Ok(()),
                false => wrong("kind \"none\" takes no server, at, for or factor".to_owned()),
            };
        }
        match (self.kind, self.factor) {
            (FaultKind::Slow, Some(factor)) if service_time::is_slow_factor(factor) => {}
            (FaultKind::Slow, Some(factor)) => {
                return wrong(format!("factor = {factor} is not between 0.01 and 1000"));
            }
            (FaultKind::Slow, None) => return wrong("factor is missing".to_owned()),
            (_, Some(_)) => return wrong("factor is for kind \"slow\" only".to_owned()),
            (_, None) => {}
        }
        if self.kind == FaultKind::Add && self.server.is_some() {
            return wrong("server is not for kind \"add\": it is one more".to_owned());
        }
        if self.kind == FaultKind::BankAway && self.server.is_some() {
            return wrong("server is not for kind \"bank_away\": it is all of them".to_owned());
        }
        let is_one = self.kind != FaultKind::BankAway;
        if is_one && !(1..=servers).contains(&self.server()) {
            return wrong(format!("server = {} is not from 1 to {servers}", self.server()));
        }
        if duration > MAX_DURATION {
            return wrong(format!("duration must be at most {}", format_duration(MAX_DURATION)));
        }
        let times = [("at", self.at), ("for", self.lasts), ("duration", duration)];
        for (name, time) in times {
            if time.is_zero() || !time.as_nanos().is_multiple_of(SLICE.as_nanos()) {
                let step = format_duration(SLICE);
                return wrong(format!("{name} must be a multiple of {step}, and more than zero"));
            }
        }
        let phases = [self.at, self.lasts, duration.saturating_sub(self.until())];
        if phases.iter().any(|phase| *phase < WINDOW) {
            return wrong(format!(
                "before it, for it and after it there must be at least {} each in a duration of {}",
                format_duration(WINDOW),
                format_duration(duration)
            ));
        }
        Ok(())
    }

    fn none() -> Self {
        Self {
            kind: FaultKind::None,
            name: None,
            server: None,
            at: Duration::ZERO,
            lasts: Duration::ZERO,
            factor: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(10);

    fn check(toml: &str, expected: &str) {
        let fault: FaultPlan = toml::from_str(toml).expect("it has the right fields");
        match fault.check(DURATION, 3) {
            Ok(()) => assert_eq!(expected, "", "{toml}"),
            Err(why) => assert!(!expected.is_empty() && why.contains(expected), "{toml}: {why}"),
        }
    }

    #[test]
    fn a_fault_has_what_its_kind_needs_and_a_phase_on_either_side() {
        check("kind = 'none'", "");
        check("kind = 'none'\nat = '1s'", "takes no server");
        check("kind = 'slow'\nserver = 3\nat = '3s'\nfor = '4s'\nfactor = 3.0", "");
        check("kind = 'slow'\nat = '3s'\nfor = '4s'", "factor is missing");
        check("kind = 'slow'\nat = '3s'\nfor = '4s'\nfactor = 0.0", "between 0.01 and 1000");
        check("kind = 'kill'\nat = '3s'\nfor = '4s'\nfactor = 2.0", "for kind \"slow\" only");
        check("kind = 'freeze'\nat = '3s'\nfor = '4s'", "");
        check("kind = 'freeze'\nserver = 4\nat = '3s'\nfor = '4s'", "from 1 to 3");
        check("kind = 'freeze'\nserver = 0\nat = '3s'\nfor = '4s'", "from 1 to 3");
        check("kind = 'fail_fast'\nat = '3s'", "for must be");
        check("kind = 'fail_fast'\nfor = '3s'", "at must be");
        check("kind = 'fail_fast'\nat = '1.25s'\nfor = '3s'", "multiple of 100ms");
        check("kind = 'fail_fast'\nat = '7s'\nfor = '3s'", "after it there must be");
        check("kind = 'fail_fast'\nat = '9s'\nfor = '3s'", "after it there must be");
        check("kind = 'fail_fast'\nat = '400ms'\nfor = '3s'", "at least 500ms");
        check("kind = 'add'\nat = '3s'\nfor = '4s'", "");
        check("kind = 'add'\nserver = 2\nat = '3s'\nfor = '4s'", "it is one more");
        check("kind = 'bank_away'\nat = '3s'\nfor = '4s'", "");
        check("kind = 'bank_away'\nserver = 2\nat = '3s'\nfor = '4s'", "it is all of them");
        check("kind = 'kill'\nname = 'a b'\nat = '3s'\nfor = '4s'", "fault name `a b`");
    }

    #[test]
    fn what_is_no_fault_is_refused_by_name() {
        for (toml, expected) in [
            ("kind = 'melt'", "unknown variant `melt`"),
            ("kind = 'kill'\nuntil = '3s'", "unknown field `until`"),
            ("at = '3s'", "missing field `kind`"),
        ] {
            let error = toml::from_str::<FaultPlan>(toml).expect_err("it is malformed").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
