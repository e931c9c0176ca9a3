//! Deadlines that nobody but the balancer keeps: the server never answers, the client never gives up.

use strife_interop::pb::SimpleRequest;
use tokio::sync::mpsc;

use super::{
    balancer::{Balancer, Links},
    caller::Caller,
    raw::{CANCEL, Connection, RST_STREAM, listen},
};

/// How many seconds, at most, the server is told to have.
const TIMEOUT: (&str, &str) = ("grpc-timeout", "300m");

/// What the server does with a call before it falls silent.
#[derive(Clone, Copy)]
enum Silence {
    /// It is read.
    AtOnce,
    /// Its headers are answered.
    AfterHeaders,
}

/// Calls a silent server; the client's answer, and the code the server's stream was reset with.
async fn call(silence: Silence) -> (super::caller::Answer, u32) {
    let (reset, mut resets) = mpsc::channel(1);
    let server = listen(&[], move |mut connection: Connection| {
        let reset = reset.clone();
        async move {
            let stream = connection.request().await?;
            if matches!(silence, Silence::AfterHeaders) {
                connection.write_headers(stream).await?;
            }
            loop {
                let frame = connection.next().await?;
                if frame.kind == RST_STREAM && frame.stream == stream {
                    reset.send(frame.code()).await.unwrap();
                }
            }
        }
    });
    let balancer = Balancer::start(&[server.await], &Links::plaintext()).await;
    let caller = Caller::connect(balancer.address()).await;
    let call = caller.call("UnaryCall", &SimpleRequest::default(), &[TIMEOUT]).await;
    let answer = tokio::time::timeout(super::PATIENCE, call.answer()).await;
    let answer = answer.expect("the balancer answers in place of the server").unwrap();
    let code = tokio::time::timeout(super::PATIENCE, resets.recv()).await;
    (answer, code.expect("the server's stream ends").unwrap())
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let (answer, code) = call(Silence::AtOnce).await;
    assert_eq!(answer.headers.get("grpc-status").unwrap(), "4", "trailers only: {answer:?}");
    assert!(answer.body.is_empty() && answer.trailers.is_empty(), "{answer:?}");
    assert_eq!(code, CANCEL);
}

#[tokio::test]
async fn a_server_that_falls_silent_after_its_headers() {
    let (answer, code) = call(Silence::AfterHeaders).await;
    assert_eq!(answer.headers.get("grpc-status"), None, "these came from the server");
    assert_eq!(answer.trailers.get("grpc-status").unwrap(), "4", "{answer:?}");
    assert_eq!(code, CANCEL);
}
