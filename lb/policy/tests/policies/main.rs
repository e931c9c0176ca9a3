//! Whole-policy properties, on a virtual clock: what a policy does to its endpoints and to a fleet.

mod every_policy;
mod fleets;
mod replays;
mod simulator;
mod turns;

use std::{sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use strife_policy::{EndpointLoad, Endpoints, PickContext, PickInfo, Picker, Ramp};

/// Long after every ramp.
const NOW: Duration = Duration::from_secs(60);

fn endpoints(count: usize) -> Endpoints {
    let load = |index| Arc::new(EndpointLoad::new(&format!("server-{index}:1"), Ramp::default()));
    (0..count).map(load).collect()
}

fn context(seed: u64) -> PickContext {
    PickContext { now: NOW, rng: SmallRng::seed_from_u64(seed) }
}

fn picks(picker: &dyn Picker, info: PickInfo<'_>, count: usize) -> Vec<usize> {
    let mut context = context(1);
    let mut pick = || picker.pick(info, &mut context).expect("there are endpoints").index;
    (0..count).map(|_| pick()).collect()
}
