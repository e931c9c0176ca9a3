//! How calls end: codes, messages, details.

use bytes::Bytes;
use futures_util::stream;
use prost::Message;
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::{
    Target, headers,
    pb::{EchoStatus, Empty, SimpleRequest, StreamingOutputCallRequest},
};

const MESSAGE: &str = "test status message";
/// White space and characters of up to four bytes; `grpc-message` is percent-encoded.
const SPECIAL_MESSAGE: &str = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";

fn ending_with(message: &str) -> Option<EchoStatus> {
    Some(EchoStatus { code: Code::Unknown as i32, message: message.to_owned() })
}

#[track_caller]
fn check(status: &Status, message: &str) {
    assert_eq!((status.code(), status.message()), (Code::Unknown, message));
}

async fn unary(target: &Target, message: &str) -> Status {
    let response_status = ending_with(message);
    let request = SimpleRequest { response_status, ..SimpleRequest::default() };
    target.client().unary_call(request).await.unwrap_err()
}

pub(super) async fn status_code_and_message(target: &Target) {
    check(&unary(target, MESSAGE).await, MESSAGE);

    let response_status = ending_with(MESSAGE);
    let request = StreamingOutputCallRequest { response_status, ..Default::default() };
    let call = target.client().full_duplex_call(stream::iter([request])).await;
    let status = match call {
        Ok(responses) => responses.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    check(&status, MESSAGE);
}

pub(super) async fn special_status_message(target: &Target) {
    check(&unary(target, SPECIAL_MESSAGE).await, SPECIAL_MESSAGE);
}

pub(super) async fn unimplemented_method(target: &Target) {
    let status = target.client().unimplemented_call(Empty {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}

pub(super) async fn unimplemented_service(target: &Target) {
    let status = target.unimplemented().unimplemented_call(Empty {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
}

/// `google.rpc.Status`, as far as its meaning is ours.
#[derive(Clone, PartialEq, Message)]
struct RichStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The details of a status are bytes in a trailer, `grpc-status-details-bin`.
pub(super) async fn status_details(target: &Target) {
    let rich = RichStatus { code: Code::Unknown as i32, message: MESSAGE.to_owned() };
    let details = Bytes::from(rich.encode_to_vec());
    let response_status = ending_with(MESSAGE);
    let mut request = Request::new(SimpleRequest { response_status, ..SimpleRequest::default() });
    request.metadata_mut().insert_bin(headers::DETAILS, MetadataValue::from_bytes(&details));
    let status = target.client().unary_call(request).await.unwrap_err();
    check(&status, MESSAGE);
    assert_eq!(status.details(), details);
}
