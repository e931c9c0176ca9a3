//! A pick for people: who was looked at, what was known of them, and in words why one was chosen.

use std::{
    fmt::Write,
    time::{Duration, UNIX_EPOCH},
};

use strife_policy::{Candidate, Exclusion, Figure, PickTrace, Regime};

use crate::access_log::Timestamp;

/// Candidates shown of a pick; a pool may have thousands.
const MOST_SHOWN: usize = 16;
/// Turns that weights are shares of.
const ALL_TURNS: f64 = 65_535.0;

const HEADINGS: [&str; 8] =
    ["", "SERVER", "IN FLIGHT", "LEASED", "REPORT AGE", "FAILURES", "RAMP", "COMPARED"];

/// A few lines.
pub(crate) fn block(trace: &PickTrace) -> String {
    let time = Timestamp::new(UNIX_EPOCH + Duration::from_millis(trace.time_unix_ms));
    let time = time.as_str().get(11..23).unwrap_or_default();
    let (pool, policy) = (&trace.pool, &trace.policy);
    let mut text = format!("{time} {pool}, {policy}: {}\n", why(trace));
    let candidates = &trace.explanation.candidates;
    let chosen = trace.pick.map(|pick| pick.index);
    let shown = candidates.iter().take(MOST_SHOWN).map(|candidate| row(candidate, chosen));
    let rows: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned)).chain(shown).collect();
    if rows.len() > 1 {
        align(&rows, &mut text);
    }
    if candidates.len() > MOST_SHOWN {
        let _ = writeln!(text, "  … and {} more", candidates.len() - MOST_SHOWN);
    }
    text
}

/// Where it went and why, in a sentence.
pub(crate) fn why(trace: &PickTrace) -> String {
    let Some(pick) = trace.pick else {
        return "no server is ready".to_owned();
    };
    let candidates = &trace.explanation.candidates;
    let chosen = candidates.iter().find(|one| one.index == pick.index);
    let known = || trace.endpoints.iter().find(|(index, _)| *index == pick.index);
    let address = chosen.map(|one| one.address.clone());
    let address = address.or_else(|| Some(known()?.1.address.clone())).unwrap_or_default();
    let looked_at = candidates.iter().filter(|one| one.excluded.is_none()).count();
    let reason = reason(pick.regime, &trace.policy, looked_at);
    let mut text = format!("to {address}, {reason}");
    let runner_up = candidates.iter().find(|one| one.index != pick.index && one.excluded.is_none());
    if let (Some(chosen), Some(other)) = (chosen, runner_up)
        && let (Some(own), Some(others)) = (figure(&chosen.figure), figure(&other.figure))
    {
        let _ = write!(text, " ({own} against {others} of {})", other.address);
    }
    text
}

fn reason(regime: Regime, policy: &str, looked_at: usize) -> String {
    let text = match regime {
        Regime::Only => match policy.split(':').next().unwrap_or_default() {
            "pick_first" => "where all calls go while it is ready",
            "round_robin" => "for it was its turn",
            _ => "by chance",
        },
        Regime::Fresh => return format!("the least loaded of {looked_at} by fresh reports"),
        Regime::Decayed => {
            return format!(
                "the least loaded of {looked_at} by old reports, drawn toward the pool's mean"
            );
        }
        Regime::InFlight => {
            return format!("the one of {looked_at} with the fewest of our own calls under way");
        }
        Regime::Latency => return format!("the one of {looked_at} where calls take least"),
        Regime::Cold => "the fastest of the probed servers that have few calls under way",
        Regime::Hot => "the one with the fewest calls under way, for all probed servers have many",
        Regime::Weighted => "for it was its turn by weight",
        Regime::Unweighted => "for it was its turn; too few weights are known",
        Regime::Hashed => "for the hash of the call's header leads there",
        Regime::Unhashed => "by chance, for the call has no header to hash",
    };
    text.to_owned()
}

fn row(candidate: &Candidate, chosen: Option<usize>) -> [String; 8] {
    let is_chosen = chosen == Some(candidate.index);
    let report_age = candidate.report_age.or(candidate.orca_age);
    let compared = match candidate.excluded {
        Some(Exclusion::Avoided) => "not asked: the call was there already".to_owned(),
        Some(Exclusion::Ramping) => "not asked: it is new and gets its share slowly".to_owned(),
        Some(Exclusion::NotItsTurn) => "not asked: its weight gives it no turn now".to_owned(),
        None => figure(&candidate.figure).unwrap_or_default(),
    };
    [
        if is_chosen { "→" } else { "" }.to_owned(),
        candidate.address.clone(),
        candidate.in_flight.to_string(),
        candidate.leased.to_string(),
        report_age.map_or_else(|| "-".to_owned(), |age| format!("{} ms", age.as_millis())),
        format!("{:.0}%", 100.0 * candidate.failure_ratio),
        format!("{:.0}%", 100.0 * candidate.ramp),
        compared,
    ]
}

fn figure(figure: &Figure) -> Option<String> {
    let ms = |us: f64| format!("{:.2} ms", us / 1000.0);
    Some(match *figure {
        Figure::None => return None,
        Figure::ExpectedTimeUs(us) | Figure::LatencyUs(us) => ms(us),
        Figure::Calls(calls) => format!("{calls:.1} calls"),
        Figure::Weight(weight) => format!("{:.1}% weight", 100.0 * f64::from(weight) / ALL_TURNS),
        Figure::Probe { in_flight, latency_us } => {
            format!("{in_flight} in flight, {}", ms(latency_us.into()))
        }
    })
}

/// Text to the left, figures to the right.
fn align(rows: &[[String; 8]], text: &mut String) {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<_> = (0..HEADINGS.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in rows {
        let mut line = " ".to_owned();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let is_figure = (2..7).contains(&column);
            let _ = match (is_figure, column) {
                (true, _) => write!(line, "  {cell:>width$}"),
                (false, 0) => write!(line, "{cell:<width$}"),
                (false, 1) => write!(line, " {cell:<width$}"),
                (false, _) => write!(line, "  {cell:<width$}"),
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use strife_policy::{Explanation, Pick};

    use super::*;

    fn candidate(index: usize, address: &str, figure: Figure) -> Candidate {
        Candidate {
            index,
            address: address.to_owned(),
            in_flight: 3,
            leased: 0,
            report_age: Some(Duration::from_millis(42)),
            orca_age: None,
            failure_ratio: 0.25,
            ramp: 1.0,
            figure,
            excluded: None,
        }
    }

    fn trace(regime: Regime, candidates: Vec<Candidate>) -> PickTrace {
        PickTrace {
            time_unix_ms: 1_772_282_096_789,
            pool: "default".to_owned(),
            policy: "least_load".to_owned(),
            now: Duration::ZERO,
            seed: 1,
            hash: None,
            avoid: Vec::new(),
            pick: Some(Pick { index: 1, regime }),
            explanation: Explanation { candidates, ..Explanation::default() },
            endpoint_count: 2,
            endpoints: Vec::new(),
        }
    }

    #[test]
    fn a_pick_is_a_few_lines() {
        let tried = Candidate {
            excluded: Some(Exclusion::Avoided),
            report_age: None,
            ..candidate(2, "10.0.0.1:9103", Figure::None)
        };
        let candidates = vec![
            candidate(0, "a:1", Figure::ExpectedTimeUs(3400.0)),
            candidate(1, "10.0.0.1:9102", Figure::ExpectedTimeUs(1200.0)),
            tried,
        ];
        let expected = "\
12:34:56.789 default, least_load: to 10.0.0.1:9102, the least loaded of 2 by fresh reports (1.20 ms against 3.40 ms of a:1)
   SERVER         IN FLIGHT  LEASED  REPORT AGE  FAILURES  RAMP  COMPARED
   a:1                    3       0       42 ms       25%  100%  3.40 ms
 → 10.0.0.1:9102          3       0       42 ms       25%  100%  1.20 ms
   10.0.0.1:9103          3       0           -       25%  100%  not asked: the call was there already
";
        assert_eq!(block(&trace(Regime::Fresh, candidates)), expected);
    }

    #[test]
    fn a_pick_without_a_server_says_so() {
        let none = PickTrace { pick: None, ..trace(Regime::Only, Vec::new()) };
        assert_eq!(block(&none), "12:34:56.789 default, least_load: no server is ready\n");
    }

    #[test]
    fn a_large_pool_is_cut_short() {
        let candidates = (0..100).map(|index| candidate(index, "a:1", Figure::Calls(2.0)));
        let text = block(&trace(Regime::InFlight, candidates.collect()));
        assert!(text.ends_with("  … and 84 more\n"), "{text}");
        assert!(text.contains("the one of 100 with the fewest of our own calls under way"));
    }
}
