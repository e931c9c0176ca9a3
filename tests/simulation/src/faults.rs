//! What goes wrong: links are cut or hold messages back, hosts are killed, their power fails.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};
use turmoil::Sim;

use crate::{
    hosts::{BANKS, GATEWAY},
    town::Sites,
};

/// By then stores are made. A file that is being made has another name, so that half of one is never seen.
const MADE: Duration = Duration::from_millis(5);
/// Writes and syncs until the power fails.
const POWER_STEPS: std::ops::Range<u64> = 0..60;
/// How long a host is down.
const DOWN_MS: std::ops::Range<u64> = 20..800;
/// How long a link is cut or holds messages back.
const CUT_MS: std::ops::Range<u64> = 20..1_500;
/// Between the beginnings of two faults.
const PAUSE_MS: std::ops::Range<u64> = 10..500;
/// Faults at one time.
const AT_ONCE: usize = 2;

/// Which faults there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Links between the gateway and banks lose what is sent, both ways or one.
    Cuts,
    /// Those links hold messages back, so that others overtake them.
    Holds,
    /// Hosts are killed, and their power fails.
    Crashes,
    /// All of it.
    All,
}

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Cut(&'static str),
    CutTo(&'static str),
    CutFrom(&'static str),
    Hold(&'static str),
    Down(&'static str),
    /// The power is about to fail.
    PowerFails(&'static str),
}

impl Fault {
    /// Whom it befalls: a bank stands for its link to the gateway as well.
    fn host(self) -> &'static str {
        match self {
            Self::Cut(host)
            | Self::CutTo(host)
            | Self::CutFrom(host)
            | Self::Hold(host)
            | Self::Down(host)
            | Self::PowerFails(host) => host,
        }
    }

    fn draw(kinds: Kinds, random: &mut StdRng) -> Self {
        let bank = BANKS[random.random_range(0..BANKS.len())];
        let host = [BANKS[0], BANKS[1], GATEWAY][random.random_range(0..3)];
        let kind = match kinds {
            Kinds::Cuts => random.random_range(0..3),
            Kinds::Holds => 3,
            Kinds::Crashes => random.random_range(4..6),
            Kinds::All => random.random_range(0..6),
        };
        match kind {
            0 => Self::Cut(bank),
            1 => Self::CutTo(bank),
            2 => Self::CutFrom(bank),
            3 => Self::Hold(bank),
            4 => Self::Down(host),
            _ => Self::PowerFails(host),
        }
    }

    fn begin(self, sim: &mut Sim<'_>, sites: &Sites, random: &mut StdRng) {
        match self {
            Self::Cut(bank) => sim.partition(GATEWAY, bank),
            Self::CutTo(bank) => sim.partition_oneway(GATEWAY, bank),
            Self::CutFrom(bank) => sim.partition_oneway(bank, GATEWAY),
            Self::Hold(bank) => sim.hold(GATEWAY, bank),
            Self::Down(host) => {
                sim.crash(host);
                sites.of(host).crashed(random);
            }
            Self::PowerFails(host) => sites.of(host).fail_after(random.random_range(POWER_STEPS)),
        }
    }

    fn end(self, sim: &mut Sim<'_>) {
        match self {
            Self::Cut(bank) | Self::CutTo(bank) | Self::CutFrom(bank) => sim.repair(GATEWAY, bank),
            Self::Hold(bank) => sim.release(GATEWAY, bank),
            Self::Down(host) => sim.bounce(host),
            Self::PowerFails(_) => {}
        }
    }
}

/// What goes wrong now, and when it ends.
#[derive(Debug)]
pub struct Faults {
    kinds: Kinds,
    random: StdRng,
    now: Vec<(Fault, Duration)>,
    next: Duration,
    /// How many there were.
    pub count: usize,
}

impl Faults {
    /// None yet.
    pub fn new(kinds: Kinds, random: StdRng) -> Self {
        Self { kinds, random, now: Vec::new(), next: MADE, count: 0 }
    }

    /// To be called at every step; `last`: nothing more goes wrong, and what does ends.
    pub fn step(&mut self, sim: &mut Sim<'_>, sites: &Sites, last: bool) {
        let now = sim.elapsed();
        self.turn_off_those_without_power(sim, sites, last);
        let (over, still) = self.now.drain(..).partition(|(_, end)| last || *end <= now);
        self.now = still;
        let over: Vec<(Fault, Duration)> = over;
        over.into_iter().for_each(|(fault, _)| fault.end(sim));
        if last || now < self.next || self.now.len() == AT_ONCE {
            return;
        }
        self.next = now + Duration::from_millis(self.random.random_range(PAUSE_MS));
        let fault = Fault::draw(self.kinds, &mut self.random);
        if self.now.iter().any(|(other, _)| other.host() == fault.host()) {
            return;
        }
        self.count += 1;
        fault.begin(sim, sites, &mut self.random);
        let range = if matches!(fault, Fault::Down(_)) { DOWN_MS } else { CUT_MS };
        let time = Duration::from_millis(self.random.random_range(range));
        self.now.push((fault, now + time));
    }

    /// A host whose disk has failed has lost its power. Those whose power was to fail lose it at last.
    fn turn_off_those_without_power(&mut self, sim: &mut Sim<'_>, sites: &Sites, last: bool) {
        let now = sim.elapsed();
        for (fault, end) in &mut self.now {
            let Fault::PowerFails(host) = *fault else { continue };
            if last || *end <= now || sites.of(host).has_failed() {
                sim.crash(host);
                sites.of(host).crashed(&mut self.random);
                *fault = Fault::Down(host);
                *end = now + Duration::from_millis(self.random.random_range(DOWN_MS));
            }
        }
    }
}
