//! The page over a real socket, as a scraper sees it.

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

use super::*;
use crate::{
    http::{MAX_CONNECTIONS, MAX_HEADER_BYTES},
    metrics::{
        Recorded,
        tests::{balancer, limits},
    },
};

/// No answer takes longer unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

async fn start() -> (SocketAddr, Shutdown, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let balancer = Arc::new(balancer());
    let metrics = Metrics::new(NonZeroUsize::MIN, limits(), Recorded::default());
    let shutdown = Shutdown::manual();
    let mut served = JoinSet::new();
    served.spawn(serve(listener, metrics, balancer, shutdown.clone()));
    (address, shutdown, served)
}

/// Sends bytes and reads until the connection ends: headers and body.
async fn exchange(address: SocketAddr, request: &str) -> (String, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_owned(), body.to_owned())
    };
    time::timeout(PATIENCE, exchange).await.unwrap()
}

async fn check(address: SocketAddr, method: &str, path: &str, status: u16, expected: &str) {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: here\r\n\r\n");
    let (head, body) = exchange(address, &request).await;
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {head}");
    assert!(head.contains("connection: close"), "one request a connection: {head}");
    assert!(body.starts_with(expected), "{method} {path}: {body}");
}

#[tokio::test]
async fn the_page_is_served_as_prometheus_expects_it() {
    let (address, _shutdown, _served) = start().await;
    check(address, "GET", "/metrics", 200, "# HELP strife_lb_build_info ").await;
    check(address, "GET", "/metrics?whatever", 200, "# HELP ").await;
    let (head, body) = exchange(address, "GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(body.contains("\nstrife_lb_endpoint_ready{pool=\"default\""), "{body}");
}

#[tokio::test]
async fn whoever_asks_while_the_page_is_made_waits_and_nobody_else_does() {
    let page = Page {
        metrics: Metrics::new(NonZeroUsize::MIN, limits(), Recorded::default()),
        balancer: Arc::new(balancer()),
        shutdown: Shutdown::manual(),
        turn: Arc::default(),
    };
    let turn = page.turn.clone().lock_owned().await;
    let mut asked = std::pin::pin!(page.rendered());
    assert!(futures_util::poll!(asked.as_mut()).is_pending());
    drop(turn);
    assert!(asked.await.starts_with("# HELP "));
    let (address, _shutdown, _served) = start().await;
    let scrape = || check(address, "GET", "/metrics", 200, "# HELP ");
    futures_util::future::join_all((0..2 * MAX_CONNECTIONS).map(|_| scrape())).await;
}

#[tokio::test]
async fn health_says_when_the_balancer_drains_and_the_page_stays() {
    let (address, shutdown, _served) = start().await;
    check(address, "GET", "/healthz", 200, "ready\n").await;
    shutdown.request();
    check(address, "GET", "/healthz", 503, "draining\n").await;
    check(address, "GET", "/metrics", 200, "# HELP ").await;
}

#[tokio::test]
async fn anything_else_is_refused() {
    let (address, _shutdown, _served) = start().await;
    check(address, "GET", "/", 404, "there are /metrics and /healthz").await;
    check(address, "POST", "/metrics", 405, "GET only").await;
    let (head, body) = exchange(address, "HEAD /metrics HTTP/1.1\r\nhost: here\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body.is_empty(), "{head}");
    let (head, _) = exchange(address, "\x16\x03\x01 not HTTP at all\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(4 * MAX_HEADER_BYTES));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // May be cut off before it was all sent.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut first = [0; 12];
    if stream.read_exact(&mut first).await.is_ok() {
        assert!(first.starts_with(b"HTTP/1.1 4"), "{first:?}");
    }
    check(address, "GET", "/healthz", 200, "ready\n").await;
}

#[tokio::test]
async fn silent_connections_hold_up_others_only_while_they_are_there() {
    let (address, _shutdown, _served) = start().await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let next = tokio::spawn(check(address, "GET", "/healthz", 200, "ready\n"));
    drop(silent.pop());
    time::timeout(PATIENCE, next).await.unwrap().unwrap();
}
