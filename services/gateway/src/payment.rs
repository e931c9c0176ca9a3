//! The life of one payment, as a pure state machine: what happened goes in ([`Input`]), what is to
//! be done comes out ([`Action`]). INITIATED, then COMMITTED or ABORTED, and never anything else.
//!
//! Presumed abort: COMMITTED is decided only when the INITIATED row is durable and every bank said
//! yes; everything may be forgotten before that, nothing after. A payment within one bank is decided by
//! that bank alone, so no timeout and no restart ends it: the bank is asked until it answers.

use std::fmt;

use crate::order::Route;

#[cfg(test)]
mod tests;

/// One of the two sides of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leg {
    /// The payer's bank.
    Debit,
    /// The payee's bank.
    Credit,
}

impl Leg {
    /// Both sides.
    pub const BOTH: [Self; 2] = [Self::Debit, Self::Credit];
}

/// Why a payment was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AbortReason {
    /// A bank does not know the account.
    UnknownAccount,
    /// The account neither pays nor is paid.
    AccountFrozen,
    /// The payer has less than the amount.
    InsufficientFunds,
    /// The account is in another currency.
    WrongCurrency,
    /// The payee's balance would exceed what can be counted.
    Overflow,
    /// A bank gave no vote before the payment timeout.
    Timeout,
    /// The gateway stopped before it had decided.
    Restart,
    /// Any other refusal; the detail says which.
    Refused,
    /// More than the payer's account may pay at once.
    LimitPerPayment,
    /// With what was paid that day, more than the payer's account may pay on a day.
    LimitPerDay,
    /// It was in the queue for as long as was asked for, and could not be made.
    Expired,
    /// A bank takes this gateway's run to be gone, although it is not.
    GatewayRefused,
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownAccount => "UNKNOWN_ACCOUNT",
            Self::AccountFrozen => "ACCOUNT_FROZEN",
            Self::InsufficientFunds => "INSUFFICIENT_FUNDS",
            Self::WrongCurrency => "WRONG_CURRENCY",
            Self::Overflow => "OVERFLOW",
            Self::Timeout => "TIMEOUT",
            Self::Restart => "RESTART",
            Self::Refused => "REFUSED",
            Self::LimitPerPayment => "LIMIT_PER_PAYMENT",
            Self::LimitPerDay => "LIMIT_PER_DAY",
            Self::Expired => "EXPIRED",
            Self::GatewayRefused => "GATEWAY_REFUSED",
        })
    }
}

/// The end of a payment that was not made: why, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Abort {
    /// For programs.
    pub reason: AbortReason,
    /// For people.
    pub detail: String,
}

impl Abort {
    /// `reason`, and what to tell people.
    pub fn new(reason: AbortReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// Why a payment between two banks was not made that its gateway left undecided.
    pub fn presumed() -> Self {
        Self::new(AbortReason::Restart, "the gateway restarted before the payment was decided")
    }
}

/// How a payment ended. Once made a decision never changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// The money moves.
    Committed,
    /// The money stays.
    Aborted(Abort),
}

/// What is durably known of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// Admitted, not decided.
    Initiated,
    /// Decided.
    Decided(Decision),
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed => write!(f, "COMMITTED"),
            Self::Aborted(abort) => write!(f, "ABORTED ({})", abort.reason),
        }
    }
}

/// A bank's answer: to a prepare its vote, to a transfer what it did. No answer is not a vote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Vote {
    /// The bank can commit whatever happens (prepare), or has moved the money (transfer).
    Yes,
    /// The bank will not, now or later.
    No(Abort),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The INITIATED row is durable.
    RowDurable,
    /// There is a payment of this id already, another gateway's: this one is none.
    RowExists,
    /// A bank voted.
    Voted(Leg, Vote),
    /// The one bank of a payment said what it did.
    Transferred(Vote),
    /// The payment timeout passed.
    TimedOut,
    /// The decision is durable.
    DecisionDurable,
    /// Another decision stands, of a gateway that has taken the same payment over.
    DecisionExists,
    /// A bank finished its leg as decided.
    Acknowledged(Leg),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the INITIATED row durable.
    WriteRow,
    /// Ask for a vote until there is one.
    Prepare(Leg),
    /// Have the one bank move the money, and ask until it says what it did.
    Transfer,
    /// Make the decision durable.
    WriteDecision(Decision),
    /// Tell whoever waits.
    Answer(Decision),
    /// Send whoever waits to what stands in the store.
    Yield,
    /// Tell the bank to commit, for ever.
    Commit(Leg),
    /// Tell the bank to abort; it would also ask by itself.
    Abort(Leg),
    /// Forget the payment's open ends: every bank knows.
    Close,
}

/// One payment under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payment {
    route: Route,
    /// Whether nothing is asked of banks before the row is durable.
    row_first: bool,
    phase: Phase,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    /// Nothing is decided.
    Open(Ballot),
    /// The decision is being written.
    Deciding(Decision, Ballot),
    /// Committed; these legs have not acknowledged it.
    Committing(Vec<Leg>),
    /// Nothing is left to do.
    Closed,
}

/// What is known before the decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Ballot {
    row_durable: bool,
    debit: Option<Vote>,
    credit: Option<Vote>,
    timed_out: bool,
}

impl Payment {
    /// A new payment. With two banks the row is written while the prepares are under way, unless
    /// `row_first`: when other gateways may be given the same payment, only the one whose row it is
    /// asks for holds, or the holds of one could make the other's payment fail for want of money.
    /// With one bank the row is durable first in any case, for that bank's answer is the decision.
    pub fn begin(route: Route, row_first: bool) -> (Self, Vec<Action>) {
        let row_first = row_first || route == Route::OneBank;
        let mut actions = vec![Action::WriteRow];
        if !row_first {
            actions.extend(Leg::BOTH.map(Action::Prepare));
        }
        (Self { route, row_first, phase: Phase::Open(Ballot::default()) }, actions)
    }

    /// A payment found in the store, whose gateway is gone.
    pub fn recover(route: Route, state: &State) -> (Self, Vec<Action>) {
        let ballot = Ballot { row_durable: true, ..Ballot::default() };
        let recovered = |phase| Self { route, row_first: true, phase };
        match (route, state) {
            (Route::OneBank, State::Initiated) => {
                (recovered(Phase::Open(ballot)), vec![Action::Transfer])
            }
            (Route::TwoBanks, State::Initiated) => {
                let mut payment = recovered(Phase::Closed);
                let actions = payment.decide(Decision::Aborted(Abort::presumed()), ballot);
                (payment, actions)
            }
            (Route::TwoBanks, State::Decided(Decision::Committed)) => (
                recovered(Phase::Committing(Leg::BOTH.to_vec())),
                Leg::BOTH.map(Action::Commit).to_vec(),
            ),
            (_, State::Decided(_)) => (recovered(Phase::Closed), Vec::new()),
        }
    }

    /// Takes note of what happened and says what is to be done now. What comes too late, or twice,
    /// changes nothing.
    pub fn on(&mut self, input: Input) -> Vec<Action> {
        match (std::mem::replace(&mut self.phase, Phase::Closed), input) {
            (Phase::Open(ballot), input) => self.on_open(ballot, input),
            (Phase::Deciding(decision, ballot), Input::DecisionDurable) => {
                self.on_decided(decision, &ballot)
            }
            (Phase::Deciding(..), Input::DecisionExists) => vec![Action::Yield],
            (Phase::Committing(mut missing), Input::Acknowledged(leg)) => {
                missing.retain(|missing| *missing != leg);
                if missing.is_empty() {
                    return vec![Action::Close];
                }
                self.phase = Phase::Committing(missing);
                Vec::new()
            }
            (phase, _) => {
                self.phase = phase;
                Vec::new()
            }
        }
    }

    fn on_open(&mut self, mut ballot: Ballot, input: Input) -> Vec<Action> {
        match (self.route, input) {
            (Route::OneBank, Input::RowDurable) if !ballot.row_durable => {
                ballot.row_durable = true;
                self.phase = Phase::Open(ballot);
                return vec![Action::Transfer];
            }
            (Route::OneBank, Input::Transferred(vote)) if ballot.row_durable => {
                let decision = match vote {
                    Vote::Yes => Decision::Committed,
                    Vote::No(abort) => Decision::Aborted(abort),
                };
                return self.decide(decision, ballot);
            }
            (_, Input::RowExists) if !ballot.row_durable => return self.give_way(&ballot),
            (Route::TwoBanks, Input::RowDurable) if self.row_first && !ballot.row_durable => {
                ballot.row_durable = true;
                if !ballot.timed_out {
                    self.phase = Phase::Open(ballot);
                    return Leg::BOTH.map(Action::Prepare).to_vec();
                }
            }
            (Route::TwoBanks, Input::RowDurable) => ballot.row_durable = true,
            (Route::TwoBanks, Input::TimedOut) => ballot.timed_out = true,
            // Not asked for yet.
            (Route::TwoBanks, Input::Voted(..)) if self.row_first && !ballot.row_durable => {}
            (Route::TwoBanks, Input::Voted(Leg::Debit, vote)) => {
                ballot.debit.get_or_insert(vote);
            }
            (Route::TwoBanks, Input::Voted(Leg::Credit, vote)) => {
                ballot.credit.get_or_insert(vote);
            }
            _ => {}
        }
        match ballot.decision() {
            Some(decision) => self.decide(decision, ballot),
            None => {
                self.phase = Phase::Open(ballot);
                Vec::new()
            }
        }
    }

    /// There is no such payment, and never will be: what was asked of banks is taken back.
    fn give_way(&mut self, ballot: &Ballot) -> Vec<Action> {
        self.phase = Phase::Closed;
        let mut actions = vec![Action::Yield];
        if !self.row_first {
            actions.extend(ballot.aborts());
        }
        actions
    }

    fn decide(&mut self, decision: Decision, ballot: Ballot) -> Vec<Action> {
        self.phase = Phase::Deciding(decision.clone(), ballot);
        vec![Action::WriteDecision(decision)]
    }

    fn on_decided(&mut self, decision: Decision, ballot: &Ballot) -> Vec<Action> {
        let mut actions = vec![Action::Answer(decision.clone())];
        match (self.route, decision) {
            (Route::OneBank, _) => self.phase = Phase::Closed,
            (Route::TwoBanks, Decision::Committed) => {
                self.phase = Phase::Committing(Leg::BOTH.to_vec());
                actions.extend(Leg::BOTH.map(Action::Commit));
            }
            (Route::TwoBanks, Decision::Aborted(_)) => {
                self.phase = Phase::Closed;
                actions.extend(ballot.aborts());
            }
        }
        actions
    }
}

impl Ballot {
    /// The decision of two banks' payment, once it can be made. Nothing is decided before the row
    /// is durable, so that no decision is ever without its payment.
    fn decision(&self) -> Option<Decision> {
        if !self.row_durable {
            return None;
        }
        match (&self.debit, &self.credit) {
            (Some(Vote::No(abort)), _) | (_, Some(Vote::No(abort))) => {
                Some(Decision::Aborted(abort.clone()))
            }
            (Some(Vote::Yes), Some(Vote::Yes)) => Some(Decision::Committed),
            (debit, _) if self.timed_out => {
                let silent = if debit.is_none() { "paying" } else { "receiving" };
                let detail = format!("the {silent} bank gave no vote in time");
                Some(Decision::Aborted(Abort::new(AbortReason::Timeout, detail)))
            }
            _ => None,
        }
    }

    /// For every bank that may hold something.
    fn aborts(&self) -> impl Iterator<Item = Action> {
        Leg::BOTH.into_iter().filter(|leg| !self.is_refused_by(*leg)).map(Action::Abort)
    }

    fn is_refused_by(&self, leg: Leg) -> bool {
        let vote = match leg {
            Leg::Debit => &self.debit,
            Leg::Credit => &self.credit,
        };
        matches!(vote, Some(Vote::No(_)))
    }
}
