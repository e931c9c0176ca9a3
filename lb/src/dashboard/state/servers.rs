//! The servers of a pool: those that match, in order, and of these the first.

use std::{cmp::Ordering, time::Duration};

use serde::Serialize;

use super::{
    super::{
        history::{EndpointHistory, EndpointSample, PoolHistory, SAMPLES, Trend},
        query::{Order, Query},
    },
    round, shorten,
};
use crate::snapshot::{Member, Snapshot, State};

/// Seconds that a point of a server's trend stands for in a list of servers.
const POINT_SECONDS: u64 = 5;

#[derive(Serialize)]
pub(super) struct Servers {
    total: usize,
    /// Of those, how many match the filter.
    matching: usize,
    /// Of those, how many points a trend has at most.
    trend_points: usize,
    /// The first of those that match, in order.
    shown: Vec<Server>,
    /// The one that was asked for by its address, second by second.
    one: Option<OneServer>,
}

#[derive(Serialize)]
struct Server {
    address: String,
    state: &'static str,
    /// Why it gets no calls; empty if it does.
    why: String,
    /// Of the pool's calls over the last seconds, 0 to 1.
    share: f32,
    calls: f32,
    failures: f32,
    in_flight: u32,
    p50_us: Option<u32>,
    p99_us: Option<u32>,
    /// Since the balancer knows it.
    calls_total: u64,
    failures_total: u64,
    report_age_ms: Option<u64>,
    reported_in_flight: Option<u32>,
    trend: Option<ServerTrend>,
}

/// Each list from the oldest on.
#[derive(Serialize)]
struct ServerTrend {
    calls: Vec<f32>,
    failures: Vec<f32>,
    in_flight: Vec<u32>,
    /// The highest of the point's seconds.
    p99_us: Vec<Option<u32>>,
}

#[derive(Serialize)]
struct OneServer {
    address: String,
    trend: Option<ServerTrend>,
}

/// A member and what is kept of it, with what it is ordered by.
struct Row<'a> {
    place: usize,
    member: &'a Member,
    /// Why it gets no calls; empty if it does.
    why: String,
    kept: Option<&'a EndpointHistory>,
    last: EndpointSample,
    age_ms: Option<u64>,
}

impl Servers {
    /// `seconds`: sampled so far.
    pub(super) fn of(
        snapshot: &Snapshot,
        pool: &PoolHistory,
        seconds: u64,
        query: &Query,
        now: Duration,
    ) -> Self {
        let rows = snapshot.members.iter().enumerate().map(|(place, member)| {
            let kept = pool.endpoints.get(&member.endpoint.id);
            let last = kept.map(EndpointHistory::last).unwrap_or_default();
            let (why, age_ms) = (member.reason(now), report_age_ms(member, now));
            Row { place, member, why, kept, last, age_ms }
        });
        let one = snapshot.members.iter().find(|one| one.endpoint.address == query.server);
        let mut rows: Vec<_> = rows.filter(|row| row.matches(&query.filter)).collect();
        let matching = rows.len();
        rows.sort_by(|a, b| a.compare(b, query));
        rows.truncate(query.rows);
        let all = pool.steady_calls();
        Self {
            total: snapshot.members.len(),
            matching,
            trend_points: SAMPLES / POINT_SECONDS as usize,
            shown: rows.iter().map(|row| row.server(all, seconds)).collect(),
            one: one.map(|member| OneServer {
                address: member.endpoint.address.clone(),
                trend: trend(pool.endpoints.get(&member.endpoint.id), seconds, 1),
            }),
        }
    }
}

impl Row<'_> {
    /// `filter`: in lower case.
    fn matches(&self, filter: &str) -> bool {
        let texts = [&*self.member.endpoint.address, state(self.member), &self.why];
        filter.is_empty() || texts.iter().any(|text| text.to_lowercase().contains(filter))
    }

    /// Among equals the pool's own order, so that rows do not change places for nothing.
    fn compare(&self, other: &Self, query: &Query) -> Ordering {
        let number = |of: fn(&Self) -> f64| of(self).total_cmp(&of(other));
        let ordering = match query.order {
            Order::Trouble => trouble(self.member).cmp(&trouble(other.member)),
            Order::Address => self.member.endpoint.address.cmp(&other.member.endpoint.address),
            Order::Share => number(|row| row.steady_calls()),
            Order::Calls => number(|row| f64::from(row.last.calls)),
            Order::Failures => number(|row| f64::from(row.last.failures)),
            Order::InFlight => self.last.in_flight.cmp(&other.last.in_flight),
            Order::Latency => self.last.p99_us.cmp(&other.last.p99_us),
            Order::ReportAge => self.age_ms.cmp(&other.age_ms),
        };
        let ordering = if query.descending { ordering.reverse() } else { ordering };
        ordering.then(self.place.cmp(&other.place))
    }

    fn steady_calls(&self) -> f64 {
        self.kept.map_or(0.0, EndpointHistory::steady_calls)
    }

    /// `all`: the pool's steady calls.
    fn server(&self, all: f64, seconds: u64) -> Server {
        let endpoint = &self.member.endpoint;
        let share = if all > 0.0 { self.steady_calls() / all } else { 0.0 };
        Server {
            address: endpoint.address.clone(),
            state: state(self.member),
            why: shorten(&self.why),
            share: (share * 1e4).round() as f32 / 1e4,
            calls: round(self.last.calls),
            failures: round(self.last.failures),
            in_flight: self.last.in_flight,
            p50_us: self.last.p50_us,
            p99_us: self.last.p99_us,
            calls_total: endpoint.load.calls(),
            failures_total: endpoint.load.failed(),
            report_age_ms: self.age_ms,
            reported_in_flight: endpoint.load.last_report().map(|report| report.in_flight),
            trend: trend(self.kept, seconds, POINT_SECONDS),
        }
    }
}

/// As `strife admin status` names it.
fn state(member: &Member) -> &'static str {
    match member.state {
        _ if member.draining => "DRAINING",
        State::Idle => "IDLE",
        State::Connecting => "CONNECTING",
        State::Ready if member.ejection.is_some() => "EJECTED",
        State::Ready => "READY",
        State::TransientFailure => "TRANSIENT_FAILURE",
    }
}

/// What an operator should see first comes first.
fn trouble(member: &Member) -> u8 {
    match member.state {
        State::TransientFailure => 0,
        State::Ready if member.ejection.is_some() => 1,
        State::Connecting | State::Idle => 2,
        State::Ready if member.draining => 3,
        State::Ready => 4,
    }
}

fn report_age_ms(member: &Member, now: Duration) -> Option<u64> {
    let report = member.endpoint.load.last_report()?;
    Some(now.saturating_sub(report.received_at).as_millis() as u64)
}

/// A point for every `width` seconds. Where points begin does not move with time, so that a curve
/// moves and does not change.
fn trend(kept: Option<&EndpointHistory>, seconds: u64, width: u64) -> Option<ServerTrend> {
    let samples: &Trend<_> = kept?.trend()?;
    let first = seconds.saturating_sub(samples.iter().len() as u64);
    let mut trend = ServerTrend {
        calls: Vec::new(),
        failures: Vec::new(),
        in_flight: Vec::new(),
        p99_us: Vec::new(),
    };
    let numbered: Vec<_> = (first..).zip(samples.iter()).collect();
    for point in numbered.chunk_by(|(a, _), (b, _)| a / width == b / width) {
        let count = point.len() as f32;
        let mean = |of: fn(&EndpointSample) -> f32| {
            round(point.iter().map(|(_, sample)| of(sample)).sum::<f32>() / count)
        };
        trend.calls.push(mean(|sample| sample.calls));
        trend.failures.push(mean(|sample| sample.failures));
        let most = point.iter().map(|(_, sample)| sample.in_flight).max();
        trend.in_flight.push(most.unwrap_or_default());
        trend.p99_us.push(point.iter().filter_map(|(_, sample)| sample.p99_us).max());
    }
    Some(trend)
}
