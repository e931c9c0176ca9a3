//! What values a parameter can have: said in words, read as users write them.

use std::time::Duration;

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

/// One of them.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Flag(bool),
    Integer(u64),
    Number(f64),
    Time(Duration),
    Header(String),
}

impl Domain {
    pub(super) fn default_value(&self) -> Value {
        match *self {
            Self::Flag { default } => Value::Flag(default),
            Self::Integer { default, .. } => Value::Integer(default),
            Self::Number { default, .. } => Value::Number(default),
            Self::Time { default, .. } => Value::Time(default),
            Self::Header { default } => Value::Header(default.to_owned()),
        }
    }

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

    pub(super) fn parse(&self, text: &str) -> Option<Value> {
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
