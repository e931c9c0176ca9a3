//! Who may call what, by certificate.

use strife_proto::bank::v1::{
    FinishLeg, SetFaultRequest, bank_faults_client::BankFaultsClient,
    bank_store_client::BankStoreClient, command::Command as Kind,
};
use strife_runtime::{Identity, TlsArgs, certs};

use super::{batches::batch, *};

/// Certificates of a fleet.
pub(super) struct Authority {
    directory: TempDir,
}

impl Authority {
    pub(super) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let banks = ["icici".to_owned(), "sbi".to_owned()];
        let mut wanted = certs::Wanted::for_fleet(&banks, &["john_doe".to_owned()], &[]);
        wanted.identities.push(Identity::new(Role::Gateway, "2"));
        certs::init(directory.path(), &wanted).unwrap();
        Self { directory }
    }

    pub(super) fn security(&self, role: Role, name: &str) -> Security {
        let certs = self.directory.path().to_owned();
        Security::load(&TlsArgs { certs, plaintext: false }, role, name).unwrap()
    }
}

#[tokio::test]
async fn everyone_may_call_what_the_table_says_and_nothing_else() {
    let authority = Authority::new();
    let served = serve(&authority.security(Role::Bank, "icici")).await;
    for (role, name, service, participant, store, admin) in [
        (Role::Gateway, "1", Code::Ok, Code::Ok, Code::PermissionDenied, Code::PermissionDenied),
        (
            Role::Loadgen,
            "1",
            Code::Ok,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::OutOfRange,
        ),
        (
            Role::Admin,
            "1",
            Code::Ok,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::OutOfRange,
        ),
        (
            Role::Bank,
            "icici",
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::Ok,
            Code::PermissionDenied,
        ),
        (
            Role::Bank,
            "sbi",
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
        ),
        (
            Role::Client,
            "john_doe",
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
            Code::PermissionDenied,
        ),
    ] {
        let security = authority.security(role, name);
        let expected = Expected::bank("icici");
        let channel = connect::direct(&served.address, expected, &security).unwrap();
        let code = |status: Option<Status>| status.map_or(Code::Ok, |status| status.code());
        let account = || AccountRequest { account_id: "a".to_owned() };
        let answer = BankServiceClient::new(channel.clone()).validate_account(account()).await;
        assert_eq!(code(answer.err()), service, "{role:?} {name}");
        let answer = BankParticipantClient::new(channel.clone()).abort_debit(finish("x")).await;
        assert_eq!(code(answer.err()), participant, "{role:?} {name}");
        let aborted = Kind::Abort(FinishLeg { leg: 1, transaction_id: "x".to_owned() });
        let answer = BankParticipantClient::new(channel.clone()).apply(batch(vec![aborted])).await;
        assert_eq!(code(answer.err()), participant, "{role:?} {name}");
        let mut read = Request::new(account());
        read.metadata_mut().insert(owner::BANK_METADATA, "icici".parse().unwrap());
        let answer = BankStoreClient::new(channel.clone()).get_account(read).await;
        assert_eq!(code(answer.err()), store, "{role:?} {name}");
        let answer = BankAdminClient::new(channel).get_totals(TotalsRequest {}).await;
        assert_eq!(code(answer.err()), admin, "{role:?} {name}");
    }
}

#[tokio::test]
async fn only_an_operator_makes_a_server_fail_and_well_again() {
    let authority = Authority::new();
    let served = serve(&authority.security(Role::Bank, "icici")).await;
    let channel = |role, name| {
        let security = authority.security(role, name);
        connect::direct(&served.address, Expected::bank("icici"), &security).unwrap()
    };
    let failing = SetFaultRequest { slow_factor: 0.0, fail_with: Code::Unavailable as u32 };
    for (role, name) in [
        (Role::Gateway, "1"),
        (Role::Loadgen, "1"),
        (Role::Bank, "icici"),
        (Role::Client, "john_doe"),
    ] {
        let refused = BankFaultsClient::new(channel(role, name)).set_fault(failing).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "{role:?}");
    }
    let mut faults = BankFaultsClient::new(channel(Role::Admin, "1"));
    let mut bank = BankServiceClient::new(channel(Role::Gateway, "1"));
    let account = || AccountRequest { account_id: "a".to_owned() };
    bank.validate_account(account()).await.unwrap();
    faults.set_fault(failing).await.unwrap();
    let failed = bank.validate_account(account()).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable);
    assert!(failed.message().contains("told to fail"), "{failed}");
    faults.set_fault(SetFaultRequest::default()).await.unwrap();
    bank.validate_account(account()).await.unwrap();
}
