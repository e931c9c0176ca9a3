//! Calls that are given up: by the client, and by their deadline.

use std::{any::Any, time::Duration};

use futures_util::{FutureExt, stream};
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Response, Status, Streaming, client::Grpc, metadata::MetadataValue,
    transport::Channel,
};
use tonic_prost::ProstCodec;

use super::{
    KINDS,
    message::{Duplex, request},
};
use crate::{
    Target, headers,
    pb::{
        SimpleRequest, SimpleResponse, StreamingInputCallRequest, StreamingInputCallResponse,
        StreamingOutputCallRequest, StreamingOutputCallResponse,
    },
};

/// Of a call that is never answered.
pub(super) const DEADLINE: Duration = Duration::from_secs(3);

/// A call that is dropped is cancelled: tonic has no status for it, so there is nothing to see on this
/// side but that the channel is as good as before.
pub(super) async fn cancel_after_begin(target: &Target) {
    let mut client = target.client();
    client.empty_call(crate::pb::Empty {}).await.unwrap();
    let endless = stream::pending::<StreamingInputCallRequest>();
    let mut call = Box::pin(client.streaming_input_call(endless));
    assert!(call.as_mut().now_or_never().is_none(), "nobody has answered yet");
    drop(call);
    client.empty_call(crate::pb::Empty {}).await.unwrap();
}

pub(super) async fn cancel_after_first_response(target: &Target) {
    let first = request(27_182, &[31_415]);
    let mut call = Duplex::start(target, "cancel_after_first_response", first).await;
    let response = call.next().await;
    assert_eq!(response.payload.map(|payload| payload.body.len()), Some(31_415));
    drop(call);
}

pub(super) async fn timeout_on_sleeping_server(target: &Target) {
    let first = futures_util::StreamExt::chain(
        stream::iter([request(27_182, &[])]),
        stream::pending::<StreamingOutputCallRequest>(),
    );
    let mut request = Request::new(first);
    request.set_timeout(Duration::from_millis(1));
    let status = match target.client().full_duplex_call(request).await {
        Ok(responses) => responses.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    check_too_late(&status);
}

/// tonic's own timer says `Cancelled`; whoever stands behind it and is faster says what gRPC wants.
#[track_caller]
fn check_too_late(status: &Status) {
    let by_tonic = status.code() == Code::Cancelled && status.message() == "Timeout expired";
    assert!(by_tonic || status.code() == Code::DeadlineExceeded, "{status}");
}

/// A call that the server took and does not answer, past its headers.
struct Held {
    responses: Responses,
    /// The open end of a stream of requests. Only when it is dropped too is the call cancelled.
    _requests: Option<Box<dyn Any + Send>>,
}

enum Responses {
    Unary(Streaming<SimpleResponse>),
    Input(Streaming<StreamingInputCallResponse>),
    Output(Streaming<StreamingOutputCallResponse>),
}

impl Held {
    /// Any kind of call looks like a bidirectional one on the wire, and only as such gives tonic the headers
    /// before the message.
    async fn start(
        target: &Target,
        kind: &str,
        name: &str,
        deadline: Option<Duration>,
    ) -> Result<Self, Status> {
        let mut grpc = Grpc::new(target.channel());
        grpc.ready().await.unwrap();
        let mut empty = target.observed(name, ());
        empty.metadata_mut().insert(headers::HOLD, MetadataValue::from_static("1"));
        if let Some(deadline) = deadline {
            empty.set_timeout(deadline);
        }
        let mut open: Option<Box<dyn Any + Send>> = None;
        let responses = match kind {
            "unary" => {
                let once = empty.map(|()| stream::iter([SimpleRequest::default()]));
                Responses::Unary(call(&mut grpc, "UnaryCall", once).await?)
            }
            "server_streaming" => {
                let once = empty.map(|()| stream::iter([request(8, &[8])]));
                Responses::Output(call(&mut grpc, "StreamingOutputCall", once).await?)
            }
            "client_streaming" => {
                let (sender, requests) = mpsc::channel::<StreamingInputCallRequest>(1);
                open = Some(Box::new(sender));
                let requests = empty.map(|()| ReceiverStream::new(requests));
                Responses::Input(call(&mut grpc, "StreamingInputCall", requests).await?)
            }
            _ => {
                let (sender, requests) = mpsc::channel::<StreamingOutputCallRequest>(1);
                open = Some(Box::new(sender));
                let requests = empty.map(|()| ReceiverStream::new(requests));
                Responses::Output(call(&mut grpc, "FullDuplexCall", requests).await?)
            }
        };
        Ok(Self { responses, _requests: open })
    }

    async fn ending(&mut self) -> Status {
        match &mut self.responses {
            Responses::Unary(responses) => responses.message().await.map(drop),
            Responses::Input(responses) => responses.message().await.map(drop),
            Responses::Output(responses) => responses.message().await.map(drop),
        }
        .unwrap_err()
    }
}

async fn call<Q, R>(
    grpc: &mut Grpc<Channel>,
    method: &str,
    requests: Request<impl futures_util::Stream<Item = Q> + Send + 'static>,
) -> Result<Streaming<R>, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    R: prost::Message + Default + Send + Sync + 'static,
{
    let path = PathAndQuery::try_from(format!("/grpc.testing.TestService/{method}")).unwrap();
    grpc.streaming(requests, path, ProstCodec::default()).await.map(Response::into_inner)
}

/// The server must have seen `CALLS-cancel-KIND` begin and be cancelled.
pub(super) async fn cancel_each_kind(target: &Target) {
    for kind in KINDS {
        let held = Held::start(target, kind, &format!("cancel-{kind}"), None).await.unwrap();
        drop(held);
    }
}

/// The server must have seen `CALLS-deadline-KIND` begin with a deadline and end unfinished.
pub(super) async fn deadline_each_kind(target: &Target) {
    let calls = KINDS.map(|kind| async move {
        let name = format!("deadline-{kind}");
        let status = match Held::start(target, kind, &name, Some(DEADLINE)).await {
            Ok(mut held) => held.ending().await,
            Err(status) => status,
        };
        check_too_late(&status);
    });
    futures_util::future::join_all(calls).await;
}
