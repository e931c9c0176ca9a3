//! Calls that failed: sent to another server if their method may run twice, told if not.

use strife_proto::bank::v1::BalanceRequest;
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::{
    fleet::{Fleet, PATIENCE, call},
    stub::{Hanging, Stub, list, plain_stubs},
};

const READS: &str = "--idempotent default=/strife.bank.v1.BankService/ValidateAccount,\
                     /strife.bank.v1.BankService/GetAccountBalance";
/// Nothing is ejected: what is not hidden is seen.
const FLAGS: &str = "--policy round_robin --slow-start 0s --max-ejection-percent 0";

/// How many of so many calls one after another fail.
async fn failures(fleet: &Fleet, calls: usize) -> usize {
    let mut client = fleet.bank();
    let mut failures = 0;
    for _ in 0..calls {
        failures += usize::from(call(&mut client).await.is_err());
    }
    failures
}

#[tokio::test]
async fn what_may_run_twice_is_asked_of_another_server() {
    let stubs = plain_stubs(2);
    stubs[1].answer_with(Code::Unavailable);
    let pool = format!("--pool default={} {FLAGS} --min-retries 100", list(&stubs));
    let told = Fleet::start(&pool).await;
    assert_eq!(failures(&told, 20).await, 10, "nothing may run twice by itself");
    let hidden = Fleet::start(&format!("{pool} {READS}")).await;
    assert_eq!(failures(&hidden, 20).await, 0);
    let endpoints = hidden.pool().await.endpoints;
    assert_eq!(endpoints[0].succeeded, 20);
    assert!(endpoints[1].failed >= 10, "{endpoints:?}");
}

#[tokio::test]
async fn retries_are_a_share_of_the_calls() {
    let stubs = plain_stubs(2);
    stubs[1].answer_with(Code::Unavailable);
    let pool = format!("--pool default={} {FLAGS} {READS} --threads 1", list(&stubs));
    let fleet = Fleet::start(&format!("{pool} --retry-budget 20 --min-retries 0")).await;
    let told = failures(&fleet, 100).await as u64;
    let retries = fleet.pool().await.endpoints[1].failed - told;
    assert!((15..=20).contains(&retries), "{retries} of 100 calls");
}

/// A call that is never answered.
fn hang(fleet: &Fleet) -> JoinHandle<Result<(), Status>> {
    let mut client = fleet.bank();
    let request = BalanceRequest { account_id: "hang".to_owned() };
    tokio::spawn(async move { client.get_account_balance(request).await.map(|_| ()) })
}

/// Which of two stubs gets a call that hangs; the other is left.
async fn arrived(mut one: Stub, mut other: Stub) -> (Stub, Stub) {
    tokio::select! {
        event = one.hanging() => { assert_eq!(event, Hanging::Arrived); (one, other) }
        event = other.hanging() => { assert_eq!(event, Hanging::Arrived); (other, one) }
    }
}

#[tokio::test]
async fn a_kill_is_hidden_from_calls_that_may_run_twice() {
    for (flags, is_hidden) in [(READS, true), ("", false)] {
        let mut stubs = plain_stubs(2);
        let fleet = Fleet::start(&format!("--pool default={} {flags}", list(&stubs))).await;
        let call = hang(&fleet);
        let (dies, mut lives) = arrived(stubs.remove(0), stubs.remove(0)).await;
        dies.kill();
        if is_hidden {
            assert_eq!(lives.hanging().await, Hanging::Arrived);
            call.abort();
            assert_eq!(lives.hanging().await, Hanging::Cancelled);
        } else {
            let ended = tokio::time::timeout(PATIENCE, call).await.expect("it is told").unwrap();
            assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
        }
    }
}

#[tokio::test]
async fn servers_have_no_more_calls_than_they_may() {
    let mut stubs = plain_stubs(2);
    let flags = "--policy round_robin --max-calls-per-server 1 --ready-timeout 2s";
    let fleet = Fleet::start(&format!("--pool default={} {flags}", list(&stubs))).await;
    let calls = [hang(&fleet), hang(&fleet)];
    for stub in &mut stubs {
        assert_eq!(stub.hanging().await, Hanging::Arrived, "one each");
    }
    let status = call(&mut fleet.bank()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    calls.iter().for_each(JoinHandle::abort);
    fleet.wait_for(|endpoints| endpoints.iter().all(|one| one.in_flight == 0)).await;
    call(&mut fleet.bank()).await.unwrap();
}
