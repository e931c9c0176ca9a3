//! What operators do to accounts over the wire, and what nobody else may.

use futures_util::TryStreamExt;
use strife_proto::bank::v1::{
    AccountDetails, LegState, ListLegsRequest, OpenAccountRequest, SetAccountStateRequest,
    SetLimitsRequest,
};

use super::{access::Authority, *};

fn open(account_id: &str, opening: Option<Money>) -> OpenAccountRequest {
    OpenAccountRequest { account_id: account_id.to_owned(), opening }
}

#[tokio::test]
async fn accounts_are_opened_limited_and_frozen() {
    let served = serve(&Security::Plaintext).await;
    let mut admin = BankAdminClient::new(plain(&served));
    let opened = admin.open_account(open("new", rupees(50))).await.unwrap().into_inner();
    let expected = AccountDetails {
        bank: "icici".to_owned(),
        account_id: "new".to_owned(),
        state: WireState::Active.into(),
        currency: "INR".to_owned(),
        available: 50,
        ..AccountDetails::default()
    };
    assert_eq!(opened, expected);
    for (request, code) in [
        (open("new", rupees(50)), Code::AlreadyExists),
        (open("settlement/INR", rupees(0)), Code::InvalidArgument),
        (open("", rupees(0)), Code::InvalidArgument),
        (open("other", rupees(-1)), Code::InvalidArgument),
        (open("other", None), Code::InvalidArgument),
    ] {
        let refused = admin.open_account(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    let (account_id, per_day) = ("new".to_owned(), Some(20));
    let limits = SetLimitsRequest { account_id: account_id.clone(), per_payment: None, per_day };
    let limited = admin.set_limits(limits.clone()).await.unwrap().into_inner();
    assert_eq!(
        (limited.per_payment, limited.per_day, limited.left_today),
        (None, per_day, per_day)
    );
    let negative = SetLimitsRequest { per_payment: Some(-1), ..limits };
    assert_eq!(admin.set_limits(negative).await.unwrap_err().code(), Code::InvalidArgument);

    let mut bank = BankServiceClient::new(plain(&served));
    let request = transaction("limited", "new", "b", rupees(21));
    let answer = bank.process_transaction(request).await.unwrap().into_inner();
    assert_eq!(answer.refusal.unwrap().reason(), RefusalReason::LimitPerDay);
    let frozen = |account_id: &str, state: WireState| SetAccountStateRequest {
        account_id: account_id.to_owned(),
        state: state.into(),
    };
    let details = admin.set_account_state(frozen("new", WireState::Frozen)).await.unwrap();
    assert_eq!(details.into_inner().state(), WireState::Frozen);
    let unknown = admin.set_account_state(frozen("nobody", WireState::Frozen)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let neither = admin.set_account_state(frozen("new", WireState::Unknown)).await.unwrap_err();
    assert_eq!(neither.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn every_leg_is_listed() {
    let served = serve(&Security::Plaintext).await;
    let mut participant = BankParticipantClient::new(plain(&served));
    for id in ["t2", "t1", "t3"] {
        participant.prepare_debit(prepare(id, "a", rupees(1))).await.unwrap();
    }
    participant.commit_debit(finish("t1")).await.unwrap();
    participant.abort_credit(finish("t4")).await.unwrap();
    let mut admin = BankAdminClient::new(plain(&served));
    let legs = admin.list_legs(ListLegsRequest {}).await.unwrap().into_inner();
    let legs: Vec<_> = legs.try_collect().await.unwrap();
    let shown: Vec<_> = legs
        .iter()
        .map(|leg| (leg.transaction_id.as_str(), leg.state(), leg.amount.clone()))
        .collect();
    let expected = [
        ("t1", LegState::Committed, rupees(1)),
        ("t2", LegState::Prepared, rupees(1)),
        ("t3", LegState::Prepared, rupees(1)),
        ("t4", LegState::Aborted, None),
    ];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn only_operators_change_accounts() {
    let authority = Authority::new();
    let served = serve(&authority.security(Role::Bank, "icici")).await;
    for (role, name, code) in [
        (Role::Admin, "1", Code::Ok),
        (Role::Loadgen, "1", Code::PermissionDenied),
        (Role::Gateway, "1", Code::PermissionDenied),
        (Role::Bank, "icici", Code::PermissionDenied),
        (Role::Client, "john_doe", Code::PermissionDenied),
    ] {
        let security = authority.security(role, name);
        let channel = connect::direct(&served.address, Expected::bank("icici"), &security).unwrap();
        let answer = BankAdminClient::new(channel).open_account(open("new", rupees(0))).await;
        assert_eq!(answer.err().map_or(Code::Ok, |status| status.code()), code, "{role:?}");
    }
}
