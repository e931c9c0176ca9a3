//! Flow control from end to end: what a client does not read stays with the server, not in the balancer.

use strife_interop::pb::{
    Payload, ResponseParameters, SimpleRequest, StreamingInputCallRequest,
    StreamingOutputCallRequest, StreamingOutputCallResponse,
};
use tonic::Streaming;

use super::{
    balancer::{Balancer, Links},
    tonic_server,
};

const MESSAGE: usize = 1 << 20;
/// Messages before the balancer's memory is first looked at, and altogether.
const WARM_UP: usize = 32;
const MESSAGES: usize = 256;
/// Memory the balancer may take for a stream that long, or one that is stalled: generous, and a fraction of
/// what goes through.
const GROWTH: u64 = 32 << 20;

fn responses(count: usize, size: usize) -> StreamingOutputCallRequest {
    let size = i32::try_from(size).unwrap();
    let one = ResponseParameters { size, ..ResponseParameters::default() };
    StreamingOutputCallRequest {
        response_parameters: vec![one; count],
        ..StreamingOutputCallRequest::default()
    }
}

async fn read(stream: &mut Streaming<StreamingOutputCallResponse>, count: usize) {
    for _ in 0..count {
        let message = stream.message().await.unwrap().expect("there is more");
        assert_eq!(message.payload.map(|payload| payload.body.len()), Some(MESSAGE));
    }
}

#[track_caller]
fn check_memory(balancer: &Balancer, before: u64) {
    let grown = balancer.process.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH, "{} MiB more", grown >> 20);
}

#[tokio::test]
async fn a_long_answer_passes_at_constant_memory() {
    let links = Links::plaintext();
    let server = tonic_server(&links).await;
    let balancer = Balancer::start(&[server.address], &links).await;
    let mut client = balancer.target("flow").client();
    let call = client.streaming_output_call(responses(MESSAGES, MESSAGE)).await;
    let mut stream = call.unwrap().into_inner();
    read(&mut stream, WARM_UP).await;
    let before = balancer.process.resident_bytes();
    read(&mut stream, MESSAGES - WARM_UP).await;
    check_memory(&balancer, before);
    assert_eq!(stream.message().await.unwrap(), None);
}

#[tokio::test]
async fn a_long_request_passes_at_constant_memory() {
    let links = Links::plaintext();
    let server = tonic_server(&links).await;
    let balancer = Balancer::start(&[server.address], &links).await;
    let body = bytes::Bytes::from(vec![0; MESSAGE]);
    let message = move |_| StreamingInputCallRequest {
        payload: Some(Payload { r#type: 0, body: body.clone() }),
        ..StreamingInputCallRequest::default()
    };
    let mut client = balancer.target("flow").client();
    for (count, bound) in [(WARM_UP, u64::MAX), (MESSAGES, GROWTH)] {
        let before = balancer.process.resident_bytes();
        let requests = futures_util::stream::iter((0..count).map(message.clone()));
        let answer = client.streaming_input_call(requests).await.unwrap().into_inner();
        let total = i32::try_from(count * MESSAGE).unwrap();
        assert_eq!(answer.aggregated_payload_size, total);
        let grown = balancer.process.resident_bytes().saturating_sub(before);
        assert!(grown < bound, "{} MiB more", grown >> 20);
    }
}

/// The two streams share both connections: the client's, and the one to the server.
#[tokio::test]
async fn a_client_that_stops_reading_stalls_its_own_stream() {
    const STALLED: usize = 8;
    let links = Links::plaintext();
    let server = tonic_server(&links).await;
    let balancer = Balancer::start_with(&[server.address], &links, &["--threads", "1"]).await;
    let client = balancer.target("flow").client();
    let large = SimpleRequest { response_size: 100_000, ..SimpleRequest::default() };
    client.clone().unary_call(large.clone()).await.unwrap();
    let before = balancer.process.resident_bytes();

    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let call = client.clone().streaming_output_call(responses(WARM_UP, MESSAGE)).await;
        stalled.push(call.unwrap().into_inner());
    }
    for _ in 0..100 {
        let answer = client.clone().unary_call(large.clone()).await.unwrap().into_inner();
        assert_eq!(answer.payload.map(|payload| payload.body.len()), Some(100_000));
    }
    check_memory(&balancer, before);
    for mut stream in stalled {
        read(&mut stream, WARM_UP).await;
        assert_eq!(stream.message().await.unwrap(), None, "nothing was lost");
    }
}
