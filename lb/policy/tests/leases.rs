//! Look-aside picks as load: settled once, forgotten in time, and no herd while reports are old.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use strife_policy::{EndpointLoad, LEASE, PickContext, PickInfo, Ramp, Report, by_spec};

const START: Duration = Duration::from_secs(60);
const MS: Duration = Duration::from_millis(1);

fn endpoint(number: usize) -> Arc<EndpointLoad> {
    let ramp = Ramp { window: Duration::ZERO, ..Ramp::default() };
    Arc::new(EndpointLoad::new(&format!("127.0.0.1:{}", number + 1), ramp))
}

/// That `arrived` calls have come so far, and that `in_flight` of them are still there.
fn report(load: &EndpointLoad, now: Duration, sequence: u64, arrived: u64, in_flight: u32) {
    let completed = arrived - u64::from(in_flight);
    let report = Report { sequence, completed, in_flight, epoch: 1, ..Report::default() };
    load.report(now, &report).expect("a valid report");
}

/// Two clients at 1,000 picks a second each, reports every second, and in turn one server says that
/// it is idle while the others are not: it is ahead by what it has more room for, no further.
#[test]
fn picks_are_spread_while_reports_are_a_second_old() {
    const SERVERS: usize = 12;
    const BUSY: u32 = 40;
    for seed in 1..=5_u64 {
        let loads: Vec<_> = (0..SERVERS).map(endpoint).collect();
        let policy = by_spec("least_load").unwrap();
        let picker = policy.picker(loads.clone().into(), START);
        let mut context = PickContext { now: START, rng: SmallRng::seed_from_u64(seed) };
        let (mut picked, mut arrived) = ([0_u64; SERVERS], [u64::from(BUSY); SERVERS]);
        for tick in 0..12_000_u32 {
            context.now = START + MS * tick;
            if tick % 1000 == 0 {
                picked = [0; SERVERS];
                let second = tick as usize / 1000;
                for (index, load) in loads.iter().enumerate() {
                    let in_flight = if index == second % SERVERS { 0 } else { BUSY };
                    report(load, context.now, second as u64 + 1, arrived[index], in_flight);
                }
            }
            for _client in 0..2 {
                let pick = picker.pick(PickInfo::default(), &mut context).unwrap();
                loads[pick.index].lease(context.now);
                picked[pick.index] += 1;
                arrived[pick.index] += 1;
            }
            let sum: u64 = picked.iter().sum();
            let most = *picked.iter().max().unwrap();
            // Everybody who sees it would send it a sixth; even is a twelfth.
            let bound = sum / 8 + u64::from(BUSY);
            assert!(most <= bound, "seed {seed}, tick {tick}: {picked:?}");
        }
    }
}

#[test]
fn a_lease_that_ends_is_forgotten() {
    let load = endpoint(0);
    load.lease(START);
    assert_eq!(load.leased(START), 1);
    assert_eq!(load.leased(START + LEASE), 0);
    // A report that comes too late finds nothing to settle, and takes no younger lease for it.
    report(&load, START, 1, 0, 0);
    load.lease(START + LEASE * 2);
    report(&load, START + LEASE * 2, 2, 0, 0);
    assert_eq!(load.leased(START + LEASE * 2), 1);
}

proptest! {
    /// However calls and reports interleave: what is owed is what was granted lately and not seen
    /// since, and a call that a report has shown settles one lease, once.
    #[test]
    fn a_lease_is_settled_by_one_report_and_once(seed in any::<u64>()) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let load = endpoint(0);
        let (mut granted, mut arrived, mut settled) = (0_u64, 0_u64, 0_u64);
        report(&load, START, 1, 0, 0);
        for sequence in 2..40 {
            // All of it well within one lease, so that none ends by itself.
            let now = START + MS * sequence as u32;
            for _ in 0..rng.random_range(0..5) {
                load.lease(now);
                granted += 1;
            }
            // The calls may come late, or not at all yet; never before their pick.
            arrived = rng.random_range(arrived..=granted);
            report(&load, now, sequence, arrived, 0);
            settled = settled.max(arrived);
            prop_assert_eq!(load.leased(now), granted - settled, "report {}", sequence);
            // The same report again is out of sequence, and settles nothing.
            report(&load, now, sequence, arrived, 0);
            prop_assert_eq!(load.leased(now), granted - settled, "report {} twice", sequence);
        }
    }
}
