//! A fleet in virtual time: Poisson calls, balancers, servers with slots and a queue, reports, probes
//! and deadlines. Just enough to see what a policy does to it.

mod server;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use strife_policy::{
    EndpointLoad, Endpoints, Orca, Outcome, PickContext, PickInfo, Picker, Policy, Ramp, Regime,
    Report, by_spec,
};

use self::server::Running;

/// What happens to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It does nothing any more, and answers nobody (SIGSTOP).
    Freezes,
    /// It goes on where it stopped (SIGCONT).
    Thaws,
    /// It is gone: what it had fails, and it is no endpoint any more.
    Dies,
    /// It is an endpoint, new and empty.
    Joins,
    /// From now on it fails every call after a millisecond.
    Fails,
    /// It serves again.
    Recovers,
}

/// One server of the fleet.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) slots: u32,
    /// Multiplies the service time.
    pub(crate) slowness: f64,
    /// What happens to it, and when.
    pub(crate) fates: Vec<(Duration, Fate)>,
}

impl Default for Server {
    fn default() -> Self {
        Self { slots: 4, slowness: 1.0, fates: Vec::new() }
    }
}

impl Server {
    pub(crate) fn with(fates: &[(u64, Fate)]) -> Self {
        let fates = fates.iter().map(|(ms, fate)| (Duration::from_millis(*ms), *fate)).collect();
        Self { fates, ..Self::default() }
    }
}

/// What servers say of themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    Reports,
    Orca,
}

/// What is simulated.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
    /// Balancers that do not know of each other; calls are dealt to them at random.
    pub(crate) balancers: usize,
    pub(crate) says: Says,
    pub(crate) report_interval: Duration,
    pub(crate) service_time: Duration,
    pub(crate) deadline: Duration,
    /// Of the capacity of the servers that nothing happens to.
    pub(crate) utilization: f64,
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            balancers: 1,
            says: Says::Reports,
            report_interval: Duration::from_millis(100),
            service_time: Duration::from_millis(5),
            deadline: Duration::from_secs(1),
            utilization: 0.6,
            duration: Duration::from_secs(10),
            seed: 1,
        }
    }
}

/// A call, after the fact.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    balancer: usize,
    pub(crate) server: usize,
    pub(crate) sent_at: Duration,
    service_time: Duration,
    /// Calls it found at the server.
    found: usize,
    pub(crate) regime: Regime,
    pub(crate) ended: Option<(Duration, Outcome)>,
}

/// What came of it: all calls, by when they were sent since the start.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) calls: Vec<Call>,
    servers: usize,
}

impl Measured {
    /// Of the calls sent between these times, in milliseconds.
    pub(crate) fn between(&self, from_ms: u64, until_ms: u64) -> Self {
        let window = Duration::from_millis(from_ms)..Duration::from_millis(until_ms);
        let calls = self.calls.iter().filter(|call| window.contains(&call.sent_at)).copied();
        Self { calls: calls.collect(), servers: self.servers }
    }

    /// Of the calls, what each server got.
    pub(crate) fn shares(&self) -> Vec<f64> {
        let mut counts = vec![0.0; self.servers];
        self.calls.iter().for_each(|call| counts[call.server] += 1.0);
        counts.iter().map(|count| count / self.calls.len() as f64).collect()
    }

    pub(crate) fn max_share(&self) -> f64 {
        self.shares().into_iter().fold(0.0, f64::max)
    }

    /// Of the calls that did not fail; one whose deadline passed took until then.
    pub(crate) fn p99(&self) -> Duration {
        let latency = |call: &Call| match call.ended {
            Some((at, Outcome::Succeeded | Outcome::TimedOut)) => Some(at - call.sent_at),
            _ => None,
        };
        let mut sorted: Vec<_> = self.calls.iter().filter_map(latency).collect();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
    }

    pub(crate) fn regimes(&self) -> BTreeMap<Regime, usize> {
        let mut regimes = BTreeMap::new();
        self.calls.iter().for_each(|call| *regimes.entry(call.regime).or_default() += 1);
        regimes
    }
}

/// How long a report travels, and a probe there and back.
const REPORT_DELAY: Duration = Duration::from_micros(200);
/// How often the balancer asks whom to probe.
const PROBING_ROUND: Duration = Duration::from_millis(2);
const FAILS_IN: Duration = Duration::from_millis(1);
/// The simulation starts when every ramp is over.
const START: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Finish { server: usize, call: usize, start: u64 },
    Deadline { call: usize },
    Report { server: usize },
    Round { balancer: usize },
    Probed { balancer: usize, server: usize },
    Refresh { balancer: usize },
    Fate { server: usize, fate: Fate },
}

struct Balancer {
    policy: Box<dyn Policy>,
    picker: Box<dyn Picker>,
    /// Servers by their index in the picker, and what is known of each.
    members: Vec<usize>,
    loads: Vec<Arc<EndpointLoad>>,
    rng: SmallRng,
}

struct Simulation<'a> {
    fleet: &'a Fleet,
    now: Duration,
    rng: SmallRng,
    events: BinaryHeap<Reverse<(Duration, usize, Event)>>,
    pushed: usize,
    balancers: Vec<Balancer>,
    servers: Vec<Running>,
    calls: Vec<Call>,
}

/// Runs `fleet` under this policy.
pub(crate) fn simulate(policy: &str, fleet: &Fleet) -> Measured {
    let mut simulation = Simulation::new(policy, fleet);
    simulation.run();
    let mut calls = simulation.calls;
    calls.iter_mut().for_each(|call| {
        call.sent_at -= START;
        call.ended = call.ended.map(|(at, outcome)| (at - START, outcome));
    });
    Measured { calls, servers: fleet.servers.len() }
}

impl Balancer {
    fn new(policy: &str, servers: usize, seed: u64) -> Self {
        let policy = by_spec(policy).expect("a known policy");
        let load =
            |server| Arc::new(EndpointLoad::new(&format!("server-{server}:1"), Ramp::default()));
        let picker = policy.picker(Vec::new().into(), START);
        let loads = (0..servers).map(load).collect();
        Self { policy, picker, members: Vec::new(), loads, rng: SmallRng::seed_from_u64(seed) }
    }

    fn with_context<T>(
        &mut self,
        now: Duration,
        act: impl FnOnce(&dyn Picker, &mut PickContext) -> T,
    ) -> T {
        let mut context = PickContext { now, rng: self.rng.clone() };
        let result = act(&*self.picker, &mut context);
        self.rng = context.rng;
        result
    }

    fn refresh(&mut self, now: Duration) {
        let endpoints: Endpoints =
            self.members.iter().map(|one| self.loads[*one].clone()).collect();
        self.picker = self.policy.picker(endpoints, now);
    }
}

impl<'a> Simulation<'a> {
    fn new(policy: &str, fleet: &'a Fleet) -> Self {
        let seed = |balancer: usize| fleet.seed * 1000 + balancer as u64;
        let servers = fleet.servers.len();
        let balancer = |number| Balancer::new(policy, servers, seed(number));
        Self {
            fleet,
            now: START,
            rng: SmallRng::seed_from_u64(fleet.seed),
            events: BinaryHeap::new(),
            pushed: 0,
            balancers: (0..fleet.balancers).map(balancer).collect(),
            servers: fleet.servers.iter().map(|_| Running::default()).collect(),
            calls: Vec::new(),
        }
    }

    fn run(&mut self) {
        for server in 0..self.servers.len() {
            for (at, fate) in self.fleet.servers[server].fates.clone() {
                self.push(at, Event::Fate { server, fate });
            }
            // One that joins first of all is not there at the start.
            let first = self.fleet.servers[server].fates.first();
            self.servers[server].present = first.is_none_or(|(_, fate)| *fate != Fate::Joins);
            // Servers do not report in step.
            let first = self.fleet.report_interval.mul_f64(self.rng.random::<f64>());
            self.push(first, Event::Report { server });
        }
        self.members_changed();
        for balancer in 0..self.balancers.len() {
            self.push(Duration::ZERO, Event::Round { balancer });
            self.push(Duration::ZERO, Event::Refresh { balancer });
        }
        self.push(Duration::ZERO, Event::Arrival);
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            self.happens(event);
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrival => self.arrive(),
            Event::Finish { server, call, start } => self.finish(server, call, start),
            Event::Deadline { call } => self.end(call, Outcome::TimedOut),
            Event::Report { server } => self.report(server),
            Event::Round { balancer } => self.probing_round(balancer),
            Event::Probed { balancer, server } => self.probed(balancer, server),
            Event::Refresh { balancer } => {
                self.balancers[balancer].refresh(self.now);
                if let Some(every) = self.balancers[balancer].policy.refresh_every() {
                    self.push(every, Event::Refresh { balancer });
                }
            }
            Event::Fate { server, fate } => self.befalls(server, fate),
        }
    }

    fn is_over(&self) -> bool {
        self.now >= START + self.fleet.duration
    }

    /// What happens after the end is only what began before it.
    fn push(&mut self, after: Duration, event: Event) {
        let goes_on = matches!(event, Event::Finish { .. } | Event::Deadline { .. });
        if goes_on || !self.is_over() {
            self.pushed += 1;
            self.events.push(Reverse((self.now + after, self.pushed, event)));
        }
    }

    fn members_changed(&mut self) {
        let members: Vec<_> =
            (0..self.servers.len()).filter(|server| self.servers[*server].present).collect();
        for balancer in &mut self.balancers {
            balancer.members.clone_from(&members);
            balancer.refresh(self.now);
        }
    }

    fn arrive(&mut self) {
        let number = self.rng.random_range(0..self.balancers.len());
        let now = self.now;
        let balancer = &mut self.balancers[number];
        let hash = Some(self.rng.random());
        let pick = balancer
            .with_context(now, |picker, context| {
                picker.pick(PickInfo { hash, avoid: &[] }, context)
            })
            .expect("there are servers");
        let server = balancer.members[pick.index];
        balancer.loads[server].sent();
        let mean = self.fleet.service_time.as_secs_f64() * self.fleet.servers[server].slowness;
        // Exponential: harder than the lognormal of the virtual servers.
        let service_time = Duration::from_secs_f64(self.exponential(mean));
        let (call, regime, ended) = (self.calls.len(), pick.regime, None);
        let found = self.servers[server].in_flight() as usize;
        self.calls.push(Call {
            balancer: number,
            server,
            sent_at: now,
            service_time,
            found,
            regime,
            ended,
        });
        self.push(self.fleet.deadline, Event::Deadline { call });
        self.serve(server, call);
        let gap = self.exponential(1.0 / self.rate());
        self.push(Duration::from_secs_f64(gap), Event::Arrival);
    }

    /// Calls a second that make the fleet as busy as asked for.
    fn rate(&self) -> f64 {
        let sound = |server: &&Server| server.fates.is_empty();
        let there = self.fleet.servers.iter().filter(sound);
        let slots: f64 = there.map(|server| f64::from(server.slots) / server.slowness).sum();
        self.fleet.utilization * slots / self.fleet.service_time.as_secs_f64()
    }

    /// The call is over for the balancer.
    fn end(&mut self, call: usize, outcome: Outcome) {
        let Call { balancer, server, sent_at, ended, .. } = self.calls[call];
        if ended.is_some() {
            return;
        }
        self.calls[call].ended = Some((self.now, outcome));
        let load = &self.balancers[balancer].loads[server];
        load.finished(self.now, outcome, self.now - sent_at);
        if outcome != Outcome::TimedOut && self.fleet.says == Says::Orca {
            let report = self.servers[server].orca(self.now, self.fleet.servers[server].slots);
            self.balancers[balancer].loads[server].orca(self.now, &report).expect("a valid report");
        }
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng.random::<f64>()).ln()
    }
}
