//! No pick of any policy allocates: counted, in a process of its own.

use std::{alloc::System, hint::black_box, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::SmallRng};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use strife_policy::{
    EndpointLoad, Endpoints, Orca, Outcome, POLICIES, PickContext, PickInfo, Ramp, Report, by_spec,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const START: Duration = Duration::from_secs(1000);
const PICKS: u64 = 2000;
const ROUNDS: usize = 3;

/// Some new, some with reports, some that fail.
fn endpoints(count: usize) -> Endpoints {
    let load = |index: usize| {
        let load = EndpointLoad::new(&format!("server-{index}:1"), Ramp::default());
        load.joined(START - Duration::from_secs(index as u64));
        load.report(START, &Report { slots: 4, service_time_us: 5000, ..Report::default() })
            .expect("sound");
        load.orca(START, &Orca { cpu_utilization: 0.5, rps: 10.0, ..Orca::default() })
            .expect("sound");
        load.lease(START);
        load.sent();
        load.sent();
        let outcome = if index.is_multiple_of(3) { Outcome::Failed } else { Outcome::Succeeded };
        load.finished(START, outcome, Duration::from_millis(5));
        Arc::new(load)
    };
    (0..count).map(load).collect()
}

#[test]
fn no_pick_allocates() {
    for kind in POLICIES {
        for count in [1, 2, 15, 300] {
            let picker = by_spec(kind.name).expect("sound").picker(endpoints(count), START);
            let mut context = PickContext { now: START, rng: SmallRng::seed_from_u64(1) };
            if let Some(prober) = picker.prober() {
                (0..count).for_each(|index| prober.answered(START, index, 3, 5000));
            }
            let mut allocations = || {
                let region = Region::new(ALLOCATOR);
                for pick in 0..PICKS {
                    // Time goes on, so that what is kept for a while is made anew.
                    context.now += Duration::from_micros(500);
                    let hash = (pick.is_multiple_of(2)).then_some(pick);
                    let avoid: &[usize] = if pick.is_multiple_of(3) { &[0] } else { &[] };
                    black_box(picker.pick(PickInfo { hash, avoid }, &mut context));
                }
                region.change().allocations
            };
            // The test harness has a thread of its own, which may allocate meanwhile, once.
            let least = (0..ROUNDS).map(|_| allocations()).min();
            assert_eq!(least, Some(0), "{} among {count}", kind.name);
        }
    }
}
