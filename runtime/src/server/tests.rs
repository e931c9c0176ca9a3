//! How many are served at once, and what is too large to be.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::{calls::AT_FAULT, connect, tls::Expected};

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Connects; the connection if the server takes part, `None` if it closes at once.
async fn connect(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(HTTP2_PREFACE).await.ok()?;
    let settings = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
    settings.expect("an answer or an end").ok().map(|_| stream)
}

#[tokio::test]
async fn connections_are_bounded_and_give_their_places_back() {
    let mut server = Server::bind("127.0.0.1:0", "--port", &Security::Plaintext).await.unwrap();
    server.max_connections = 2;
    let (address, shutdown) = (server.address(), Shutdown::manual());
    let served = tokio::spawn(server.serve(Services::new(&[]), shutdown.clone()));
    let first = connect(address).await.expect("there is a place");
    let second = connect(address).await.expect("there is another");
    assert!(connect(address).await.is_none(), "there is no third");
    drop(first);
    let freed = async {
        loop {
            if let Some(stream) = connect(address).await {
                return stream;
            }
        }
    };
    let third = tokio::time::timeout(PATIENCE, freed).await.expect("the place is given back");
    drop((second, third));
    shutdown.request();
    served.await.unwrap().unwrap();
}

/// Whatever the service: this is tonic's own, with the limit that all have who set none.
#[tokio::test]
async fn a_request_that_is_too_large_is_answered_by_name_and_is_its_callers_fault() {
    const LIMIT: usize = 4 << 20;
    let server = Server::bind("127.0.0.1:0", "--port", &Security::Plaintext).await.unwrap();
    let (address, shutdown) = (server.address().to_string(), Shutdown::manual());
    let tracker = LoadTracker::new(0);
    let services = Services::new(&[]).tracked(&["/grpc.health.v1.Health/"], tracker.clone());
    let served = tokio::spawn(server.serve(services, shutdown.clone()));
    let channel = connect::direct(&address, Expected::LB, &Security::Plaintext).unwrap();
    let mut health = HealthClient::new(channel).max_encoding_message_size(usize::MAX);
    let check = |bytes: usize| HealthCheckRequest { service: "x".repeat(bytes) };
    let refused = health.check(check(LIMIT)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    // The field has a head of five bytes.
    let said = format!("the message has {} bytes, more than the {LIMIT} ", LIMIT + 5);
    assert!(refused.message().starts_with(&said), "{refused}");
    assert_eq!(refused.metadata().get(AT_FAULT.as_str()).unwrap(), "caller");
    let unknown = health.check(check(LIMIT - 5)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "not too large: {unknown}");

    // Of metadata that is too large HTTP itself says so, and gRPC has no word for that.
    let mut request = Request::new(check(0));
    request.metadata_mut().insert("large", "x".repeat(20 << 10).parse().unwrap());
    let refused = health.check(request).await.unwrap_err();
    assert!(refused.message().contains("HTTP status code 431"), "{refused}");
    assert!(health.check(check(0)).await.is_ok(), "the connection goes on");
    shutdown.request();
    served.await.unwrap().unwrap();
}
