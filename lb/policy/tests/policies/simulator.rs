//! A fleet in virtual time: Poisson calls, balancers, servers with slots and a queue, load reports
//! that take a while to arrive. Just enough to see what a policy does to it.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use strife_policy::{EndpointLoad, Outcome, PickContext, Policy, Regime, Report, by_spec};

/// One server of the fleet.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) slots: u32,
    /// Multiplies the service time.
    pub(crate) slowness: f64,
    /// Fails every call after this time, whatever its load.
    pub(crate) fails_in: Option<Duration>,
}

impl Default for Server {
    fn default() -> Self {
        Self { slots: 4, slowness: 1.0, fails_in: None }
    }
}

/// What is simulated.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
    /// Balancers that do not know of each other; calls are dealt to them at random.
    pub(crate) balancers: usize,
    pub(crate) report_interval: Duration,
    pub(crate) service_time: Duration,
    /// Of the capacity of servers that are neither slow nor failing.
    pub(crate) utilization: f64,
    pub(crate) calls: usize,
    pub(crate) seed: u64,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            balancers: 1,
            report_interval: Duration::from_millis(100),
            service_time: Duration::from_millis(5),
            utilization: 0.6,
            calls: 60_000,
            seed: 1,
        }
    }
}

/// What came of it, the first tenth of the calls aside.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) shares: Vec<f64>,
    pub(crate) regimes: HashMap<Regime, usize>,
    latencies: Vec<Duration>,
}

impl Measured {
    pub(crate) fn max_share(&self) -> f64 {
        self.shares.iter().copied().fold(0.0, f64::max)
    }

    pub(crate) fn p99(&self) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
    }
}

/// How long a report travels.
const REPORT_DELAY: Duration = Duration::from_micros(200);
/// The simulation starts when every ramp is over.
const START: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Finish { server: usize, call: usize },
    Report { server: usize },
    Deliver { server: usize, in_flight: u32, queued: u32, service_time_us: u32, sequence: u64 },
}

struct Call {
    balancer: usize,
    sent_at: Duration,
    service_time: Duration,
}

#[derive(Default)]
struct Running {
    busy: u32,
    queue: VecDeque<usize>,
    reports: u64,
    mean_service_us: f64,
}

struct Balancer {
    policy: Box<dyn Policy>,
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
    picked: Vec<usize>,
    measured: Measured,
}

/// Runs `fleet` under the policy of this name.
pub(crate) fn simulate(policy: &str, fleet: &Fleet) -> Measured {
    let balancer = |number: usize| Balancer {
        policy: by_spec(policy).expect("a known policy"),
        loads: fleet.servers.iter().map(|_| Arc::default()).collect(),
        rng: SmallRng::seed_from_u64(fleet.seed * 1000 + number as u64),
    };
    let mut simulation = Simulation {
        fleet,
        now: START,
        rng: SmallRng::seed_from_u64(fleet.seed),
        events: BinaryHeap::new(),
        pushed: 0,
        balancers: (0..fleet.balancers).map(balancer).collect(),
        servers: fleet.servers.iter().map(|_| Running::default()).collect(),
        calls: Vec::new(),
        picked: vec![0; fleet.servers.len()],
        measured: Measured::default(),
    };
    simulation.run();
    let counted = simulation.picked.iter().sum::<usize>() as f64;
    simulation.measured.shares =
        simulation.picked.iter().map(|count| *count as f64 / counted).collect();
    simulation.measured
}

impl Simulation<'_> {
    fn run(&mut self) {
        for server in 0..self.servers.len() {
            // Servers do not report in step.
            let first = self.fleet.report_interval.mul_f64(self.rng.random::<f64>());
            self.push(first, Event::Report { server });
        }
        self.push(Duration::ZERO, Event::Arrival);
        let mut finished = 0;
        while finished < self.fleet.calls {
            let Reverse((at, _, event)) = self.events.pop().expect("calls are under way");
            self.now = at;
            match event {
                Event::Arrival => self.arrive(),
                Event::Finish { server, call } => {
                    finished += 1;
                    self.finish(server, call);
                }
                Event::Report { server } => self.report(server),
                Event::Deliver { server, in_flight, queued, service_time_us, sequence } => {
                    let slots = self.fleet.servers[server].slots;
                    let report = Report {
                        in_flight,
                        queued,
                        slots,
                        service_time_us,
                        sequence,
                        epoch: 1,
                        ..Report::default()
                    };
                    for balancer in &self.balancers {
                        balancer.loads[server].report(self.now, &report).expect("a valid report");
                    }
                }
            }
        }
    }

    fn push(&mut self, after: Duration, event: Event) {
        self.pushed += 1;
        self.events.push(Reverse((self.now + after, self.pushed, event)));
    }

    fn is_warm(&self, call: usize) -> bool {
        call >= self.fleet.calls / 10
    }

    fn arrive(&mut self) {
        let call = self.calls.len();
        let number = self.rng.random_range(0..self.balancers.len());
        let balancer = &mut self.balancers[number];
        let mut context = PickContext { now: self.now, rng: balancer.rng.clone() };
        let pick = balancer.policy.pick(&balancer.loads, &mut context).expect("there are servers");
        balancer.rng = context.rng;
        balancer.loads[pick.index].sent();
        if self.is_warm(call) {
            self.picked[pick.index] += 1;
            *self.measured.regimes.entry(pick.regime).or_default() += 1;
        }
        let service_time = self.service_time(pick.index);
        self.calls.push(Call { balancer: number, sent_at: self.now, service_time });
        self.serve(pick.index, call);
        if self.calls.len() < self.fleet.calls {
            let gap = self.exponential(1.0 / self.rate());
            self.push(Duration::from_secs_f64(gap), Event::Arrival);
        }
    }

    /// Calls a second that make the fleet's sound servers as busy as asked for.
    fn rate(&self) -> f64 {
        let sound = |server: &&Server| server.fails_in.is_none();
        let slots: f64 = self
            .fleet
            .servers
            .iter()
            .filter(sound)
            .map(|server| f64::from(server.slots) / server.slowness)
            .sum();
        self.fleet.utilization * slots / self.fleet.service_time.as_secs_f64()
    }

    fn serve(&mut self, server: usize, call: usize) {
        let running = &mut self.servers[server];
        if let Some(time) = self.fleet.servers[server].fails_in {
            running.busy += 1;
            self.push(time, Event::Finish { server, call });
        } else if running.busy < self.fleet.servers[server].slots {
            running.busy += 1;
            self.push(self.calls[call].service_time, Event::Finish { server, call });
        } else {
            running.queue.push_back(call);
        }
    }

    fn finish(&mut self, server: usize, call: usize) {
        let failed = self.fleet.servers[server].fails_in.is_some();
        let Call { balancer, sent_at, service_time } = self.calls[call];
        let outcome = if failed { Outcome::Failed } else { Outcome::Succeeded };
        self.balancers[balancer].loads[server].finished(self.now, outcome);
        if self.is_warm(call) && !failed {
            self.measured.latencies.push(self.now - sent_at);
        }
        let running = &mut self.servers[server];
        let sample = service_time.as_secs_f64() * 1e6;
        // As the servers' own moving average.
        running.mean_service_us += if running.mean_service_us == 0.0 {
            sample
        } else {
            0.05 * (sample - running.mean_service_us)
        };
        running.busy -= 1;
        if let Some(next) = running.queue.pop_front() {
            self.serve(server, next);
        }
    }

    fn report(&mut self, server: usize) {
        let running = &mut self.servers[server];
        running.reports += 1;
        let queued = running.queue.len() as u32;
        let deliver = Event::Deliver {
            server,
            in_flight: running.busy + queued,
            queued,
            service_time_us: running.mean_service_us as u32,
            sequence: running.reports,
        };
        self.push(REPORT_DELAY, deliver);
        self.push(self.fleet.report_interval, Event::Report { server });
    }

    /// Exponential: harder than the lognormal of the virtual servers.
    fn service_time(&mut self, server: usize) -> Duration {
        let server = &self.fleet.servers[server];
        let mean = self.fleet.service_time.as_secs_f64() * server.slowness;
        let failing = server.fails_in;
        failing.unwrap_or_else(|| Duration::from_secs_f64(self.exponential(mean)))
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng.random::<f64>()).ln()
    }
}
