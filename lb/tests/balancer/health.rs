//! Servers that answer and fail: ejected, tried again, used all the same when too few are left.

use strife_proto::lb::v1::EndpointState::{Ejected, Ready};
use tonic::Code;

use crate::{
    fleet::{Fleet, call},
    stub::{list, plain_stubs},
};

/// Calls until the second server is ejected; how many of them failed.
async fn call_until_ejected(fleet: &Fleet) -> usize {
    let mut client = fleet.bank();
    let mut failures = 0;
    // Far more than it takes.
    for _ in 0..10_000 {
        failures += usize::from(call(&mut client).await.is_err());
        if fleet.pool().await.endpoints[1].state() == Ejected {
            return failures;
        }
    }
    panic!("it is never ejected, after {failures} failures");
}

#[tokio::test]
async fn of_two_servers_the_one_that_fails_everything_is_ejected() {
    let stubs = plain_stubs(2);
    let flags = format!("--pool default={} --policy round_robin --ejection-time 1h", list(&stubs));
    let fleet = Fleet::start(&format!("{flags} --max-ejection-time 1h")).await;
    stubs[1].answer_with(Code::Internal);
    let failures = call_until_ejected(&fleet).await;
    assert!((5..20).contains(&failures), "{failures} calls failed");
    let mut client = fleet.bank();
    for _ in 0..50 {
        assert_eq!(call(&mut client).await.unwrap(), stubs[0].address.to_string());
    }
    let endpoint = fleet.pool().await.endpoints.remove(1);
    assert_eq!(endpoint.ejections, 1);
    assert!(endpoint.ejected_for_ms.is_some_and(|ms| ms > 3_500_000), "{endpoint:?}");
    assert!(endpoint.last_error.starts_with("consecutive_failures"), "{endpoint:?}");
    // Never both.
    stubs[0].answer_with(Code::Internal);
    for _ in 0..50 {
        call(&mut client).await.unwrap_err();
    }
    assert_eq!(fleet.pool().await.endpoints[0].state(), Ready);
}

#[tokio::test]
async fn a_server_that_heals_is_trusted_again() {
    let stubs = plain_stubs(2);
    let flags = "--policy round_robin --ejection-time 50ms --outlier-interval 10ms";
    let fleet = Fleet::start(&format!("--pool default={} {flags}", list(&stubs))).await;
    stubs[1].answer_with(Code::Unavailable);
    call_until_ejected(&fleet).await;
    stubs[1].answer_with(Code::Ok);
    let mut client = fleet.bank();
    let before = fleet.pool().await.endpoints[1].succeeded;
    let healed = async {
        loop {
            call(&mut client).await.unwrap();
            let endpoint = fleet.pool().await.endpoints.remove(1);
            if endpoint.state() == Ready && endpoint.succeeded > before + 20 {
                return;
            }
        }
    };
    tokio::time::timeout(crate::fleet::PATIENCE, healed).await.expect("it gets calls again");
}

#[tokio::test]
async fn when_too_few_are_left_ejected_servers_take_calls_again() {
    let stubs = plain_stubs(3);
    let flags =
        "--policy round_robin --ejection-time 1h --max-ejection-time 1h --panic-threshold 60";
    let fleet = Fleet::start(&format!("--pool default={} {flags}", list(&stubs))).await;
    stubs[1].answer_with(Code::Internal);
    call_until_ejected(&fleet).await;
    assert!(!fleet.pool().await.panics, "two of three are enough");
    stubs[1].answer_with(Code::Ok);
    let mut stubs = stubs;
    let gone = stubs.pop().expect("three");
    gone.kill();
    fleet.wait_for(|endpoints| endpoints[2].state() != Ready).await;
    let pool = fleet.pool().await;
    assert!(pool.panics && pool.endpoints[1].state() == Ejected, "{pool:?}");
    let mut client = fleet.bank();
    let mut answered = Vec::new();
    for _ in 0..10 {
        answered.push(call(&mut client).await.unwrap());
    }
    assert!(answered.contains(&stubs[1].address.to_string()), "{answered:?}");
}
