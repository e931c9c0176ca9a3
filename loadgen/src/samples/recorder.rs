//! Takes calls as they end, on one worker thread.
//!
//! A call belongs to the measured time by when it was due, and to a slice likewise. Only throughput
//! (`answered_in_time`) and occupancy go by when things happened.

use std::{collections::HashMap, time::Duration};

use super::{
    MAX_SERVERS, MAX_SLICES, MethodSamples, OTHER_SERVERS, Outcome, Samples, ServerSamples, Slice,
    histogram, record,
};

/// No slice is shorter.
const MIN_SLICE: Duration = Duration::from_millis(1);

/// What a recorder needs to know of its run.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Names of the methods, in the workload's order.
    pub methods: Vec<String>,
    /// Who answered when the response does not say.
    pub target: String,
    /// Start of the measured time, since the start of the run.
    pub from: Duration,
    /// End of the measured time; `None` if the run ends with its last call.
    pub until: Option<Duration>,
    /// Length of a slice; raised so that a run has at most [`MAX_SLICES`].
    pub slice: Duration,
}

/// A call that ended; times since the start of the run.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// Index into [`Layout::methods`].
    pub method: usize,
    /// When it was due.
    pub intended: Duration,
    /// When it was given to a connection.
    pub sent: Duration,
    /// When it ended.
    pub done: Duration,
    /// What became of it.
    pub outcome: Outcome,
    /// The server the response names.
    pub server: Option<&'a [u8]>,
}

/// Records one thread's calls.
#[derive(Debug)]
pub struct Recorder {
    target: String,
    from: Duration,
    until: Option<Duration>,
    last_done: Duration,
    servers: HashMap<Box<[u8]>, usize>,
    samples: Samples,
}

impl Recorder {
    /// Nothing recorded yet.
    pub fn new(layout: Layout) -> Self {
        let measured = layout.until.unwrap_or_default().saturating_sub(layout.from);
        let method = |name| MethodSamples {
            name,
            response: histogram(),
            service: histogram(),
            send_lag: histogram(),
        };
        let samples = Samples {
            methods: layout.methods.into_iter().map(method).collect(),
            servers: Vec::new(),
            slices: Vec::new(),
            slice: layout.slice.max(measured / MAX_SLICES + MIN_SLICE),
            counters: super::Counters::default(),
            wall: Duration::ZERO,
            occupancy: Duration::ZERO,
            in_flight: Vec::new(),
            cpu: Duration::ZERO,
            generator_busy: 0.0,
            stopped_early: false,
        };
        Self {
            target: layout.target,
            from: layout.from,
            until: layout.until,
            last_done: layout.from,
            servers: HashMap::new(),
            samples,
        }
    }

    /// Whether something at `at` is in the measured time.
    pub fn is_measured(&self, at: Duration) -> bool {
        at >= self.from && self.until.is_none_or(|until| at < until)
    }

    /// A call due at `intended` was given to a connection.
    pub fn sent(&mut self, intended: Duration) {
        if self.is_measured(intended) {
            self.samples.counters.due += 1;
            self.samples.counters.sent += 1;
        }
    }

    /// A call due at `intended` was not sent: too many were under way.
    pub fn shed(&mut self, intended: Duration) {
        if self.is_measured(intended) {
            self.samples.counters.due += 1;
            self.samples.counters.shed += 1;
            if let Some(slice) = self.slice(intended) {
                slice.errors += 1;
            }
        }
    }

    /// A call due at `intended` was not sent: the generator was too late.
    pub fn unsent(&mut self, intended: Duration) {
        if self.is_measured(intended) {
            self.samples.counters.due += 1;
            self.samples.counters.unsent += 1;
        }
    }

    /// A call that was sent ended.
    pub fn ended(&mut self, call: &Ended<'_>) {
        let until = self.until.unwrap_or(Duration::MAX);
        let under_way = call.done.min(until).saturating_sub(call.sent.max(self.from));
        self.samples.occupancy += under_way;
        self.last_done = self.last_done.max(call.done);
        if is_done(call.outcome) && self.is_measured(call.done) {
            self.samples.counters.answered_in_time += 1;
        }
        if self.is_measured(call.intended) {
            self.count(call);
            self.time(call);
        }
    }

    fn count(&mut self, call: &Ended<'_>) {
        let counters = &mut self.samples.counters;
        match call.outcome {
            Outcome::Accepted => counters.ok += 1,
            Outcome::Refused => counters.refused += 1,
            Outcome::Queued => counters.queued += 1,
            Outcome::TimedOut => counters.timeouts += 1,
            Outcome::Failed(kind) => *counters.errors.entry(kind).or_default() += 1,
        }
    }

    fn time(&mut self, call: &Ended<'_>) {
        let done = is_done(call.outcome);
        let queued = call.outcome == Outcome::Queued;
        let response = call.done.saturating_sub(call.intended);
        let method = &mut self.samples.methods[call.method];
        record(&mut method.send_lag, call.sent.saturating_sub(call.intended));
        if done {
            record(&mut method.service, call.done.saturating_sub(call.sent));
        }
        let in_histogram = done || call.outcome == Outcome::TimedOut;
        if in_histogram {
            record(&mut method.response, response);
        }
        let server = self.server_of(call, done || queued);
        if let Some(server) = server.map(|index| &mut self.samples.servers[index]) {
            server.calls += 1;
            if done {
                record(&mut server.response, response);
            }
        }
        if let Some(slice) = self.slice(call.intended) {
            if done {
                slice.calls += 1;
            } else if queued {
                slice.queued += 1;
            } else {
                slice.errors += 1;
            }
            if in_histogram {
                record(slice.response(), response);
            }
            if let Some(index) = server {
                *slice.server(index) += 1;
            }
        }
    }

    /// The server that answered: the one the response names; if it names none, the target, unless
    /// the call failed, which the target's balancer may have done by itself.
    fn server_of(&mut self, call: &Ended<'_>, answered: bool) -> Option<usize> {
        let name = match call.server {
            Some(name) => name,
            None if answered => self.target.as_bytes(),
            None => return None,
        };
        if let Some(index) = self.servers.get(name) {
            return Some(*index);
        }
        let index = self.samples.servers.len();
        if index > MAX_SERVERS {
            return Some(MAX_SERVERS);
        }
        let shown = match index {
            MAX_SERVERS => OTHER_SERVERS.to_owned(),
            _ => String::from_utf8_lossy(name).into_owned(),
        };
        self.servers.insert(name.into(), index);
        self.samples.servers.push(ServerSamples { name: shown, calls: 0, response: histogram() });
        Some(index)
    }

    fn slice(&mut self, intended: Duration) -> Option<&mut Slice> {
        let since = intended.checked_sub(self.from)?;
        let index = (since.as_nanos() / self.samples.slice.as_nanos()) as usize;
        if index >= MAX_SLICES as usize {
            return None;
        }
        if self.samples.slices.len() <= index {
            self.samples.slices.resize_with(index + 1, Slice::empty);
        }
        Some(&mut self.samples.slices[index])
    }

    /// The run ends at `at` instead of at its time.
    pub fn stop(&mut self, at: Duration) {
        self.samples.stopped_early = true;
        self.until = Some(self.until.map_or(at, |until| until.min(at)).max(self.from));
    }

    /// What was recorded so far.
    pub fn samples(&self) -> Samples {
        let end = self.until.unwrap_or(self.last_done);
        Samples { wall: end.saturating_sub(self.from), ..self.samples.clone() }
    }
}

/// Answered, and nothing is left to be done.
fn is_done(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Accepted | Outcome::Refused)
}
