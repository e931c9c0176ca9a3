//! What the page draws, as JSON: a summary of every pool, all of one, and its first servers in the
//! order that was asked for.
//!
//! Every answer is whole and bounded, whatever the number of servers: nothing has to be kept by who
//! asks, and nothing is lost when an answer is.

mod servers;

use std::time::Duration;

use serde::Serialize;
use strife_policy::{POLICIES, PolicyKind};

use self::servers::Servers;
use super::{
    history::{History, PoolHistory, PoolSample, SAMPLES},
    query::Query,
};
use crate::{picks, pool::Pool};

/// Of a text that others wrote.
const MOST_CHARS: usize = 400;
/// Sources whose problems are told.
const MOST_PROBLEMS: usize = 8;
/// Picks that are told.
const MOST_PICKS: usize = 12;

#[derive(Serialize)]
struct State<'a> {
    version: &'static str,
    uptime_s: u64,
    /// The balancer was asked to stop.
    is_stopping: bool,
    /// Seconds that were sampled: rises with every sample.
    sampled_s: u64,
    policies: Vec<Kind>,
    pools: Vec<Summary<'a>>,
    pool: Option<Whole<'a>>,
}

/// A policy that there is.
#[derive(Serialize)]
struct Kind {
    name: &'static str,
    summary: &'static str,
    /// As they are if nothing is said: `key=value,key=value`.
    defaults: String,
    /// A line for each parameter: what it changes and what it may be.
    parameters: String,
}

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    servers: usize,
    /// Of those, how many take calls.
    ready: usize,
    calls: f32,
    failures: f32,
}

#[derive(Serialize)]
struct Whole<'a> {
    name: &'a str,
    policy: String,
    /// Which of its rules decided the last picks, and their shares, 0 to 1.
    regimes: Vec<(&'static str, f32)>,
    /// What is not right with the pool itself or the sources of its servers.
    problems: Vec<String>,
    /// Seconds that a trend may hold.
    trend_s: usize,
    trend: PoolTrend,
    servers: Servers,
    /// The last picks that were explained, the newest first: each a sentence, and in lines what
    /// was weighed.
    picks: Vec<(String, String)>,
}

/// A pool's samples, each list from the oldest on.
#[derive(Serialize)]
struct PoolTrend {
    calls: Vec<f32>,
    /// Failed by a server's fault, and refused because none was ready.
    failures: Vec<f32>,
    in_flight: Vec<u32>,
    p50_us: Vec<Option<u32>>,
    p99_us: Vec<Option<u32>>,
    fairness: Vec<Option<f32>>,
}

/// The answer to `query`. `now`: since the balancer started.
pub(super) fn render(history: &History, query: &Query, now: Duration, is_stopping: bool) -> String {
    let asked = history.pools().find(|(pool, _)| pool.name == query.pool);
    let shown = asked.or_else(|| history.pools().next());
    let state = State {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: now.as_secs(),
        is_stopping,
        sampled_s: history.seconds(),
        policies: POLICIES.iter().map(Kind::of).collect(),
        pools: history.pools().map(|(pool, kept)| summary(pool, kept)).collect(),
        pool: shown.map(|(pool, kept)| whole(pool, kept, history.seconds(), query, now)),
    };
    serde_json::to_string(&state).expect("names and numbers are JSON")
}

impl Kind {
    fn of(kind: &PolicyKind) -> Self {
        let (mut defaults, mut parameters) = (Vec::new(), Vec::new());
        for one in kind.parameters {
            defaults.push(format!("{}={}", one.name, one.domain.default()));
            parameters.push(format!("{}: {} ({})", one.name, one.meaning, one.domain.accepted()));
        }
        let (defaults, parameters) = (defaults.join(","), parameters.join("\n"));
        Self { name: kind.name, summary: kind.summary, defaults, parameters }
    }
}

fn summary<'a>(pool: &'a Pool, kept: &PoolHistory) -> Summary<'a> {
    let snapshot = pool.snapshot();
    let sample = kept.trend.last().copied().unwrap_or_default();
    Summary {
        name: &pool.name,
        servers: snapshot.members.len(),
        ready: snapshot.ready.len(),
        calls: round(sample.calls),
        failures: round(sample.failures + sample.unavailable),
    }
}

fn whole<'a>(
    pool: &'a Pool,
    kept: &PoolHistory,
    seconds: u64,
    query: &Query,
    now: Duration,
) -> Whole<'a> {
    let snapshot = pool.snapshot();
    Whole {
        name: &pool.name,
        policy: snapshot.policy.spec.clone(),
        regimes: kept
            .regimes()
            .map(|(regime, share)| (regime.as_str(), to_permille(share)))
            .collect(),
        problems: problems(pool, snapshot.panics),
        trend_s: SAMPLES,
        trend: PoolTrend::of(kept),
        servers: Servers::of(&snapshot, kept, seconds, query, now),
        picks: picks(pool),
    }
}

fn picks(pool: &Pool) -> Vec<(String, String)> {
    let recent = pool.picks.recent();
    let told = recent.iter().rev().take(MOST_PICKS).map(|trace| {
        let text = picks::block(trace);
        let (sentence, lines) = text.split_once('\n').unwrap_or((&text, ""));
        (sentence.to_owned(), lines.to_owned())
    });
    told.collect()
}

fn problems(pool: &Pool, panics: bool) -> Vec<String> {
    const PANICS: &str = "So few servers are well that ejected ones get calls, too (panic mode).";
    let sources = pool.sources();
    let said = sources.iter().map(|source| (source, source.said().problem));
    let problems = said.filter(|(_, problem)| !problem.is_empty());
    let shown = problems.take(MOST_PROBLEMS);
    let shown = shown.map(|(source, problem)| shorten(&format!("{}: {problem}", source.name)));
    panics.then(|| PANICS.to_owned()).into_iter().chain(shown).collect()
}

impl PoolTrend {
    fn of(kept: &PoolHistory) -> Self {
        fn each<T>(kept: &PoolHistory, of: impl Fn(&PoolSample) -> T) -> Vec<T> {
            kept.trend.iter().map(of).collect()
        }
        Self {
            calls: each(kept, |sample| round(sample.calls)),
            failures: each(kept, |sample| round(sample.failures + sample.unavailable)),
            in_flight: each(kept, |sample| sample.in_flight),
            p50_us: each(kept, |sample| sample.p50_us),
            p99_us: each(kept, |sample| sample.p99_us),
            fairness: each(kept, |sample| sample.fairness.map(|index| to_permille(index.into()))),
        }
    }
}

/// Of a text that others wrote: a server's error, a source's.
fn shorten(text: &str) -> String {
    text.chars().take(MOST_CHARS).collect()
}

fn to_permille(share: f64) -> f32 {
    (share * 1e3).round() as f32 / 1e3
}

/// To what can be told apart on a page.
fn round(value: f32) -> f32 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
