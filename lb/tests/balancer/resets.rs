//! Stream resets cross the balancer in both directions with the code they were sent with.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{Reason, RecvStream, client, server};
use http::{Request, Response, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::fleet::{Fleet, PATIENCE};

/// Speaks HTTP/2 by hand: resets streams as the path asks, and tells which it was sent.
struct RawServer {
    address: SocketAddr,
    resets: mpsc::Receiver<Reason>,
}

impl RawServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (told, resets) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, told.clone()));
            }
        });
        Self { address, resets }
    }

    async fn reset(&mut self) -> Reason {
        let reset = tokio::time::timeout(PATIENCE, self.resets.recv()).await;
        reset.expect("a reset arrives").expect("the server runs")
    }
}

async fn serve(stream: TcpStream, told: mpsc::Sender<Reason>) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, told.clone()));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    told: mpsc::Sender<Reason>,
) {
    let head = || Response::builder().header("content-type", "application/grpc");
    let (head, unimplemented) = (head().body(()), head().header("grpc-status", "12").body(()));
    let (head, unimplemented) = (head.expect("valid"), unimplemented.expect("valid"));
    match request.uri().path() {
        "/reset/early" => respond.send_reset(Reason::REFUSED_STREAM),
        "/reset/late" => {
            let mut body = respond.send_response(head, false).expect("the stream is open");
            body.send_data(Bytes::from_static(b"some"), false).expect("the stream is open");
            // Not before the client has read what was sent: a reset overtakes data.
            let mut request = request.into_body();
            request.data().await.expect("the client says so").expect("the stream is open");
            body.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
        "/reset/never" => {
            let mut body = respond.send_response(head, false).expect("the stream is open");
            let reason = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
            let _ = told.send(reason.expect("the connection lives")).await;
        }
        // Health checks.
        _ => drop(respond.send_response(unimplemented, true)),
    }
}

/// A stream through the balancer, opened by hand.
async fn open(fleet: &Fleet, path: &str) -> (client::ResponseFuture, h2::SendStream<Bytes>) {
    let stream = TcpStream::connect(fleet.listen).await.expect("the balancer listens");
    let (client, connection) = client::handshake(stream).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let mut client = client.ready().await.expect("streams are allowed");
    let uri = format!("http://localhost{path}");
    let request = Request::post(uri).header("te", "trailers").body(()).expect("valid");
    client.send_request(request, false).expect("the stream opens")
}

#[tokio::test]
async fn a_servers_reset_reaches_the_client_as_it_was() {
    let server = RawServer::start().await;
    let fleet = Fleet::start(&format!("--pool default={}", server.address)).await;
    let (response, _request) = open(&fleet, "/reset/early").await;
    assert_eq!(response.await.unwrap_err().reason(), Some(Reason::REFUSED_STREAM));
    let (response, mut request) = open(&fleet, "/reset/late").await;
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "some");
    request.send_data(Bytes::from_static(b"read"), false).unwrap();
    let error = body.data().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    fleet.wait_for(|endpoints| endpoints[0].failed == 2).await;
}

#[tokio::test]
async fn a_clients_reset_reaches_the_server() {
    let mut server = RawServer::start().await;
    let fleet = Fleet::start(&format!("--pool default={}", server.address)).await;
    let (response, mut request) = open(&fleet, "/reset/never").await;
    let response = response.await.unwrap();
    request.send_reset(Reason::CANCEL);
    assert_eq!(server.reset().await, Reason::CANCEL);
    drop(response);
    fleet.wait_for(|endpoints| endpoints[0].in_flight == 0).await;
    let endpoint = fleet.pool().await.endpoints.remove(0);
    assert_eq!((endpoint.calls, endpoint.failed), (1, 0));
}
