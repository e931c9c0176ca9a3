//! What all runs come to: medians over rounds, ratios within rounds, goals met or missed. Pure.
//!
//! A ratio is taken between two runs of the same round, which the machine treated alike, and then the
//! median of the rounds with the lowest and the highest. *The best peer* of a measure in a cell is
//! the one with the best median among the proxies that are not ours.

use std::collections::BTreeMap;

use super::{
    plan::{GOAL_SHAPES, Shape},
    proxies::Proxy,
};
use crate::{
    plot::findings::Spread,
    results::peers::{
        GoalRow, PeerRunRow, PeerSummaryRow, Phase,
        measure::{CALLS, CPU, IDLE_MEMORY, MEMORY, P50, P99, PACED_CPU, PACED_P50, PACED_P99},
    },
};

/// Something that is measured of a run.
#[derive(Debug, Clone, Copy)]
struct Measure {
    /// As files name it.
    name: &'static str,
    phase: Phase,
    value: fn(&PeerRunRow) -> Option<f64>,
    more_is_better: bool,
}

const fn measure(
    name: &'static str,
    phase: Phase,
    value: fn(&PeerRunRow) -> Option<f64>,
) -> Measure {
    Measure { name, phase, value, more_is_better: false }
}

/// All of them, in the order of files and tables.
const MEASURES: [Measure; 9] = [
    measure(CPU, Phase::Saturated, |row| row.cpu_us_per_call),
    Measure {
        more_is_better: true,
        ..measure(CALLS, Phase::Saturated, |row| Some(row.calls_per_s))
    },
    measure(P50, Phase::Saturated, |row| row.p50_us),
    measure(P99, Phase::Saturated, |row| row.p99_us),
    measure(MEMORY, Phase::Saturated, kib_per_connection),
    measure(PACED_P50, Phase::Paced, |row| row.p50_us),
    measure(PACED_P99, Phase::Paced, |row| row.p99_us),
    measure(PACED_CPU, Phase::Paced, |row| row.cpu_us_per_call),
    measure(IDLE_MEMORY, Phase::Idle, kib_per_connection),
];

/// What a run added to the proxy's memory, by connection.
fn kib_per_connection(row: &PeerRunRow) -> Option<f64> {
    let added = row.memory_kib_after as f64 - row.memory_kib_before as f64;
    (row.memory_kib_before > 0)
        .then(|| (added / f64::from(row.connections) * 100.0).round() / 100.0)
}

/// What runs are of, but for proxy and round.
type Where = (bool, u32, Shape);

fn place(row: &PeerRunRow) -> Where {
    let shape = Shape { connections: row.connections, streams: row.streams };
    (row.tls, row.message_bytes, shape)
}

/// A proxy's values by round.
type Rounds = BTreeMap<u32, f64>;

/// Medians and ratios of every measure in every cell, of the valid runs.
pub(super) fn summary(runs: &[PeerRunRow]) -> Vec<PeerSummaryRow> {
    MEASURES.iter().flat_map(|measure| of_measure(*measure, runs)).collect()
}

fn of_measure(measure: Measure, runs: &[PeerRunRow]) -> Vec<PeerSummaryRow> {
    let mut cells: BTreeMap<Where, BTreeMap<Proxy, Rounds>> = BTreeMap::new();
    for row in runs.iter().filter(|row| row.valid && row.phase == measure.phase) {
        let proxy = Proxy::ALL.into_iter().find(|proxy| proxy.name() == row.proxy);
        if let (Some(proxy), Some(value)) = (proxy, (measure.value)(row)) {
            let rounds = cells.entry(place(row)).or_default().entry(proxy).or_default();
            rounds.insert(row.round, value);
        }
    }
    cells.iter().flat_map(|(place, proxies)| of_cell(measure, *place, proxies)).collect()
}

fn of_cell(
    measure: Measure,
    (tls, message_bytes, shape): Where,
    proxies: &BTreeMap<Proxy, Rounds>,
) -> Vec<PeerSummaryRow> {
    let best = best_peer(measure, proxies);
    let copy = proxies.get(&Proxy::TcpCopy);
    let row = |(proxy, rounds): (&Proxy, &Rounds)| {
        let spread = Spread::of(rounds.values().copied())?;
        let vs_best = best.and_then(|(_, best)| ratio(rounds, best));
        let vs_copy = copy.and_then(|copy| ratio(rounds, copy));
        Some(PeerSummaryRow {
            measure: measure.name.to_owned(),
            tls,
            connections: shape.connections,
            streams: shape.streams,
            message_bytes,
            proxy: proxy.name().to_owned(),
            rounds: rounds.len() as u32,
            median: spread.median,
            min: spread.low,
            max: spread.high,
            best_peer: best.map_or("", |(proxy, _)| proxy.name()).to_owned(),
            vs_best_median: vs_best.map(|ratio| ratio.median),
            vs_best_min: vs_best.map(|ratio| ratio.low),
            vs_best_max: vs_best.map(|ratio| ratio.high),
            vs_copy_median: vs_copy.map(|ratio| ratio.median),
            vs_copy_min: vs_copy.map(|ratio| ratio.low),
            vs_copy_max: vs_copy.map(|ratio| ratio.high),
        })
    };
    proxies.iter().filter_map(row).collect()
}

fn best_peer(measure: Measure, proxies: &BTreeMap<Proxy, Rounds>) -> Option<(Proxy, &Rounds)> {
    let sign = if measure.more_is_better { -1.0 } else { 1.0 };
    let median = |rounds: &Rounds| {
        Spread::of(rounds.values().copied()).map_or(f64::INFINITY, |spread| sign * spread.median)
    };
    let peers = proxies.iter().filter(|(proxy, _)| proxy.is_peer());
    let best = peers.min_by(|(_, one), (_, other)| median(one).total_cmp(&median(other)));
    best.map(|(proxy, rounds)| (*proxy, rounds))
}

/// Over the rounds that both were measured in, to three digits behind the point.
fn ratio(of: &Rounds, to: &Rounds) -> Option<Spread> {
    let ratios = of.iter().filter_map(|(round, value)| {
        let other = to.get(round).filter(|other| **other != 0.0)?;
        Some((value / other * 1000.0).round() / 1000.0)
    });
    Spread::of(ratios)
}

/// What a goal compares ours with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
    BestPeer,
    Copy,
    Nothing,
}

/// A goal of DESIGN.md §9.
struct Goal {
    measure: &'static str,
    against: Against,
    limit: f64,
    /// With TLS, in the clear, or both.
    tls: Option<bool>,
    /// `None`: wherever it is measured.
    shapes: Option<&'static [Shape]>,
}

const GOALS: [Goal; 7] = [
    goal(CPU, Against::BestPeer, 0.25, Some(false), Some(&GOAL_SHAPES)),
    goal(CPU, Against::Copy, 1.5, Some(false), Some(&GOAL_SHAPES)),
    goal(CPU, Against::BestPeer, 0.5, Some(true), Some(&GOAL_SHAPES)),
    goal(PACED_P50, Against::BestPeer, 1.0, None, Some(&GOAL_SHAPES)),
    goal(PACED_P99, Against::BestPeer, 1.0, None, Some(&GOAL_SHAPES)),
    goal(MEMORY, Against::BestPeer, 0.5, None, Some(&[GOAL_SHAPES[1]])),
    goal(IDLE_MEMORY, Against::Nothing, 16.0, Some(false), None),
];

const fn goal(
    measure: &'static str,
    against: Against,
    limit: f64,
    tls: Option<bool>,
    shapes: Option<&'static [Shape]>,
) -> Goal {
    Goal { measure, against, limit, tls, shapes }
}

/// Which goals ours meets; those whose other side was not measured are left out.
pub(super) fn goals(summary: &[PeerSummaryRow]) -> Vec<GoalRow> {
    GOALS.iter().flat_map(|goal| of_goal(goal, summary)).collect()
}

fn of_goal(goal: &Goal, summary: &[PeerSummaryRow]) -> Vec<GoalRow> {
    let concerns = |row: &&PeerSummaryRow| {
        let shape = Shape { connections: row.connections, streams: row.streams };
        row.measure == goal.measure
            && row.proxy == Proxy::Strife.name()
            && goal.tls.is_none_or(|tls| tls == row.tls)
            && goal.shapes.is_none_or(|shapes| shapes.contains(&shape))
    };
    let judged = |row: &PeerSummaryRow| {
        let (against, values) = match goal.against {
            Against::BestPeer => {
                (row.best_peer.as_str(), (row.vs_best_median, row.vs_best_min, row.vs_best_max))
            }
            Against::Copy => {
                let ratio = (row.vs_copy_median, row.vs_copy_min, row.vs_copy_max);
                (Proxy::TcpCopy.name(), ratio)
            }
            Against::Nothing => ("", (Some(row.median), Some(row.min), Some(row.max))),
        };
        let (median, min, max) = (values.0?, values.1?, values.2?);
        Some(GoalRow {
            measure: row.measure.clone(),
            tls: row.tls,
            connections: row.connections,
            streams: row.streams,
            message_bytes: row.message_bytes,
            against: against.to_owned(),
            limit: goal.limit,
            median,
            min,
            max,
            met: median <= goal.limit,
        })
    };
    summary.iter().filter(concerns).filter_map(judged).collect()
}

#[cfg(test)]
mod tests;
