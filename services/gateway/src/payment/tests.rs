//! What must hold for every order of events, and the plain cases one by one.

use proptest::prelude::*;

use super::*;

fn no(reason: AbortReason) -> Vote {
    Vote::No(Abort::new(reason, "because"))
}

fn input() -> impl Strategy<Value = Input> {
    let leg = prop_oneof![Just(Leg::Debit), Just(Leg::Credit)];
    let vote = prop_oneof![3 => Just(Vote::Yes), 1 => Just(no(AbortReason::InsufficientFunds))];
    prop_oneof![
        3 => Just(Input::RowDurable),
        1 => Just(Input::RowExists),
        1 => Just(Input::DecisionExists),
        6 => (leg.clone(), vote.clone()).prop_map(|(leg, vote)| Input::Voted(leg, vote)),
        2 => vote.prop_map(Input::Transferred),
        1 => Just(Input::TimedOut),
        3 => Just(Input::DecisionDurable),
        3 => leg.prop_map(Input::Acknowledged),
    ]
}

fn route() -> impl Strategy<Value = Route> {
    prop_oneof![Just(Route::OneBank), Just(Route::TwoBanks)]
}

/// Everything an observer saw of one payment.
#[derive(Default)]
struct Seen {
    row_first: bool,
    row_durable: bool,
    yielded: bool,
    transfer_asked: bool,
    yes: [bool; 2],
    no: bool,
    transferred: Option<Vote>,
    written: Option<Decision>,
    decision_durable: bool,
    acknowledged: [bool; 2],
    closed: bool,
}

impl Seen {
    fn input(&mut self, input: &Input) {
        match input {
            Input::RowDurable => self.row_durable = true,
            Input::Voted(leg, Vote::Yes) => self.yes[*leg as usize] = true,
            Input::Voted(_, Vote::No(_)) => self.no = true,
            Input::Transferred(vote) if self.transfer_asked && self.transferred.is_none() => {
                self.transferred = Some(vote.clone());
            }
            Input::Transferred(_) | Input::TimedOut => {}
            Input::RowExists | Input::DecisionExists => {}
            Input::DecisionDurable => self.decision_durable |= self.written.is_some(),
            Input::Acknowledged(leg) => self.acknowledged[*leg as usize] |= self.decision_durable,
        }
    }

    fn action(&mut self, route: Route, action: &Action) {
        match action {
            Action::WriteRow => assert!(!self.row_durable, "the row is written once"),
            Action::Prepare(_) => {
                assert!(self.written.is_none() && route == Route::TwoBanks && !self.yielded);
                assert!(self.row_durable || !self.row_first, "a hold before its row");
            }
            Action::Transfer => {
                assert!(self.row_durable && route == Route::OneBank);
                self.transfer_asked = true;
            }
            Action::WriteDecision(decision) => {
                assert!(self.row_durable, "a decision without its payment");
                assert_eq!(self.written, None, "a payment is decided once");
                self.check_decision(route, decision);
                self.written = Some(decision.clone());
            }
            Action::Answer(decision) => {
                assert!(self.decision_durable, "answered before it was durable");
                assert_eq!(Some(decision), self.written.as_ref());
            }
            Action::Yield => {
                assert!(!self.decision_durable, "a payment whose decision stands does not yield");
                assert!(self.written.is_some() || !self.row_durable && !self.transfer_asked);
                self.yielded = true;
            }
            Action::Abort(_) if self.yielded => assert!(!self.row_first, "nothing was asked for"),
            Action::Commit(_) => {
                assert!(self.decision_durable);
                assert_eq!(self.written, Some(Decision::Committed));
            }
            Action::Abort(_) => {
                assert!(self.decision_durable);
                assert!(matches!(self.written, Some(Decision::Aborted(_))));
            }
            Action::Close => {
                assert_eq!(self.acknowledged, [true, true]);
                assert!(!self.closed);
                self.closed = true;
            }
        }
    }

    fn check_decision(&self, route: Route, decision: &Decision) {
        match (route, decision) {
            (Route::TwoBanks, Decision::Committed) => {
                assert_eq!(self.yes, [true, true], "committed without every vote");
            }
            (Route::TwoBanks, Decision::Aborted(abort)) if abort.reason != AbortReason::Timeout => {
                assert!(self.no, "refused by nobody");
            }
            (Route::TwoBanks, Decision::Aborted(_)) => {}
            (Route::OneBank, Decision::Committed) => {
                assert_eq!(self.transferred, Some(Vote::Yes), "guessed");
            }
            (Route::OneBank, Decision::Aborted(_)) => {
                assert!(matches!(self.transferred, Some(Vote::No(_))), "guessed");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_order_of_events_is_safe(
        route in route(),
        row_first: bool,
        inputs in prop::collection::vec(input(), 0..40),
    ) {
        let (mut payment, actions) = Payment::begin(route, row_first);
        let mut seen = Seen { row_first, ..Seen::default() };
        actions.iter().for_each(|action| seen.action(route, action));
        for input in inputs {
            seen.input(&input);
            payment.on(input).iter().for_each(|action| seen.action(route, action));
        }
    }

    /// A crash anywhere: what is recovered never contradicts what was answered or sent before.
    #[test]
    fn a_crash_changes_no_decision(
        route in route(),
        row_first: bool,
        inputs in prop::collection::vec(input(), 0..40),
    ) {
        let (mut payment, _) = Payment::begin(route, row_first);
        let (mut durable, mut written, mut told) = (None, None, None);
        for input in inputs {
            match input {
                // Written once: it is there, or another's is.
                Input::RowExists | Input::DecisionExists => continue,
                Input::RowDurable if durable.is_none() => durable = Some(State::Initiated),
                Input::DecisionDurable if written.is_some() => {
                    durable = written.clone().map(State::Decided);
                }
                _ => {}
            }
            for action in payment.on(input) {
                match action {
                    Action::WriteDecision(decision) => written = Some(decision),
                    Action::Answer(decision) => told = Some(decision),
                    _ => {}
                }
            }
        }
        let Some(state) = durable else {
            prop_assert_eq!(told, None, "answered what nobody wrote down");
            return Ok(());
        };
        let (_, actions) = Payment::recover(route, &state);
        match (told, state) {
            (Some(told), state) => prop_assert_eq!(State::Decided(told), state),
            (None, State::Initiated) => match route {
                Route::OneBank => prop_assert_eq!(actions, vec![Action::Transfer]),
                Route::TwoBanks => prop_assert!(is_abort_by_restart(&actions), "{:?}", actions),
            },
            (None, State::Decided(_)) => prop_assert!(
                !actions.iter().any(|action| matches!(action, Action::WriteDecision(_)))
            ),
        }
    }

    /// Whatever is late or repeated, once decided, asks for nothing twice.
    #[test]
    fn repeating_every_event_changes_nothing(
        route in route(),
        row_first: bool,
        inputs in prop::collection::vec(input(), 0..40),
    ) {
        let (mut once, _) = Payment::begin(route, row_first);
        let (mut twice, _) = Payment::begin(route, row_first);
        for input in inputs {
            let actions = once.on(input.clone());
            prop_assert_eq!(&twice.on(input.clone()), &actions);
            prop_assert_eq!(twice.on(input), Vec::new());
            prop_assert_eq!(&once, &twice);
        }
    }
}

fn is_abort_by_restart(actions: &[Action]) -> bool {
    let [Action::WriteDecision(Decision::Aborted(abort))] = actions else { return false };
    abort.reason == AbortReason::Restart
}

/// Feeds `inputs`; the actions of the last one must be `expected`.
fn check(route: Route, inputs: &[Input], expected: &[Action]) {
    check_begun(Payment::begin(route, false), inputs, expected);
}

/// As [`check`], with other gateways about.
fn check_row_first(inputs: &[Input], expected: &[Action]) {
    check_begun(Payment::begin(Route::TwoBanks, true), inputs, expected);
}

fn check_begun(begun: (Payment, Vec<Action>), inputs: &[Input], expected: &[Action]) {
    let (mut payment, mut actions) = begun;
    for input in inputs {
        actions = payment.on(input.clone());
    }
    assert_eq!(actions, expected, "{inputs:?}");
}

#[test]
fn two_banks_commit() {
    use Input::*;
    let begin = [Action::WriteRow, Action::Prepare(Leg::Debit), Action::Prepare(Leg::Credit)];
    check(Route::TwoBanks, &[], &begin);
    let mut inputs = vec![Voted(Leg::Credit, Vote::Yes), Voted(Leg::Debit, Vote::Yes)];
    check(Route::TwoBanks, &inputs, &[]);
    inputs.push(RowDurable);
    check(Route::TwoBanks, &inputs, &[Action::WriteDecision(Decision::Committed)]);
    inputs.push(DecisionDurable);
    let phase_two = [
        Action::Answer(Decision::Committed),
        Action::Commit(Leg::Debit),
        Action::Commit(Leg::Credit),
    ];
    check(Route::TwoBanks, &inputs, &phase_two);
    inputs.extend([Acknowledged(Leg::Debit)]);
    check(Route::TwoBanks, &inputs, &[]);
    inputs.extend([Acknowledged(Leg::Credit)]);
    check(Route::TwoBanks, &inputs, &[Action::Close]);
}

#[test]
fn a_refusal_aborts_at_once_and_spares_the_bank_that_refused() {
    use Input::*;
    let abort = Abort::new(AbortReason::InsufficientFunds, "because");
    let decision = Decision::Aborted(abort);
    let refusal = Voted(Leg::Debit, no(AbortReason::InsufficientFunds));
    let inputs = [RowDurable, refusal, DecisionDurable];
    check(Route::TwoBanks, &inputs[..2], &[Action::WriteDecision(decision.clone())]);
    check(Route::TwoBanks, &inputs, &[Action::Answer(decision), Action::Abort(Leg::Credit)]);
}

#[test]
fn silence_aborts_two_banks_and_never_one() {
    use Input::*;
    let abort = Abort::new(AbortReason::Timeout, "the receiving bank gave no vote in time");
    let decision = Action::WriteDecision(Decision::Aborted(abort));
    check(Route::TwoBanks, &[RowDurable, Voted(Leg::Debit, Vote::Yes), TimedOut], &[decision]);
    check(Route::OneBank, &[RowDurable, TimedOut], &[]);
}

#[test]
fn one_bank_decides_alone() {
    use Input::*;
    check(Route::OneBank, &[], &[Action::WriteRow]);
    check(Route::OneBank, &[RowDurable], &[Action::Transfer]);
    let inputs = [RowDurable, Transferred(Vote::Yes), DecisionDurable];
    check(Route::OneBank, &inputs[..2], &[Action::WriteDecision(Decision::Committed)]);
    check(Route::OneBank, &inputs, &[Action::Answer(Decision::Committed)]);
}

#[test]
fn among_several_gateways_the_row_comes_first() {
    use Input::*;
    let prepares = Leg::BOTH.map(Action::Prepare);
    check_row_first(&[], &[Action::WriteRow]);
    check_row_first(&[RowDurable], &prepares);
    check_row_first(&[RowDurable, RowDurable], &[]);
    let abort = Abort::new(AbortReason::Timeout, "the paying bank gave no vote in time");
    let decision = Action::WriteDecision(Decision::Aborted(abort));
    check_row_first(&[TimedOut, RowDurable], &[decision]);
}

#[test]
fn who_comes_second_yields_and_takes_back_what_it_asked_for() {
    use Input::*;
    check_row_first(&[RowExists], &[Action::Yield]);
    check(Route::OneBank, &[RowExists], &[Action::Yield]);
    let decided = [RowDurable, Transferred(Vote::Yes), DecisionExists, DecisionDurable];
    check(Route::OneBank, &decided[..3], &[Action::Yield]);
    check(Route::OneBank, &decided, &[]);
    let (yields, debit) = (Action::Yield, Action::Abort(Leg::Debit));
    let inputs = [Voted(Leg::Credit, no(AbortReason::AccountFrozen)), RowExists, RowDurable];
    check(Route::TwoBanks, &inputs[..2], &[yields, debit]);
    check(Route::TwoBanks, &inputs, &[]);
}
