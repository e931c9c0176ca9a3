//! Calls that do not move hold up themselves and nobody else, however many they are.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{RecvStream, SendStream, client, server};
use http::{HeaderMap, Request, Response};
use strife_proto::lb::v1::EndpointState;
use tokio::net::{TcpListener, TcpStream};

use crate::fleet::{Fleet, PATIENCE};

/// What does not fit in the window of a stream.
const LARGE: Bytes = Bytes::from_static(&[b'x'; 300_000]);
/// The bytes of [`LARGE`], as the server that read them says.
const LARGE_LENGTH: &str = "300000";

type Client = client::SendRequest<Bytes>;
type Answer = (Response<RecvStream>, SendStream<Bytes>);

/// A server that answers as the path asks, on every connection with this limit.
async fn start_server(max_streams: u32) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // Uploads nobody reads must not fill the server's own window of the connection.
                let mut builder = server::Builder::new();
                builder.max_concurrent_streams(max_streams).initial_window_size(1024);
                builder.initial_connection_window_size(1 << 30);
                let Ok(mut connection) = builder.handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            });
        }
    });
    address
}

async fn answer(request: Request<RecvStream>, mut respond: server::SendResponse<Bytes>) {
    let head = || Response::builder().header("content-type", "application/grpc");
    match request.uri().path() {
        "/download" => {
            let head = head().body(()).expect("valid");
            let mut body = respond.send_response(head, false).expect("the stream is open");
            body.send_data(LARGE, false).expect("the stream is open");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().expect("valid"));
            body.send_trailers(trailers).expect("the stream is open");
        }
        "/upload" => {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(Ok(data)) = body.data().await {
                length += data.len();
                body.flow_control().release_capacity(data.len()).expect("it was received");
            }
            let head = head().header("length", length).header("grpc-status", "0").body(());
            respond.send_response(head.expect("valid"), true).expect("the stream is open");
        }
        "/hang" => {
            let head = head().body(()).expect("valid");
            let mut body = respond.send_response(head, false).expect("the stream is open");
            let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
        }
        // Health checks.
        _ => {
            let unimplemented = head().header("grpc-status", "12").body(()).expect("valid");
            respond.send_response(unimplemented, true).expect("the stream is open");
        }
    }
}

/// A client that takes no more than `window` bytes of an answer that is not read.
async fn connect(fleet: &Fleet, window: u32) -> Client {
    let stream = TcpStream::connect(fleet.listen).await.expect("the balancer listens");
    let mut builder = client::Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(1 << 30);
    let (client, connection) = builder.handshake(stream).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    client
}

/// Sends a request without waiting for what becomes of it.
async fn start(client: &Client, path: &str) -> (client::ResponseFuture, SendStream<Bytes>) {
    let mut client = client.clone().ready().await.expect("streams are allowed");
    let uri = format!("http://localhost{path}");
    let request = Request::post(uri).header("te", "trailers").body(()).expect("valid");
    client.send_request(request, false).expect("the stream opens")
}

/// A call whose answer has begun.
async fn open(client: &Client, path: &str) -> Answer {
    let (response, request) = start(client, path).await;
    let response = tokio::time::timeout(PATIENCE, response).await;
    (response.expect("an answer in time").expect("an answer"), request)
}

async fn download(client: &Client) -> usize {
    let (response, _request) = open(client, "/download").await;
    let mut body = response.into_body();
    let reading = async {
        let mut length = 0;
        while let Some(data) = body.data().await {
            let data = data.expect("the answer goes on");
            length += data.len();
            body.flow_control().release_capacity(data.len()).expect("it was received");
        }
        length
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the whole answer in time")
}

fn grpc_status(response: &Response<RecvStream>) -> &str {
    response.headers().get("grpc-status").map_or("", |status| status.to_str().expect("a number"))
}

/// More stalled answers than one connection to the endpoint has room for.
#[tokio::test]
async fn clients_that_read_nothing_leave_the_endpoint_to_others() {
    let address = start_server(100_000).await;
    let fleet = Fleet::start(&format!("--pool default={address} --threads 1")).await;
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let client = connect(&fleet, 0).await;
        for _ in 0..600 {
            stalled.push(open(&client, "/download").await);
        }
    }
    let other = connect(&fleet, 65_535).await;
    for _ in 0..3 {
        assert_eq!(download(&other).await, LARGE.len());
    }
    drop(stalled);
}

/// As many stalled uploads as a client may have, less one.
#[tokio::test]
async fn uploads_that_nobody_reads_leave_the_connection_to_others() {
    let address = start_server(100_000).await;
    let flags = format!("--pool default={address} --threads 1 --max-streams 301");
    let fleet = Fleet::start(&flags).await;
    let client = connect(&fleet, 65_535).await;
    let mut stalled = Vec::new();
    for _ in 0..300 {
        let (response, mut request) = open(&client, "/hang").await;
        request.send_data(LARGE, false).expect("the stream is open");
        stalled.push((response, request));
    }
    let (response, mut request) = start(&client, "/upload").await;
    request.send_data(LARGE, true).expect("the stream is open");
    let response = tokio::time::timeout(PATIENCE, response).await.expect("in time").unwrap();
    assert_eq!(response.headers()["length"], LARGE_LENGTH);
    drop(stalled);
}

/// Eight connections, one stream each, are all an endpoint gets.
#[tokio::test]
async fn a_full_endpoint_refuses_in_time() {
    let address = start_server(1).await;
    let flags = format!("--pool default={address} --threads 1 --ready-timeout 2s");
    let fleet = Fleet::start(&flags).await;
    let client = connect(&fleet, 65_535).await;
    let mut hanging = Vec::new();
    for _ in 0..8 {
        hanging.push(open(&client, "/hang").await);
    }
    let (refused, _) = open(&client, "/hang").await;
    assert_eq!(grpc_status(&refused), "8", "{refused:?}");
    let endpoint = fleet.pool().await.endpoints.remove(0);
    assert_eq!((endpoint.in_flight, endpoint.failed), (8, 0), "a full endpoint has not failed");
}

#[tokio::test]
async fn a_call_is_sent_past_a_full_endpoint() {
    let (first, second) = (start_server(1).await, start_server(1).await);
    let flags = format!(
        "--pool default={first},{second} --policy pick_first --threads 1 --ready-timeout 20s"
    );
    let fleet = Fleet::start(&flags).await;
    fleet
        .wait_for(|endpoints| endpoints.iter().all(|one| one.state() == EndpointState::Ready))
        .await;
    let client = connect(&fleet, 65_535).await;
    let mut hanging = Vec::new();
    for _ in 0..9 {
        hanging.push(open(&client, "/hang").await);
    }
    let endpoints = fleet.pool().await.endpoints;
    assert_eq!(endpoints.iter().map(|one| one.calls).collect::<Vec<_>>(), [8, 1]);
}

#[tokio::test]
async fn a_call_waits_for_a_stream_that_comes_free() {
    let address = start_server(1).await;
    let flags = format!("--pool default={address} --threads 1 --ready-timeout 20s");
    let fleet = Fleet::start(&flags).await;
    let client = connect(&fleet, 65_535).await;
    let mut hanging = Vec::new();
    for _ in 0..8 {
        hanging.push(open(&client, "/hang").await);
    }
    let (waiting, _request) = start(&client, "/hang").await;
    fleet.wait_for(|endpoints| endpoints[0].in_flight == 9).await;
    let (_, mut request) = hanging.remove(0);
    request.send_reset(h2::Reason::CANCEL);
    let response = tokio::time::timeout(PATIENCE, waiting).await.expect("in time").unwrap();
    assert_eq!(grpc_status(&response), "");
}
