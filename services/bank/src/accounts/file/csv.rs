//! The CSV form.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Malformed, Row};

const COLUMNS: [&str; 4] = ["account_id", "currency", "balance", "state"];

pub(super) fn rows(text: &str) -> Result<Vec<Row>, Malformed> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| malformed(&error))?.clone();
    let columns = columns(&header)?;
    reader
        .records()
        .map(|record| row(&record.map_err(|error| malformed(&error))?, &columns))
        .collect()
}

/// Where each of [`COLUMNS`] stands; the state may be absent.
fn columns(header: &StringRecord) -> Result<[Option<usize>; 4], Malformed> {
    let at = |reason: String| Malformed { line: 1, reason };
    let mut columns = [None; 4];
    for (index, name) in header.iter().enumerate() {
        let known = COLUMNS.iter().position(|column| *column == name);
        let known = known.ok_or_else(|| {
            at(format!(
                "`{name}` is not a column; the header must be account_id,currency,balance or \
                 account_id,currency,balance,state"
            ))
        })?;
        if columns[known].replace(index).is_some() {
            return Err(at(format!("the column {name} is there twice")));
        }
    }
    match (0..3).find(|column| columns[*column].is_none()) {
        Some(missing) => Err(at(format!("the header has no column {}", COLUMNS[missing]))),
        None => Ok(columns),
    }
}

fn row(record: &StringRecord, columns: &[Option<usize>; 4]) -> Result<Row, Malformed> {
    let line = record.position().map_or(0, csv::Position::line);
    let field = |column: usize| columns[column].and_then(|index| record.get(index));
    let text = |column| field(column).unwrap_or_default().to_owned();
    let balance = text(2).parse().map_err(|_| Malformed {
        line,
        reason: format!("the balance `{}` is not a whole number of minor units", text(2)),
    })?;
    let state = field(3).map(str::to_owned);
    Ok(Row { line, account_id: text(0), currency: text(1), balance, state })
}

fn malformed(error: &csv::Error) -> Malformed {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields where the header has {expected_len}")
        }
        _ => error.to_string(),
    };
    Malformed { line, reason }
}
