//! Who gets the dashboard: this machine in the clear, operators by their certificates, nobody else; a
//! successor goes on with it; and what a server says of itself stays text.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode};
use strife_runtime::{Security, tls::Expected};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_server::{Health, HealthServer},
};

use super::browser::Browser;
use crate::{
    interop::{
        ANYWHERE,
        balancer::{Balancer, Links},
        tonic_server,
    },
    support::{PATIENCE, refused},
};

/// Asks in the clear and reads until the connection ends.
async fn get(address: SocketAddr, path: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

/// Asks with a certificate, as browsers do: over HTTP/2.
async fn get_as(security: &Security, port: u16, path: &str) -> (StatusCode, Bytes) {
    let exchange = async {
        let stream = security.connect(&format!("127.0.0.1:{port}"), &Expected::LB).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("https://localhost:{port}{path}")).body(()).unwrap();
        let (answer, _) = client.ready().await.unwrap().send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        let (status, mut body) = (answer.status(), answer.into_body());
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            text.extend_from_slice(&piece.unwrap());
        }
        (status, text.into())
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

#[test]
fn strangers_are_not_let_in_in_the_clear() {
    refused(
        &[
            "lb",
            "--plaintext",
            "--pool",
            "default=127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--dashboard",
            "0.0.0.0:0",
        ],
        2,
        &["--dashboard 0.0.0.0:", "listen on 127.0.0.1", "leave out --plaintext"],
    );
}

#[tokio::test]
async fn on_other_addresses_only_operators_are_let_in() {
    let links = Links::tls();
    let server = tonic_server(&links).await;
    let flags = ["--dashboard", "0.0.0.0:0"];
    let balancer = Balancer::start_with(&[server.address], &links, &flags).await;
    let port = balancer.other("dashboard").port();
    let (status, page) = get_as(&links.operator(), port, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.starts_with(b"<!doctype html>"));
    for path in ["/", "/api/state"] {
        let (status, answer) = get_as(&links.client(), port, path).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert!(String::from_utf8_lossy(&answer).contains("admin-1.pem"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_successor_goes_on_with_it() {
    let links = Links::plaintext();
    let server = tonic_server(&links).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lb.sock").display().to_string();
    let flags = ["--handover", &path, "--dashboard", "127.0.0.1:0"];
    let first = Balancer::start_with(&[server.address], &links, &flags).await;
    let second = Balancer::start_with(&[server.address], &links, &flags).await;
    let address = second.other("dashboard");
    assert_eq!(address, first.other("dashboard"));
    first.process.ended().await;
    assert!(get(address, "/api/state").await.contains(&server.address.to_string()));
}

/// A server that is not well, and says so in HTML.
struct Hostile;

const HTML: &str =
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>";

#[tonic::async_trait]
impl Health for Hostile {
    type WatchStream = tokio_stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Err(Status::internal(HTML))
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::internal(HTML))
    }
}

#[tokio::test]
async fn what_a_server_says_of_itself_stays_text() {
    let Some(mut browser) = Browser::start().await else { return };
    let listener = TcpListener::bind(ANYWHERE).await.unwrap();
    let address = listener.local_addr().unwrap();
    let hostile = tonic::transport::Server::builder().add_service(HealthServer::new(Hostile));
    tokio::spawn(hostile.serve_with_incoming(TcpListenerStream::new(listener)));
    let flags = ["--dashboard", "127.0.0.1:0"];
    let balancer = Balancer::start_with(&[address], &Links::plaintext(), &flags).await;
    let origin = format!("http://{}", balancer.other("dashboard"));
    browser.open(&origin).await;
    browser.until("document.querySelector('.chip')?.textContent === 'TRANSIENT_FAILURE'").await;
    browser.until("document.querySelector('.why').textContent.includes('<script>')").await;
    assert_eq!(browser.evaluate("document.querySelector('.why').children.length").await, 0);
    assert_eq!(browser.evaluate("document.title").await, "0/1 default · Strife");
    browser.check_behaved(&origin);
}
