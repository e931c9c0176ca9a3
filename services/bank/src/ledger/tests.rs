//! The ledger by example; `laws` holds it against its laws under any sequence of commands.

use proptest::prelude::*;

use super::*;

mod forced;
mod laws;
mod limits;

const DAY_MS: u64 = 86_400_000;

fn inr() -> Currency {
    "INR".parse().unwrap()
}

fn rupees(minor_units: i64) -> Amount {
    Amount { minor_units, currency: inr() }
}

fn open_account(account_id: &str, balance: Amount, state: AccountState) -> Command {
    let (account_id, transaction_id) =
        (account_id.to_owned(), Some(format!("opening of {account_id}")));
    Command::OpenAccount(OpenAccount { account_id, balance, state, transaction_id })
}

fn transfer(transaction_id: &str, from: &str, to: &str, amount: Amount) -> Command {
    transfer_at(transaction_id, from, to, amount, 7)
}

fn transfer_at(transaction_id: &str, from: &str, to: &str, amount: Amount, at_ms: u64) -> Command {
    Command::Transfer(Transfer {
        transaction_id: transaction_id.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        amount,
        at_ms,
    })
}

fn key(transaction_id: &str, leg: Leg) -> LegKey {
    LegKey { transaction_id: transaction_id.to_owned(), leg }
}

fn prepare(transaction_id: &str, leg: Leg, account_id: &str, amount: Amount) -> Command {
    prepare_at(transaction_id, leg, account_id, amount, 7)
}

fn prepare_at(
    transaction_id: &str,
    leg: Leg,
    account_id: &str,
    amount: Amount,
    at_ms: u64,
) -> Command {
    let body =
        LegBody { account_id: account_id.to_owned(), amount, coordinator: "gateway".to_owned() };
    Command::Prepare(Prepare { key: key(transaction_id, leg), body, at_ms, maker: None })
}

fn commit(transaction_id: &str, leg: Leg) -> Command {
    Command::Commit(key(transaction_id, leg))
}

fn abort(transaction_id: &str, leg: Leg) -> Command {
    Command::Abort(key(transaction_id, leg))
}

/// Two active accounts with 100, a frozen one, a rich one and one in euros.
fn bank() -> MemoryState {
    let mut state = MemoryState::default();
    let euros = Amount { minor_units: 100, currency: "EUR".parse().unwrap() };
    for command in [
        open_account("a", rupees(100), AccountState::Active),
        open_account("b", rupees(100), AccountState::Active),
        open_account("frozen", rupees(100), AccountState::Frozen),
        open_account("rich", rupees(i64::MAX), AccountState::Active),
        open_account("euro", euros, AccountState::Active),
    ] {
        check(&mut state, &command, Ok(Receipt::Done));
    }
    state
}

/// The verdict must be the same the first time and every time after, and repeats move nothing.
fn check(state: &mut MemoryState, command: &Command, expected: Verdict) {
    let Ok(verdict) = apply(state, command);
    assert_eq!(verdict, expected, "{command:?}");
    let (accounts, postings) = (state.accounts().clone(), state.postings());
    let Ok(again) = apply(state, command);
    assert_eq!(again, expected, "repeated {command:?}");
    assert_eq!((state.accounts(), state.postings()), (&accounts, postings));
}

fn balances(state: &MemoryState, account_id: &str) -> (i64, i64, i64) {
    let account = state.accounts()[account_id];
    (account.available, account.held, account.incoming)
}

fn transferred(available: i64) -> Verdict {
    Ok(Receipt::Transferred { available: rupees(available) })
}

#[test]
fn a_transfer_moves_money_once() {
    let mut state = bank();
    check(&mut state, &transfer("t1", "a", "b", rupees(30)), transferred(70));
    check(&mut state, &transfer("t2", "a", "b", rupees(70)), transferred(0));
    // The answer is that of the first time, not today's balance.
    check(&mut state, &transfer("t1", "a", "b", rupees(30)), transferred(70));
    assert_eq!((balances(&state, "a").0, balances(&state, "b").0), (0, 200));
}

#[test]
fn a_transfer_that_cannot_be_is_refused_by_name() {
    let mut state = bank();
    let euros = Amount { minor_units: 1, currency: "EUR".parse().unwrap() };
    for (id, from, to, amount, refusal) in [
        ("r1", "a", "b", rupees(0), Refusal::InvalidAmount),
        ("r2", "a", "b", rupees(-1), Refusal::InvalidAmount),
        ("r3", "a", "a", rupees(1), Refusal::SameAccount),
        ("r4", "a", "nobody", rupees(1), Refusal::UnknownAccount),
        ("r5", "nobody", "a", rupees(1), Refusal::UnknownAccount),
        ("r6", "a", "b", rupees(101), Refusal::InsufficientFunds),
        ("r7", "a", "frozen", rupees(1), Refusal::AccountFrozen),
        ("r8", "frozen", "a", rupees(1), Refusal::AccountFrozen),
        ("r9", "a", "euro", rupees(1), Refusal::WrongCurrency),
        ("r10", "a", "b", euros, Refusal::WrongCurrency),
        ("r11", "a", "rich", rupees(1), Refusal::Overflow),
    ] {
        check(&mut state, &transfer(id, from, to, amount), Err(refusal));
    }
    assert_eq!(state.postings(), 5, "only the openings");
}

#[test]
fn a_used_transaction_id_with_another_body_is_a_conflict() {
    let mut state = bank();
    check(&mut state, &transfer("t", "a", "b", rupees(30)), transferred(70));
    check(&mut state, &transfer("t", "a", "b", rupees(31)), Err(Refusal::Conflict));
    check(&mut state, &transfer("t", "b", "a", rupees(30)), Err(Refusal::Conflict));
    check(&mut state, &transfer("no", "a", "b", rupees(999)), Err(Refusal::InsufficientFunds));
    check(&mut state, &transfer("no", "a", "b", rupees(1)), Err(Refusal::Conflict));
}

#[test]
fn a_refusal_is_final_even_when_the_account_could_pay_later() {
    let mut state = bank();
    check(&mut state, &transfer("t", "a", "b", rupees(150)), Err(Refusal::InsufficientFunds));
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(150)), Err(Refusal::InsufficientFunds));
    check(&mut state, &transfer("u", "b", "a", rupees(100)), transferred(0));
    check(&mut state, &transfer("t", "a", "b", rupees(150)), Err(Refusal::InsufficientFunds));
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(150)), Err(Refusal::InsufficientFunds));
    check(&mut state, &commit("p", Leg::Debit), Err(Refusal::NotPrepared));
    check(&mut state, &abort("p", Leg::Debit), Ok(Receipt::Done));
}

#[test]
fn a_debit_is_held_and_then_posted() {
    let mut state = bank();
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(60)), Ok(Receipt::Done));
    assert_eq!(balances(&state, "a"), (40, 60, 0));
    check(&mut state, &transfer("t", "a", "b", rupees(41)), Err(Refusal::InsufficientFunds));
    check(&mut state, &commit("p", Leg::Debit), Ok(Receipt::Done));
    assert_eq!(balances(&state, "a"), (40, 0, 0));
    assert_eq!(state.positions()[&Internal::Settlement(inr())], 60, "owed to the other bank");
    check(&mut state, &abort("p", Leg::Debit), Err(Refusal::Committed));
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(60)), Ok(Receipt::Done));
}

#[test]
fn a_credit_locks_nothing_and_is_then_posted() {
    let mut state = bank();
    check(&mut state, &prepare("p", Leg::Credit, "a", rupees(60)), Ok(Receipt::Done));
    assert_eq!(balances(&state, "a"), (100, 0, 60));
    check(&mut state, &commit("p", Leg::Credit), Ok(Receipt::Done));
    assert_eq!(balances(&state, "a"), (160, 0, 0));
    assert_eq!(state.positions()[&Internal::Settlement(inr())], -60, "owed by the other bank");
}

#[test]
fn an_abort_gives_back_what_was_promised() {
    let mut state = bank();
    for leg in [Leg::Debit, Leg::Credit] {
        check(&mut state, &prepare("p", leg, "a", rupees(60)), Ok(Receipt::Done));
        check(&mut state, &abort("p", leg), Ok(Receipt::Done));
        check(&mut state, &commit("p", leg), Err(Refusal::Aborted));
        check(&mut state, &prepare("p", leg, "a", rupees(60)), Err(Refusal::Aborted));
    }
    assert_eq!(balances(&state, "a"), (100, 0, 0));
}

#[test]
fn an_abort_before_the_prepare_leaves_a_tombstone() {
    let mut state = bank();
    check(&mut state, &abort("p", Leg::Debit), Ok(Receipt::Done));
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(60)), Err(Refusal::Aborted));
    check(&mut state, &commit("p", Leg::Debit), Err(Refusal::Aborted));
    assert_eq!(balances(&state, "a"), (100, 0, 0));
}

#[test]
fn a_prepare_with_another_body_is_a_conflict_whatever_became_of_the_first() {
    let mut state = bank();
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(60)), Ok(Receipt::Done));
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(61)), Err(Refusal::Conflict));
    check(&mut state, &prepare("p", Leg::Debit, "b", rupees(60)), Err(Refusal::Conflict));
    check(&mut state, &commit("p", Leg::Debit), Ok(Receipt::Done));
    check(&mut state, &prepare("p", Leg::Debit, "a", rupees(61)), Err(Refusal::Conflict));
    // The other leg of the same transaction is another key.
    check(&mut state, &prepare("p", Leg::Credit, "b", rupees(60)), Ok(Receipt::Done));
}

#[test]
fn prepares_are_refused_by_name() {
    let mut state = bank();
    for (id, leg, account, amount, refusal) in [
        ("r1", Leg::Debit, "nobody", rupees(1), Refusal::UnknownAccount),
        ("r2", Leg::Credit, "frozen", rupees(1), Refusal::AccountFrozen),
        ("r3", Leg::Credit, "euro", rupees(1), Refusal::WrongCurrency),
        ("r4", Leg::Credit, "rich", rupees(1), Refusal::Overflow),
        ("r5", Leg::Debit, "a", rupees(0), Refusal::InvalidAmount),
        ("r6", Leg::Debit, "a", rupees(i64::MAX), Refusal::InsufficientFunds),
    ] {
        check(&mut state, &prepare(id, leg, account, amount), Err(refusal));
    }
}

fn prepare_by(transaction_id: &str, run: u32) -> Command {
    let Command::Prepare(prepare) = prepare(transaction_id, Leg::Debit, "a", rupees(1)) else {
        unreachable!()
    };
    Command::Prepare(Prepare { maker: Some(GatewayRun { store: 9, run }), ..prepare })
}

#[test]
fn a_fenced_run_prepares_nothing_and_what_it_prepared_ends_as_decided() {
    let mut state = bank();
    for id in ["committed", "aborted", "open"] {
        check(&mut state, &prepare_by(id, 3), Ok(Receipt::Done));
    }
    check(&mut state, &Command::Fence(GatewayRun { store: 9, run: 3 }), Ok(Receipt::Done));
    check(&mut state, &prepare_by("late", 3), Err(Refusal::Fenced));
    check(&mut state, &prepare_by("open", 3), Ok(Receipt::Done));
    check(&mut state, &commit("committed", Leg::Debit), Ok(Receipt::Done));
    check(&mut state, &abort("aborted", Leg::Debit), Ok(Receipt::Done));
    check(&mut state, &abort("late", Leg::Debit), Ok(Receipt::Done));
    check(&mut state, &prepare_by("late", 3), Err(Refusal::Aborted));
    assert_eq!(balances(&state, "a"), (98, 1, 0), "one posted, one held");
    check(&mut state, &prepare_by("another's", 4), Ok(Receipt::Done));
    check(&mut state, &prepare("nobody's", Leg::Debit, "a", rupees(1)), Ok(Receipt::Done));
}

#[test]
fn a_promised_credit_always_has_room() {
    let mut state = bank();
    let nearly_all = rupees(i64::MAX - 100);
    check(&mut state, &prepare("p", Leg::Credit, "a", nearly_all), Ok(Receipt::Done));
    check(&mut state, &transfer("t", "b", "a", rupees(1)), Err(Refusal::Overflow));
    check(&mut state, &prepare("q", Leg::Credit, "a", rupees(1)), Err(Refusal::Overflow));
    check(&mut state, &commit("p", Leg::Credit), Ok(Receipt::Done));
    assert_eq!(balances(&state, "a"), (i64::MAX, 0, 0));
}

#[test]
fn refusals_and_names_read_back_as_written() {
    for refusal in Refusal::ALL {
        assert_eq!(Refusal::from_code(refusal.code()), Some(refusal));
    }
    assert_eq!(Refusal::from_code(0), None);
    for internal in [Internal::Settlement(inr()), Internal::Opening(inr())] {
        assert_eq!(Internal::from_name(&internal.name()), Some(internal));
    }
    for leg in [Leg::Debit, Leg::Credit] {
        let key = key("a-debit", leg);
        assert_eq!(LegKey::parse(&key.to_string()), Some(key));
    }
}

const ACCOUNTS: [&str; 5] = ["a", "b", "frozen", "rich", "euro"];

pub(crate) fn any_command() -> impl Strategy<Value = Command> {
    let id = (0..6_u8).prop_map(|id| format!("t{id}"));
    let account = (0..6_usize).prop_map(|n| ACCOUNTS.get(n).copied().unwrap_or("nobody"));
    let amount = prop_oneof![4 => 1..80_i64, 1 => -2..2_i64, 1 => i64::MAX - 150..=i64::MAX];
    let leg = prop_oneof![Just(Leg::Debit), Just(Leg::Credit)];
    let transfers = (id.clone(), account.clone(), account.clone(), amount.clone())
        .prop_map(|(id, from, to, amount)| transfer(&id, from, to, rupees(amount)));
    let run = || (1..4_u32).prop_map(|run| GatewayRun { store: 9, run });
    let prepares = (id.clone(), leg.clone(), account, amount, prop::option::of(run())).prop_map(
        |(id, leg, account, amount, maker)| match prepare(&id, leg, account, rupees(amount)) {
            Command::Prepare(prepare) => Command::Prepare(Prepare { maker, ..prepare }),
            other => other,
        },
    );
    let fences = run().prop_map(Command::Fence);
    let commits = (id.clone(), leg.clone()).prop_map(|(id, leg)| commit(&id, leg));
    let aborts = (id, leg).prop_map(|(id, leg)| abort(&id, leg));
    prop_oneof![4 => transfers, 8 => prepares, 4 => commits, 2 => aborts, 1 => fences]
}

/// Also those of operators, and on several days, not all in order.
pub(crate) fn any_command_of_all() -> impl Strategy<Value = Command> {
    let account = (0..6_usize).prop_map(|n| ACCOUNTS.get(n).copied().unwrap_or("nobody"));
    let (limit, day) = (prop::option::of(-1..120_i64), 0..4_u64);
    let limits = (account.clone(), limit.clone(), limit, day.clone()).prop_map(
        |(account, per_payment, per_day, day)| {
            let (account_id, at_ms) = (account.to_owned(), day * DAY_MS);
            Command::SetLimits(SetLimits { account_id, per_payment, per_day, at_ms })
        },
    );
    let state = prop_oneof![Just(AccountState::Active), Just(AccountState::Frozen)];
    let states = (account, state).prop_map(|(account, state)| {
        let account_id = account.to_owned();
        Command::SetAccountState(SetAccountState { account_id, state })
    });
    let leg = prop_oneof![Just(Leg::Debit), Just(Leg::Credit)];
    let end = prop_oneof![Just(End::Commit), Just(End::Abort)];
    let forces =
        (0..6_u8, leg, end).prop_map(|(id, leg, end)| forced::force(&format!("t{id}"), leg, end));
    let others = (any_command(), day).prop_map(|(command, day)| on_day(command, day));
    prop_oneof![2 => limits, 1 => states, 1 => forces, 12 => others]
}

fn on_day(command: Command, day: u64) -> Command {
    let at_ms = day * DAY_MS + 7;
    match command {
        Command::Transfer(transfer) => Command::Transfer(Transfer { at_ms, ..transfer }),
        Command::Prepare(prepare) => Command::Prepare(Prepare { at_ms, ..prepare }),
        other => other,
    }
}

/// The accounts that [`any_command`] speaks of.
pub(crate) fn openings() -> Vec<OpenAccount> {
    let open = |account_id: &str, minor_units, currency: &str, state| OpenAccount {
        account_id: account_id.to_owned(),
        balance: Amount { minor_units, currency: currency.parse().unwrap() },
        state,
        transaction_id: None,
    };
    vec![
        open("a", 100, "INR", AccountState::Active),
        open("b", 100, "INR", AccountState::Active),
        open("frozen", 100, "INR", AccountState::Frozen),
        open("rich", i64::MAX, "INR", AccountState::Active),
        open("euro", 100, "EUR", AccountState::Active),
    ]
}
