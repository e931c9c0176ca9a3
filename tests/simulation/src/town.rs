//! All hosts together, step by step.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use strife_bank::store::Embedded as Ledger;
use strife_gateway::store::Embedded as Payments;
use turmoil::Sim;

use crate::{
    faults::{Faults, Kinds},
    hosts::{self, BANKS, Disk, GATEWAY, Site},
    laws,
    payers::{self, Book},
};

/// The host of those who pay.
const PAYERS: &str = "payers";
const PAYERS_AT_ONCE: u32 = 4;
/// The simulation's clock goes on by so much at a time.
const TICK: Duration = Duration::from_millis(1);
/// How long a message takes.
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));
/// How long payments are made and things go wrong.
const TROUBLE: Duration = Duration::from_secs(3);
/// How long everything may take to settle afterwards.
const PATIENCE: Duration = Duration::from_secs(120);
/// Segments that a connection holds.
const SEGMENTS_MAX: usize = 1 << 16;

/// What outlives the hosts.
#[derive(Default)]
pub struct Sites {
    /// The gateway's.
    pub gateway: Arc<Site<Payments>>,
    /// The banks', in their order.
    pub banks: [Arc<Site<Ledger>>; 2],
}

impl Sites {
    /// The host's of that name.
    pub fn of(&self, host: &str) -> &dyn Disk {
        match BANKS.iter().position(|bank| *bank == host) {
            Some(bank) => &*self.banks[bank],
            None => &*self.gateway,
        }
    }
}

/// What a run was like.
#[derive(Debug)]
pub struct Report {
    /// Payments whose payers were told the outcome.
    pub told: usize,
    /// Payments that were made.
    pub made: usize,
    /// How often something went wrong.
    pub faults: usize,
}

fn simulation<'a>(seed: u64, sites: &Sites) -> Sim<'a> {
    let mut builder = turmoil::Builder::new();
    builder.rng_seed(seed).enable_random_order().tick_duration(TICK).tcp_capacity(SEGMENTS_MAX);
    builder.simulation_duration(TROUBLE + 2 * PATIENCE);
    builder.min_message_latency(LATENCY.0).max_message_latency(LATENCY.1);
    let mut sim = builder.build();
    for (bank, site) in BANKS.into_iter().zip(&sites.banks) {
        let site = site.clone();
        sim.host(bank, move || hosts::bank(site.clone()));
    }
    let (site, users) = (sites.gateway.clone(), Arc::new(hosts::users()));
    sim.host(GATEWAY, move || hosts::gateway(site.clone(), users.clone()));
    sim
}

/// Payments and faults for a while, then calm; fails if something is not as it must be.
pub fn run(kinds: Kinds, seed: u64) -> Report {
    run_at(Sites::default(), kinds, seed)
}

/// As [`run`], with a disk at a bank that does not keep its word: it should fail.
pub fn run_on_a_disk_that_lies(seed: u64) -> Report {
    let sites = Sites::default();
    sites.banks[0].lie();
    run_at(sites, Kinds::Crashes, seed)
}

fn run_at(sites: Sites, kinds: Kinds, seed: u64) -> Report {
    let book = Arc::new(Book::default());
    let mut sim = simulation(seed, &sites);
    sim.client(PAYERS, payers::pay(PAYERS_AT_ONCE, seed, book.clone()));
    let mut faults = Faults::new(kinds, StdRng::seed_from_u64(seed));
    while sim.elapsed() < TROUBLE {
        faults.step(&mut sim, &sites, false);
        step(&mut sim);
    }
    book.is_closed.store(true, Relaxed);
    // Once for what is under way, once for the power that fails at last.
    faults.step(&mut sim, &sites, true);
    faults.step(&mut sim, &sites, true);
    settle(&mut sim, &sites);
    let (told, made) = (book.told_count(), laws::check(&sites, &book));
    Report { told, made, faults: faults.count }
}

/// One payment between the banks. When it is under way for `after`, the link between the gateway and a
/// bank is cut for `time`.
pub fn run_one(bank: &'static str, after: Duration, time: Duration, seed: u64) -> Report {
    let (sites, book) = (Sites::default(), Arc::new(Book::default()));
    let mut sim = simulation(seed, &sites);
    sim.client(PAYERS, payers::pay_once(book.clone()));
    until(&mut sim, after);
    sim.partition(GATEWAY, bank);
    until(&mut sim, after + time);
    sim.repair(GATEWAY, bank);
    settle(&mut sim, &sites);
    let (told, made) = (book.told_count(), laws::check(&sites, &book));
    Report { told, made, faults: 1 }
}

fn until(sim: &mut Sim<'_>, time: Duration) {
    while sim.elapsed() < time {
        step(sim);
    }
}

/// Until every payer knows the outcome and nothing is left to be done.
fn settle(sim: &mut Sim<'_>, sites: &Sites) {
    let end = sim.elapsed() + PATIENCE;
    while !step(sim) || !laws::is_settled(sites) {
        assert!(sim.elapsed() < end, "it does not settle");
    }
}

/// Whether all payers are done.
fn step(sim: &mut Sim<'_>) -> bool {
    sim.step().unwrap_or_else(|error| panic!("{error}"))
}
