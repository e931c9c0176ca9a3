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

proptest! {
    /// With limits that do not change, no day's debits exceed them: counted from the verdicts alone.
    #[test]
    fn no_day_exceeds_its_limit(
        most in 0..150_i64,
        commands in vec((any_command(), 0..3_u64), 0..80),
    ) {
        let mut state = bank();
        for account in ["a", "b"] {
            check(&mut state, &limit(account, Some(60), Some(most)), DONE);
        }
        let mut day = 0;
        let mut legs: HashMap<LegKey, (String, i64, u64)> = HashMap::new();
        let mut spent: HashMap<(String, u64), i64> = HashMap::new();
        for (command, later) in commands {
            day += u64::from(later == 2);
            let command = on_day(command, day);
            let (accounts, postings) = (state.accounts().clone(), state.postings());
            let Ok(verdict) = apply(&mut state, &command);
            let unchanged = accounts == *state.accounts() && postings == state.postings();
            match &command {
                _ if verdict.is_err() || unchanged => continue,
                Command::Transfer(transfer) => {
                    let amount = transfer.amount.minor_units;
                    *spent.entry((transfer.from.clone(), day)).or_default() += amount;
                }
                Command::Prepare(Prepare { key, body, .. }) if key.leg == Leg::Debit => {
                    let (account, amount) = (body.account_id.clone(), body.amount.minor_units);
                    *spent.entry((account.clone(), day)).or_default() += amount;
                    legs.insert(key.clone(), (account, amount, day));
                }
                Command::Abort(key) => {
                    if let Some((account, amount, day)) = legs.remove(key) {
                        *spent.entry((account, day)).or_default() -= amount;
                    }
                }
                _ => {}
            }
            for ((account, day), spent) in &spent {
                let is_limited = account == "a" || account == "b";
                prop_assert!(!is_limited || *spent <= most, "{spent} on day {day} by {account}");
            }
            for (account, limits) in state.all_limits() {
                let counted = spent.get(&(account.clone(), limits.day.into())).copied();
                prop_assert_eq!(limits.used, counted.unwrap_or(0), "of {}", account);
            }
        }
    }
}
