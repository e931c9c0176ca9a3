//! Who gets in over mutual TLS, and who does not.

use std::path::Path;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::certs::{Wanted, init};

fn certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &Wanted::for_fleet(&["icici".to_owned()], &["john_doe".to_owned()], &[]))
        .unwrap();
    dir
}

fn load(dir: &Path, role: Role, name: &str) -> Security {
    Security::load(&TlsArgs { certs: dir.into(), plaintext: false }, role, name).unwrap()
}

/// Connects `client` to `server`; what each side learns, or why it failed.
async fn meet(
    server: Security,
    client: Security,
) -> (io::Result<Option<Identity>>, io::Result<()>) {
    meet_expecting(Expected::AnyServer, server, client).await
}

async fn meet_expecting(
    expected: Expected,
    server: Security,
    client: Security,
) -> (io::Result<Option<Identity>>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepting = async {
        let (stream, _) = listener.accept().await?;
        let (mut stream, identity) = server.accept(stream).await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        Ok(identity)
    };
    let connecting = async {
        let mut stream = client.connect(&address, &expected).await?;
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).await?;
        assert_eq!(&greeting, b"hello");
        Ok(())
    };
    tokio::join!(accepting, connecting)
}

#[tokio::test]
async fn a_server_learns_who_its_client_is() {
    let dir = certificates();
    let (bank, user) =
        (load(dir.path(), Role::Bank, "ICICI"), load(dir.path(), Role::Client, "john_doe"));
    let (accepted, connected) = meet(bank, user).await;
    assert_eq!(accepted.unwrap(), Some(Identity::new(Role::Client, "john_doe")));
    connected.unwrap();
}

#[tokio::test]
async fn a_foreign_authority_is_refused_by_both_sides() {
    let (ours, theirs) = (certificates(), certificates());
    let server = load(ours.path(), Role::Bank, "icici");
    let (accepted, connected) = meet(server, load(theirs.path(), Role::Gateway, "1")).await;
    assert!(accepted.is_err() && connected.is_err());
}

#[tokio::test]
async fn a_server_that_is_not_the_expected_one_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let banks = ["icici".to_owned(), "sbi".to_owned()];
    init(dir.path(), &Wanted::for_fleet(&banks, &[], &[])).unwrap();
    let check = async |expected: Expected, role: Role, name: &str, refused: Option<&str>| {
        let (server, client) = (load(dir.path(), role, name), load(dir.path(), Role::Admin, "1"));
        let (_, connected) = meet_expecting(expected.clone(), server, client).await;
        let error = connected.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(refused.unwrap_or_default()), "{error}");
        assert_eq!(error.is_empty(), refused.is_none(), "{expected} at {role:?} {name}: {error}");
    };
    check(Expected::bank("ICICI"), Role::Bank, "icici", None).await;
    let is_sbi = "is spiffe://strife/bank/sbi, not bank icici";
    check(Expected::bank("icici"), Role::Bank, "sbi", Some(is_sbi)).await;
    check(Expected::bank("icici"), Role::Gateway, "1", Some("not bank icici")).await;
    check(Expected::LB, Role::Lb, "1", None).await;
    check(Expected::LB, Role::Bank, "sbi", Some("not lb")).await;
    check(Expected::LB_OR_GATEWAY, Role::Gateway, "1", None).await;
    check(Expected::LB_OR_GATEWAY, Role::Bank, "sbi", Some("not lb or gateway")).await;
    check(Expected::AnyServer, Role::Bank, "sbi", None).await;
}

#[tokio::test]
async fn the_certificate_of_who_never_serves_cannot_serve() {
    let dir = certificates();
    for (role, name) in [(Role::Client, "john_doe"), (Role::Loadgen, "1"), (Role::Admin, "1")] {
        let (server, client) = (load(dir.path(), role, name), load(dir.path(), Role::Gateway, "1"));
        let (accepted, connected) = meet(server, client).await;
        assert!(accepted.is_err() && connected.is_err(), "{role:?}");
    }
}

#[test]
fn whoever_is_never_a_server_is_not_any_server() {
    // Certificates made elsewhere may allow more than ours.
    let john = Identity::new(Role::Client, "john_doe");
    assert!(Expected::AnyServer.check("localhost:1", Some(&john)).is_err());
    assert!(Expected::AnyServer.check("localhost:1", None).is_ok());
    assert!(Expected::LB.check("localhost:1", None).is_err());
}

#[test]
fn a_pools_name_says_who_its_servers_are() {
    assert_eq!(Expected::of_pool("bank.icici"), Expected::bank("icici"));
    assert_eq!(Expected::of_pool("gateway"), Expected::GATEWAY);
    assert_eq!(Expected::of_pool("default"), Expected::AnyServer);
}

#[tokio::test]
async fn a_client_without_tls_is_refused() {
    let dir = certificates();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = load(dir.path(), Role::Bank, "icici");
    let client = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    };
    let accepting = async { server.accept(listener.accept().await.unwrap().0).await };
    let (refused, ()) = tokio::join!(accepting, client);
    assert!(refused.is_err());
}

#[test]
fn missing_and_broken_certificates_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let args = TlsArgs { certs: dir.path().into(), plaintext: false };
    let error = Security::load(&args, Role::Bank, "icici").err().unwrap().to_string();
    assert!(error.contains("strife certs init") && error.contains("--bank icici"), "{error}");
    let dir = certificates();
    std::fs::write(dir.path().join("bank-icici.pem"), "").unwrap();
    let args = TlsArgs { certs: dir.path().into(), plaintext: false };
    let error = Security::load(&args, Role::Bank, "icici").err().unwrap().to_string();
    assert!(error.contains("bank-icici.pem is not usable"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let dir = certificates();
    std::fs::copy(dir.path().join("lb-1-key.pem"), dir.path().join("bank-icici-key.pem")).unwrap();
    let args = TlsArgs { certs: dir.path().into(), plaintext: false };
    assert!(Security::load(&args, Role::Bank, "icici").is_err());
}

#[test]
fn an_expired_certificate_says_how_to_renew_it() {
    let dir = certificates();
    crate::certs::tests::expire(dir.path(), &Identity::new(Role::Bank, "icici"));
    let args = TlsArgs { certs: dir.path().into(), plaintext: false };
    let error = Security::load(&args, Role::Bank, "icici").err().unwrap().to_string();
    assert!(error.contains("bank-icici.pem expired on 2020-02-29; remove it and"), "{error}");
    assert!(error.contains("strife certs init") && !error.contains('\n'), "{error}");
    assert!(Security::load(&args, Role::Lb, "1").is_ok());
}
