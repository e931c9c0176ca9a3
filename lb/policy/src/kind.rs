//! Kinds of policy: a name, the parameters it takes, how one is made. And reading them as a user
//! writes them: `name` or `name:key=value,key=value`.
//!
//! Everything that is said about a policy or checked of it comes from here: errors, `--help`, docs.

mod domain;

use std::{fmt, time::Duration};

use thiserror::Error;

use self::domain::Value;
use crate::{POLICIES, Policy};

pub use self::domain::Domain;

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
        parameter.expect("policies ask for the parameters they declare").domain.default_value()
    }
}

#[cfg(test)]
mod tests;
