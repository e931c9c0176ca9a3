//! Reads HdrHistogram's percentile text (`.hgrm`) as a percentile curve.

use std::{fs, path::Path};

use super::PlotError;

/// A percentile is known when at least this many samples lie beyond it.
pub(crate) const SAMPLES_BEYOND: f64 = 10.0;

/// A percentile curve as far as it is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Curve {
    /// All samples.
    pub(crate) total: u64,
    /// By rising percentile.
    pub(crate) points: Vec<CurvePoint>,
}

/// A value that a share of all samples does not exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CurvePoint {
    /// The percentile p as log10(1/(1−p)): 0 for p0, 1 for p90, 2 for p99.
    pub(crate) nines: f64,
    pub(crate) value_us: f64,
}

/// Reads a file whose values are milliseconds.
pub(crate) fn read(path: &Path) -> Result<Curve, PlotError> {
    let text = fs::read_to_string(path)
        .map_err(|source| PlotError::Histogram { path: path.into(), source })?;
    parse(&text).map_err(|(line, reason)| PlotError::HistogramLine {
        path: path.into(),
        line,
        reason,
    })
}

/// The curve, or the number of the line that is wrong and why.
pub(crate) fn parse(text: &str) -> Result<Curve, (usize, String)> {
    let mut rows: Vec<[f64; 3]> = Vec::new();
    let mut footed = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        footed |= line.starts_with("#[");
        if line.is_empty() || line.starts_with('#') || line.starts_with("Value") {
            continue;
        }
        let row = row(line).map_err(|reason| (index + 1, reason))?;
        if rows.last().is_some_and(|last| last.iter().zip(row).any(|(last, now)| now < *last)) {
            return Err((index + 1, "values go down where they must rise".into()));
        }
        rows.push(row);
    }
    let lines = text.lines().count().max(1);
    match rows.last() {
        None if footed => Ok(Curve::default()),
        None => Err((lines, "holds no histogram".into())),
        Some([_, percentile, _]) if *percentile < 1.0 => {
            Err((lines, format!("ends at percentile {percentile}, before 1: it is half-written")))
        }
        Some([_, _, total]) => Ok(curve(&rows, *total as u64)),
    }
}

/// Value, percentile and cumulative count of one line.
fn row(line: &str) -> Result<[f64; 3], String> {
    let mut words = line.split_whitespace();
    let mut number = |column: &str| {
        let word = words.next().ok_or_else(|| format!("column {column} is missing"))?;
        let value: f64 =
            word.parse().map_err(|_| format!("column {column}: `{word}` is not a number"))?;
        if value.is_finite() && value >= 0.0 {
            Ok(value)
        } else {
            Err(format!("column {column}: {word} is out of range"))
        }
    };
    Ok([number("Value")?, number("Percentile")?, number("TotalCount")?])
}

fn curve(rows: &[[f64; 3]], total: u64) -> Curve {
    // By rank, not by the cumulative count: where many samples tie, the count runs ahead of the
    // percentile. Rounded, since 1 - 0.99 is a little less than a hundredth.
    let total_samples = total as f64;
    let beyond = |percentile: f64| (total_samples * (1.0 - percentile) * 1e6).round() / 1e6;
    let known = || rows.iter().filter(|[_, percentile, _]| beyond(*percentile) >= SAMPLES_BEYOND);
    let point = |value_ms: f64, percentile: f64| CurvePoint {
        nines: -(1.0 - percentile).log10(),
        value_us: value_ms * 1e3,
    };
    let mut points: Vec<CurvePoint> =
        known().map(|[value_ms, percentile, _]| point(*value_ms, *percentile)).collect();
    // The file has one row for all that tie with the longest, which may begin far from the end.
    let end = 1.0 - SAMPLES_BEYOND / total_samples;
    let tied =
        known().next_back().filter(|[_, at, count]| *at < end && *count >= end * total_samples);
    points.extend(tied.map(|[value_ms, ..]| point(*value_ms, end)));
    Curve { total, points }
}
