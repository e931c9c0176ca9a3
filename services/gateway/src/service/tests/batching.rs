//! Many commands in one call to a bank: they gather by themselves, each has its own result, and what
//! becomes of a call is not mistaken for what became of a payment.

use std::time::Duration;

use strife_proto::gateway::v1::PaymentState;
use tokio::time::Instant;

use super::{
    fake_bank::{Batches, FakeBank, Fault, LegState, Method, NEVER},
    system::{System, to_himself, to_jane},
};
use crate::payment::Leg;

/// Makes so many payments of 1 at once, from number `first`, and waits for all.
async fn pay_at_once(system: &System, first: usize, count: usize) {
    let client = system.client();
    let asked: Vec<_> = (first..first + count)
        .map(|number| {
            let (mut client, id) = (client.clone(), format!("p{number}"));
            tokio::spawn(async move { client.process_payment(to_jane(&id, 1)).await })
        })
        .collect();
    for answer in asked {
        let answer = answer.await.unwrap().unwrap().into_inner();
        assert_eq!(answer.state(), PaymentState::Committed);
    }
}

fn commands_and_batches(bank: &FakeBank) -> (usize, usize) {
    bank.read(|state| (state.batches.iter().sum(), state.batches.len()))
}

#[tokio::test]
async fn commands_gather_while_others_are_on_their_way() {
    let system = System::start().await;
    pay_at_once(&system, 0, 50).await;
    system.settled().await;
    for (bank, account, balance) in [(&system.icici, "J1", 950), (&system.sbi, "A1", 550)] {
        let (commands, batches) = commands_and_batches(bank);
        assert_eq!(commands, 100, "a prepare and a commit of each");
        assert!(batches < commands, "{batches} batches");
        assert_eq!(bank.balance(account), balance);
    }
}

#[tokio::test]
async fn a_lone_command_waits_for_nobody() {
    let system = System::start().await;
    pay_at_once(&system, 0, 1).await;
    system.settled().await;
    assert_eq!(commands_and_batches(&system.icici), (2, 2));
}

#[tokio::test]
async fn each_command_of_a_batch_has_its_own_fate() {
    let system = System::start().await;
    // Some of a batch fail as single calls do, and only they are asked for again.
    system.icici.set(Method::Prepare(Leg::Debit), Fault::Unavailable(7));
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::LoseAnswer(5));
    system.sbi.set(Method::Commit(Leg::Credit), Fault::LoseAnswer(5));
    pay_at_once(&system, 0, 20).await;
    system.settled().await;
    let calls = |bank: &FakeBank, method| bank.read(|state| state.calls[&method]);
    assert_eq!(calls(&system.icici, Method::Prepare(Leg::Debit)), 27);
    assert_eq!(calls(&system.sbi, Method::Prepare(Leg::Credit)), 25);
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (980, 520));
}

#[tokio::test]
async fn a_bank_that_takes_no_batches_is_asked_one_by_one() {
    let system = System::start().await;
    system.icici.take_batches(Batches::Unknown);
    pay_at_once(&system, 0, 20).await;
    let answer = system.pay(to_himself("inside", 1)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
    system.settled().await;
    let (commands, batches) = commands_and_batches(&system.icici);
    assert!((1..=2).contains(&batches), "{batches} batches were tried, of {commands} commands");
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (979, 520));
}

/// Neither batches nor single calls get to the bank for a while.
#[tokio::test]
async fn a_balancer_that_does_not_know_the_bank_ends_no_payment() {
    let system = System::start().await;
    system.icici.take_batches(Batches::Unknown);
    for method in [Method::Prepare(Leg::Debit), Method::Commit(Leg::Debit), Method::Transfer] {
        system.icici.set(method, Fault::Unknown(5));
    }
    pay_at_once(&system, 0, 1).await;
    let answer = system.pay(to_himself("inside", 1)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
    system.settled().await;
    assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (998, 501));
}

#[tokio::test]
async fn a_batch_with_other_than_its_results_is_no_answer() {
    for miscounted in [-1, 1] {
        let system = System::start().await;
        system.sbi.take_batches(Batches::Miscounted(miscounted));
        let mut client = system.client();
        let asked = tokio::spawn(async move { client.process_payment(to_jane("p", 1)).await });
        // The bank has prepared, and is asked again and again, for nothing says so.
        system.sbi.until(|state| state.batches.len() > 3).await;
        assert!(!asked.is_finished());
        system.sbi.take_batches(Batches::Taken);
        let answer = asked.await.unwrap().unwrap().into_inner();
        assert_eq!(answer.state(), PaymentState::Committed);
        system.settled().await;
        assert_eq!((system.icici.balance("J1"), system.sbi.balance("A1")), (999, 501));
    }
}

#[tokio::test]
async fn a_batch_turned_away_says_nothing_of_earlier_attempts() {
    let system = System::start().await;
    // Done, answer lost; and then the bank finds the batch malformed, which is not to say that the
    // money never moved.
    system.icici.set(Method::Transfer, Fault::LoseAnswer(1));
    let mut client = system.client();
    let asked = tokio::spawn(async move { client.process_payment(to_himself("p", 1)).await });
    system.icici.until(|state| state.calls.contains_key(&Method::Transfer)).await;
    system.icici.take_batches(Batches::Denied);
    system.icici.until(|state| state.batches.len() > 2).await;
    assert!(!asked.is_finished());
    system.icici.take_batches(Batches::Taken);
    let answer = asked.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.state(), PaymentState::Committed);
    assert_eq!((system.icici.balance("J1"), system.icici.balance("J2")), (999, 1));
}

#[tokio::test]
async fn a_batch_that_hangs_does_not_stop_the_next() {
    let system = System::start().await;
    system.sbi.set(Method::Prepare(Leg::Credit), Fault::Silent);
    let mut client = system.client();
    let hanging: Vec<_> = (0..3)
        .map(|number| {
            let (mut client, id) = (client.clone(), format!("hangs-{number}"));
            tokio::spawn(async move { client.process_payment(to_jane(&id, 1)).await })
        })
        .collect();
    system.icici.until_all(Leg::Debit, LegState::Prepared, 3).await;
    // Others at that bank get through meanwhile, in batches of their own.
    let inside = super::system::payment("inside", "jane", ("sbi", "A1"), ("sbi", "J3"), 1);
    let deadline = Instant::now() + NEVER;
    let answer = tokio::time::timeout_at(deadline, client.process_payment(inside)).await;
    assert_eq!(answer.unwrap().unwrap().into_inner().state(), PaymentState::Committed);
    assert!(hanging.iter().all(|asked| !asked.is_finished()));
    system.sbi.heal(Method::Prepare(Leg::Credit));
    for asked in hanging {
        let answer = tokio::time::timeout(Duration::from_secs(60), asked).await.unwrap();
        assert_eq!(answer.unwrap().unwrap().into_inner().state(), PaymentState::Committed);
    }
}
