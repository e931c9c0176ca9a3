//! Kinds of policy: a name, the parameters it takes, how one is made. And reading them as a user
//! writes them: `name` or `name:key=value,key=value`.
//!
//! Everything that is said about a policy or checked of it comes from here: errors, `--help`, docs.

use std::{fmt, time::Duration};

use thiserror::Error;

use crate::{POLICIES, Policy};

/// One kind of policy.
#[derive(Debug)]
pub struct PolicyKind {
    /// As in `--policy`.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What may be said after the name.
    pub parameters: &'static [Parameter],
    pub(crate) make: fn(&Arguments) -> Box<dyn Policy>,
}

/// A parameter of a policy.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Before the `=`.
    pub name: &'static str,
    /// What it changes, in a line.
    pub meaning: &'static str,
    /// What may stand behind the `=`, and what it is if nothing is said.
    pub domain: Domain,
}

/// The values a parameter can have, bounds included.
#[derive(Debug, Clone, Copy)]
pub enum Domain {
    /// `true` or `false`.
    Flag {
        /// If nothing is said.
        default: bool,
    },
    /// A whole number.
    Integer {
        /// If nothing is said.
        default: u64,
        /// Least.
        least: u64,
        /// Most.
        most: u64,
    },
    /// A number.
    Number {
        /// If nothing is said.
        default: f64,
        /// Least.
        least: f64,
        /// Most.
        most: f64,
    },
    /// A time with its unit: `250ms`, `10s`, `3min`.
    Time {
        /// If nothing is said.
        default: Duration,
        /// Least.
        least: Duration,
        /// Most.
        most: Duration,
    },
    /// The name of a request header, in lower case.
    Header {
        /// If nothing is said.
        default: &'static str,
    },
}

/// Why there is no policy as it was asked for.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
pub enum InvalidPolicy {
    /// No policy has this name.
    #[error("there is no policy `{name}`; choose one of {}", known_names())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// Behind the name there is something else than `key=value,key=value`.
    #[error("`{text}` is no parameter of {policy}; write {policy}:key=value, {known}")]
    Malformed {
        /// The policy.
        policy: &'static str,
        /// What stands there.
        text: String,
        /// The parameters it has.
        known: String,
    },
    /// The policy has no such parameter.
    #[error("{policy} has no parameter `{parameter}`; {known}")]
    UnknownParameter {
        /// The policy.
        policy: &'static str,
        /// What was asked for.
        parameter: String,
        /// The parameters it has.
        known: String,
    },
    /// A parameter stands there twice.
    #[error("{policy}'s parameter `{parameter}` stands there twice")]
    Repeated {
        /// The policy.
        policy: &'static str,
        /// Its parameter.
        parameter: &'static str,
    },
    /// The value is none the parameter can have.
    #[error("{policy}'s parameter `{parameter}` is `{value}`; it takes {accepted}; {known}")]
    InvalidValue {
        /// The policy.
        policy: &'static str,
        /// Its parameter.
        parameter: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        accepted: String,
        /// The parameters the policy has.
        known: String,
    },
}

fn known_names() -> String {
    let names: Vec<_> = POLICIES.iter().map(|kind| kind.name).collect();
    names.join(", ")
}

/// A new policy as it was asked for, `name` or `name:key=value,key=value`, with no memory of any call.
pub fn by_spec(spec: &str) -> Result<Box<dyn Policy>, InvalidPolicy> {
    let (name, arguments) = spec.split_once(':').unwrap_or((spec, ""));
    let kind = POLICIES.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| InvalidPolicy::Unknown { name: name.to_owned() })?;
    Ok((kind.make)(&kind.arguments(arguments)?))
}

/// Every policy with its parameters, their defaults and ranges, for a terminal.
pub fn parameters_help() -> String {
    POLICIES.iter().map(|kind| kind.to_string()).collect()
}

impl PolicyKind {
    fn arguments(&self, text: &str) -> Result<Arguments, InvalidPolicy> {
        let policy = self.name;
        let mut arguments = Arguments { parameters: self.parameters, given: Vec::new() };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                let (text, known) = (part.to_owned(), self.known());
                return Err(InvalidPolicy::Malformed { policy, text, known });
            };
            let parameter = self.parameters.iter().find(|parameter| parameter.name == name);
            let Some(parameter) = parameter else {
                let (parameter, known) = (name.to_owned(), self.known());
                return Err(InvalidPolicy::UnknownParameter { policy, parameter, known });
            };
            let Some(parsed) = parameter.domain.parse(value) else {
                let (accepted, known) = (parameter.domain.accepted(), self.known());
                let (parameter, value) = (parameter.name, value.to_owned());
                return Err(InvalidPolicy::InvalidValue {
                    policy,
                    parameter,
                    value,
                    accepted,
                    known,
                });
            };
            if arguments.given.iter().any(|(given, _)| *given == parameter.name) {
                return Err(InvalidPolicy::Repeated { policy, parameter: parameter.name });
            }
            arguments.given.push((parameter.name, parsed));
        }
        Ok(arguments)
    }

    fn known(&self) -> String {
        if self.parameters.is_empty() {
            return "it takes none".to_owned();
        }
        let names: Vec<_> = self.parameters.iter().map(|parameter| parameter.name).collect();
        format!("its parameters are {}", names.join(", "))
    }
}

/// As in the output of [`parameters_help`].
impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, self.summary)?;
        for Parameter { name, meaning, domain } in self.parameters {
            let (default, accepted) = (domain.default(), domain.accepted());
            writeln!(f, "    {name}={default}  {meaning} ({accepted})")?;
        }
        Ok(())
    }
}

/// What was said of a policy's parameters; checked.
#[derive(Debug)]
pub(crate) struct Arguments {
    parameters: &'static [Parameter],
    given: Vec<(&'static str, Value)>,
}

#[derive(Debug, Clone)]
enum Value {
    Flag(bool),
    Integer(u64),
    Number(f64),
    Time(Duration),
    Header(String),
}

macro_rules! getter {
    ($(#[$doc:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$doc])*
        pub(crate) fn $name(&self, name: &str) -> $type {
            match self.value(name) {
                Value::$variant(value) => value,
                other => unreachable!("{name} is declared otherwise: {other:?}"),
            }
        }
    };
}

impl Arguments {
    getter!(flag, Flag, bool);
    getter!(integer, Integer, u64);
    getter!(number, Number, f64);
    getter!(time, Time, Duration);
    getter!(header, Header, String);

    fn value(&self, name: &str) -> Value {
        let given = self.given.iter().find(|(given, _)| *given == name);
        given.map_or_else(|| self.default(name), |(_, value)| value.clone())
    }

    fn default(&self, name: &str) -> Value {
        let parameter = self.parameters.iter().find(|parameter| parameter.name == name);
        match parameter.expect("policies ask for the parameters they declare").domain {
            Domain::Flag { default } => Value::Flag(default),
            Domain::Integer { default, .. } => Value::Integer(default),
            Domain::Number { default, .. } => Value::Number(default),
            Domain::Time { default, .. } => Value::Time(default),
            Domain::Header { default } => Value::Header(default.to_owned()),
        }
    }
}

impl Domain {
    /// What it is if nothing is said, as one would write it.
    pub fn default(&self) -> String {
        match self {
            Self::Flag { default } => default.to_string(),
            Self::Integer { default, .. } => default.to_string(),
            Self::Number { default, .. } => default.to_string(),
            Self::Time { default, .. } => format!("{default:?}"),
            Self::Header { default } => (*default).to_owned(),
        }
    }

    /// What may stand behind the `=`, in words.
    pub fn accepted(&self) -> String {
        match self {
            Self::Flag { .. } => "true or false".to_owned(),
            Self::Integer { least, most, .. } => format!("a whole number from {least} to {most}"),
            Self::Number { least, most, .. } => format!("a number from {least} to {most}"),
            Self::Time { least, most, .. } => {
                format!("a time from {least:?} to {most:?}, like 250ms, 10s or 3min")
            }
            Self::Header { .. } => "the name of a request header, in lower case".to_owned(),
        }
    }

    fn parse(&self, text: &str) -> Option<Value> {
        match self {
            Self::Flag { .. } => text.parse().ok().map(Value::Flag),
            Self::Integer { least, most, .. } => text
                .parse()
                .ok()
                .filter(|value| (least..=most).contains(&value))
                .map(Value::Integer),
            Self::Number { least, most, .. } => {
                text.parse().ok().filter(|value| (least..=most).contains(&value)).map(Value::Number)
            }
            Self::Time { least, most, .. } => {
                parse_time(text).filter(|value| (least..=most).contains(&value)).map(Value::Time)
            }
            Self::Header { .. } => is_header(text).then(|| Value::Header(text.to_owned())),
        }
    }
}

fn parse_time(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 4] = [("us", 1e-6), ("ms", 1e-3), ("min", 60.0), ("s", 1.0)];
    let (number, seconds) = UNITS
        .iter()
        .find_map(|(unit, seconds)| text.strip_suffix(unit).map(|number| (number, seconds)))?;
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// RFC 9110 section 5.6.2's token; in HTTP/2 without capitals.
fn is_header(text: &str) -> bool {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !text.is_empty() && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests;
