//! The JSON form.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Malformed, Row};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object {
    account_id: String,
    currency: String,
    balance: i64,
    state: Option<String>,
}

/// Splits the array first, so that each object knows the line it begins on.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, Malformed> {
    let objects: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| malformed(&error, 1))?;
    let (mut line, mut counted) = (1, 0);
    objects
        .into_iter()
        .map(|object| {
            // The object is a part of `text`: the distance is its offset.
            let offset = object.get().as_ptr() as usize - text.as_ptr() as usize;
            line += newlines(&text[counted..offset]);
            counted = offset;
            row(object.get(), line)
        })
        .collect()
}

fn row(object: &str, line: u64) -> Result<Row, Malformed> {
    let object: Object = serde_json::from_str(object).map_err(|error| malformed(&error, line))?;
    let Object { account_id, currency, balance, state } = object;
    Ok(Row { line, account_id, currency, balance, state })
}

fn newlines(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

/// `first`: the line that the text the error speaks of begins on.
fn malformed(error: &serde_json::Error, first: u64) -> Malformed {
    let line = first + (error.line() as u64).saturating_sub(1);
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    Malformed { line, reason: text.trim_end_matches(&position).to_owned() }
}
