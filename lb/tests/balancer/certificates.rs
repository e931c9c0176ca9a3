//! Certificates replaced under a running balancer, its server and its client, with calls under way.

use std::{fs, path::Path};

use futures_util::StreamExt;
use strife_proto::bank::v1::{
    CommandBatch, bank_service_client::BankServiceClient, bank_store_client::BankStoreClient,
};
use strife_runtime::{Identity, Role, Security, TlsArgs, certs};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    fleet::{Fleet, PATIENCE, account},
    stub::Stub,
};

fn certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let wanted = certs::Wanted::for_fleet(&["icici".to_owned()], &[], &[]);
    certs::init(dir.path(), &wanted).expect("certificates");
    dir
}

fn load(dir: &Path, role: Role, name: &str) -> Security {
    let args = TlsArgs { certs: dir.to_owned(), plaintext: false };
    Security::load(&args, role, name).expect("a certificate")
}

fn trust(dir: &Path, authorities: &[&str]) {
    fs::write(dir.join(certs::CA_FILE), authorities.concat()).expect("it can be written");
}

#[tokio::test]
async fn an_authority_is_replaced_and_no_call_is_lost() {
    let (dir, new) = (certificates(), certificates());
    let authority = |dir: &Path| fs::read_to_string(dir.join(certs::CA_FILE)).expect("it is there");
    let (old_authority, new_authority) = (authority(dir.path()), authority(new.path()));
    let bank = load(dir.path(), Role::Bank, "icici");
    let (lb, gateway) = (load(dir.path(), Role::Lb, "1"), load(dir.path(), Role::Gateway, "1"));
    let stranger = load(new.path(), Role::Gateway, "1");
    let stub = Stub::start(&bank);
    let flags = format!("--pool bank.icici={}", stub.address);
    let fleet = Fleet::start_with(&flags, lb.clone(), load(dir.path(), Role::Admin, "1")).await;

    let (batches, sent) = mpsc::channel(1);
    let channel = fleet.channel("bank.icici", &gateway);
    let mut store = BankStoreClient::new(channel);
    let mut results = store.apply(ReceiverStream::new(sent)).await.unwrap().into_inner();
    let mut batch_id = 0;
    let mut check = async |step: &str, new_is_served: bool| {
        for security in [&bank, &lb, &gateway] {
            security.reload();
        }
        batch_id += 1;
        batches.send(CommandBatch { batch_id, commands: Vec::new() }).await.unwrap();
        let result = results.next().await.expect("the stream goes on").expect(step);
        assert_eq!(result.batch_id, batch_id, "{step}");
        for (security, is_served) in [(&gateway, true), (&stranger, new_is_served)] {
            let mut client = BankServiceClient::new(fleet.channel("bank.icici", security));
            let answer = client.validate_account(account("a")).await;
            assert_eq!(answer.is_ok(), is_served, "{step}: {answer:?}");
        }
    };
    check("before", false).await;
    trust(dir.path(), &[&old_authority, &new_authority]);
    check("everyone trusts both", false).await;
    for role in [Role::Lb, Role::Bank, Role::Gateway] {
        let name = if role == Role::Bank { "icici" } else { "1" };
        let stem = Identity::new(role, name).file_stem();
        for file in [format!("{stem}.pem"), format!("{stem}-key.pem")] {
            fs::copy(new.path().join(&file), dir.path().join(&file)).expect("it can be copied");
        }
    }
    check("everyone is the new one's", true).await;
    trust(dir.path(), &[&new_authority]);
    check("the old one is forgotten", true).await;

    let address = stub.address.to_string();
    stub.kill();
    let _restarted = Stub::start_at(&address, &bank);
    let mut client = BankServiceClient::new(fleet.channel("bank.icici", &gateway));
    let served = async { while client.validate_account(account("a")).await.is_err() {} };
    tokio::time::timeout(PATIENCE, served).await.expect("the balancer is let in again");
}

#[tokio::test]
async fn a_balancer_with_unusable_files_serves_on() {
    let dir = certificates();
    let bank = load(dir.path(), Role::Bank, "icici");
    let (lb, gateway) = (load(dir.path(), Role::Lb, "1"), load(dir.path(), Role::Gateway, "1"));
    let stub = Stub::start(&bank);
    let flags = format!("--pool bank.icici={}", stub.address);
    let fleet = Fleet::start_with(&flags, lb.clone(), load(dir.path(), Role::Admin, "1")).await;
    fs::write(dir.path().join("lb-1.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    lb.reload();
    let mut client = BankServiceClient::new(fleet.channel("bank.icici", &gateway));
    client.validate_account(account("a")).await.expect("it serves on");
}
