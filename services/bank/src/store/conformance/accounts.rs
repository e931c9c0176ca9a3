//! Accounts as operators see and change them, on whatever way commands then go.

use super::{Leg, Receipt, Refusal, Verdict, available, key, prepare, rupees, transfer, verdict};
use crate::{
    clock,
    ledger::{
        AccountState, Command, End, Force, Forced, LegBody, LegState, MemoryState, Met,
        OpenAccount, Prepare, SetAccountState, SetLimits, Transfer,
    },
    store::{KnownLeg, Store, WholeStore},
};

const DONE: Verdict = Ok(Receipt::Done);
/// Accounts that are there afterwards and were not before.
pub(super) const OPENED: u64 = 1;

pub(super) async fn check(store: &impl Store, whole: &impl WholeStore) {
    check_states(store, whole).await;
    check_openings(store, whole).await;
    check_limits(store, whole).await;
    check_legs(store, whole).await;
    check_forced(store, whole).await;
}

fn set_limits(per_payment: Option<i64>, per_day: Option<i64>) -> Command {
    let account_id = "a".to_owned();
    Command::SetLimits(SetLimits { account_id, per_payment, per_day, at_ms: clock::now_ms() })
}

/// Now: some stores take the time from their own clock.
fn pay(id: &str, minor_units: i64) -> Command {
    let Command::Transfer(sent) = transfer(id, "a", "b", minor_units) else { unreachable!() };
    Command::Transfer(Transfer { at_ms: clock::now_ms(), ..sent })
}

fn hold(id: &str, minor_units: i64) -> Command {
    let amount = rupees(minor_units);
    let body = LegBody { account_id: "a".to_owned(), amount, coordinator: "gateway".to_owned() };
    let at_ms = clock::now_ms();
    Command::Prepare(Prepare { key: key(id, Leg::Debit), body, at_ms, maker: None })
}

fn opening(account_id: &str, minor_units: i64, transaction_id: Option<&str>) -> Command {
    Command::OpenAccount(OpenAccount {
        account_id: account_id.to_owned(),
        balance: rupees(minor_units),
        state: AccountState::Active,
        transaction_id: transaction_id.map(str::to_owned),
    })
}

/// Once, however often it is asked for, and whatever became of the account since; not by another.
async fn check_openings(store: &impl Store, whole: &impl WholeStore) {
    let mine = || opening("late", 0, Some("opening-1"));
    for _ in 0..2 {
        assert_eq!(verdict(whole, mine()).await, DONE);
    }
    let pay = transfer("to late", "a", "late", 1);
    assert_eq!(verdict(store, pay).await, available(99));
    assert_eq!(verdict(whole, mine()).await, DONE);
    assert_eq!(whole.details("late").await.unwrap().unwrap().account.available, 1);
    for (other, refusal) in [
        (opening("late", 0, Some("opening-2")), Refusal::AccountExists),
        (opening("late", 1, Some("opening-1")), Refusal::Conflict),
        (opening("other", 0, Some("opening-1")), Refusal::Conflict),
        (opening("other", 0, Some("to late")), Refusal::Conflict),
    ] {
        assert_eq!(verdict(whole, other).await, Err(refusal));
    }
    let batch = vec![opening("late", 0, None), mine()];
    let verdicts = whole.apply_all(batch).await.unwrap();
    assert_eq!(verdicts, [Err(Refusal::AccountExists), DONE]);
    assert_eq!(verdict(store, transfer("back from late", "late", "a", 1)).await, available(0));
    assert_eq!(whole.details("other").await.unwrap(), None);
}

async fn check_states(store: &impl Store, whole: &impl WholeStore) {
    assert_eq!(verdict(whole, opening("a", 0, None)).await, Err(Refusal::AccountExists));
    let set =
        |state| Command::SetAccountState(SetAccountState { account_id: "a".to_owned(), state });
    assert_eq!(verdict(whole, set(AccountState::Frozen)).await, DONE);
    assert_eq!(verdict(store, pay("to freeze", 1)).await, Err(Refusal::AccountFrozen));
    assert_eq!(verdict(whole, set(AccountState::Active)).await, DONE);
    assert_eq!(whole.details("nobody").await.unwrap(), None);
}

async fn check_limits(store: &impl Store, whole: &impl WholeStore) {
    assert_eq!(whole.details("a").await.unwrap().unwrap().limits, None);
    assert_eq!(verdict(whole, set_limits(Some(50), Some(60))).await, DONE);
    assert_eq!(verdict(store, pay("at once", 51)).await, Err(Refusal::LimitPerPayment));
    assert_eq!(verdict(store, hold("held", 40)).await, DONE);
    assert_eq!(verdict(store, pay("too much", 21)).await, Err(Refusal::LimitPerDay));
    assert_eq!(verdict(store, Command::Abort(key("held", Leg::Debit))).await, DONE);
    assert_eq!(verdict(store, pay("given back", 21)).await, available(79));
    assert_eq!(verdict(store, hold("held again", 40)).await, Err(Refusal::LimitPerDay));
    let found = whole.details("a").await.unwrap().unwrap();
    let limits = found.limits.unwrap();
    assert_eq!((limits.per_payment, limits.per_day, limits.used), (Some(50), Some(60), 21));
    assert_eq!((found.account.available, limits.left(clock::now_ms())), (79, Some(39)));
    assert_eq!(verdict(whole, set_limits(None, None)).await, DONE);
    let back = transfer("given back again", "b", "a", 21);
    assert_eq!(verdict(store, back).await, available(100));
    check_limits_begin(whole).await;
}

/// Where a clock that is ahead has held money.
async fn check_limits_begin(whole: &impl WholeStore) {
    const DAY_MS: u64 = 86_400_000;
    let now_ms = clock::now_ms();
    let tomorrow_ms = now_ms + DAY_MS;
    let hold_at = |id: &str, at_ms| {
        let Command::Prepare(hold) = prepare(id, Leg::Debit, "b", 1) else { unreachable!() };
        Command::Prepare(Prepare { at_ms, ..hold })
    };
    assert_eq!(verdict(whole, hold_at("tomorrow", tomorrow_ms)).await, DONE);
    assert_eq!(verdict(whole, hold_at("later", tomorrow_ms + DAY_MS)).await, DONE);
    assert_eq!(verdict(whole, hold_at("today", now_ms)).await, DONE);
    assert_eq!(verdict(whole, Command::Abort(key("later", Leg::Debit))).await, DONE);
    let (account_id, at_ms) = ("b".to_owned(), now_ms);
    let set = SetLimits { account_id, per_payment: None, per_day: None, at_ms };
    assert_eq!(verdict(whole, Command::SetLimits(set)).await, DONE);
    let limits = whole.details("b").await.unwrap().unwrap().limits.unwrap();
    assert_eq!((u64::from(limits.day), limits.used), (tomorrow_ms / DAY_MS, 2));
    for id in ["tomorrow", "today"] {
        assert_eq!(verdict(whole, Command::Abort(key(id, Leg::Debit))).await, DONE);
    }
}

/// Every leg, page by page, in the order of the keys.
async fn check_legs(store: &impl Store, whole: &impl WholeStore) {
    for id in ["legs-2", "legs-10", "legs-1"] {
        assert_eq!(verdict(store, hold(id, 1)).await, DONE);
    }
    assert_eq!(verdict(store, Command::Abort(key("legs-10", Leg::Debit))).await, DONE);
    let all = whole.legs("", usize::MAX).await.unwrap();
    let mut paged: Vec<KnownLeg> = Vec::new();
    loop {
        let after = paged.last().map_or_else(String::new, |last| last.key.to_string());
        let page = whole.legs(&after, 2).await.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert!(all.is_sorted_by_key(|leg| leg.key.to_string()));
    let of = |id: &str| all.iter().find(|leg| leg.key == key(id, Leg::Debit)).unwrap().leg.state;
    assert_eq!((of("legs-1"), of("legs-10")), (LegState::Prepared, LegState::Aborted));
    assert_eq!(of("held again"), LegState::Refused(Refusal::LimitPerDay));
    for id in ["legs-1", "legs-2"] {
        assert_eq!(verdict(store, Command::Abort(key(id, Leg::Debit))).await, DONE);
    }
}

/// What operators do goes by the whole store, what gateways decide by any way.
async fn check_forced(store: &impl Store, whole: &impl WholeStore) {
    let force = |id: &str, end| {
        let (by, reason) = ("admin/1".to_owned(), "naïve 'reason'".to_owned());
        Command::Force(Force { key: key(id, Leg::Debit), end, by, reason, at_ms: 77 })
    };
    let of = async |id: &str| {
        let legs = whole.legs("", usize::MAX).await.unwrap();
        let leg = legs.into_iter().find(|leg| leg.key == key(id, Leg::Debit)).unwrap();
        leg.forced.unwrap()
    };
    let open = async || whole.forced(9).await.unwrap();
    assert_eq!(open().await, []);
    assert_eq!(verdict(whole, force("forced-0", End::Abort)).await, Err(Refusal::NotPrepared));
    for (id, end) in [("forced-1", End::Commit), ("forced-2", End::Abort)] {
        assert_eq!(verdict(store, hold(id, 1)).await, DONE);
        assert_eq!(verdict(whole, force(id, end)).await, DONE);
        assert_eq!(verdict(whole, force(id, end)).await, DONE, "again");
    }
    assert_eq!(verdict(whole, force("forced-1", End::Abort)).await, Err(Refusal::Committed));
    let found = open().await;
    assert_eq!(found.len(), 2);
    let (by, reason) = ("admin/1".to_owned(), "naïve 'reason'".to_owned());
    let expected = Forced { end: End::Commit, by, reason, at_ms: 77, decision: Met::Unknown };
    assert_eq!(found[0].forced.as_ref(), Some(&expected));
    assert_eq!(found[0].leg.state, LegState::Committed);
    assert_eq!(whole.forced(1).await.unwrap(), found[..1]);
    let commit = |id| Command::Commit(key(id, Leg::Debit));
    for _ in 0..2 {
        assert_eq!(verdict(store, commit("forced-1")).await, DONE);
        assert_eq!(verdict(store, commit("forced-2")).await, Err(Refusal::Forced));
    }
    assert_eq!(of("forced-1").await, Forced { decision: Met::Agreed, ..expected });
    assert_eq!(of("forced-2").await.decision, Met::Contradicted);
    assert_eq!(open().await, []);
    // Back, for those who come after.
    assert_eq!(verdict(store, prepare("forced-back", Leg::Credit, "a", 1)).await, DONE);
    assert_eq!(verdict(store, Command::Commit(key("forced-back", Leg::Credit))).await, DONE);
}

/// All of a model's legs, as [`WholeStore::legs`] has them.
pub(crate) fn legs_of(model: &MemoryState) -> Vec<KnownLeg> {
    let known = |(key, leg): (&crate::ledger::LegKey, &crate::ledger::LegRecord)| KnownLeg {
        key: key.clone(),
        leg: leg.clone(),
        forced: model.all_forced().get(key).cloned(),
    };
    let mut legs: Vec<_> = model.legs().iter().map(known).collect();
    legs.sort_by_key(|leg| leg.key.to_string());
    legs
}
