//! Decisions, balances, history, and what is refused before anything happens.

use strife_proto::gateway::v1::{
    AccountRef, BalanceRequest, Decision, Direction, HistoryRequest, PaymentRequest, PaymentState,
};
use tonic::Code;

use super::{
    fake_bank::{Fault, Method},
    system::{System, payment, to_himself, to_jane},
};

#[tokio::test]
async fn decisions_are_told_only_of_what_is_ours() {
    let system = System::start().await;
    for unknown in ["t1", "", "00000000_0000000000000000"] {
        assert_eq!(system.decision(unknown).await.unwrap(), Decision::Abort, "{unknown}");
    }
    let ours = system.pay(to_jane("p1", 10)).await.unwrap().transaction_id;
    assert_eq!(system.decision(&ours).await.unwrap(), Decision::Commit);
    let (store, sequence) = ours.split_once('-').unwrap();
    let (store, sequence) =
        (u32::from_str_radix(store, 16).unwrap(), u64::from_str_radix(sequence, 16).unwrap());
    let foreign = format!("{:08x}-{sequence:016x}", store.wrapping_add(1));
    let later = format!("{store:08x}-{:016x}", sequence + 1);
    for other in [foreign, later] {
        let refused = system.decision(&other).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    let lost = format!("{store:08x}-{:016x}", sequence - 1);
    assert_eq!(system.decision(&lost).await.unwrap(), Decision::Abort, "crashed before its row");
}

#[tokio::test]
async fn history_is_paged_newest_first_for_payer_and_payee() {
    let system = System::start().await;
    for number in 0..5 {
        system.pay(to_jane(&format!("p{number}"), 10)).await.unwrap();
    }
    system.pay(to_himself("self", 10)).await.unwrap();
    let (mut seen, mut token) = (Vec::new(), String::new());
    for expected in [4, 2] {
        let page = system.history("john", 4, &token).await.unwrap();
        assert_eq!(page.payments.len(), expected);
        seen.extend(page.payments);
        token = page.next_page_token;
    }
    assert_eq!(token, "", "the last page");
    let names: Vec<_> = seen.iter().map(|payment| payment.payment_id.as_str()).collect();
    assert_eq!(names, ["self", "p4", "p3", "p2", "p1", "p0"]);
    assert!(seen.iter().all(|payment| payment.state() == PaymentState::Committed));
    let janes = system.history("jane", 0, "").await.unwrap();
    assert_eq!(janes.payments, seen[1..], "what she received");
    assert_eq!(janes.payments[0].payer, "john");
    let refused = system.history("john", 0, "later").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

/// Asks for page after page of two, and expects these payments.
async fn check_history(system: &System, request: HistoryRequest, expected: &[&str]) {
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let user = "john".to_owned();
        let page = HistoryRequest { user, page_size: 2, page_token: token, ..request.clone() };
        let page = system.client().get_transaction_history(page).await.unwrap().into_inner();
        assert!(page.payments.len() <= 2);
        seen.extend(page.payments.into_iter().map(|payment| payment.payment_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected, "{request:?}");
}

#[tokio::test]
async fn history_shows_what_is_wanted_of_it() {
    let system = System::start().await;
    for number in 0..3 {
        system.pay(to_jane(&format!("p{number}"), 10)).await.unwrap();
    }
    system.pay(to_himself("self", 10)).await.unwrap();
    let all = ["self", "p2", "p1", "p0"];
    let nothing_else = HistoryRequest::default;
    let account = |bank: &str, id: &str| {
        Some(AccountRef { bank: bank.to_owned(), account_id: id.to_owned() })
    };
    let direction =
        |direction: Direction| HistoryRequest { direction: direction.into(), ..nothing_else() };
    let state =
        |state: PaymentState| HistoryRequest { states: vec![state.into()], ..nothing_else() };
    check_history(&system, nothing_else(), &all).await;
    check_history(&system, direction(Direction::Made), &all).await;
    check_history(&system, direction(Direction::Received), &["self"]).await;
    check_history(&system, state(PaymentState::Committed), &all).await;
    check_history(&system, state(PaymentState::Aborted), &[]).await;
    let to_a1 = HistoryRequest { account: account("sbi", "A1"), ..nothing_else() };
    check_history(&system, to_a1.clone(), &all[1..]).await;
    let from_a1 = HistoryRequest { direction: Direction::Made.into(), ..to_a1 };
    check_history(&system, from_a1, &[]).await;
    check_history(&system, HistoryRequest { until_ms: 1, ..nothing_else() }, &[]).await;
    check_history(&system, HistoryRequest { from_ms: 1, ..nothing_else() }, &all).await;
    let request = HistoryRequest { account: account("No Bank", "A1"), ..nothing_else() };
    let request = HistoryRequest { user: "john".to_owned(), ..request };
    let refused = system.client().get_transaction_history(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn balances_of_the_banks_that_answer() {
    let system = System::start().await;
    system.icici.set(Method::Balance, Fault::Unavailable(u32::MAX));
    let request = BalanceRequest { user: "john".to_owned() };
    let answer = system.client().get_balance(request).await.unwrap().into_inner();
    let shown: Vec<_> = answer
        .accounts
        .into_iter()
        .map(|account| {
            let id = account.account.unwrap().account_id;
            (id, account.available.map(|money| money.minor_units), account.error)
        })
        .collect();
    let away = "bank icici: Unavailable: told to be away".to_owned();
    let expected = [
        ("J1".to_owned(), None, away.clone()),
        ("J2".to_owned(), None, away),
        ("J3".to_owned(), Some(0), String::new()),
    ];
    assert_eq!(shown, expected);
}

async fn check_refused(system: &System, request: PaymentRequest, code: Code, message: &str) {
    let refused = system.pay(request).await.unwrap_err();
    assert_eq!(refused.code(), code, "{refused}");
    assert!(refused.message().contains(message), "{refused}");
}

#[tokio::test]
async fn whatever_is_wrong_is_refused_by_name() {
    use Code::{InvalidArgument, NotFound, PermissionDenied};
    let system = System::start().await;
    let pay = |user, from, to, amount| payment("p1", user, from, to, amount);
    let (j1, a1) = (("icici", "J1"), ("sbi", "A1"));
    check_refused(&system, PaymentRequest::default(), InvalidArgument, "`amount` is missing").await;
    let no_from = PaymentRequest { from: None, ..to_jane("p1", 1) };
    check_refused(&system, no_from, InvalidArgument, "`from` is missing").await;
    check_refused(&system, to_jane("", 1), InvalidArgument, "payment_id").await;
    check_refused(&system, to_jane(&"x".repeat(60_000), 1), InvalidArgument, "60000").await;
    check_refused(&system, to_jane("p1", 0), InvalidArgument, "more than 0").await;
    check_refused(&system, to_jane("p1", i64::MIN), InvalidArgument, "more than 0").await;
    let long = "x".repeat(60_000);
    check_refused(&system, pay("john", ("icici", &long), a1, 1), InvalidArgument, "xxx").await;
    check_refused(&system, pay("john", j1, j1, 1), InvalidArgument, "cannot pay itself").await;
    check_refused(&system, pay("", j1, a1, 1), InvalidArgument, "`user` is missing").await;
    check_refused(&system, pay("nobody", j1, a1, 1), NotFound, "no user `nobody`").await;
    check_refused(&system, pay("john", j1, ("hdfc", "X"), 1), NotFound, "no bank `hdfc`").await;
    check_refused(&system, pay("jane", j1, a1, 1), PermissionDenied, "icici/J1").await;
    check_refused(&system, pay("john", ("sbi", "no"), a1, 1), PermissionDenied, "sbi/no").await;
    assert_eq!(system.history("john", 0, "").await.unwrap().payments, []);
}

#[tokio::test]
async fn whoever_got_no_answer_asks_what_became_of_it() {
    let mut system = System::start().await;
    let unknown = system.known("p1", "john").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
    system.sbi.set(Method::Prepare(crate::payment::Leg::Credit), Fault::Silent);
    let transaction_id = system.hurry(to_jane("p1", 10)).await;
    let known = system.known("p1", "john").await.unwrap();
    assert_eq!((known.state(), &known.transaction_id), (PaymentState::Initiated, &transaction_id));
    for (payment_id, user) in [("p1", "jane"), ("p1", "nobody"), ("p2", "john")] {
        let refused = system.known(payment_id, user).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{payment_id} {user}");
    }
    system.sbi.heal(Method::Prepare(crate::payment::Leg::Credit));
    let answer = system.pay(to_jane("p1", 10)).await.unwrap();
    assert_eq!(answer.state(), PaymentState::Committed);
    for _ in 0..2 {
        assert_eq!(system.known("p1", "john").await.unwrap(), answer);
        system.restart().await;
    }
}
