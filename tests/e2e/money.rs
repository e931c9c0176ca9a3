//! No money lost, none doubled, whatever is killed.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream};
use strife_fleet::{BankSpec, FleetSpec};
use strife_proto::gateway::v1::{
    AccountRef, BalanceRequest, HistoryRequest, PaymentState,
    payment_gateway_client::PaymentGatewayClient,
};
use strife_runtime::{Role, connect, tls::Expected};
use tokio::sync::RwLock;
use tonic::Code;

use crate::support::{Booted, PATIENCE, PAYMENT, boot};

/// Concurrent payers in the tests that kill something.
const PAYERS: usize = 16;
/// How long to wait before one asks again: a gateway that comes back is not asked without end.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Payments each of them makes at least.
const PAYMENTS: usize = 12;

#[tokio::test]
async fn the_same_payment_fifty_times_at_once_moves_money_once() {
    let booted = boot(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    let opening = balance(&booted, &from.user, &from.account).await;
    let request = booted.payment("fifty-times", from, to);
    let answers = join_all((0..50).map(|_| booted.pay(request.clone()))).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "identical answers");
    assert_eq!(answers[0].state(), PaymentState::Committed);
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    assert_eq!(balance(&booted, &from.user, &from.account).await, opening - PAYMENT);
    let other = booted.payment("fifty-times", from, booted.account("sbi", 1));
    let status = booted.gateway().process_payment(other).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
}

/// Calls that the balancer has sent to the servers of a bank's pool.
async fn calls(booted: &Booted, bank: &str) -> u64 {
    let pools = booted.fleet.pools().await.unwrap();
    let pool = pools.iter().find(|pool| pool.pool == format!("bank.{bank}")).unwrap();
    pool.endpoints.iter().map(|endpoint| endpoint.calls).sum()
}

#[tokio::test]
async fn payments_at_once_share_calls_to_their_banks() {
    let booted = boot(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    let calls_before = [calls(&booted, "icici").await, calls(&booted, "sbi").await];
    let payments = (0..200).map(|n| booted.pay(booted.payment(&format!("shared-{n}"), from, to)));
    let answers = join_all(payments).await;
    assert!(answers.iter().all(|answer| answer.state() == PaymentState::Committed));
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    for (bank, before) in ["icici", "sbi"].into_iter().zip(calls_before) {
        // A prepare and a commit of each, were they alone.
        let made = calls(&booted, bank).await - before;
        assert!((2..400).contains(&made), "{made} calls to {bank}");
    }
}

#[tokio::test]
async fn a_bank_may_be_the_owner_of_its_store_alone() {
    let alone = |spec: &mut FleetSpec| {
        spec.banks = vec![BankSpec::new("icici", 0), BankSpec::new("sbi", 0)];
    };
    let mut booted = boot(alone).await;
    assert_eq!(booted.fleet.members().collect::<Vec<_>>(), ["gateway", "icici", "lb", "sbi"]);
    let before = booted.fleet.totals().await.unwrap();
    let (from, to) = (booted.account("icici", 0).clone(), booted.account("sbi", 0).clone());
    let paid = booted.pay(booted.payment("first", &from, &to)).await;
    assert_eq!(paid.state(), PaymentState::Committed);
    booted.fleet.kill("sbi").await.unwrap();
    booted.fleet.restart("sbi").await.unwrap();
    let paid = booted.pay(booted.payment("second", &from, &to)).await;
    assert_eq!(paid.state(), PaymentState::Committed);
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    let fsyncs = booted.fleet.fsyncs().await.unwrap();
    assert!(fsyncs.gateway.is_some_and(|(p50, p99)| 0 < p50 && p50 <= p99), "{fsyncs:?}");
}

#[tokio::test]
async fn kill_9_of_bank_servers_amid_payments_loses_nothing() {
    kill_amid_payments(&["icici-1", "sbi-2"]).await;
}

#[tokio::test]
async fn kill_9_of_the_bank_process_amid_payments_loses_nothing() {
    kill_amid_payments(&["icici", "sbi"]).await;
}

#[tokio::test]
async fn kill_9_of_the_gateway_amid_payments_loses_nothing() {
    kill_amid_payments(&["gateway"]).await;
}

/// Kills and restarts every victim while payers pay.
async fn kill_amid_payments(victims: &[&str]) {
    let disturb = async |booted: &RwLock<Booted>, _: &AtomicUsize| {
        for victim in victims {
            let mut booted = booted.write().await;
            booted.fleet.kill(victim).await.unwrap();
            booted.fleet.restart(victim).await.unwrap();
        }
    };
    disturb_amid_payments(boot(|_| {}).await, disturb).await;
}

/// Disturbs a fleet while payers pay, and is told how many payments got their outcome so far. Every
/// payment must end the same for all who ask, and every unit be somewhere. The fleet, at rest.
pub(crate) async fn disturb_amid_payments(
    booted: Booted,
    disturb: impl AsyncFnOnce(&RwLock<Booted>, &AtomicUsize),
) -> Booted {
    let booted = Arc::new(RwLock::new(booted));
    let before = booted.read().await.fleet.totals().await.unwrap();
    let (done, outcomes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let pay = |payer| pay_until(payer, booted.clone(), done.clone(), outcomes.clone());
    let payers: Vec<_> = (0..PAYERS).map(|payer| tokio::spawn(pay(payer))).collect();
    disturb(&booted, &outcomes).await;
    done.store(true, Relaxed);
    let mut paid = Vec::new();
    for payer in payers {
        paid.extend(payer.await.unwrap());
    }
    let booted = Arc::into_inner(booted).expect("the payers have ended").into_inner();
    let after = booted.fleet.settled_totals(PATIENCE).await.unwrap();
    after.check_against(&before).unwrap();
    let again = stream::iter(&paid).map(async |(id, from, state)| {
        let request = booted.payment(id, &booted.accounts[*from], booted.account("sbi", 0));
        assert_eq!(booted.pay(request).await.state(), *state, "{id} has one outcome for ever");
    });
    again.buffer_unordered(PAYERS).collect::<()>().await;
    assert_eq!(booted.fleet.totals().await.unwrap().customers, before.customers);
    booted
}

/// Pays from one account, at least [`PAYMENTS`] times and until `done`; returns id, payer, outcome.
/// The lock is never held across a payment, so that the killer gets its turn amid them.
async fn pay_until(
    payer: usize,
    booted: Arc<RwLock<Booted>>,
    done: Arc<AtomicBool>,
    so_far: Arc<AtomicUsize>,
) -> Vec<(String, usize, PaymentState)> {
    let mut outcomes = Vec::new();
    let (mut gateway, from) = {
        let booted = booted.read().await;
        let icici = booted.accounts.iter().enumerate().filter(|(_, a)| a.bank == "icici");
        let from = icici.map(|(index, _)| index).nth(payer).unwrap();
        (booted.gateway(), from)
    };
    for number in 0.. {
        if number >= PAYMENTS && done.load(Relaxed) {
            break;
        }
        let id = format!("payer-{payer}-{number}");
        let request = {
            let booted = booted.read().await;
            booted.payment(&id, &booted.accounts[from], booted.account("sbi", 0))
        };
        loop {
            match gateway.process_payment(request.clone()).await {
                Ok(answer) => {
                    outcomes.push((id, from, answer.into_inner().state()));
                    so_far.fetch_add(1, Relaxed);
                    break;
                }
                Err(status) => assert!(crate::support::may_ask_again(&status), "{status}"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
    outcomes
}

#[tokio::test]
async fn users_reach_their_own_accounts_only_and_history_shows_both_sides() {
    let booted = boot(|spec| spec.users = vec![]).await;
    let (from, to) = (booted.account("icici", 0).clone(), booted.account("sbi", 3).clone());
    let certs = booted.fleet.spec().certs();
    let wanted =
        strife_runtime::certs::Wanted::for_fleet(&[], std::slice::from_ref(&from.user), &[]);
    strife_runtime::certs::init(&certs, &wanted).unwrap();
    let security = booted.security(Role::Client, &from.user);
    let channel =
        connect::channel(booted.fleet.balancer(), "gateway", Expected::LB, &security).unwrap();
    let mut own = PaymentGatewayClient::new(channel);

    let mut request = booted.payment("own", &from, &to);
    request.user.clear();
    let answer = own.process_payment(request).await.unwrap().into_inner();
    assert_eq!(answer.state(), PaymentState::Committed);
    let theirs = booted.payment("theirs", &to, &from);
    let status = own.process_payment(theirs).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let status = own.get_balance(BalanceRequest { user: to.user.clone() }).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    for user in [&from.user, &to.user] {
        let request = HistoryRequest { user: user.clone(), ..HistoryRequest::default() };
        let history = booted.gateway().get_transaction_history(request).await.unwrap().into_inner();
        let ids: HashSet<_> = history.payments.iter().map(|p| p.payment_id.as_str()).collect();
        assert_eq!(ids, HashSet::from(["own"]), "{user}");
    }
    // A bank is not for clients: the same certificate is turned away there.
    let balancer = booted.fleet.balancer();
    let channel = connect::channel(balancer, "bank.icici", Expected::LB, &security).unwrap();
    let mut bank = strife_proto::bank::v1::bank_service_client::BankServiceClient::new(channel);
    let status = bank.validate_account(crate::support::validate(&from)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_refused_payment_is_aborted_for_ever_and_moves_nothing() {
    let booted = boot(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    let mut request = booted.payment("too-much", from, to);
    request.amount.as_mut().unwrap().minor_units = i64::MAX / 2;
    let first = booted.pay(request.clone()).await;
    assert_eq!(first.state(), PaymentState::Aborted);
    assert_eq!(booted.pay(request).await, first);
    let mut stranger = booted.payment("to-nobody", from, to);
    stranger.to = Some(AccountRef { bank: "sbi".to_owned(), account_id: "nobody".to_owned() });
    assert_eq!(booted.pay(stranger).await.state(), PaymentState::Aborted);
    let one_bank = booted.payment("one-bank", from, booted.account("icici", 1));
    assert_eq!(booted.pay(one_bank).await.state(), PaymentState::Committed);
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
}

/// Asks until the account's bank answers.
pub(crate) async fn balance(booted: &Booted, user: &str, account: &str) -> i64 {
    let asking = async {
        loop {
            let answer = booted.balances(user).await;
            let found = answer.accounts.into_iter().find(|found| {
                found.account.as_ref().is_some_and(|reference| reference.account_id == account)
            });
            let found = found.expect("the user's account");
            if let Some(available) = found.available {
                return available.minor_units + found.held.map_or(0, |held| held.minor_units);
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the bank answers")
}
