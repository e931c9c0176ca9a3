//! Certificates replaced under running processes, as an operator replaces them.

use std::fs;

use rustix::process::{Signal, getpid, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{
    AccessTable, Role, Security, Server, Services, Shutdown, TlsArgs,
    certs::{CA_FILE, Wanted, init, paths},
    tls::{Expected, Stream},
};

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
const NOBODY: AccessTable = &[];

fn wanted() -> Wanted {
    Wanted::for_fleet(&["icici".to_owned()], &[], &[])
}

fn certificates() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), &wanted()).unwrap();
    dir
}

fn bank() -> Identity {
    Identity::new(Role::Bank, "icici")
}

fn gateway() -> Identity {
    Identity::new(Role::Gateway, "1")
}

fn load(dir: &Path, identity: &Identity) -> Security {
    let args = TlsArgs { certs: dir.into(), plaintext: false };
    Security::load(&args, identity.role, &identity.name).unwrap()
}

/// Removes an identity's files and has them made anew by the authority that is there.
fn renew(dir: &Path, identity: &Identity) {
    let (certificate, key) = paths(dir, &identity.file_stem());
    fs::remove_file(certificate).unwrap();
    fs::remove_file(key).unwrap();
    init(dir, &wanted()).unwrap();
}

/// Puts an identity of one directory into another.
fn replace(from: &Path, to: &Path, identity: &Identity) {
    let stem = identity.file_stem();
    let ((from_certificate, from_key), (certificate, key)) = (paths(from, &stem), paths(to, &stem));
    fs::copy(from_certificate, certificate).unwrap();
    fs::copy(from_key, key).unwrap();
}

/// Makes `dir` trust these authorities, in one step.
fn trust(dir: &Path, authorities: &[&str]) {
    let unfinished = dir.join("ca.pem.new");
    fs::write(&unfinished, authorities.concat()).unwrap();
    fs::rename(unfinished, dir.join(CA_FILE)).unwrap();
}

fn authority(dir: &Path) -> String {
    fs::read_to_string(dir.join(CA_FILE)).unwrap()
}

fn certificate(dir: &Path, identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(paths(dir, &identity.file_stem()).0).unwrap()
}

/// Connects `client` to `server` and says hello; both ends, and the server's certificate.
async fn meet(
    server: &Security,
    client: &Security,
) -> io::Result<(Stream, Stream, CertificateDer<'static>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let accepting = async {
        let (mut stream, _) = server.accept(listener.accept().await?.0).await?;
        stream.write_all(b"hello").await?;
        stream.flush().await?;
        io::Result::Ok(stream)
    };
    let connecting = async {
        let mut stream = client.connect(&address, &Expected::AnyServer).await?;
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).await?;
        io::Result::Ok(stream)
    };
    let (accepted, connected) = tokio::join!(accepting, connecting);
    let (accepted, connected) = (accepted?, connected?);
    let shown = shown_by_server(&connected);
    Ok((accepted, connected, shown))
}

fn shown_by_server(stream: &Stream) -> CertificateDer<'static> {
    let Stream::Client(stream) = stream else { panic!("it is a client's and secured") };
    let chain = stream.get_ref().1.peer_certificates().expect("the server has one");
    chain[0].clone().into_owned()
}

fn mutual(security: &Security) -> &Mutual {
    let Security::Mutual(mutual) = security else { panic!("it is secured") };
    mutual
}

/// Two looks, as a change needs to be taken for one.
fn look_twice(security: &Security) -> [Look; 2] {
    [mutual(security).look(), mutual(security).look()]
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections() {
    let dir = certificates();
    let (server, client) = (load(dir.path(), &bank()), load(dir.path(), &gateway()));
    let old = certificate(dir.path(), &bank());
    let (mut accepted, mut connected, shown) = meet(&server, &client).await.unwrap();
    assert_eq!(shown, old);
    renew(dir.path(), &bank());
    assert_eq!(look_twice(&server), [Look::Changing, Look::Fresh]);
    assert_eq!(look_twice(&server), [Look::Unchanged, Look::Unchanged]);
    let (.., shown) = meet(&server, &client).await.unwrap();
    assert!(shown != old && shown == certificate(dir.path(), &bank()));
    connected.write_all(b"still here").await.unwrap();
    connected.flush().await.unwrap();
    let mut said = [0; 10];
    accepted.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"still here");
}

#[tokio::test]
async fn an_authority_is_replaced_step_by_step() {
    let (server_dir, client_dir, new_dir) = (certificates(), certificates(), certificates());
    let (at_server, at_client, new) = (server_dir.path(), client_dir.path(), new_dir.path());
    let old_authority = authority(at_server);
    trust(at_client, &[&old_authority]);
    replace(at_server, at_client, &gateway());
    let (server, client) = (load(at_server, &bank()), load(at_client, &gateway()));
    let (new_authority, stranger) = (authority(new), load(new, &gateway()));
    let check = async |step: &str, new_is_let_in: bool| {
        server.reload();
        client.reload();
        meet(&server, &client).await.unwrap_or_else(|error| panic!("{step}: {error}"));
        assert_eq!(meet(&server, &stranger).await.is_ok(), new_is_let_in, "{step}");
    };
    check("before", false).await;
    trust(at_server, &[&old_authority, &new_authority]);
    check("the server trusts both", false).await;
    trust(at_client, &[&old_authority, &new_authority]);
    check("the client trusts both", false).await;
    let late = load(at_client, &gateway());
    replace(new, at_server, &bank());
    check("the server is the new one's", true).await;
    replace(new, at_client, &gateway());
    check("the client is the new one's", true).await;
    trust(at_server, &[&new_authority]);
    trust(at_client, &[&new_authority]);
    check("the old one is forgotten", true).await;
    assert!(meet(&server, &late).await.is_err(), "who kept the old one's certificate is refused");
}

#[tokio::test]
async fn files_that_are_not_usable_are_told_of_once_and_change_nothing() {
    let dir = certificates();
    let (server, client) = (load(dir.path(), &bank()), load(dir.path(), &gateway()));
    let old = certificate(dir.path(), &bank());
    let (cert_path, key_path) = paths(dir.path(), "bank-icici");
    let (cert, key) = (fs::read(&cert_path).unwrap(), fs::read(&key_path).unwrap());
    let check = async |what: &str| {
        assert_eq!(look_twice(&server), [Look::Changing, Look::Unusable], "{what}");
        assert_eq!(look_twice(&server), [Look::Unchanged, Look::Unchanged], "{what}");
        let (.., shown) = meet(&server, &client).await.unwrap();
        assert_eq!(shown, old, "{what}");
    };
    fs::write(&cert_path, &cert[..cert.len() / 2]).unwrap();
    check("half a certificate").await;
    fs::write(&cert_path, &cert).unwrap();
    fs::copy(dir.path().join("lb-1-key.pem"), &key_path).unwrap();
    check("another's key").await;
    fs::remove_file(&key_path).unwrap();
    check("no key").await;
    fs::write(&key_path, &key).unwrap();
    crate::certs::tests::expire(dir.path(), &bank());
    check("expired").await;
    fs::write(dir.path().join(CA_FILE), "no certificate").unwrap();
    check("no authority").await;
}

#[test]
fn files_that_are_being_written_are_not_read() {
    let dir = certificates();
    let server = load(dir.path(), &bank());
    let (cert_path, _) = paths(dir.path(), "bank-icici");
    let cert = fs::read(&cert_path).unwrap();
    for length in [100, 200, 300] {
        fs::write(&cert_path, &cert[..length]).unwrap();
        assert_eq!(mutual(&server).look(), Look::Changing);
    }
    fs::write(&cert_path, &cert).unwrap();
    assert_eq!(look_twice(&server), [Look::Changing, Look::Fresh]);
}

#[tokio::test]
async fn a_running_server_notices_by_itself_and_on_hangup() {
    // From here on the signal is not the end of this process.
    let _hangups = signal(SignalKind::hangup()).unwrap();
    let dir = certificates();
    let (security, client) = (load(dir.path(), &bank()), load(dir.path(), &gateway()));
    let server = Server::bind("127.0.0.1:0", "--port", &security).await.unwrap();
    let (address, shutdown) = (server.address().to_string(), Shutdown::manual());
    let served = tokio::spawn(server.serve(Services::new(NOBODY), shutdown.clone()));
    let shown = async || {
        shown_by_server(&client.connect(&address, &Expected::AnyServer).await.expect("let in"))
    };
    for by_signal in [true, false] {
        assert_eq!(shown().await, certificate(dir.path(), &bank()));
        renew(dir.path(), &bank());
        let renewed = certificate(dir.path(), &bank());
        let noticed = async {
            while shown().await != renewed {
                if by_signal {
                    kill_process(getpid(), Signal::HUP).unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, noticed).await.expect("it notices");
    }
    shutdown.request();
    served.await.unwrap().unwrap();
}
