//! The scenarios. `STRIFE_SIMULATION_SEEDS` says how many runs of each there are, `STRIFE_SIMULATION_SEED`
//! repeats one.

use std::{env, panic, time::Duration};

use strife_simulation::{
    faults::Kinds,
    hosts::BANKS,
    town::{self, Report},
};

/// Runs of each kind.
const SEEDS: u64 = 15;
/// Runs within which a disk that lies is found out.
const LYING_SEEDS: u64 = 20;
/// A payment alone takes less, with the connections that are made for it.
const PAYMENT_MS: u64 = 80;

fn from_environment(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

fn check(kinds: Kinds) {
    let seeds = match from_environment("STRIFE_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = u64::from(rand::random::<u32>());
            first..first + from_environment("STRIFE_SIMULATION_SEEDS").unwrap_or(SEEDS)
        }
    };
    let (mut told, mut made, mut faults) = (0, 0, 0);
    for seed in seeds.clone() {
        println!("STRIFE_SIMULATION_SEED={seed} {kinds:?}");
        let report = town::run(kinds, seed);
        told += report.told;
        made += report.made;
        faults += report.faults;
    }
    println!("{kinds:?}: {told} payments, {made} made, {faults} faults in {seeds:?}");
    assert!(made > 0, "nothing was paid at all");
}

#[test]
fn links_are_cut() {
    check(Kinds::Cuts);
}

#[test]
fn messages_are_held_back() {
    check(Kinds::Holds);
}

#[test]
fn hosts_crash_and_lose_their_power() {
    check(Kinds::Crashes);
}

#[test]
fn everything_goes_wrong() {
    check(Kinds::All);
}

/// Shorter than the payment timeout: it is made; longer: it may be aborted.
#[test]
fn a_link_is_cut_at_each_message_of_a_payment() {
    let seed = from_environment("STRIFE_SIMULATION_SEED").unwrap_or_else(rand::random);
    println!("STRIFE_SIMULATION_SEED={seed}");
    let (mut made, mut aborted) = (0, 0);
    for after in 0..PAYMENT_MS {
        let (bank, time) = (BANKS[after as usize % 2], Duration::from_millis(2_500));
        let Report { told, made: is_made, .. } =
            town::run_one(bank, Duration::from_millis(after), time, seed);
        assert_eq!(told, 1, "cut after {after} ms");
        made += is_made;
        aborted += 1 - is_made;
    }
    println!("{made} made, {aborted} aborted");
    assert!(made > 0 && aborted > 0, "{made} made, {aborted} aborted");
}

/// The simulation would see it: a bank that loses what it has acknowledged.
#[test]
fn a_disk_that_lies_is_found_out() {
    let is_found_out = |seed| panic::catch_unwind(|| town::run_on_a_disk_that_lies(seed)).is_err();
    assert!((0..LYING_SEEDS).any(is_found_out));
}
