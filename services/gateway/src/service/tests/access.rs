//! Who may do what, by certificate.

use std::path::Path;

use strife_proto::gateway::v1::{
    BalanceRequest, DecisionRequest, HistoryRequest, OutboxRequest, PaymentRequest, PaymentState,
    StatusRequest, decision_service_client::DecisionServiceClient, events_client::EventsClient,
    gateway_admin_client::GatewayAdminClient,
};
use strife_runtime::{
    Role, Security, TlsArgs,
    certs::{Wanted, init},
};
use tempfile::TempDir;
use tonic::Code;

use super::system::{System, payment, quick, to_jane};

fn security(certs: &Path, role: Role, name: &str) -> Security {
    let args = TlsArgs { certs: certs.to_owned(), plaintext: false };
    Security::load(&args, role, name).unwrap()
}

struct Secured {
    system: System,
    certs: TempDir,
}

impl Secured {
    async fn start() -> Self {
        let certs = TempDir::new().unwrap();
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let wanted = Wanted::for_fleet(&names(&["icici", "sbi"]), &names(&["john", "jane"]), &[]);
        init(certs.path(), &wanted).unwrap();
        let gateway = security(certs.path(), Role::Gateway, "1");
        let banks = ["icici", "sbi"].map(|name| security(certs.path(), Role::Bank, name));
        Self { system: System::start_with(quick(), gateway, banks).await, certs }
    }

    async fn pay_as(&self, role: Role, name: &str, request: PaymentRequest) -> Code {
        let security = security(self.certs.path(), role, name);
        let answer = self.system.client_as(&security).process_payment(request).await;
        answer.map_or_else(
            |status| status.code(),
            |answer| {
                assert_eq!(answer.into_inner().state(), PaymentState::Committed);
                Code::Ok
            },
        )
    }
}

fn johns(id: &str, user: &str) -> PaymentRequest {
    PaymentRequest { user: user.to_owned(), ..to_jane(id, 10) }
}

#[tokio::test]
async fn a_client_pays_from_its_own_accounts() {
    let secured = Secured::start().await;
    let pay = |name, request| secured.pay_as(Role::Client, name, request);
    assert_eq!(pay("john", johns("p1", "")).await, Code::Ok);
    assert_eq!(pay("john", johns("p1", "john")).await, Code::Ok, "the same payment");
    assert_eq!(pay("jane", johns("p2", "")).await, Code::PermissionDenied);
    assert_eq!(pay("jane", johns("p2", "john")).await, Code::PermissionDenied);
    let hers = payment("p3", "", ("sbi", "A1"), ("icici", "J1"), 10);
    assert_eq!(pay("john", hers).await, Code::PermissionDenied);
}

#[tokio::test]
async fn how_the_store_does_is_for_operators() {
    let secured = Secured::start().await;
    assert_eq!(secured.pay_as(Role::Client, "john", johns("p1", "")).await, Code::Ok);
    for (role, name, allowed) in [
        (Role::Admin, "1", true),
        (Role::Loadgen, "1", true),
        (Role::Client, "john", false),
        (Role::Bank, "icici", false),
    ] {
        let security = security(secured.certs.path(), role, name);
        let mut admin = GatewayAdminClient::new(secured.system.channel_as(&security));
        match admin.get_status(StatusRequest {}).await {
            Ok(status) => {
                let status = status.into_inner();
                assert!(allowed && status.commits > 0, "{role:?}: {status:?}");
                assert!(status.fsync_us_p50 <= status.fsync_us_p99);
            }
            Err(refused) => {
                assert!(
                    !allowed && refused.code() == Code::PermissionDenied,
                    "{role:?}: {refused}"
                );
            }
        }
    }
}

/// Of a payment that is another's nothing is said but that the id is taken.
#[tokio::test]
async fn an_id_tells_nobody_else_about_its_payment() {
    let secured = Secured::start().await;
    assert_eq!(secured.pay_as(Role::Client, "john", johns("p1", "")).await, Code::Ok);
    let jane = security(secured.certs.path(), Role::Client, "jane");
    let mut jane = secured.system.client_as(&jane);
    let hers = payment("p1", "", ("sbi", "A1"), ("icici", "J1"), 10);
    for request in [johns("p1", ""), hers] {
        let refused = jane.process_payment(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
        let expected = "payment_id `p1` was used before for another payment; choose a new id";
        assert_eq!(refused.message(), expected);
    }
    let refused = jane.process_payment(johns("p1", "john")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "spiffe://strife/client/jane may not act for user `john`");
}

#[tokio::test]
async fn only_those_who_may_act_for_anybody() {
    let secured = Secured::start().await;
    for role in [Role::Loadgen, Role::Admin] {
        let id = format!("p-{}", role.as_str());
        assert_eq!(secured.pay_as(role, "1", johns(&id, "john")).await, Code::Ok);
        assert_eq!(secured.pay_as(role, "1", johns("x", "")).await, Code::InvalidArgument);
    }
    assert_eq!(
        secured.pay_as(Role::Bank, "icici", johns("x", "john")).await,
        Code::PermissionDenied
    );
    assert_eq!(
        secured.pay_as(Role::Gateway, "1", johns("x", "john")).await,
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn nobody_reads_what_is_anothers() {
    let secured = Secured::start().await;
    let jane = security(secured.certs.path(), Role::Client, "jane");
    let mut client = secured.system.client_as(&jane);
    let user = "john".to_owned();
    let history = HistoryRequest { user: user.clone(), ..HistoryRequest::default() };
    let refused = client.get_transaction_history(history).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = client.get_balance(BalanceRequest { user }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let hers = client.get_balance(BalanceRequest::default()).await.unwrap().into_inner();
    assert_eq!((hers.user.as_str(), hers.accounts.len()), ("jane", 2));
}

#[tokio::test]
async fn decisions_are_for_banks() {
    let secured = Secured::start().await;
    let request = || DecisionRequest { transaction_id: "t1".to_owned() };
    for (role, name, expected) in [
        (Role::Bank, "sbi", Code::Ok),
        (Role::Admin, "1", Code::Ok),
        (Role::Client, "john", Code::PermissionDenied),
    ] {
        let security = security(secured.certs.path(), role, name);
        let mut client = DecisionServiceClient::new(secured.system.channel_as(&security));
        let code = client.get_decision(request()).await.map_or_else(|s| s.code(), |_| Code::Ok);
        assert_eq!(code, expected, "{role:?}");
    }
}

#[tokio::test]
async fn events_are_for_operators() {
    let secured = Secured::start().await;
    for (role, name, expected) in [
        (Role::Admin, "1", Code::Ok),
        (Role::Loadgen, "1", Code::PermissionDenied),
        (Role::Client, "john", Code::PermissionDenied),
        (Role::Bank, "icici", Code::PermissionDenied),
    ] {
        let security = security(secured.certs.path(), role, name);
        let mut client = EventsClient::new(secured.system.channel_as(&security));
        let told = client.get_outbox(OutboxRequest {}).await;
        assert_eq!(told.map_or_else(|status| status.code(), |_| Code::Ok), expected, "{role:?}");
    }
}
