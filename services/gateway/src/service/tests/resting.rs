//! Under every pair of faults, with a crash in the middle: at rest no money is lost or made, and what
//! one bank posted the other has posted too.

use std::collections::BTreeMap;

use strife_proto::gateway::v1::{Decision, PaymentState};

use super::{
    fake_bank::{FakeBank, Fault, LegState, Method},
    system::{System, to_himself, to_jane},
};
use crate::payment::Leg;

const PAYMENTS: usize = 12;

fn faults(count: u32) -> [Option<Fault>; 3] {
    [None, Some(Fault::Unavailable(count)), Some(Fault::LoseAnswer(count))]
}

fn set(system: &System, leg: Leg, method: fn(Leg) -> Method, fault: Option<&Fault>) {
    let bank = bank(system, leg);
    match fault {
        Some(fault) => bank.set(method(leg), fault.clone()),
        None => bank.heal(method(leg)),
    }
}

fn bank(system: &System, leg: Leg) -> &FakeBank {
    match leg {
        Leg::Debit => &system.icici,
        Leg::Credit => &system.sbi,
    }
}

/// Pays everything at once, from a client that asks again until it is told.
async fn pay_all(system: &System) -> BTreeMap<String, (PaymentState, String)> {
    let requests = (0..PAYMENTS).map(|number| match number % 3 {
        0 => to_himself(&format!("p{number}"), 5),
        _ => to_jane(&format!("p{number}"), 7),
    });
    let mut answers = BTreeMap::new();
    for request in requests {
        let id = request.payment_id.clone();
        let answer = system.pay(request).await.unwrap();
        answers.insert(id, (answer.state(), answer.transaction_id));
    }
    answers
}

/// Asks for the decision of every leg in doubt, as a bank does.
async fn resolve(system: &System, leg: Leg) {
    let bank = bank(system, leg);
    let in_doubt: Vec<String> = bank.read(|state| {
        let prepared = |((_, found), at): &(&(String, Leg), &LegState)| {
            *found == leg && **at == LegState::Prepared
        };
        state.legs.iter().filter(prepared).map(|((id, _), _)| id.clone()).collect()
    });
    for id in in_doubt {
        let decision = system.decision(&id).await.unwrap();
        assert_eq!(decision, Decision::Abort, "a commit in doubt at rest");
        bank.abort_by_itself(leg, &id);
    }
}

async fn check(prepare: [Option<&Fault>; 2], commit: [Option<&Fault>; 2]) {
    let mut system = System::start().await;
    let total = system.total();
    for (leg, index) in [(Leg::Debit, 0), (Leg::Credit, 1)] {
        set(&system, leg, Method::Prepare, prepare[index]);
        set(&system, leg, Method::Commit, commit[index]);
    }
    let mut crashed: Vec<_> = (0..PAYMENTS)
        .map(|number| {
            let mut client = system.client();
            let request = to_jane(&format!("p{number}"), 7);
            let request =
                if number % 3 == 0 { to_himself(&request.payment_id, 5) } else { request };
            tokio::spawn(async move { client.process_payment(request).await })
        })
        .collect();
    // The crash comes with the first answer, whichever that is.
    let _ = crashed.swap_remove(PAYMENTS / 2).await.unwrap();
    system.restart().await;
    let answers = pay_all(&system).await;
    assert_eq!(pay_all(&system).await, answers, "{prepare:?} {commit:?}");
    system.idle().await;
    system.settled().await;
    resolve(&system, Leg::Debit).await;
    resolve(&system, Leg::Credit).await;
    assert_eq!(system.total(), total, "{prepare:?} {commit:?}");
    for (state, id) in answers.values() {
        let posted = Leg::BOTH.map(|leg| {
            bank(&system, leg).read(|state| state.legs.get(&(id.clone(), leg)).copied())
        });
        match (state, posted) {
            (PaymentState::Committed, [Some(LegState::Committed), Some(LegState::Committed)])
            | (PaymentState::Committed, [None, None]) => {}
            (PaymentState::Aborted, posted) => {
                assert!(!posted.contains(&Some(LegState::Committed)), "{posted:?}");
            }
            other => panic!("{id}: {other:?} under {prepare:?} {commit:?}"),
        }
    }
}

#[tokio::test]
async fn at_rest_the_books_agree_whatever_prepares_meet() {
    for debit in &faults(9) {
        for credit in &faults(9) {
            check([debit.as_ref(), credit.as_ref()], [None, None]).await;
        }
    }
}

#[tokio::test]
async fn at_rest_the_books_agree_whatever_commits_meet() {
    for debit in &faults(9) {
        for credit in &faults(9) {
            check([None, None], [debit.as_ref(), credit.as_ref()]).await;
        }
    }
}
