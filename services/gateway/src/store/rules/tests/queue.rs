//! Payments in the queue, worked by several gateways at once: each is made at most once, and what was
//! promised or answered stands.

use super::*;
use crate::{
    order::{Account, Money},
    transaction::{Maker, maker_of},
};

/// A store of nothing but the rules, for payments that may be queued.
#[derive(Default)]
struct Model {
    last: RunNumber,
    runs: BTreeMap<RunNumber, bool>,
    newest: BTreeMap<u8, Sequence>,
    attempts: BTreeMap<Sequence, Attempt>,
    places: BTreeMap<Sequence, Queued>,
    clock: i64,
}

struct Attempt {
    id: u8,
    earlier: bool,
    standing: State,
}

/// What a client is shown.
#[derive(Debug, Clone, PartialEq)]
enum Shown {
    UnderWay,
    Queued,
    Over(Decision),
}

/// `nth` is an attempt at that payment, which may be an old one: somebody saw it long ago.
#[derive(Debug, Clone)]
enum Step {
    Start,
    Fence(RunNumber),
    Begin { by: RunNumber, id: u8, put_off: bool },
    Decide { by: RunNumber, id: u8, nth: usize, commit: bool },
    Retry { by: RunNumber, id: u8, nth: usize },
    Move { by: RunNumber, id: u8, nth: usize, end: bool },
}

const RUNS: RunNumber = 3;
const PAYMENTS: u8 = 3;

fn step() -> impl Strategy<Value = Step> {
    let run = || 1..=RUNS;
    let seen = || (run(), 0..PAYMENTS, 0..4_usize);
    prop_oneof![
        2 => Just(Step::Start),
        1 => run().prop_map(Step::Fence),
        3 => (run(), 0..PAYMENTS, any::<bool>())
            .prop_map(|(by, id, put_off)| Step::Begin { by, id, put_off }),
        6 => (seen(), any::<bool>())
            .prop_map(|((by, id, nth), commit)| Step::Decide { by, id, nth, commit }),
        6 => seen().prop_map(|(by, id, nth)| Step::Retry { by, id, nth }),
        2 => (seen(), any::<bool>())
            .prop_map(|((by, id, nth), end)| Step::Move { by, id, nth, end }),
    ]
}

fn order() -> Order {
    let account = |bank: &str| Account { bank: bank.to_owned(), id: "A".to_owned() };
    Order {
        payment_id: "p1".to_owned(),
        user: "john".to_owned(),
        from: account("icici"),
        to: account("sbi"),
        amount: Money { minor_units: 1, currency: "INR".to_owned() },
        queue_for_s: 9,
    }
}

fn late() -> Decision {
    Decision::Aborted(Abort::new(AbortReason::Timeout, "late"))
}

/// The run that made this attempt; nobody has a block here.
fn run_of(sequence: Sequence) -> RunNumber {
    match maker_of(sequence) {
        Maker::Run(number) => number,
        Maker::Block(block) => panic!("block {block}"),
    }
}

impl Model {
    fn run(&self, number: RunNumber) -> RunState {
        run_state(number, self.runs.get(&number).copied(), self.last)
    }

    fn place(&mut self) -> Queued {
        self.clock += 1;
        Queued { attempts: 1, due_ms: self.clock }
    }

    /// The newest attempts last; the nth of them from there.
    fn nth(&self, id: u8, nth: usize) -> Option<Sequence> {
        let attempts = self.attempts.iter().filter(|(_, attempt)| attempt.id == id);
        attempts.map(|(sequence, _)| *sequence).rev().nth(nth)
    }

    fn shown(&self, id: u8) -> Option<Shown> {
        let sequence = *self.newest.get(&id)?;
        let Attempt { earlier, standing, .. } = &self.attempts[&sequence];
        let maker = self.run(run_of(sequence));
        let presumed = presumed_place(&order(), 0, maker).filter(|_| *standing == State::Initiated);
        if self.places.contains_key(&sequence) || presumed.is_some() {
            return Some(Shown::Queued);
        }
        Some(match meaning(standing.clone(), Route::TwoBanks, maker) {
            State::Initiated if *earlier => Shown::Queued,
            State::Initiated => Shown::UnderWay,
            State::Decided(decision) => Shown::Over(decision),
        })
    }

    fn next(&mut self, by: RunNumber) -> Sequence {
        self.clock += 1;
        Run { store: 0, number: by }.first_sequence() + self.clock as u64
    }

    fn begin(&mut self, by: RunNumber, id: u8, put_off: bool) {
        let sequence = self.next(by);
        if begin(self.run(by), sequence, self.newest.get(&id).copied()) != Begun::Done {
            return;
        }
        self.newest.insert(id, sequence);
        let mut standing = State::Initiated;
        if put_off {
            standing = State::Decided(late());
            let place = self.place();
            self.places.insert(sequence, place);
        }
        self.attempts.insert(sequence, Attempt { id, earlier: false, standing });
    }

    fn decide(&mut self, by: RunNumber, sequence: Sequence, commit: bool) {
        let maker = run_of(sequence);
        let maker = (maker != by).then(|| self.run(maker));
        let decision = match (commit, maker) {
            (true, _) => Decision::Committed,
            (false, None) => late(),
            (false, Some(_)) => Decision::Aborted(Abort::presumed()),
        };
        let (by, place) = (self.run(by), self.place());
        let standing = &mut self.attempts.get_mut(&sequence).unwrap().standing;
        let deciding = Deciding { by, maker, route: Route::TwoBanks, standing };
        if decide(deciding, &decision) == Decided::Done && *standing == State::Initiated {
            *standing = State::Decided(decision);
            if !commit {
                self.places.insert(sequence, place);
            }
        }
    }

    fn retry(&mut self, by: RunNumber, id: u8, after: Sequence) {
        let (sequence, waits) = (self.next(by), self.places.contains_key(&after));
        let same_id = self.newest.get(&id).copied();
        if retry(self.run(by), sequence, same_id, after, waits) == Begun::Done {
            self.places.remove(&after);
            self.newest.insert(id, sequence);
            let standing = State::Initiated;
            self.attempts.insert(sequence, Attempt { id, earlier: true, standing });
        }
    }

    fn move_queued(&mut self, by: RunNumber, sequence: Sequence, seen: Queued, end: bool) {
        let to = (!end).then(|| self.place());
        let standing = self.places.get(&sequence).copied();
        if move_queued(self.run(by), standing, seen, to) != Decided::Done {
            return;
        }
        match to {
            Some(place) => drop(self.places.insert(sequence, place)),
            None => {
                self.places.remove(&sequence);
                let expired = Abort::new(AbortReason::Expired, "over");
                let attempt = self.attempts.get_mut(&sequence).unwrap();
                attempt.standing = State::Decided(Decision::Aborted(expired));
            }
        }
    }

    fn play(&mut self, step: Step, seen: &BTreeMap<Sequence, Queued>) {
        match step {
            Step::Start if self.last < RUNS => {
                self.last += 1;
                self.runs.insert(self.last, true);
            }
            Step::Start => {}
            Step::Fence(run) => {
                if let Some(live) = self.runs.get_mut(&run) {
                    *live = false;
                }
            }
            Step::Begin { by, id, put_off } => self.begin(by, id, put_off),
            Step::Decide { by, id, nth, commit } => {
                if let Some(sequence) = self.nth(id, nth) {
                    self.decide(by, sequence, commit);
                }
            }
            Step::Retry { by, id, nth } => {
                if let Some(after) = self.nth(id, nth) {
                    self.retry(by, id, after);
                }
            }
            Step::Move { by, id, nth, end } => {
                let sequence = self.nth(id, nth);
                let seen = sequence.and_then(|sequence| Some((sequence, *seen.get(&sequence)?)));
                if let Some((sequence, seen)) = seen {
                    self.move_queued(by, sequence, seen, end);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_queued_payment_is_made_once_at_most(steps in prop::collection::vec(step(), 0..100)) {
        let mut model = Model::default();
        let mut shown: BTreeMap<u8, Shown> = BTreeMap::new();
        let mut seen: BTreeMap<Sequence, Queued> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            model.play(step, &seen);
            // What workers have seen is at times not what is there.
            if number % 3 == 0 {
                seen.extend(model.places.clone());
            }
            for id in 0..PAYMENTS {
                let committed = State::Decided(Decision::Committed);
                let attempts = || model.attempts.iter().filter(|(_, attempt)| attempt.id == id);
                let made = attempts().filter(|(_, attempt)| attempt.standing == committed).count();
                prop_assert!(made <= 1, "{} transfers", made);
                for (sequence, attempt) in attempts() {
                    let newest = model.newest[&id] == *sequence;
                    prop_assert!(newest || matches!(&attempt.standing, State::Decided(Decision::Aborted(_))));
                    prop_assert!(newest || !model.places.contains_key(sequence));
                }
                let Some(now) = model.shown(id) else { continue };
                let before = shown.insert(id, now.clone());
                match before {
                    Some(Shown::Over(_)) => prop_assert_eq!(Some(now), before),
                    Some(Shown::Queued) => prop_assert_ne!(now, Shown::UnderWay),
                    Some(Shown::UnderWay) | None => {}
                }
            }
        }
    }
}

#[test]
fn a_place_in_the_queue_is_taken_by_one() {
    let place = |due_ms| Queued { attempts: 1, due_ms };
    let live = RunState::Live;
    assert_eq!(retry(live, 9, Some(5), 5, true), Begun::Done);
    assert_eq!(retry(RunState::Fenced, 9, Some(9), 5, false), Begun::Done, "it stands");
    assert_eq!(retry(live, 9, Some(5), 5, false), Begun::Exists);
    assert_eq!(retry(live, 9, Some(7), 5, true), Begun::Exists);
    assert_eq!(retry(RunState::Fenced, 9, Some(5), 5, true), Begun::Fenced);
    let moved = |standing, seen, to| move_queued(live, standing, seen, to);
    assert_eq!(moved(Some(place(1)), place(1), None), Decided::Done);
    assert_eq!(moved(Some(place(2)), place(1), Some(place(2))), Decided::Done, "it stands");
    assert_eq!(moved(Some(place(2)), place(1), Some(place(3))), Decided::Contradicted);
    assert_eq!(moved(None, place(1), None), Decided::Contradicted);
    assert_eq!(move_queued(RunState::Fenced, None, place(1), None), Decided::Fenced);
}
