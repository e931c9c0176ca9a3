//! Peers that begin and do not go on, or so slowly that it makes no difference (slow loris).

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use strife_fleet::BankSpec;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    frames::{PREFACE, announced, continuation, flag, headers, kind, open_headers, settings},
    header,
    peer::PATIENCE,
    scene::Scene,
};
use crate::support::{boot, validate};

/// Connections of each kind.
const CONNECTIONS: usize = 20;
/// Between two bytes of a drip: far below every timeout on a connection that says nothing at all.
const DRIP: Duration = Duration::from_millis(100);
/// The first bytes of a TLS handshake: a record that announces a client's hello of 512 bytes.
const HALF_A_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

/// Sends these bytes and no more; reads until the other side has ended the connection.
async fn stop_after(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The balancer may have ended it before all was sent; then reading fails at once.
    let _ = stream.write_all(bytes).await;
    until_closed(&mut stream).await;
}

async fn until_closed(stream: &mut TcpStream) {
    let mut received = [0; 1024];
    let closed = async { while let Ok(1..) = stream.read(&mut received).await {} };
    timeout(PATIENCE, closed).await.expect("the balancer ends the connection");
}

/// Sends a byte of these at a time.
async fn drip(address: SocketAddr, start: &[u8], bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(start).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let dripping = async {
        for byte in bytes {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(DRIP).await;
        }
        panic!("all of it was taken");
    };
    let mut received = [0; 1024];
    let reading = async { while let Ok(1..) = reader.read(&mut received).await {} };
    let ended = async {
        tokio::select! {
            () = dripping => {}
            () = reading => {}
        }
    };
    timeout(PATIENCE, ended).await.expect("the balancer ends the connection");
}

#[tokio::test]
async fn clients_that_stop_halfway_are_let_go() {
    let scene = Scene::start(&["--handshake-timeout", "2s"]).await;
    let address = scene.balancer.listen;
    let before = scene.balancer.descriptors();
    let greeting = [PREFACE, &settings(&[])].concat();
    let then = |bytes: Vec<u8>| [&greeting[..], &bytes].concat();
    let open = headers(1, flag::NONE, &header::request());
    let halves = [
        Vec::new(),
        PREFACE[..5].to_vec(),
        PREFACE.to_vec(),
        [PREFACE, &settings(&[])[..4]].concat(),
        then(announced(8, kind::PING, flag::NONE, 0)[..5].to_vec()),
        then(announced(8, kind::PING, flag::NONE, 0)),
        then(open_headers(1, flag::NONE, &header::request())),
        then(open_headers(1, flag::END_STREAM, b"")),
        then([open, announced(1000, kind::DATA, flag::NONE, 1)].concat()),
    ];
    let attacks = halves
        .iter()
        .flat_map(|half| std::iter::repeat_with(|| stop_after(address, half)).take(CONNECTIONS));
    scene.amid(join_all(attacks)).await;
    scene.until_forgotten(before).await;
    scene.end().await;
}

/// Each byte comes well before any timeout on silence, and all of them too late.
#[tokio::test]
async fn clients_that_drip_are_let_go() {
    let scene = Scene::start(&["--handshake-timeout", "2s"]).await;
    let address = scene.balancer.listen;
    let greeting = [PREFACE, &settings(&[])].concat();
    let frame = [announced(1000, kind::UNKNOWN, flag::NONE, 0), vec![0; 1000]].concat();
    let block = [&header::request()[..], &header::literal("x-long", &"x".repeat(1000))].concat();
    let request = open_headers(1, flag::NONE, &block);
    let many = settings(&[(9, 9); 20]);
    let begun = [&greeting[..], &open_headers(1, flag::NONE, &header::request())].concat();
    let fragments = continuation(1, b"").repeat(15);
    scene
        .amid(async {
            tokio::join!(
                drip(address, b"", &greeting),
                drip(address, PREFACE, &many),
                drip(address, &greeting, &frame),
                drip(address, &greeting, &request),
                drip(address, &begun, &fragments),
            )
        })
        .await;
    scene.end().await;
}

#[tokio::test]
async fn clients_that_stop_in_the_tls_handshake_are_let_go() {
    let booted = boot(|spec| {
        spec.banks = vec![BankSpec::new("icici", 1)];
        spec.gateway = false;
    })
    .await;
    let address = booted.fleet.balancer().parse().unwrap();
    let request = validate(booted.account("icici", 0));
    let mut bank = booted.bank("icici");
    bank.validate_account(request.clone()).await.unwrap();
    let starts: [&[u8]; 4] = [b"", &HALF_A_HELLO[..1], HALF_A_HELLO, PREFACE];
    let attacks = starts
        .iter()
        .flat_map(|start| std::iter::repeat_with(|| stop_after(address, start)).take(CONNECTIONS));
    let others = async {
        loop {
            bank.validate_account(request.clone()).await.expect("others are served");
            sleep(DRIP).await;
        }
    };
    tokio::select! {
        _ = join_all(attacks) => {}
        () = others => {}
    }
    bank.validate_account(request.clone()).await.unwrap();
}
