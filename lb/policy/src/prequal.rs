//! `prequal`: the best of a pool of probes, by calls in flight and latency.
//!
//! Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should balance: Introducing
//! Prequal" (NSDI 2024). Servers are asked all the time, at random, how many calls they have in flight
//! (RIF) and how long a call takes with that many; a pick chooses among the latest answers by the
//! hot-cold lexicographic rule: an answer is hot if its RIF is above the `q_rif` quantile of recent
//! answers; among the cold ones the least latency wins; if all are hot, the least RIF does.
//!
//! [`pool`] holds the answers, [`prober`] keeps it filled. With fewer than two answers to choose from
//! it is `least_request`. Failures multiply latency and calls in flight: to fail fast is not to be fast.

mod pool;
mod prober;

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    pool::{Best, Probe, ProbePool},
    prober::Asking,
};
use crate::{
    Domain, Endpoints, Exclusion, Parameter, Pick, PickContext, PickInfo, Picker, Policy,
    PolicyKind, Prober, Regime,
    explain::{Choose, Witness},
    least_request::FewestCalls,
};

pub use self::prober::MOST_PROBES_AT_ONCE;

/// With fewer probes the choice is no choice (the paper's threshold).
const FEWEST_PROBES: usize = 2;

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "prequal",
    summary: "the best of a pool of probes by calls in flight and latency; servers must answer \
              strife.lb.v1.ServerLoad/Probe",
    parameters: &[
        Parameter {
            name: "pool_size",
            meaning: "probes kept to choose from; of half of the servers at most",
            domain: Domain::Integer { default: 16, least: 2, most: 64 },
        },
        Parameter {
            name: "q_rif",
            meaning: "quantile of calls in flight above which an endpoint is hot",
            domain: Domain::Number { default: 0.84, least: 0.0, most: 1.0 },
        },
        Parameter {
            name: "r_probe",
            meaning: "probes asked for each pick",
            domain: Domain::Number { default: 3.0, least: 0.01, most: 100.0 },
        },
        Parameter {
            name: "r_remove",
            meaning: "probes removed for each pick, the worst and the oldest in turn",
            domain: Domain::Number { default: 1.0, least: 0.0, most: 100.0 },
        },
        Parameter {
            name: "delta",
            meaning: "how fast the pool is to fill beyond what is removed; more reuses probes more",
            domain: Domain::Number { default: 1.0, least: 0.01, most: 100.0 },
        },
        Parameter {
            name: "max_age",
            meaning: "how long a probe may be used",
            domain: Domain::Time {
                default: Duration::from_secs(1),
                least: Duration::from_millis(10),
                most: Duration::from_secs(60),
            },
        },
    ],
    make: |arguments| {
        let parameters = Parameters {
            pool_size: arguments.integer("pool_size") as usize,
            q_rif: arguments.number("q_rif"),
            r_probe: arguments.number("r_probe"),
            r_remove: arguments.number("r_remove"),
            delta: arguments.number("delta"),
            max_age: arguments.time("max_age"),
        };
        Box::new(Prequal { parameters, last: Mutex::default() })
    },
};

#[derive(Debug, Clone, Copy)]
struct Parameters {
    pool_size: usize,
    q_rif: f64,
    r_probe: f64,
    r_remove: f64,
    delta: f64,
    max_age: Duration,
}

#[derive(Debug)]
struct Prequal {
    parameters: Parameters,
    /// What the last picker knew, for the next one.
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    endpoints: Endpoints,
    probes: Arc<ProbePool>,
    asking: Arc<Mutex<Asking>>,
}

struct BestProbed {
    parameters: Parameters,
    endpoints: Endpoints,
    /// For want of probes.
    fewest_calls: FewestCalls,
    probes: Arc<ProbePool>,
    asking: Arc<Mutex<Asking>>,
}

#[derive(Serialize, Deserialize)]
struct Memory {
    hot_above: u32,
    probes: Vec<Probe>,
}

impl Policy for Prequal {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, now: Duration) -> Box<dyn Picker> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = last.as_ref().map_or_else(Memory::default, |last| last.moved(&endpoints, now));
        let mut picker = BestProbed::new(self.parameters, endpoints.clone(), &memory);
        if let Some(last) = &*last {
            picker.asking = last.asking.clone();
        }
        let (probes, asking) = (picker.probes.clone(), picker.asking.clone());
        *last = Some(Last { endpoints, probes, asking });
        Box::new(picker)
    }

    fn recalled(
        &self,
        endpoints: Endpoints,
        _: Duration,
        memory: &Value,
    ) -> Result<Box<dyn Picker>, serde_json::Error> {
        let mut memory = Memory::deserialize(memory)?;
        memory.probes.retain(|probe| probe.index < endpoints.len());
        Ok(Box::new(BestProbed::new(self.parameters, endpoints, &memory)))
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { hot_above: u32::MAX, probes: Vec::new() }
    }
}

impl Last {
    /// What was known, of these endpoints.
    fn moved(&self, endpoints: &Endpoints, now: Duration) -> Memory {
        let place = |index: usize| {
            endpoints.iter().position(|load| Arc::ptr_eq(load, &self.endpoints[index]))
        };
        let moved = |probe: Probe| Some(Probe { index: place(probe.index)?, ..probe });
        Memory {
            hot_above: self.probes.hot_above.load(Relaxed),
            probes: self.probes.usable(now).filter_map(|(_, probe)| moved(probe)).collect(),
        }
    }
}

impl BestProbed {
    fn new(parameters: Parameters, endpoints: Endpoints, memory: &Memory) -> Self {
        let pool = ProbePool::new(parameters.kept_of(endpoints.len()), memory.hot_above);
        memory.probes.iter().for_each(|probe| pool.put(*probe));
        Self {
            parameters,
            fewest_calls: FewestCalls::of_two(endpoints.clone()),
            endpoints,
            probes: Arc::new(pool),
            asking: Arc::default(),
        }
    }
}

impl BestProbed {
    /// A loop of its own, so that the usual one has nothing to ask of each probe.
    #[cold]
    fn best_of_others(
        &self,
        info: PickInfo<'_>,
        now: Duration,
        witness: &mut impl Witness,
    ) -> Option<Best> {
        self.probes.best(now, |probe| !info.avoids(probe.index), witness)
    }

    /// The best but the one here, whose server has had its share; if there is no other, this one.
    #[cold]
    fn instead_of_ramping(
        &self,
        place: usize,
        info: PickInfo<'_>,
        now: Duration,
        witness: &mut impl Witness,
    ) -> usize {
        let ramping = self.probes.at(place).index;
        let others = |probe: &Probe| probe.index != ramping && !info.avoids(probe.index);
        let Some(other) = self.probes.best(now, others, &mut ()) else { return place };
        witness.excluded(ramping, Exclusion::Ramping);
        // Else it would be the best of the next pick too, until one lets it through.
        self.probes.use_up(place);
        other.place
    }
}

impl Choose for BestProbed {
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        let (endpoints, now) = (&self.endpoints, context.now);
        witness.remembers(|| Memory {
            hot_above: self.probes.hot_above.load(Relaxed),
            probes: self.probes.held().map(|(_, probe)| probe).collect(),
        });
        self.probes.picked();
        let best = if info.avoid.is_empty() {
            self.probes.best(now, |_| true, witness)
        } else {
            self.best_of_others(info, now, witness)
        };
        let Some(best) = best.filter(|best| best.among >= FEWEST_PROBES.min(endpoints.len()))
        else {
            return self.fewest_calls.choose(info, context, witness);
        };
        let mut place = best.place;
        let ramp = endpoints[self.probes.at(place).index].ramp(now);
        if ramp < 1.0 && context.rng.random::<f64>() >= ramp {
            place = self.instead_of_ramping(place, info, now, witness);
        }
        let (index, hot) = self.probes.take(place);
        Some(Pick { index, regime: if hot { Regime::Hot } else { Regime::Cold } })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn prober(&self) -> Option<&dyn Prober> {
        Some(self)
    }
}
