//! What an account may pay: by example, then against what can be counted from outside.

use std::collections::HashMap;

use proptest::collection::vec;

use super::*;

fn limit(account_id: &str, per_payment: Option<i64>, per_day: Option<i64>) -> Command {
    limit_at(account_id, per_payment, per_day, 7)
}

fn limit_at(
    account_id: &str,
    per_payment: Option<i64>,
    per_day: Option<i64>,
    at_ms: u64,
) -> Command {
    let account_id = account_id.to_owned();
    Command::SetLimits(SetLimits { account_id, per_payment, per_day, at_ms })
}

fn set_state(account_id: &str, state: AccountState) -> Command {
    Command::SetAccountState(SetAccountState { account_id: account_id.to_owned(), state })
}

fn hold(id: &str, minor_units: i64) -> Command {
    prepare(id, Leg::Debit, "a", rupees(minor_units))
}

const DONE: Verdict = Ok(Receipt::Done);

#[test]
fn no_payment_exceeds_the_limit_per_payment() {
    let mut state = bank();
    check(&mut state, &limit("a", Some(50), None), DONE);
    check(&mut state, &hold("p", 51), Err(Refusal::LimitPerPayment));
    check(&mut state, &transfer("t", "a", "b", rupees(51)), Err(Refusal::LimitPerPayment));
    check(&mut state, &hold("q", 50), DONE);
    check(&mut state, &transfer("u", "a", "b", rupees(50)), transferred(0));
    // Who is paid is not limited, and a refusal is final even when the limit is gone.
    check(&mut state, &prepare("r", Leg::Credit, "a", rupees(60)), DONE);
    check(&mut state, &limit("a", None, None), DONE);
    check(&mut state, &hold("p", 51), Err(Refusal::LimitPerPayment));
}

#[test]
fn a_day_has_its_limit_and_an_abort_gives_back() {
    let mut state = bank();
    check(&mut state, &limit("a", None, Some(60)), DONE);
    check(&mut state, &hold("p", 40), DONE);
    check(&mut state, &transfer("t", "a", "b", rupees(21)), Err(Refusal::LimitPerDay));
    check(&mut state, &abort("p", Leg::Debit), DONE);
    check(&mut state, &transfer("u", "a", "b", rupees(21)), transferred(79));
    check(&mut state, &hold("q", 40), Err(Refusal::LimitPerDay));
    check(&mut state, &hold("r", 39), DONE);
    check(&mut state, &commit("r", Leg::Debit), DONE);
    check(&mut state, &hold("s", 1), Err(Refusal::LimitPerDay));
    let tomorrow = DAY_MS;
    check(&mut state, &prepare_at("v", Leg::Debit, "a", rupees(30), tomorrow), DONE);
    let limits = state.all_limits()["a"];
    assert_eq!(
        (limits.used, limits.left(tomorrow), limits.left(2 * DAY_MS)),
        (30, Some(30), Some(60))
    );
}

#[test]
fn yesterdays_abort_gives_nothing_back_today() {
    let mut state = bank();
    check(&mut state, &limit("a", None, Some(60)), DONE);
    check(&mut state, &hold("p", 40), DONE);
    check(&mut state, &transfer_at("t", "a", "b", rupees(50), DAY_MS), transferred(10));
    check(&mut state, &abort("p", Leg::Debit), DONE);
    assert_eq!(state.all_limits()["a"].used, 50);
    // A clock that is a day behind counts on the newest day.
    check(&mut state, &transfer("u", "a", "b", rupees(11)), Err(Refusal::LimitPerDay));
}

#[test]
fn what_is_held_when_limits_begin_counts() {
    let mut state = bank();
    check(&mut state, &hold("p", 40), DONE);
    check(&mut state, &limit("a", None, Some(60)), DONE);
    check(&mut state, &hold("q", 21), Err(Refusal::LimitPerDay));
    check(&mut state, &abort("p", Leg::Debit), DONE);
    assert_eq!(state.all_limits()["a"].used, 0);
    // New limits forget nothing of the day.
    check(&mut state, &hold("r", 30), DONE);
    check(&mut state, &limit("a", None, Some(40)), DONE);
    check(&mut state, &hold("s", 11), Err(Refusal::LimitPerDay));
}

#[test]
fn limits_and_states_are_refused_by_name() {
    let mut state = bank();
    check(&mut state, &limit("nobody", None, None), Err(Refusal::UnknownAccount));
    check(&mut state, &limit("a", Some(-1), None), Err(Refusal::InvalidAmount));
    check(&mut state, &limit("a", None, Some(-1)), Err(Refusal::InvalidAmount));
    check(&mut state, &set_state("nobody", AccountState::Frozen), Err(Refusal::UnknownAccount));
    assert!(state.all_limits().is_empty());
}

#[test]
fn a_frozen_account_keeps_its_promises_and_makes_none() {
    let mut state = bank();
    check(&mut state, &hold("p", 40), DONE);
    check(&mut state, &set_state("a", AccountState::Frozen), DONE);
    check(&mut state, &hold("q", 1), Err(Refusal::AccountFrozen));
    check(&mut state, &commit("p", Leg::Debit), DONE);
    check(&mut state, &set_state("a", AccountState::Active), DONE);
    check(&mut state, &hold("r", 1), DONE);
    assert_eq!(balances(&state, "a"), (59, 1, 0));
}

/// What was held by a clock that is ahead counts where its abort gives it back.
#[test]
fn clocks_that_differ_when_limits_begin_leave_too_little_never_too_much() {
    let mut state = bank();
    let hold_tomorrow = |id| prepare_at(id, Leg::Debit, "rich", rupees(100), DAY_MS);
    check(&mut state, &hold_tomorrow("p"), DONE);
    check(&mut state, &limit("rich", None, Some(100)), DONE);
    check(&mut state, &hold_tomorrow("q"), Err(Refusal::LimitPerDay));
    check(&mut state, &abort("p", Leg::Debit), DONE);
    check(&mut state, &hold_tomorrow("r"), DONE);
    check(&mut state, &hold_tomorrow("s"), Err(Refusal::LimitPerDay));
}

/// What can be counted from the verdicts alone.
#[derive(Default)]
struct Counted {
    /// Of accounts with limits, the newest day.
    days: HashMap<String, u64>,
    /// Debits in doubt, when they were prepared, and the day they count on.
    held: HashMap<LegKey, Debit>,
    spent: HashMap<(String, u64), i64>,
}

struct Debit {
    account_id: String,
    amount: i64,
    prepared: u64,
    counts_on: Option<u64>,
}

impl Counted {
    fn limited(&mut self, account_id: &str, day: u64) {
        if self.days.contains_key(account_id) {
            return;
        }
        let held = self.held.values_mut().filter(|debit| debit.account_id == account_id);
        let held: Vec<_> = held.collect();
        let day = held.iter().map(|debit| debit.prepared).fold(day, u64::max);
        let sum = held.iter().map(|debit| debit.amount).sum();
        held.into_iter().for_each(|debit| debit.counts_on = Some(day));
        self.days.insert(account_id.to_owned(), day);
        self.spent.insert((account_id.to_owned(), day), sum);
    }

    /// The day that a debit counts on, and what was spent on it; `None` of an account without limits.
    fn paid(&mut self, account_id: &str, amount: i64, day: u64) -> Option<(u64, i64)> {
        let newest = self.days.get_mut(account_id)?;
        *newest = day.max(*newest);
        let spent = self.spent.entry((account_id.to_owned(), *newest)).or_default();
        *spent += amount;
        Some((*newest, *spent))
    }

    fn aborted(&mut self, key: &LegKey) {
        let Some(debit) = self.held.remove(key) else { return };
        if let Some(day) = debit.counts_on {
            *self.spent.entry((debit.account_id, day)).or_default() -= debit.amount;
        }
    }
}

proptest! {
    /// Limits begin at some time and change no more. Clocks differ by up to two days.
    #[test]
    fn no_day_exceeds_its_limit(
        most in 0..150_i64,
        commands in vec((any_command(), 0..3_u64, 0..3_u64, 0..12_usize), 0..80),
    ) {
        let mut state = bank();
        let (mut counted, mut time) = (Counted::default(), 0);
        for (command, later, ahead, begins) in commands {
            time += u64::from(later == 2);
            let day = time + ahead;
            if let Some(account_id) = ["a", "b"].get(begins) {
                check(&mut state, &limit_at(account_id, Some(60), Some(most), day * DAY_MS), DONE);
                counted.limited(account_id, day);
            }
            let command = on_day(command, day);
            let (accounts, postings) = (state.accounts().clone(), state.postings());
            let Ok(verdict) = apply(&mut state, &command);
            let unchanged = accounts == *state.accounts() && postings == state.postings();
            let mut paid = None;
            match &command {
                _ if verdict.is_err() || unchanged => {}
                Command::Transfer(transfer) => {
                    paid = counted.paid(&transfer.from, transfer.amount.minor_units, day);
                }
                Command::Prepare(Prepare { key, body, .. }) if key.leg == Leg::Debit => {
                    let (account_id, amount) = (body.account_id.clone(), body.amount.minor_units);
                    paid = counted.paid(&account_id, amount, day);
                    let counts_on = paid.map(|(day, _)| day);
                    let debit = Debit { account_id, amount, prepared: day, counts_on };
                    counted.held.insert(key.clone(), debit);
                }
                Command::Commit(key) => drop(counted.held.remove(key)),
                Command::Abort(key) => counted.aborted(key),
                _ => {}
            }
            if let Some((day, spent)) = paid {
                prop_assert!(spent <= most, "{spent} on day {day}");
            }
            for (account_id, limits) in state.all_limits() {
                let spent = counted.spent.get(&(account_id.clone(), limits.day.into()));
                let spent = spent.copied().unwrap_or(0);
                prop_assert!(limits.used >= spent, "{} of {spent} by {account_id}", limits.used);
            }
        }
    }
}
