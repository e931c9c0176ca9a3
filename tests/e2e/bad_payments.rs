//! Payments that cannot be, through balancer and gateway: each is told why, by name, and moves and holds
//! nothing.

use std::time::Duration;

use futures_util::future::join_all;
use strife_proto::gateway::v1::{AbortReason, PaymentRequest, PaymentState};
use tonic::{Code, Request, metadata::MetadataValue};

use crate::{
    accounts::{admin, text},
    money::balance,
    support::{Booted, PATIENCE, PAYMENT, boot, may_ask_again, resident_bytes},
};

/// Far more than anything that is sent, and that may be kept of it.
const LARGE_BYTES: usize = 16 << 20;
const MOST_GROWTH_BYTES: u64 = 48 << 20;
/// Requests that are too large, at a time.
const AT_ONCE: usize = 8;

/// A payment that would be made, but for `change`.
fn payment(booted: &Booted, id: &str, change: impl FnOnce(&mut PaymentRequest)) -> PaymentRequest {
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    let mut request = booted.payment(id, from, to);
    change(&mut request);
    request
}

fn minor_units(request: &mut PaymentRequest) -> &mut i64 {
    &mut request.amount.as_mut().unwrap().minor_units
}

#[tokio::test]
async fn a_payment_that_is_malformed_is_refused_and_not_taken_on() {
    let booted = boot(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let check = async |id: &str, code, said: &str, change: &dyn Fn(&mut PaymentRequest)| {
        let request = payment(&booted, id, change);
        for _ in 0..2 {
            let refused = booted.gateway().process_payment(request.clone()).await.unwrap_err();
            assert_eq!(refused.code(), code, "{id}: {refused}");
            assert!(refused.message().contains(said), "{id}: {refused}");
        }
    };
    let invalid = Code::InvalidArgument;
    check("zero", invalid, "more than 0, not 0", &|request| *minor_units(request) = 0).await;
    check("negative", invalid, "more than 0, not -1", &|request| *minor_units(request) = -1).await;
    let least = "more than 0, not -9223372036854775808";
    check("least", invalid, least, &|request| *minor_units(request) = i64::MIN).await;
    check("self", invalid, "cannot pay itself", &|request| request.to.clone_from(&request.from))
        .await;
    for currency in ["inr", "", "RUPEES", "I R"] {
        let said = format!("`{currency}` is not a currency");
        let change = |request: &mut PaymentRequest| {
            request.amount.as_mut().unwrap().currency = currency.to_owned();
        };
        check("currency", invalid, &said, &change).await;
    }
    for (id, length) in [(String::new(), "0"), ("x".repeat(65), "65"), ("ü".repeat(40), "80")] {
        let said = format!("payment_id must have 1 to 64 bytes, not {length}");
        check(&id, invalid, &said, &|_| {}).await;
    }
    for account in ["", "a b", "a\n", "a\0"] {
        let change = |request: &mut PaymentRequest| {
            request.to.as_mut().unwrap().account_id = account.to_owned();
        };
        check("account", invalid, "is not an account id", &change).await;
    }
    check("nowhere", invalid, "`to` is missing", &|request| request.to = None).await;
    check("nothing", invalid, "`amount` is missing", &|request| request.amount = None).await;
    let unknown = |request: &mut PaymentRequest| {
        request.to.as_mut().unwrap().bank = "no-such-bank".to_owned();
    };
    check("bank", Code::NotFound, "there is no bank `no-such-bank`", &unknown).await;
    let theirs = |request: &mut PaymentRequest| {
        request.from.as_mut().unwrap().account_id = "nobody's".to_owned();
    };
    check("theirs", Code::PermissionDenied, "is not an account of user", &theirs).await;
    let user = |request: &mut PaymentRequest| request.user = "x".repeat(1 << 20);
    let said = "bytes, more than the 65536 that are taken here";
    check("oversized", Code::ResourceExhausted, said, &user).await;
    assert_eq!(booted.fleet.totals().await.unwrap().customers, before.customers);
    assert_eq!(booted.fleet.totals().await.unwrap().in_doubt, 0);
}

/// Neither the gateway nor the balancer before it keeps what it is not going to take.
#[tokio::test]
async fn what_is_too_large_is_refused_at_flat_memory() {
    let booted = boot(|_| {}).await;
    let resident = || {
        let gateway = resident_bytes("gateway", booted.fleet.balancer());
        gateway + resident_bytes("lb", booted.fleet.control())
    };
    let before = resident();
    let large = payment(&booted, "large", |request| request.user = "x".repeat(LARGE_BYTES));
    let with_metadata = |bytes: usize| {
        let mut request = Request::new(payment(&booted, "metadata", |_| {}));
        request.metadata_mut().insert("large", "x".repeat(bytes).parse().unwrap());
        request
    };
    let refusals = async |request: &(dyn Fn() -> Request<PaymentRequest> + Sync)| {
        let asked = (0..AT_ONCE).map(|_| {
            let (mut gateway, request) = (booted.gateway(), request());
            async move { gateway.process_payment(request).await.unwrap_err() }
        });
        let refused = join_all(asked).await;
        let grown = resident().saturating_sub(before);
        assert!(grown < MOST_GROWTH_BYTES, "{grown} bytes more");
        refused
    };
    for _ in 0..3 {
        for refused in refusals(&|| Request::new(large.clone())).await {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
            assert!(refused.message().contains("more than the 65536"), "{refused}");
        }
        // More than the balancer takes; what it takes may be more than a service does.
        for refused in refusals(&|| with_metadata(80 << 10)).await {
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        }
        for refused in refusals(&|| with_metadata(30 << 10)).await {
            assert!(refused.message().contains("HTTP status code 431"), "{refused}");
        }
    }
    let made = booted.pay(payment(&booted, "small", |_| {})).await;
    assert_eq!(made.state(), PaymentState::Committed, "{made:?}");
}

#[tokio::test]
async fn a_payment_that_a_bank_refuses_is_aborted_by_name_and_holds_nothing() {
    let booted = boot(|_| {}).await;
    let most = i64::MAX.to_string();
    let open = ["account", "open", "A-full", "--balance", &most, "--bank-addr"];
    let bank = booted.fleet.address("sbi").unwrap();
    let opened = admin(&booted, &[&open[..], &[bank]].concat());
    assert!(opened.status.success(), "{}", text(&opened));
    let from = booted.account("icici", 0);
    let before = balance(&booted, &from.user, &from.account).await;
    let check = async |id: &str, reason, change: &dyn Fn(&mut PaymentRequest)| {
        let answer = booted.pay(payment(&booted, id, change)).await;
        assert_eq!(answer.state(), PaymentState::Aborted, "{id}: {answer:?}");
        assert_eq!(answer.abort_reason(), reason, "{id}: {answer:?}");
        assert!(!answer.detail.is_empty(), "{id}");
        assert_eq!(booted.pay(payment(&booted, id, change)).await, answer, "{id}: for ever");
    };
    let to = |account: &'static str| {
        move |request: &mut PaymentRequest| {
            request.to.as_mut().unwrap().account_id = account.to_owned();
        }
    };
    let much = |request: &mut PaymentRequest| *minor_units(request) = 1 << 50;
    check("more-than-there-is", AbortReason::InsufficientFunds, &much).await;
    check("overflow", AbortReason::Overflow, &to("A-full")).await;
    check("unknown-account", AbortReason::UnknownAccount, &to("nobody")).await;
    let euros = |request: &mut PaymentRequest| {
        request.amount.as_mut().unwrap().currency = "EUR".to_owned();
    };
    check("wrong-currency", AbortReason::WrongCurrency, &euros).await;
    let within = |request: &mut PaymentRequest| {
        request.to.clone_from(&request.from);
        request.to.as_mut().unwrap().account_id = "nobody".to_owned();
    };
    check("unknown-within-the-bank", AbortReason::UnknownAccount, &within).await;
    let held = async || {
        let accounts = booted.balances(&from.user).await.accounts;
        // None is told of a bank that does not answer.
        accounts.into_iter().any(|account| account.held.is_none_or(|held| held.minor_units > 0))
    };
    tokio::time::timeout(PATIENCE, async {
        while held().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("holds are released");
    assert_eq!(balance(&booted, &from.user, &from.account).await, before);
}

/// Whoever asks with too little time gets no answer, and may ask again; whatever became of the payment, no
/// money stays held.
#[tokio::test]
async fn deadlines_tiny_huge_and_absent_leave_no_hold() {
    let booted = boot(|_| {}).await;
    let before = booted.fleet.totals().await.unwrap();
    let ask = async |id: &str, timeout: Option<&'static str>| {
        let mut request = Request::new(payment(&booted, id, |_| {}));
        if let Some(timeout) = timeout {
            let timeout = MetadataValue::from_static(timeout);
            request.metadata_mut().insert("grpc-timeout", timeout);
        }
        booted.gateway().process_payment(request).await
    };
    for (number, tiny) in ["1m", "1u", "1n", "0m", "1m", "1m"].into_iter().enumerate() {
        if let Err(status) = ask(&format!("tiny-{number}"), Some(tiny)).await {
            assert!(may_ask_again(&status), "{tiny}: {status}");
        }
    }
    for (id, timeout) in [("huge", Some("99999999H")), ("odd", Some("soon")), ("absent", None)] {
        let answer = ask(id, timeout).await.unwrap().into_inner();
        assert_eq!(answer.state(), PaymentState::Committed, "{id}: {answer:?}");
    }
    for number in 0..6 {
        let answer = booted.pay(payment(&booted, &format!("tiny-{number}"), |_| {})).await;
        assert_eq!(answer.state(), PaymentState::Committed, "{number}: {answer:?}");
    }
    booted.fleet.settled_totals(PATIENCE).await.unwrap().check_against(&before).unwrap();
    let from = booted.account("icici", 0);
    let left = balance(&booted, &from.user, &from.account).await;
    let answer = booted.pay(payment(&booted, "all-of-it", |request| *minor_units(request) = left));
    assert_eq!(answer.await.state(), PaymentState::Committed, "nothing of it is held");
    assert!(left > PAYMENT);
}
