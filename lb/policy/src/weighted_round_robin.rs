//! `weighted_round_robin`: turns by weight, and a weight is what a server could serve in a second.
//!
//! gRFC A58: weight = calls a second ÷ (utilization + errors a second ÷ calls a second × penalty), from
//! ORCA reports. A weight counts only after `blackout_period`, and until `weight_expiration_period`
//! after the last report; an endpoint without one gets the mean. With fewer than two weights it is
//! round robin. Turns follow a static stride ([`stride`]); errors are what servers report of
//! themselves: one that fails every call at once gets less, and outlier ejection does the rest.
//!
//! An endpoint that is ramping up gives turns away.

mod stride;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::rngs::SmallRng;
use serde::{Deserialize, Serialize, de::Error};
use serde_json::Value;

use self::stride::StaticStride;
use crate::{
    Domain, EndpointLoad, Endpoints, Figure, Parameter, Pick, PickContext, PickInfo, Picker,
    Policy, PolicyKind, Regime,
    draw::{allowed_turn, ramped, ramped_turn},
    explain::{Choose, Witness},
};

const DAY: Duration = Duration::from_secs(86_400);

pub(crate) const KIND: PolicyKind = PolicyKind {
    name: "weighted_round_robin",
    summary: "turns by weight, from the utilization and rates that servers report by ORCA (gRFC A58)",
    parameters: &[
        Parameter {
            name: "blackout_period",
            meaning: "how long a server must have reported before its weight counts",
            domain: Domain::Time {
                default: Duration::from_secs(10),
                least: Duration::ZERO,
                most: DAY,
            },
        },
        Parameter {
            name: "weight_expiration_period",
            meaning: "how long a weight counts after the last report",
            domain: Domain::Time {
                default: Duration::from_secs(180),
                least: Duration::from_millis(100),
                most: DAY,
            },
        },
        Parameter {
            name: "weight_update_period",
            meaning: "how often the weights are looked up",
            domain: Domain::Time {
                default: Duration::from_secs(1),
                least: Duration::from_millis(100),
                most: DAY,
            },
        },
        Parameter {
            name: "error_utilization_penalty",
            meaning: "how much utilization an error in every call stands for",
            domain: Domain::Number { default: 1.0, least: 0.0, most: 1000.0 },
        },
    ],
    make: |arguments| {
        Box::new(WeightedRoundRobin {
            blackout_period: arguments.time("blackout_period"),
            weight_expiration_period: arguments.time("weight_expiration_period"),
            weight_update_period: arguments.time("weight_update_period"),
            error_utilization_penalty: arguments.number("error_utilization_penalty"),
            sequence: Arc::default(),
        })
    },
};

#[derive(Debug)]
struct WeightedRoundRobin {
    blackout_period: Duration,
    weight_expiration_period: Duration,
    weight_update_period: Duration,
    error_utilization_penalty: f64,
    /// Shared by all threads and pickers, so that a new picker goes on where the last one was.
    sequence: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct WeightedTurns {
    endpoints: Endpoints,
    /// `None`: fewer than two weights are known.
    stride: Option<StaticStride>,
    sequence: Arc<AtomicUsize>,
}

#[derive(Serialize, Deserialize)]
struct Memory {
    sequence: usize,
    stride: Option<StaticStride>,
}

impl Policy for WeightedRoundRobin {
    fn name(&self) -> &'static str {
        KIND.name
    }

    fn picker(&self, endpoints: Endpoints, now: Duration) -> Box<dyn Picker> {
        let weights: Vec<_> = endpoints.iter().map(|load| self.weight(load, now)).collect();
        let stride = StaticStride::of(&weights);
        Box::new(WeightedTurns { endpoints, stride, sequence: self.sequence.clone() })
    }

    fn recalled(
        &self,
        endpoints: Endpoints,
        _: Duration,
        memory: &Value,
    ) -> Result<Box<dyn Picker>, serde_json::Error> {
        let Memory { sequence, stride } = Memory::deserialize(memory)?;
        if stride.as_ref().is_some_and(|stride| !stride.fits(endpoints.len())) {
            return Err(serde_json::Error::custom("these are no weights of these endpoints"));
        }
        let sequence = Arc::new(AtomicUsize::new(sequence));
        Ok(Box::new(WeightedTurns { endpoints, stride, sequence }))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(self.weight_update_period)
    }
}

impl WeightedRoundRobin {
    /// `None`: not known, not yet or no longer.
    fn weight(&self, load: &EndpointLoad, now: Duration) -> Option<f64> {
        let report = load.last_orca()?;
        let (since, at) = (report.useful_since?, report.useful_at?);
        if now.saturating_sub(at) >= self.weight_expiration_period {
            load.forget_weight();
            return None;
        }
        let counts = now.saturating_sub(since) >= self.blackout_period;
        let weight = report.weight(self.error_utilization_penalty);
        (counts && weight > 0.0).then_some(weight)
    }
}

impl Choose for WeightedTurns {
    fn choose(
        &self,
        info: PickInfo<'_>,
        context: &mut PickContext,
        witness: &mut impl Witness,
    ) -> Option<Pick> {
        let (sequence, count) = (&*self.sequence, self.endpoints.len());
        witness
            .remembers(|| Memory { sequence: sequence.load(Relaxed), stride: self.stride.clone() });
        let next = || sequence.fetch_add(1, Relaxed);
        let Some(stride) = &self.stride else {
            let turn = |_: &mut SmallRng| next().checked_rem(count).unwrap_or(0);
            let index = ramped_turn(&self.endpoints, info, context, witness, turn)?;
            return Some(Pick { index, regime: Regime::Unweighted });
        };
        let index = ramped(&self.endpoints, context, witness, |_, witness| {
            let mut turn = 0;
            let index = allowed_turn(count, info, || {
                turn = stride.pick(next, witness);
                turn
            })?;
            if index != turn {
                witness.saw(index, Figure::None);
            }
            Some(index)
        })?;
        Some(Pick { index, regime: Regime::Weighted })
    }

    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }
}
