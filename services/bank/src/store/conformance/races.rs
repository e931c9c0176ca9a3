//! Two servers at the same key at the same moment: whoever is first, both see one truth, and money
//! moves as if they had come one after the other.

use super::{Leg, Receipt, Refusal, Verdict, key, prepare, rupees, transfer, verdict};
use crate::{
    ledger::{Command, LegBody},
    store::{Store, WholeStore},
};

/// How often each race is run.
const ROUNDS: usize = 25;
const DONE: Verdict = Ok(Receipt::Done);

pub(super) async fn check<S: Store>(one: &S, other: &S, whole: &impl WholeStore) {
    for round in 0..ROUNDS {
        same_prepare(one, other, &format!("same-{round}")).await;
        prepares_of_two_bodies(one, other, &format!("bodies-{round}")).await;
        abort_against_prepare(one, other, &format!("tombstone-{round}")).await;
        commit_against_abort(one, other, &format!("ends-{round}")).await;
        opposite_transfers(one, other, &format!("opposite-{round}")).await;
    }
    check_in_doubt(one, whole).await;
}

/// Both at once; the verdicts in the order of the arguments.
async fn both<S: Store>(one: &S, other: &S, commands: [Command; 2]) -> (Verdict, Verdict) {
    let [first, second] = commands;
    let (first, second) = tokio::join!(one.apply(first), other.apply(second));
    (first.unwrap(), second.unwrap())
}

async fn held(store: &impl Store) -> (i64, i64) {
    let account = store.account("a").await.unwrap().unwrap();
    (account.available, account.held)
}

async fn same_prepare<S: Store>(one: &S, other: &S, id: &str) {
    let commands = || prepare(id, Leg::Debit, "a", 10);
    assert_eq!(both(one, other, [commands(), commands()]).await, (DONE, DONE));
    assert_eq!(held(one).await, (90, 10), "held once");
    assert_eq!(verdict(other, Command::Abort(key(id, Leg::Debit))).await, DONE);
    assert_eq!(held(other).await, (100, 0));
}

async fn prepares_of_two_bodies<S: Store>(one: &S, other: &S, id: &str) {
    let commands = [prepare(id, Leg::Debit, "a", 10), prepare(id, Leg::Debit, "a", 20)];
    let kept = match both(one, other, commands).await {
        (DONE, Err(Refusal::Conflict)) => 10,
        (Err(Refusal::Conflict), DONE) => 20,
        verdicts => panic!("{verdicts:?}"),
    };
    assert_eq!(held(one).await, (100 - kept, kept), "one of them is promised");
    assert_eq!(verdict(one, Command::Abort(key(id, Leg::Debit))).await, DONE);
}

async fn abort_against_prepare<S: Store>(one: &S, other: &S, id: &str) {
    let abort = Command::Abort(key(id, Leg::Debit));
    let commands = [prepare(id, Leg::Debit, "a", 10), abort];
    let (prepared, aborted) = both(one, other, commands).await;
    assert_eq!(aborted, DONE);
    assert!(matches!(prepared, DONE | Err(Refusal::Aborted)), "{prepared:?}");
    assert_eq!(held(other).await, (100, 0), "no hold outlives the abort");
    let late = verdict(other, prepare(id, Leg::Debit, "a", 10)).await;
    assert_eq!(late, Err(Refusal::Aborted));
}

async fn commit_against_abort<S: Store>(one: &S, other: &S, id: &str) {
    assert_eq!(verdict(one, prepare(id, Leg::Credit, "a", 10)).await, DONE);
    let leg = key(id, Leg::Credit);
    let commands = [Command::Commit(leg.clone()), Command::Abort(leg)];
    match both(one, other, commands).await {
        // What arrived is sent back.
        (DONE, Err(Refusal::Committed)) => {
            assert_eq!(held(one).await, (110, 0));
            let back = format!("{id}-back");
            assert_eq!(verdict(one, prepare(&back, Leg::Debit, "a", 10)).await, DONE);
            assert_eq!(verdict(other, Command::Commit(key(&back, Leg::Debit))).await, DONE);
        }
        (Err(Refusal::Aborted), DONE) => {}
        verdicts => panic!("{verdicts:?}"),
    }
    assert_eq!(held(other).await, (100, 0));
}

/// Two accounts in both orders: who locks them as they come waits for ever.
async fn opposite_transfers<S: Store>(one: &S, other: &S, id: &str) {
    let commands = [
        transfer(&format!("{id}-there"), "a", "b", 1),
        transfer(&format!("{id}-back"), "b", "a", 1),
    ];
    let (there, back) = both(one, other, commands).await;
    assert!(there.is_ok() && back.is_ok(), "{there:?} {back:?}");
    assert_eq!(held(one).await, (100, 0));
}

/// The oldest legs first, those that are wanted, no more than asked for.
async fn check_in_doubt(store: &impl Store, whole: &impl WholeStore) {
    let ids: Vec<String> = (0..5).map(|n| format!("doubt-{n}")).collect();
    for id in &ids {
        assert_eq!(verdict(store, prepare(id, Leg::Credit, "a", 1)).await, DONE);
    }
    let wanted = |key: &crate::ledger::LegKey| key.transaction_id != "doubt-0";
    let found = whole.in_doubt(u64::MAX, 3, wanted).await.unwrap();
    let body = LegBody {
        account_id: "a".to_owned(),
        amount: rupees(1),
        coordinator: "gateway".to_owned(),
    };
    let names: Vec<_> = found.iter().map(|leg| leg.key.transaction_id.as_str()).collect();
    assert_eq!(names, ["doubt-1", "doubt-2", "doubt-3"]);
    assert!(found.iter().all(|leg| leg.leg.body.as_ref() == Some(&body)));
    assert!(whole.in_doubt(0, 3, |_| true).await.unwrap().is_empty());
    assert_eq!(whole.totals().await.unwrap().in_doubt, 5);
    for id in &ids {
        assert_eq!(verdict(store, Command::Abort(key(id, Leg::Credit))).await, DONE);
    }
}
