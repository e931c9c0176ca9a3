//! Every state of the protocol at several sizes, and twins with a bug that must be found.

use std::time::Instant;

use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model};

use strife_model::protocol::{Bug, Protocol};

/// Threads of a check.
const THREADS: usize = 2;

fn check(protocol: Protocol) {
    let (named, start) = (format!("{protocol:?}"), Instant::now());
    let checker = protocol.checker().threads(THREADS).spawn_dfs().join();
    let (states, took) = (checker.unique_state_count(), start.elapsed());
    println!("{states} states, {} deep, {took:.1?}: {named}", checker.max_depth());
    checker.assert_properties();
}

#[test]
fn one_gateway_and_one_payment() {
    check(Protocol { starts: 3, tells_of_fences: false, ..Protocol::new(1, 1) });
}

#[test]
fn two_gateways_and_one_payment() {
    check(Protocol::new(2, 1));
}

#[test]
fn one_gateway_and_two_payments_that_the_payer_can_afford_one_of() {
    check(Protocol { starts: 2, tells_of_fences: false, ..Protocol::new(1, 2) });
}

/// Each client asks both gateways, which know of each other: rows are there before banks are asked.
#[test]
fn two_gateways_that_know_of_each_other_and_two_payments() {
    let fewer = Protocol { may_think_alone: false, tells_of_fences: false, ..Protocol::new(2, 2) };
    check(fewer);
}

/// How many states this has is not known; for changes of the protocol itself, on a machine that has
/// nothing else to do.
#[test]
#[ignore = "may take days"]
fn two_gateways_and_two_payments() {
    check(Protocol::new(2, 2));
}

#[track_caller]
fn must_be_found(bug: Bug, protocol: Protocol) {
    let protocol = Protocol { bug: Some(bug), ..protocol };
    let checker = protocol.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let is_failure = |name: &&str| {
        let what = checker.discovery_classification(name);
        matches!(what, DiscoveryClassification::Counterexample)
    };
    let failed = checker.discoveries().into_keys().find(is_failure);
    println!("{bug:?}: {failed:?}, after {} states", checker.unique_state_count());
    assert!(failed.is_some(), "{bug:?} is not found");
}

#[test]
fn bugs_are_found() {
    must_be_found(Bug::AbortsForAnother, Protocol::new(2, 1));
    must_be_found(Bug::TakesFromFenced, Protocol::new(2, 1));
    must_be_found(Bug::TakesSameIdTwice, Protocol::new(2, 1));
    must_be_found(Bug::ReleasesByClock, Protocol::new(1, 1));
    must_be_found(Bug::AnswersBeforeDurable, Protocol::new(1, 1));
}
