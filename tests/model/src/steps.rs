//! What each thing that can happen does to the world.

use strife_bank::ledger::{Command, LegState};
use strife_gateway::{
    order::Route,
    payment::{Abort, AbortReason, Action, Decision, Input, Leg, Payment, State, Vote},
    standing::{self, Decider, Standing},
    store::{Begun, Decided, RunState, rules},
    transaction::RunNumber,
};

use crate::{
    bank,
    protocol::{Bug, Protocol},
    world::{Name, World, Write},
};

impl Protocol {
    /// A gateway begins another run. One that has its store for itself fences all before it.
    pub(crate) fn restart(&self, world: &mut World, run: RunNumber) {
        world.stop(run);
        if self.gateways == 1 {
            (1..=world.runs.len() as RunNumber).for_each(|run| world.fence(run));
        }
        world.start(self.payments);
    }

    /// A gateway finds no row of a payment, and takes it on.
    pub(crate) fn pay(&self, world: &mut World, name: Name, row_first: bool) {
        let (payment, actions) = Payment::begin(Route::TwoBanks, row_first);
        let transaction = world.at_mut(name);
        (transaction.is_begun, transaction.job) = (true, Some(payment));
        self.carry_out(world, name, actions);
    }

    /// Something happens to a payment that is under way.
    pub(crate) fn feed(&self, world: &mut World, name: Name, input: Input) {
        let Some(payment) = &mut world.at_mut(name).job else { return };
        let actions = payment.on(input);
        self.carry_out(world, name, actions);
    }

    fn carry_out(&self, world: &mut World, name: Name, actions: Vec<Action>) {
        for action in actions {
            let transaction = world.at_mut(name);
            match action {
                Action::WriteRow => transaction.write = Some(Write::Row),
                Action::WriteDecision(decision) => {
                    transaction.write = Some(Write::Decision(decision));
                    if self.bug == Some(Bug::AnswersBeforeDurable) {
                        self.feed(world, name, Input::DecisionDurable);
                    }
                }
                Action::Prepare(leg) => transaction.sent[leg as usize].prepare = true,
                Action::Commit(leg) => transaction.sent[leg as usize].commit = true,
                Action::Abort(leg) => transaction.sent[leg as usize].abort = true,
                Action::Answer(decision) => {
                    transaction.job = None;
                    self.tell(world, name, &decision);
                }
                Action::Yield => transaction.job = None,
                Action::Transfer | Action::Close => unreachable!("not between two banks, or later"),
            }
        }
    }

    /// Whoever waits is told, and whoever asks later is told the same.
    fn tell(&self, world: &mut World, name: Name, decision: &Decision) {
        if self.meaning(world, name).as_ref() != Some(&State::Decided(decision.clone())) {
            world.broken = Some("a client is told what is not so");
        }
    }

    /// What a row means to whoever reads it.
    fn meaning(&self, world: &World, name: Name) -> Option<State> {
        let row = world.at(name).row.clone()?;
        Some(rules::meaning(row, Route::TwoBanks, world.run_state(name.run)))
    }

    /// A write arrives at the store, and its gateway, if it still goes on, is told.
    pub(crate) fn land(&self, world: &mut World, name: Name) {
        let before = self.meaning(world, name);
        match world.at_mut(name).write.take() {
            Some(Write::Row) => self.land_row(world, name),
            Some(Write::Decision(decision)) => self.land_decision(world, name, &decision),
            None => {}
        }
        if matches!(before, Some(State::Decided(_))) && self.meaning(world, name) != before {
            world.broken = Some("a decision changes");
        }
    }

    fn land_row(&self, world: &mut World, name: Name) {
        let same_id = world.find(name.payment).map(Name::sequence);
        let same_id = same_id.filter(|_| self.bug != Some(Bug::TakesSameIdTwice));
        match rules::begin(world.run_state(name.run), name.sequence(), same_id) {
            Begun::Done => {
                world.at_mut(name).row.get_or_insert(State::Initiated);
                self.feed(world, name, Input::RowDurable);
            }
            Begun::Exists => self.feed(world, name, Input::RowExists),
            Begun::Fenced => world.stop(name.run),
        }
    }

    fn land_decision(&self, world: &mut World, name: Name, decision: &Decision) {
        let Some(standing) = &world.at(name).row else {
            world.broken = Some("a decision without a row");
            return;
        };
        let heeds_fence = self.bug != Some(Bug::TakesFromFenced);
        let by = if heeds_fence { world.run_state(name.run) } else { RunState::Live };
        let deciding = rules::Deciding { by, maker: None, route: Route::TwoBanks, standing };
        match rules::decide(deciding, decision) {
            Decided::Done => {
                world.at_mut(name).row = Some(State::Decided(decision.clone()));
                self.feed(world, name, Input::DecisionDurable);
            }
            Decided::Contradicted => world.broken = Some("decided twice"),
            Decided::Fenced => world.stop(name.run),
        }
    }

    /// A gateway that may write takes over what another left undecided. While its write is on its way
    /// nothing can come in between: nobody else may write another decision.
    pub(crate) fn adopt(&self, world: &mut World, name: Name) {
        let (Some(standing), maker) = (&world.at(name).row, world.run_state(name.run)) else {
            return;
        };
        let (mut payment, actions) = Payment::recover(Route::TwoBanks, standing);
        let [Action::WriteDecision(decision)] = actions.as_slice() else {
            world.broken = Some("an orphan is not decided");
            return;
        };
        let (by, maker) = (RunState::Live, Some(maker));
        let deciding = rules::Deciding { by, maker, route: Route::TwoBanks, standing };
        if rules::decide(deciding, decision) != Decided::Done {
            world.broken = Some("an orphan cannot be decided");
            return;
        }
        world.at_mut(name).row = Some(State::Decided(decision.clone()));
        self.carry_out(world, name, payment.on(Input::DecisionDurable));
    }

    /// A bank is asked for a leg; its vote can arrive from now on.
    pub(crate) fn deliver_prepare(&self, world: &mut World, name: Name, leg: Leg) {
        world.at_mut(name).sent[leg as usize].prepare = false;
        // Refusals are votes.
        let _ = deliver(world, name, leg, &bank::prepare(name, leg));
    }

    /// A bank is told to commit.
    pub(crate) fn deliver_commit(&self, world: &mut World, name: Name, leg: Leg) {
        world.at_mut(name).sent[leg as usize].commit = false;
        if !deliver(world, name, leg, &Command::Commit(name.key(leg))) {
            world.broken = Some("a bank turns a commit away");
        }
    }

    /// A bank is told to abort.
    pub(crate) fn deliver_abort(&self, world: &mut World, name: Name, leg: Leg) {
        world.at_mut(name).sent[leg as usize].abort = false;
        if !deliver(world, name, leg, &Command::Abort(name.key(leg))) {
            world.broken = Some("a bank turns an abort away");
        }
    }

    /// A bank is told that a run is gone.
    pub(crate) fn deliver_fence(&self, world: &mut World, run: RunNumber, leg: Leg) {
        if world.banks[leg as usize].apply(&bank::fence(run)).is_err() {
            world.broken = Some("a bank turns a fence away");
        }
    }

    /// A bank's vote arrives at the gateway that asked for it.
    pub(crate) fn deliver_vote(&self, world: &mut World, name: Name, leg: Leg, yes: bool) {
        let no = || Vote::No(Abort::new(AbortReason::Refused, "no"));
        let vote = if yes { Vote::Yes } else { no() };
        self.feed(world, name, Input::Voted(leg, vote));
    }

    /// A bank in doubt asks a gateway, whose answer travels like any message.
    pub(crate) fn ask_for_decision(&self, world: &mut World, at: RunNumber, name: Name, leg: Leg) {
        let transaction = world.at(name);
        let decider = match world.run_state(name.run) {
            RunState::Fenced => Decider::Fenced,
            _ if name.run == at && !transaction.is_begun => Decider::Nobody,
            _ if name.run == at => Decider::Ours { under_way: transaction.job.is_some() },
            RunState::Live => Decider::Live,
            RunState::NotMade => Decider::Nobody,
        };
        let row = transaction.row.as_ref().map(|row| (Route::TwoBanks, row));
        let told = match (row, decider, self.bug) {
            (None, Decider::Live, Some(Bug::AbortsForAnother)) => Some(Standing::Abort),
            (row, decider, _) => standing::of(row, decider),
        };
        let sent = &mut world.at_mut(name).sent[leg as usize];
        match told {
            Some(Standing::Commit) => sent.commit = true,
            Some(Standing::Abort) => sent.abort = true,
            Some(Standing::StillActive) => {}
            None => world.broken = Some("a bank holds what nobody made"),
        }
    }

    /// Messages that can change nothing at their banks, and writes that are refused and nobody waits for.
    pub(crate) fn forget_what_is_over(&self, world: &mut World) {
        for name in world.names() {
            let mut sent = world.at(name).sent;
            for leg in Leg::BOTH {
                let (sent, state) = (&mut sent[leg as usize], world.leg_state(name, leg));
                let fenced = world.banks[leg as usize].has_fenced(name.run);
                sent.prepare &= state.is_none() && !fenced;
                sent.commit &= state != Some(LegState::Committed);
                sent.abort &= !matches!(state, Some(LegState::Aborted | LegState::Refused(_)));
            }
            if sent != world.at(name).sent {
                world.at_mut(name).sent = sent;
            }
            let run = world.runs[name.run as usize - 1];
            let is_over = !run.is_up && !run.may_write && self.bug != Some(Bug::TakesFromFenced);
            if is_over && world.at(name).write.is_some() {
                world.at_mut(name).write = None;
            }
        }
    }
}

/// Has the ledger do it; whether it was not refused. What came before may come again at any time, so
/// it is seen at once that this changes nothing.
fn deliver(world: &mut World, name: Name, leg: Leg, command: &Command) -> bool {
    let bank = &mut world.banks[leg as usize];
    let verdict = bank.apply(command);
    let mut again = bank.clone();
    let same_again = again.apply(command) == verdict;
    // A second prepare, behind whatever has happened to the leg.
    let _ = again.apply(&bank::prepare(name, leg));
    if !same_again || again != *bank {
        world.broken = Some("a message that comes twice changes a bank");
    }
    verdict.is_ok()
}
