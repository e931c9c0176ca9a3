//! Several gateways at once, in any order: whoever was told something was told the truth.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    standing::{self, Decider, Standing},
    transaction::{Block, Maker, Run, maker_of, sequences_of},
};

mod queue;

/// A store of nothing but the rules.
#[derive(Default)]
struct Model {
    last: RunNumber,
    runs: BTreeMap<RunNumber, bool>,
    blocks: BTreeMap<Block, RunNumber>,
    ids: BTreeMap<u8, Sequence>,
    rows: BTreeMap<Sequence, (Route, State)>,
}

/// What gateways and banks may do, runs and payments by number.
#[derive(Debug, Clone)]
enum Step {
    Start,
    Fence(RunNumber),
    Forget(RunNumber),
    Take(RunNumber, Block),
    Begin { by: RunNumber, of: Maker, id: u8, route: Route },
    Decide { by: RunNumber, payment: usize, decision: Decision },
    Ask(usize),
}

const RUNS: RunNumber = 4;
const BLOCKS: Block = 3;

fn step() -> impl Strategy<Value = Step> {
    let run = || 1..=RUNS;
    let route = prop_oneof![Just(Route::OneBank), Just(Route::TwoBanks)];
    let refused = Decision::Aborted(Abort::new(AbortReason::Refused, "no"));
    let decision = prop_oneof![
        3 => Just(Decision::Committed),
        2 => Just(Decision::Aborted(Abort::presumed())),
        1 => Just(refused),
    ];
    prop_oneof![
        1 => Just(Step::Start),
        1 => run().prop_map(Step::Fence),
        1 => run().prop_map(Step::Forget),
        2 => (run(), 1..=BLOCKS).prop_map(|(run, block)| Step::Take(run, block)),
        4 => (run(), 0..=BLOCKS, 0..6_u8, route).prop_map(|(by, block, id, route)| {
            let of = if block == 0 { Maker::Run(by) } else { Maker::Block(block) };
            Step::Begin { by, of, id, route }
        }),
        4 => (run(), 0..8_usize, decision)
            .prop_map(|(by, payment, decision)| Step::Decide { by, payment, decision }),
        3 => (0..8_usize).prop_map(Step::Ask),
    ]
}

impl Model {
    fn run(&self, number: RunNumber) -> RunState {
        run_state(number, self.runs.get(&number).copied(), self.last)
    }

    fn maker(&self, sequence: Sequence) -> RunState {
        self.run_of(sequence).map_or(RunState::NotMade, |run| self.run(run))
    }

    fn run_of(&self, sequence: Sequence) -> Option<RunNumber> {
        match maker_of(sequence) {
            Maker::Run(number) => Some(number),
            Maker::Block(block) => self.blocks.get(&block).copied(),
        }
    }

    fn take(&mut self, run: RunNumber, block: Block) -> Taken {
        let taken = take(self.run(run), run, self.blocks.get(&block).copied());
        if taken == Taken::Done {
            self.blocks.insert(block, run);
        }
        taken
    }

    fn meaning(&self, sequence: Sequence) -> Option<State> {
        let (route, state) = self.rows.get(&sequence)?;
        Some(meaning(state.clone(), *route, self.maker(sequence)))
    }

    fn begin(&mut self, by: RunNumber, of: Maker, id: u8, route: Route) -> Begun {
        let sequence = u64::from(id)
            + match of {
                Maker::Run(number) => Run { store: 0, number }.first_sequence(),
                Maker::Block(block) => sequences_of(block, 9).start,
            };
        let begun = begin(self.run(by), sequence, self.ids.get(&id).copied());
        if begun == Begun::Done {
            self.ids.insert(id, sequence);
            self.rows.entry(sequence).or_insert((route, State::Initiated));
        }
        begun
    }

    fn decide(&mut self, by: RunNumber, sequence: Sequence, decision: Decision) -> Decided {
        let is_own = self.run_of(sequence) == Some(by);
        let maker = (!is_own).then(|| self.maker(sequence));
        let by = self.run(by);
        let (route, standing) = self.rows.get_mut(&sequence).unwrap();
        let deciding = Deciding { by, maker, route: *route, standing };
        let decided = decide(deciding, &decision);
        if decided == Decided::Done && *standing == State::Initiated {
            *standing = State::Decided(decision);
        }
        decided
    }

    /// What a gateway tells a bank whose run did not make the transaction.
    fn ask(&self, sequence: Sequence) -> Option<Standing> {
        let decider = match self.maker(sequence) {
            RunState::Live => Decider::Live,
            RunState::Fenced => Decider::Fenced,
            RunState::NotMade => Decider::Nobody,
        };
        standing::of(self.rows.get(&sequence).map(|(route, state)| (*route, state)), decider)
    }

    /// The nth transaction that there is, or may yet be.
    fn nth(&self, number: usize) -> Sequence {
        let made = self.rows.keys().nth(number).copied();
        made.unwrap_or_else(|| {
            let (number, id) = (number as RunNumber % RUNS + 1, number as u64 % 6);
            Run { store: 0, number }.first_sequence() + id
        })
    }
}

proptest! {
    #[test]
    fn what_was_read_or_told_stands(steps in prop::collection::vec(step(), 0..80)) {
        let mut model = Model::default();
        let mut read: BTreeMap<Sequence, State> = BTreeMap::new();
        let mut told: BTreeMap<Sequence, Standing> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Start if model.last < RUNS => {
                    model.last += 1;
                    model.runs.insert(model.last, true);
                }
                Step::Start => {}
                Step::Fence(run) => {
                    if let Some(live) = model.runs.get_mut(&run) {
                        *live = false;
                    }
                }
                Step::Forget(run) => {
                    if model.runs.get(&run) == Some(&false) {
                        model.runs.remove(&run);
                    }
                }
                Step::Take(run, block) => {
                    let before = model.blocks.get(&block).copied();
                    let taken = model.take(run, block);
                    prop_assert!(before.is_none() || model.blocks.get(&block).copied() == before);
                    prop_assert!(taken != Taken::Done || model.blocks[&block] == run);
                }
                Step::Begin { by, of: Maker::Block(block), .. }
                    if model.blocks.get(&block) != Some(&by) => {}
                Step::Begin { by, of, id, route } => {
                    let (live, rows) = (model.run(by) == RunState::Live, model.rows.len());
                    let begun = model.begin(by, of, id, route);
                    prop_assert!(live || begun != Begun::Exists);
                    prop_assert!(live || rows == model.rows.len(), "a fenced run wrote");
                }
                Step::Decide { by, payment, decision } => {
                    let sequence = model.nth(payment);
                    if !model.rows.contains_key(&sequence) {
                        continue;
                    }
                    let decided = model.decide(by, sequence, decision.clone());
                    prop_assert_eq!(decided == Decided::Fenced, model.run(by) != RunState::Live);
                    if decided == Decided::Done {
                        prop_assert_eq!(model.meaning(sequence), Some(State::Decided(decision)));
                    }
                }
                Step::Ask(payment) => {
                    let sequence = model.nth(payment);
                    let Some(standing) = model.ask(sequence) else { continue };
                    if standing != Standing::StillActive {
                        let before = told.insert(sequence, standing);
                        prop_assert!(before.is_none_or(|before| before == standing));
                    }
                }
            }
            for (sequence, state) in &read {
                prop_assert_eq!(model.meaning(*sequence), Some(state.clone()));
            }
            let committed = Some(State::Decided(Decision::Committed));
            for (sequence, standing) in &told {
                match standing {
                    Standing::Commit => prop_assert_eq!(model.meaning(*sequence), committed.clone()),
                    _ => prop_assert_ne!(model.meaning(*sequence), committed.clone()),
                }
            }
            let sequences: Vec<_> = model.rows.keys().copied().collect();
            for sequence in sequences {
                if let Some(state @ State::Decided(_)) = model.meaning(sequence) {
                    read.insert(sequence, state);
                }
            }
        }
    }
}

#[test]
fn who_is_gone_can_be_aborted_for_and_not_committed_for() {
    let aborted = Decision::Aborted(Abort::presumed());
    let check = |maker, route, decision: &Decision, expected| {
        let deciding = Deciding { by: RunState::Live, maker, route, standing: &State::Initiated };
        assert_eq!(decide(deciding, decision), expected, "{maker:?} {route:?} {decision}");
    };
    let (gone, live) = (Some(RunState::Fenced), Some(RunState::Live));
    check(None, Route::TwoBanks, &Decision::Committed, Decided::Done);
    check(gone, Route::TwoBanks, &aborted, Decided::Done);
    check(gone, Route::TwoBanks, &Decision::Committed, Decided::Contradicted);
    check(gone, Route::OneBank, &Decision::Committed, Decided::Done);
    check(live, Route::OneBank, &Decision::Committed, Decided::Contradicted);
    check(live, Route::TwoBanks, &aborted, Decided::Contradicted);
}
