//! What can happen, how much of it, and by which rules.

use stateright::{Model, Property};
use strife_bank::ledger::LegState;
use strife_gateway::{
    payment::{Input, Leg},
    store::RunState,
    transaction::RunNumber,
};

use crate::{
    laws,
    world::{Name, PaymentNumber, World},
};

/// How much of everything there is.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// One has its store for itself; several share it.
    pub gateways: usize,
    /// All from the one account of the first bank to that of the second.
    pub payments: PaymentNumber,
    /// How often gateways may start altogether; four at most.
    pub starts: usize,
    /// What the payer has, in minor units. A payment is of seven.
    pub balance: i64,
    /// Whether banks are told which runs are gone. They need not be: it spares them holds.
    pub tells_of_fences: bool,
    /// Whether gateways that share a store may not know it yet, and prepare before the row is durable.
    pub may_think_alone: bool,
    /// What is wrong, if anything.
    pub bug: Option<Bug>,
}

/// A mistake that one could make. The model must find each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A bank in doubt is told ABORT of what has no row, although its gateway goes on.
    AbortsForAnother,
    /// A store takes the decisions of whoever sends them.
    TakesFromFenced,
    /// A store takes a second payment of the same id.
    TakesSameIdTwice,
    /// A bank gives up holds by its own clock.
    ReleasesByClock,
    /// A gateway does not wait until its decision is durable.
    AnswersBeforeDurable,
}

/// Something that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A gateway ends, with whatever it had in mind, and starts again.
    Restart(RunNumber),
    /// A run is taken for dead, rightly or not.
    Fence(RunNumber),
    /// A client asks a gateway, which writes the row first if so it is said.
    Pay(Name, bool),
    /// The payment timeout passes.
    TimeOut(Name),
    /// A write arrives.
    Land(Name),
    /// A bank is asked for a leg.
    Prepare(Name, Leg),
    /// A bank is told to commit.
    Commit(Name, Leg),
    /// A bank is told to abort.
    Abort(Name, Leg),
    /// A bank is told that a run is gone.
    FenceAt(RunNumber, Leg),
    /// A bank's vote arrives; whether it is a YES.
    Vote(Name, Leg, bool),
    /// A bank in doubt asks a gateway.
    Ask(RunNumber, Name, Leg),
    /// A gateway takes a payment over.
    Adopt(Name),
    /// A bank loses patience.
    Expire(Name, Leg),
}

impl Protocol {
    /// By the services' own rules. A gateway that crashes and stays away is one of which nothing more is
    /// heard; every state has that.
    pub fn new(gateways: usize, payments: PaymentNumber) -> Self {
        Self {
            gateways,
            payments,
            starts: gateways,
            balance: 10,
            tells_of_fences: true,
            may_think_alone: true,
            bug: None,
        }
    }

    /// Every gateway has started, and nothing has happened.
    pub fn beginning(&self) -> World {
        let mut world = World::new(self.balance);
        (0..self.gateways).for_each(|_| world.start(self.payments));
        world
    }

    fn events_of_gateways(&self, world: &World, events: &mut Vec<Event>) {
        let shared = self.gateways > 1;
        for run in world.running() {
            if world.runs.len() < self.starts {
                events.push(Event::Restart(run));
            }
            for payment in 0..self.payments {
                let name = Name { run, payment };
                let transaction = world.at(name);
                if transaction.job.is_some() {
                    events.push(Event::TimeOut(name));
                } else if !transaction.is_begun && world.find(payment).is_none() {
                    let alone = !shared || self.may_think_alone;
                    events.extend(alone.then_some(Event::Pay(name, false)));
                    events.extend(shared.then_some(Event::Pay(name, true)));
                }
            }
        }
        if shared {
            let runs = 1..=world.runs.len() as RunNumber;
            let live = runs.filter(|run| world.run_state(*run) == RunState::Live);
            events.extend(live.map(Event::Fence));
        }
        for run in (1..=world.runs.len() as RunNumber).filter(|_| self.tells_of_fences) {
            if world.run_state(run) == RunState::Fenced {
                let unaware =
                    Leg::BOTH.into_iter().filter(|leg| !world.banks[*leg as usize].has_fenced(run));
                events.extend(unaware.map(|leg| Event::FenceAt(run, leg)));
            }
        }
    }

    fn events_of(&self, world: &World, name: Name, events: &mut Vec<Event>) {
        let transaction = world.at(name);
        if transaction.write.is_some() {
            events.push(Event::Land(name));
        }
        let may_adopt = |run| world.run_state(run) == RunState::Live;
        if world.is_orphan(name) && world.running().any(may_adopt) {
            events.push(Event::Adopt(name));
        }
        for leg in Leg::BOTH {
            let sent = &transaction.sent[leg as usize];
            events.extend(sent.prepare.then_some(Event::Prepare(name, leg)));
            events.extend(sent.commit.then_some(Event::Commit(name, leg)));
            events.extend(sent.abort.then_some(Event::Abort(name, leg)));
            let known = world.leg(name, leg);
            if transaction.job.is_some() {
                let (said_yes, says_no) = match known {
                    Some(known) => votes(known.state, known.is_asked_for),
                    None => (false, world.banks[leg as usize].has_fenced(name.run)),
                };
                events.extend(said_yes.then_some(Event::Vote(name, leg, true)));
                events.extend(says_no.then_some(Event::Vote(name, leg, false)));
            }
            if known.is_some_and(|known| known.state == LegState::Prepared) {
                events.extend(world.running().map(|run| Event::Ask(run, name, leg)));
                if self.bug == Some(Bug::ReleasesByClock) {
                    events.push(Event::Expire(name, leg));
                }
            }
        }
    }
}

/// Whether a bank can have voted YES, and NO, before its leg became this. The gateway has asked for it
/// if it heeds the answer.
fn votes(state: LegState, is_asked_for: bool) -> (bool, bool) {
    match state {
        LegState::Prepared | LegState::Committed => (true, false),
        LegState::Aborted => (is_asked_for, true),
        LegState::Refused(_) => (false, true),
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![self.beginning()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.broken.is_none() {
            self.events_of_gateways(world, events);
            world.names().for_each(|name| self.events_of(world, name, events));
        }
    }

    fn next_state(&self, last: &World, event: Event) -> Option<World> {
        let mut world = last.clone();
        match event {
            Event::Restart(run) => self.restart(&mut world, run),
            Event::Fence(run) => world.fence(run),
            Event::Pay(name, row_first) => self.pay(&mut world, name, row_first),
            Event::TimeOut(name) => self.feed(&mut world, name, Input::TimedOut),
            Event::Land(name) => self.land(&mut world, name),
            Event::Prepare(name, leg) => self.deliver_prepare(&mut world, name, leg),
            Event::Commit(name, leg) => self.deliver_commit(&mut world, name, leg),
            Event::Abort(name, leg) => self.deliver_abort(&mut world, name, leg),
            Event::FenceAt(run, leg) => self.deliver_fence(&mut world, run, leg),
            Event::Vote(name, leg, yes) => self.deliver_vote(&mut world, name, leg, yes),
            Event::Ask(run, name, leg) => self.ask_for_decision(&mut world, run, name, leg),
            Event::Adopt(name) => self.adopt(&mut world, name),
            Event::Expire(name, leg) => self.deliver_abort(&mut world, name, leg),
        }
        self.forget_what_is_over(&mut world);
        let twins = self.gateways == 2;
        (world != *last).then(|| world.representative(twins))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        laws::all()
    }
}
