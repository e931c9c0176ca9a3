//! Which pool a call goes to.

use strife_proto::bank::v1::bank_service_client::BankServiceClient;
use strife_runtime::Security;
use tonic::Code;

use crate::{
    fleet::{Fleet, account, call},
    stub::{list, plain_stubs},
};

#[tokio::test]
async fn the_authority_names_the_pool() {
    let (icici, sbi) = (plain_stubs(1), plain_stubs(1));
    let flags = format!("--pool bank.icici={} --pool bank.sbi={}", list(&icici), list(&sbi));
    let fleet = Fleet::start(&flags).await;
    for (authority, stubs) in [("bank.icici", &icici), ("bank.sbi:7000", &sbi), ("BANK.SBI", &sbi)]
    {
        let mut client = BankServiceClient::new(fleet.channel(authority, &Security::Plaintext));
        assert_eq!(call(&mut client).await.unwrap(), stubs[0].address.to_string(), "{authority}");
    }
    let mut client = BankServiceClient::new(fleet.channel("bank.hdfc", &Security::Plaintext));
    let status = client.validate_account(account("a")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("the pools are bank.icici, bank.sbi"), "{status:?}");
}

#[tokio::test]
async fn the_default_pool_takes_the_rest() {
    let (gateway, others) = (plain_stubs(1), plain_stubs(1));
    let flags = format!("--pool gateway={} --pool default={}", list(&gateway), list(&others));
    let fleet = Fleet::start(&flags).await;
    for (authority, stubs) in [("gateway", &gateway), ("anything.else", &others)] {
        let mut client = BankServiceClient::new(fleet.channel(authority, &Security::Plaintext));
        assert_eq!(call(&mut client).await.unwrap(), stubs[0].address.to_string(), "{authority}");
    }
}
