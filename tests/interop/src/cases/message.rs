//! Messages of all four kinds of calls.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Streaming};

use crate::{
    Target,
    pb::{
        Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingOutputCallRequest, StreamingOutputCallResponse,
    },
};

/// Bytes of payload in the large unary call.
const LARGE_REQUEST: usize = 271_828;
const LARGE_RESPONSE: i32 = 314_159;
/// Bytes of payload in streams.
const REQUESTS: [usize; 4] = [27_182, 8, 1_828, 45_904];
const RESPONSES: [i32; 4] = [31_415, 9, 2_653, 58_979];

pub(super) fn zeros(size: usize) -> Option<Payload> {
    Some(Payload { r#type: 0, body: Bytes::from(vec![0; size]) })
}

pub(super) fn large_request() -> SimpleRequest {
    SimpleRequest {
        response_size: LARGE_RESPONSE,
        payload: zeros(LARGE_REQUEST),
        ..SimpleRequest::default()
    }
}

#[track_caller]
pub(super) fn check_large(response: &SimpleResponse) {
    assert_eq!(response.payload, zeros(usize::try_from(LARGE_RESPONSE).unwrap()));
}

/// A request of a stream: `size` bytes, and what responses it wants.
pub(super) fn request(size: usize, responses: &[i32]) -> StreamingOutputCallRequest {
    let wanted = |size: &i32| ResponseParameters { size: *size, ..ResponseParameters::default() };
    StreamingOutputCallRequest {
        payload: zeros(size),
        response_parameters: responses.iter().map(wanted).collect(),
        ..StreamingOutputCallRequest::default()
    }
}

#[track_caller]
fn check_response(response: &StreamingOutputCallResponse, size: i32) {
    assert_eq!(response.payload, zeros(usize::try_from(size).unwrap()));
}

pub(super) async fn empty_unary(target: &Target) {
    let response = target.client().empty_call(Empty {}).await.unwrap();
    assert_eq!(response.into_inner(), Empty {});
}

pub(super) async fn large_unary(target: &Target) {
    let response = target.client().unary_call(large_request()).await.unwrap();
    check_large(response.get_ref());
}

pub(super) async fn client_streaming(target: &Target) {
    let requests = REQUESTS.map(|size| StreamingInputCallRequest {
        payload: zeros(size),
        ..StreamingInputCallRequest::default()
    });
    let response = target.client().streaming_input_call(stream::iter(requests)).await.unwrap();
    assert_eq!(response.get_ref().aggregated_payload_size, 74_922);
}

pub(super) async fn server_streaming(target: &Target) {
    let responses = target.client().streaming_output_call(request(0, &RESPONSES)).await.unwrap();
    let responses: Vec<_> = responses.into_inner().try_collect().await.unwrap();
    assert_eq!(responses.len(), RESPONSES.len());
    for (response, size) in responses.iter().zip(RESPONSES) {
        check_response(response, size);
    }
}

/// A full duplex call under way: where its requests go, and its responses come from.
pub(super) struct Duplex {
    pub(super) requests: mpsc::Sender<StreamingOutputCallRequest>,
    pub(super) responses: Streaming<StreamingOutputCallResponse>,
}

impl Duplex {
    /// Sends the first request with the call's headers, as a server may wait for it.
    pub(super) async fn start(
        target: &Target,
        name: &str,
        first: StreamingOutputCallRequest,
    ) -> Self {
        let (requests, received) = mpsc::channel(1);
        requests.send(first).await.unwrap();
        let call = target.observed(name, ReceiverStream::new(received));
        let responses = target.client().full_duplex_call(call).await.unwrap();
        Self { requests, responses: Response::into_inner(responses) }
    }

    pub(super) async fn next(&mut self) -> StreamingOutputCallResponse {
        self.responses.message().await.unwrap().expect("a response for each request")
    }
}

pub(super) async fn ping_pong(target: &Target) {
    let first = request(REQUESTS[0], &RESPONSES[..1]);
    let mut call = Duplex::start(target, "ping_pong", first).await;
    check_response(&call.next().await, RESPONSES[0]);
    for (size, response) in REQUESTS.into_iter().zip(RESPONSES).skip(1) {
        call.requests.send(request(size, &[response])).await.unwrap();
        check_response(&call.next().await, response);
    }
    let Duplex { requests, mut responses } = call;
    drop(requests);
    assert_eq!(responses.message().await.unwrap(), None);
}

pub(super) async fn empty_stream(target: &Target) {
    let nothing = stream::empty::<StreamingOutputCallRequest>();
    let mut responses = target.client().full_duplex_call(nothing).await.unwrap().into_inner();
    assert!(responses.next().await.is_none());
}
