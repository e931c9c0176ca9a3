//! Leases hold as long as they are renewed, and no longer.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const LEASE: Duration = Duration::from_millis(800);
const SWEEP: Duration = Duration::from_millis(100);
const MOST: usize = 4;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn sorted(leases: &Leases) -> Vec<&str> {
    let mut addresses: Vec<_> = leases.addresses().collect();
    addresses.sort_unstable();
    addresses
}

#[test]
fn a_lease_that_is_not_renewed_ends() {
    let mut leases = Leases::new(LEASE, MOST);
    assert_eq!(leases.renew("a:1", at(0)), Ok(true));
    assert_eq!(leases.renew("b:1", at(0)), Ok(true));
    for tick in 1..8 {
        assert!(leases.sweep(SWEEP * tick).is_empty());
    }
    assert_eq!(leases.renew("a:1", at(790)), Ok(false));
    assert_eq!(leases.sweep(at(800)), ["b:1"]);
    assert_eq!(sorted(&leases), ["a:1"]);
    assert!(leases.end("a:1") && !leases.end("a:1"));
}

#[test]
fn there_is_room_for_so_many_and_renewals_need_none() {
    let mut leases = Leases::new(LEASE, 2);
    assert_eq!(leases.renew("a:1", at(0)), Ok(true));
    assert_eq!(leases.renew("b:1", at(0)), Ok(true));
    assert_eq!(leases.renew("c:1", at(0)), Err(Full));
    assert_eq!(leases.renew("a:1", at(0)), Ok(false));
    assert!(leases.end("b:1"));
    assert_eq!(leases.renew("c:1", at(0)), Ok(true));
}

#[test]
fn time_in_which_nobody_looked_ends_no_lease() {
    let mut leases = Leases::new(LEASE, MOST);
    leases.renew("a:1", at(0)).unwrap();
    assert!(leases.sweep(at(100)).is_empty());
    assert!(leases.sweep(at(60_000)).is_empty(), "the process stood still");
    for tick in 1..7 {
        assert!(leases.sweep(at(60_000) + SWEEP * tick).is_empty());
    }
    assert_eq!(leases.sweep(at(60_700)), ["a:1"], "but not for ever");
}

#[derive(Debug, Clone)]
enum Step {
    Renew(u8),
    End(u8),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6u8).prop_map(Step::Renew),
        (0..6u8).prop_map(Step::End),
        Just(Step::Sweep),
        Just(Step::Sweep)
    ]
}

proptest! {
    /// Against the plainest model: the last renewal of each, looked at in every sweep.
    #[test]
    fn the_table_is_as_a_model_says(steps in prop::collection::vec((step(), 0..20u64), 0..400)) {
        let (mut leases, mut model) = (Leases::new(LEASE, MOST), BTreeMap::<String, Duration>::new());
        let (mut now, mut next_sweep) = (at(0), SWEEP);
        for (step, pause_ms) in steps {
            now += at(pause_ms);
            let is_due = now >= next_sweep;
            match step {
                Step::Renew(server) => {
                    let address = format!("s{server}:1");
                    let expected = match model.contains_key(&address) {
                        true => Ok(false),
                        false if model.len() == MOST => Err(Full),
                        false => Ok(true),
                    };
                    let is_known = expected.is_ok();
                    prop_assert_eq!(leases.renew(&address, now), expected);
                    if is_known {
                        model.insert(address, now);
                    }
                }
                Step::End(server) => {
                    let address = format!("s{server}:1");
                    prop_assert_eq!(leases.end(&address), model.remove(&address).is_some());
                }
                Step::Sweep => {}
            }
            if is_due || matches!(step, Step::Sweep) {
                let mut gone = leases.sweep(now);
                gone.sort_unstable();
                let over = |renewed: &Duration| now - *renewed >= LEASE;
                let expected: Vec<_> = model.extract_if(.., |_, at| over(at)).map(|(a, _)| a).collect();
                prop_assert_eq!(gone, expected);
                next_sweep = now + SWEEP;
            }
            let expected: Vec<_> = model.keys().map(String::as_str).collect();
            prop_assert_eq!(sorted(&leases), expected);
        }
    }
}
