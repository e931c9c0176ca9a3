//! Who calls, as the servers are told: what the balancer saw itself, never what the caller says.

use std::path::Path;

use strife_proto::{
    bank::v1::bank_service_client::BankServiceClient,
    lb::v1::{EndpointState, LoadReport, SetPolicyRequest},
};
use strife_runtime::{
    Role, Security, TlsArgs,
    calls::{FORWARDED_ADDRESS, FORWARDED_IDENTITY},
    certs,
    tls::Expected,
};
use tonic::{Code, Request};

use crate::{
    fleet::{Fleet, account},
    stub::{Stub, list, plain_stubs},
};

const FORGED: &str = "URI=spiffe://strife/admin/1";

fn forged() -> Request<strife_proto::bank::v1::AccountRequest> {
    let mut request = Request::new(account("a"));
    request.metadata_mut().insert(FORWARDED_IDENTITY, FORGED.parse().expect("a value"));
    request.metadata_mut().insert(FORWARDED_ADDRESS, "6.6.6.6".parse().expect("a value"));
    request
}

#[tokio::test]
async fn forged_headers_are_stripped() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let answer = fleet.bank().validate_account(forged()).await.unwrap().into_inner();
    assert_eq!(answer.currency, "|127.0.0.1|");
}

struct Secure {
    dir: tempfile::TempDir,
    stub: Stub,
    fleet: Fleet,
}

impl Secure {
    async fn start(pool: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let banks = ["icici".to_owned(), "sbi".to_owned()];
        let wanted = certs::Wanted::for_fleet(&banks, &["john".to_owned()], &[]);
        certs::init(dir.path(), &wanted).expect("certificates");
        let stub = Stub::start(&identity(dir.path(), Role::Bank, "icici"));
        let flags = format!("--pool {pool}={}", stub.address);
        let lb = identity(dir.path(), Role::Lb, "1");
        let fleet = Fleet::start_with(&flags, lb, identity(dir.path(), Role::Admin, "1")).await;
        Self { dir, stub, fleet }
    }

    fn identity(&self, role: Role, name: &str) -> Security {
        identity(self.dir.path(), role, name)
    }

    async fn report(&self, role: Role, name: &str, pool: &str) -> Result<bool, Code> {
        let report = LoadReport {
            pool: pool.to_owned(),
            address: self.stub.address.to_string(),
            sequence: 1,
            epoch: 1,
            ..LoadReport::default()
        };
        let mut client = self.fleet.look_aside(&self.identity(role, name));
        let ack = client.report_server_load(report).await;
        ack.map(|ack| ack.get_ref().accepted).map_err(|status| status.code())
    }
}

pub(crate) fn identity(dir: &Path, role: Role, name: &str) -> Security {
    let args = TlsArgs { certs: dir.to_owned(), plaintext: false };
    Security::load(&args, role, name).expect("a certificate")
}

#[tokio::test]
async fn the_callers_identity_crosses_the_balancer() {
    let secure = Secure::start("bank.icici").await;
    for (role, name) in [(Role::Client, "john"), (Role::Gateway, "1")] {
        let security = secure.identity(role, name);
        let channel = secure.fleet.channel("bank.icici", &security);
        let answer = BankServiceClient::new(channel).validate_account(forged()).await.unwrap();
        let uri = format!("spiffe://strife/{}/{name}", role.as_str());
        assert_eq!(answer.into_inner().currency, format!("{uri}|127.0.0.1|URI={uri}"));
    }
}

#[tokio::test]
async fn a_server_of_another_bank_is_never_ready() {
    let secure = Secure::start("bank.sbi").await;
    secure.fleet.wait_for_state(0, EndpointState::TransientFailure).await;
    let pool = secure.fleet.pool().await;
    let why = &pool.endpoints[0].last_error;
    assert!(why.contains("is spiffe://strife/bank/icici, not bank sbi"), "{why}");
    let channel = secure.fleet.channel("bank.sbi", &secure.identity(Role::Gateway, "1"));
    let refused = BankServiceClient::new(channel).validate_account(account("a")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let secure = Secure::start("default").await;
    let channel = secure.fleet.channel("localhost", &Security::Plaintext);
    let refused = BankServiceClient::new(channel).validate_account(account("a")).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_server_reports_for_itself_only() {
    let secure = Secure::start("bank.icici").await;
    assert_eq!(secure.report(Role::Bank, "sbi", "bank.icici").await, Err(Code::PermissionDenied));
    assert_eq!(secure.report(Role::Gateway, "1", "bank.icici").await, Err(Code::PermissionDenied));
    assert_eq!(
        secure.report(Role::Client, "john", "bank.icici").await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(secure.report(Role::Bank, "icici", "bank.icici").await, Ok(true));
}

#[tokio::test]
async fn a_bank_without_a_pool_of_its_own_reports_to_the_default_pool() {
    let secure = Secure::start("default").await;
    assert_eq!(secure.report(Role::Bank, "sbi", "bank.icici").await, Err(Code::PermissionDenied));
    assert_eq!(secure.report(Role::Bank, "icici", "bank.icici").await, Ok(true));
    assert_eq!(secure.report(Role::Bank, "icici", "default").await, Ok(false));
}

#[tokio::test]
async fn only_operators_switch_policies() {
    let secure = Secure::start("default").await;
    let request = || SetPolicyRequest { pool: String::new(), policy: "pick_first".to_owned() };
    let john = secure.identity(Role::Client, "john");
    let control = secure.fleet.control.to_string();
    let channel = strife_runtime::connect::direct(&control, Expected::LB, &john).unwrap();
    let mut client =
        strife_proto::lb::v1::load_balancer_admin_client::LoadBalancerAdminClient::new(channel);
    let denied = client.set_policy(request()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    secure.fleet.set_policy("pick_first").await;
    assert_eq!(secure.fleet.pool().await.policy, "pick_first");
}
