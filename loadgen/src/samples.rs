//! What a run recorded: every call once, by when it was due, and nothing that did not happen.
//!
//! A [`Recorder`] per worker thread takes each call as it ends; their [`Samples`] are merged when the
//! run is over. Three times are kept of a call: response (from the intended send time, the headline),
//! service (from the real one) and send lag (between the two). Errors are counted apart and are in no
//! histogram, and so are calls that were queued, which are not done; a call that timed out is in the
//! response histogram at its deadline. Pure: times come in as durations since the start of the run.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

pub mod hgrm;
mod outcome;
mod recorder;
#[cfg(test)]
mod tests;

pub use outcome::{ErrorKind, Outcome};
pub use recorder::{Ended, Layout, Recorder};

/// The longest time a histogram holds; longer ones count as this long.
pub const MAX_TIME_US: u64 = 60_000_000;
/// Significant digits of a run's histograms, and of a slice's.
const DIGITS: u8 = 3;
const SLICE_DIGITS: u8 = 2;
/// Most slices of a run; a long run has longer ones.
pub const MAX_SLICES: u32 = 2_000;
/// Servers told apart; the calls of any more are counted together.
pub const MAX_SERVERS: usize = 1_024;
/// The name of those counted together.
const OTHER_SERVERS: &str = "other";

/// An empty histogram of microseconds.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_TIME_US, DIGITS).expect("the bounds are constants")
}

/// Records a time, capped at both ends of what a histogram holds.
fn record(histogram: &mut Histogram<u64>, time: Duration) {
    let us = u64::try_from(time.as_micros()).unwrap_or(MAX_TIME_US);
    histogram.saturating_record(us.clamp(1, MAX_TIME_US));
}

/// The three times of the calls of one method, microseconds.
#[derive(Debug, Clone)]
pub struct MethodSamples {
    /// `pkg.Service/Method`.
    pub name: String,
    /// From the intended send time to the answer, or to the deadline of a call that timed out.
    pub response: Histogram<u64>,
    /// From the real send time to the answer.
    pub service: Histogram<u64>,
    /// From the intended send time to the real one, whatever became of the call.
    pub send_lag: Histogram<u64>,
}

/// The calls one server answered.
#[derive(Debug, Clone)]
pub struct ServerSamples {
    /// As the response says, else the target's address.
    pub name: String,
    /// Answers of any status.
    pub calls: u64,
    /// Response times of successful calls.
    pub response: Histogram<u64>,
}

/// The calls that were due within a slice of the run.
#[derive(Debug, Clone)]
pub struct Slice {
    /// Answered with status OK, but for those that were queued.
    pub calls: u64,
    /// Errors, timeouts and shed calls.
    pub errors: u64,
    /// Answered with status OK: they will be done later, or not.
    pub queued: u64,
    /// Response times, coarser than the run's; `None` before the first.
    pub response: Option<Histogram<u64>>,
    /// Answers by index into [`Samples::servers`].
    pub by_server: Vec<u64>,
}

/// How many calls came to what. `due = sent + shed + unsent`, and once a run is over
/// `sent = ok + refused + queued + errors + timeouts`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls whose intended send time lies in the measured time.
    pub due: u64,
    /// Given to a connection.
    pub sent: u64,
    /// Answered with status OK, as asked.
    pub ok: u64,
    /// Answered with status OK, refused by the application.
    pub refused: u64,
    /// Answered with status OK: taken on by the application, which will do it later, or not.
    pub queued: u64,
    /// Not answered by the deadline.
    pub timeouts: u64,
    /// Not sent because too many calls were under way: the target did not keep up.
    pub shed: u64,
    /// Not sent because the generator itself was too late.
    pub unsent: u64,
    /// Failed, by cause.
    pub errors: BTreeMap<ErrorKind, u64>,
    /// Answered with status OK within the measured time, whenever they were due, but for those that were
    /// queued.
    pub answered_in_time: u64,
}

impl Counters {
    /// Calls that failed, timeouts and shed calls not included.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Calls that were not answered with status OK, for whatever reason but the generator's.
    pub fn all_errors(&self) -> u64 {
        self.failed() + self.timeouts + self.shed
    }

    fn merge(&mut self, other: Self) {
        self.due += other.due;
        self.sent += other.sent;
        self.ok += other.ok;
        self.refused += other.refused;
        self.queued += other.queued;
        self.timeouts += other.timeouts;
        self.shed += other.shed;
        self.unsent += other.unsent;
        self.answered_in_time += other.answered_in_time;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
    }
}

/// How many calls were under way at some time, seen from outside the worker threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Since the start of the measured time.
    pub at: Duration,
    /// Calls under way.
    pub calls: u64,
}

/// Everything a run recorded.
#[derive(Debug, Clone)]
pub struct Samples {
    /// By method, in the workload's order.
    pub methods: Vec<MethodSamples>,
    /// By server, in order of first appearance.
    pub servers: Vec<ServerSamples>,
    /// The run's course in time.
    pub slices: Vec<Slice>,
    /// Length of a slice.
    pub slice: Duration,
    /// How many calls came to what.
    pub counters: Counters,
    /// Measured time, warm-up excluded.
    pub wall: Duration,
    /// Sum of the times that calls were under way within the measured time.
    pub occupancy: Duration,
    /// Samples of calls under way, taken independently of `occupancy`.
    pub in_flight: Vec<InFlight>,
    /// CPU time of the process within the measured time.
    pub cpu: Duration,
    /// The busiest worker thread: time it ran or waited for a core, over the time it had.
    pub generator_busy: f64,
    /// The run was ended before its time.
    pub stopped_early: bool,
}

impl Samples {
    /// Adds another thread's samples of the same run.
    pub fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.methods.iter_mut().zip(&other.methods) {
            add(&mut mine.response, &theirs.response);
            add(&mut mine.service, &theirs.service);
            add(&mut mine.send_lag, &theirs.send_lag);
        }
        let indices: Vec<usize> = other.servers.into_iter().map(|it| self.add_server(it)).collect();
        self.slices.resize_with(self.slices.len().max(other.slices.len()), Slice::empty);
        for (mine, theirs) in self.slices.iter_mut().zip(other.slices) {
            mine.merge(theirs, &indices);
        }
        self.counters.merge(other.counters);
        self.wall = self.wall.max(other.wall);
        self.occupancy += other.occupancy;
        self.in_flight.extend(other.in_flight);
        self.cpu += other.cpu;
        self.generator_busy = self.generator_busy.max(other.generator_busy);
        self.stopped_early |= other.stopped_early;
    }

    /// Response times of all methods, microseconds.
    pub fn response(&self) -> Histogram<u64> {
        self.all(|method| &method.response)
    }

    /// Service times of all methods, microseconds.
    pub fn service(&self) -> Histogram<u64> {
        self.all(|method| &method.service)
    }

    /// Send lags of all methods, microseconds.
    pub fn send_lag(&self) -> Histogram<u64> {
        self.all(|method| &method.send_lag)
    }

    fn all(&self, kind: impl Fn(&MethodSamples) -> &Histogram<u64>) -> Histogram<u64> {
        let mut sum = histogram();
        for method in &self.methods {
            add(&mut sum, kind(method));
        }
        sum
    }

    fn add_server(&mut self, theirs: ServerSamples) -> usize {
        match self.servers.iter().position(|mine| mine.name == theirs.name) {
            Some(index) => {
                self.servers[index].calls += theirs.calls;
                add(&mut self.servers[index].response, &theirs.response);
                index
            }
            None => {
                self.servers.push(theirs);
                self.servers.len() - 1
            }
        }
    }
}

impl Slice {
    fn empty() -> Self {
        Self { calls: 0, errors: 0, queued: 0, response: None, by_server: Vec::new() }
    }

    fn merge(&mut self, other: Self, indices: &[usize]) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.queued += other.queued;
        match (&mut self.response, other.response) {
            (Some(mine), Some(theirs)) => add(mine, &theirs),
            (mine @ None, theirs) => *mine = theirs,
            (Some(_), None) => {}
        }
        for (calls, index) in other.by_server.into_iter().zip(indices) {
            *self.server(*index) += calls;
        }
    }

    fn server(&mut self, index: usize) -> &mut u64 {
        if self.by_server.len() <= index {
            self.by_server.resize(index + 1, 0);
        }
        &mut self.by_server[index]
    }

    fn response(&mut self) -> &mut Histogram<u64> {
        self.response.get_or_insert_with(|| {
            Histogram::new_with_bounds(1, MAX_TIME_US, SLICE_DIGITS)
                .expect("the bounds are constants")
        })
    }
}

fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    sum.add(other).expect("both have the same bounds");
}
