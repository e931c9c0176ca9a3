//! gRPC's negative HTTP/2 cases (`doc/negative-http2-test-descriptions.md`): servers that misbehave on
//! purpose, behind the balancer.
//!
//! The balancer is the client of such a server and its client's server, so what the cases ask of a client
//! is asked of the two together. Where that is another thing than the description says, the case says so.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use futures_util::future::join_all;
use prost::Message;
use strife_interop::pb::{Payload, SimpleRequest, SimpleResponse};
use tokio::{sync::mpsc, time::Duration};

use super::{
    balancer::{Balancer, Links},
    caller::Caller,
    raw::{
        ACK, Connection, DATA, END_HEADERS, END_STREAM, HEADERS, MAX_CONCURRENT_STREAMS, NO_ERROR,
        PING, REFUSED_STREAM, framed, hand_written_status, listen,
    },
};

/// Bytes of payload these servers answer with, whatever was asked for.
const SIZE: usize = 1024;
/// Events a test may have left unread.
const EVENTS: usize = 64;
/// Calls wait for as long as any test takes until there is a connection, or a place on one.
const PATIENT: [&str; 2] = ["--ready-timeout", "60s"];

fn request() -> SimpleRequest {
    let payload = Some(Payload { r#type: 0, body: vec![0; 271_828].into() });
    SimpleRequest { response_size: 314_159, payload, ..SimpleRequest::default() }
}

fn response() -> SimpleResponse {
    let payload = Some(Payload { r#type: 0, body: vec![0; SIZE].into() });
    SimpleResponse { payload, ..SimpleResponse::default() }
}

/// The server of `goaway`: the first call of every connection is answered, and that it is the last was said
/// before. Tells the numbers of the connections with calls.
pub(crate) async fn goaway_server() -> (SocketAddr, mpsc::Receiver<usize>) {
    let (seen, calls) = mpsc::channel(EVENTS);
    let server = listen(&[], move |mut connection: Connection| {
        let seen = seen.clone();
        async move {
            let stream = connection.request().await?;
            seen.send(connection.number).await.unwrap();
            connection.go_away(stream).await?;
            connection.answer(stream, &response().encode_to_vec()).await?;
            connection.rest().await;
            Ok(())
        }
    });
    (server.await, calls)
}

/// `goaway`: the client's connection is not the server's. It goes on, and the second call takes a new
/// upstream connection.
#[tokio::test]
async fn goaway() {
    let (server, mut calls) = goaway_server().await;
    let balancer = Balancer::start_with(&[server], &Links::plaintext(), &PATIENT).await;
    let client = balancer.target("goaway").client();
    for expected in 0..2 {
        let answer = client.clone().unary_call(request()).await.unwrap();
        assert_eq!(answer.into_inner(), response());
        assert_eq!(calls.recv().await, Some(expected), "a connection for each call");
    }
}

/// The harder half of `goaway`: of two calls under way one is beyond `last_stream_id`. Nobody looked at
/// it, so that it can be sent again (RFC 9113, section 8.7), and the balancer does it.
#[tokio::test]
async fn a_call_beyond_the_last_stream_runs_elsewhere() {
    let server = listen(&[], |mut connection: Connection| async move {
        let is_first = connection.number == 0;
        let stream = connection.request().await?;
        if is_first {
            connection.request().await?;
            connection.go_away(stream).await?;
        }
        connection.answer(stream, &response().encode_to_vec()).await?;
        connection.rest().await;
        Ok(())
    });
    let servers = [server.await];
    let balancer = Balancer::start_with(&servers, &Links::plaintext(), &PATIENT).await;
    let caller = Caller::connect(balancer.address()).await;
    let small = SimpleRequest::default();
    let calls =
        [caller.call("UnaryCall", &small, &[]).await, caller.call("UnaryCall", &small, &[]).await];
    for answer in join_all(calls.map(|call| call.answer())).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), Some("0"), "{answer:?}");
        assert_eq!(answer.body, framed(&response().encode_to_vec()));
    }
}

/// What a server sends before it resets the stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Headers,
    HalfTheData,
    AllTheData,
}

/// The server of `rst_…`: the first call of a connection is reset with NO_ERROR, those after it are answered.
pub(crate) async fn reset_server(until: Until) -> SocketAddr {
    let server = listen(&[], move |mut connection: Connection| async move {
        let stream = connection.request().await?;
        connection.write_headers(stream).await?;
        let message = framed(&response().encode_to_vec());
        let sent = match until {
            Until::Headers => 0,
            Until::HalfTheData => message.len() / 2,
            Until::AllTheData => message.len(),
        };
        if sent > 0 {
            connection.write(DATA, 0, stream, &message[..sent]).await?;
        }
        connection.reset(stream, NO_ERROR).await?;
        loop {
            let stream = connection.request().await?;
            connection.answer(stream, &response().encode_to_vec()).await?;
        }
    });
    server.await
}

/// The call fails, and no balancer makes a success of it. The next call on the client's connection goes well.
async fn reset(until: Until) {
    let server = reset_server(until).await;
    let balancer = Balancer::start(&[server], &Links::plaintext()).await;
    let caller = Caller::connect(balancer.address()).await;
    match caller.call("UnaryCall", &request(), &[]).await.answer().await {
        Err(error) => assert!(error.is_reset(), "{error}"),
        Ok(answer) => {
            let status = answer.status();
            assert!(status.is_some_and(|status| status != "0"), "{until:?}: {status:?}");
        }
    }
    let answer = caller.call("UnaryCall", &request(), &[]).await.answer().await.unwrap();
    assert_eq!(answer.status(), Some("0"), "{answer:?}");
}

#[tokio::test]
async fn rst_after_header() {
    reset(Until::Headers).await;
}

#[tokio::test]
async fn rst_during_data() {
    reset(Until::HalfTheData).await;
}

#[tokio::test]
async fn rst_after_data() {
    reset(Until::AllTheData).await;
}

/// `ping`: before and after the headers, before and after the data. The balancer acknowledges all of them,
/// as the server's client; its own client sees none.
#[tokio::test]
async fn ping() {
    let (acknowledged, mut acknowledgements) = mpsc::channel(EVENTS);
    let server = listen(&[], move |mut connection: Connection| {
        let acknowledged = acknowledged.clone();
        async move {
            let stream = connection.request().await?;
            connection.write(PING, 0, 0, &[1; 8]).await?;
            connection.write_headers(stream).await?;
            connection.write(PING, 0, 0, &[2; 8]).await?;
            let message = framed(&response().encode_to_vec());
            connection.write(DATA, 0, stream, &message).await?;
            connection.write(PING, 0, 0, &[3; 8]).await?;
            connection.write_trailers(stream).await?;
            loop {
                let frame = connection.next().await?;
                if frame.kind == PING && frame.flags == ACK {
                    acknowledged.send(frame.payload).await.unwrap();
                }
            }
        }
    });
    let balancer = Balancer::start(&[server.await], &Links::plaintext()).await;
    let answer = balancer.target("ping").client().unary_call(request()).await.unwrap();
    assert_eq!(answer.into_inner(), response());
    for number in 1..=3 {
        assert_eq!(acknowledgements.recv().await, Some(vec![number; 8]));
    }
}

/// How long the server of `max_streams` gives its client to break the limit, before each answer.
const TEMPTATION: Duration = Duration::from_millis(20);

/// `max_streams`: one stream at a time. The balancer may open more connections, and wait; what it may not
/// do is exceed the limit once it knows it, or fail a call for it.
#[tokio::test]
async fn max_streams() {
    const LIMIT: &[(u16, u32)] = &[(MAX_CONCURRENT_STREAMS, 1)];
    let violations = Arc::new(AtomicUsize::new(0));
    let counted = violations.clone();
    let server = listen(LIMIT, move |mut connection: Connection| {
        let counted = counted.clone();
        async move {
            loop {
                let stream = connection.request().await?;
                while let Ok(frame) = tokio::time::timeout(TEMPTATION, connection.next()).await {
                    let frame = frame?;
                    if frame.kind == HEADERS {
                        counted.fetch_add(usize::from(connection.settled), Relaxed);
                        connection.reset(frame.stream, REFUSED_STREAM).await?;
                    }
                }
                connection.answer(stream, &response().encode_to_vec()).await?;
            }
        }
    });
    let servers = [server.await];
    let balancer = Balancer::start_with(&servers, &Links::plaintext(), &PATIENT).await;
    let client = balancer.target("max_streams").client();
    client.clone().unary_call(request()).await.unwrap();
    let calls = (0..10).map(|_| {
        let mut client = client.clone();
        async move { client.unary_call(request()).await }
    });
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().into_inner(), response());
    }
    assert_eq!(violations.load(Relaxed), 0, "streams beyond the limit");
}

/// Not one of gRPC's cases, but what its servers do. The call gets its answer, and the others on that
/// connection theirs.
#[tokio::test]
async fn a_first_block_written_by_hand() {
    let server = listen(&[], |mut connection: Connection| async move {
        let stream = connection.request().await?;
        let block = hand_written_status(b"4");
        connection.write(HEADERS, END_HEADERS | END_STREAM, stream, &block).await?;
        loop {
            let stream = connection.request().await?;
            connection.answer(stream, &response().encode_to_vec()).await?;
        }
    });
    let balancer = Balancer::start(&[server.await], &Links::plaintext()).await;
    let caller = Caller::connect(balancer.address()).await;
    for expected in ["4", "0"] {
        let call = caller.call("UnaryCall", &request(), &[]).await;
        assert_eq!(call.answer().await.unwrap().status(), Some(expected));
    }
}
