//! `grpc.testing.TestService` on tonic. Metadata is echoed in [`crate::observe`]; compression is not
//! offered.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::{
    headers::DETAILS,
    orca::{self, OutOfBand},
    pb::{
        EchoStatus, Empty, Payload, PayloadType, ResponseParameters, SimpleRequest, SimpleResponse,
        StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
        StreamingOutputCallResponse, test_service_server::TestService,
    },
};

type Responses = Pin<Box<dyn Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send>>;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Interop {
    /// What the server reports out of band.
    pub(crate) load: OutOfBand,
}

#[tonic::async_trait]
impl TestService for Interop {
    async fn empty_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }

    async fn unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        let details = request.metadata().get_bin(DETAILS).map(|value| value.to_bytes());
        let details = details.transpose().map_err(|_| Status::invalid_argument("no base64"))?;
        let request = request.into_inner();
        wanted_status(request.response_status, details.unwrap_or_default())?;
        let payload = Some(payload(request.response_type, request.response_size)?);
        let mut response = Response::new(SimpleResponse { payload, ..SimpleResponse::default() });
        if let Some(wanted) = request.orca_per_query_report {
            // For the layer around the service, which sees the trailers.
            response.extensions_mut().insert(orca::report(wanted));
        }
        Ok(response)
    }

    type StreamingOutputCallStream = Responses;

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Responses>, Status> {
        Ok(Response::new(Box::pin(responses(request.into_inner()))))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let sizes = request
            .into_inner()
            .map_ok(|request| request.payload.map_or(0, |payload| payload.body.len()));
        let total = sizes.try_fold(0, async |sum, size| Ok(sum + size)).await?;
        let aggregated_payload_size =
            i32::try_from(total).map_err(|_| Status::out_of_range("more than 2 GiB of payload"))?;
        Ok(Response::new(StreamingInputCallResponse { aggregated_payload_size }))
    }

    type FullDuplexCallStream = Responses;

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let load = self.load.clone();
        let answers = move |mut request: StreamingOutputCallRequest| {
            if let Some(wanted) = request.orca_oob_report.take() {
                load.set(wanted);
            }
            responses(request)
        };
        Ok(Response::new(Box::pin(request.into_inner().map_ok(answers).try_flatten())))
    }

    async fn unimplemented_call(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented("no server has this method"))
    }
}

/// What one request asks for: the responses, each after its interval, or a status.
fn responses(
    request: StreamingOutputCallRequest,
) -> impl Stream<Item = Result<StreamingOutputCallResponse, Status>> + Send {
    let refused = wanted_status(request.response_status, Bytes::new()).err();
    let answers = stream::iter(request.response_parameters).then(
        move |ResponseParameters { size, interval_us, .. }| async move {
            let interval_us = u64::try_from(interval_us).unwrap_or_default();
            if interval_us > 0 {
                tokio::time::sleep(Duration::from_micros(interval_us)).await;
            }
            let payload = Some(payload(request.response_type, size)?);
            Ok(StreamingOutputCallResponse { payload })
        },
    );
    stream::iter(refused.map(Err)).chain(answers)
}

fn wanted_status(wanted: Option<EchoStatus>, details: Bytes) -> Result<(), Status> {
    match wanted {
        Some(EchoStatus { code, message }) if code != 0 => {
            Err(Status::with_details(Code::from_i32(code), message, details))
        }
        _ => Ok(()),
    }
}

fn payload(kind: i32, size: i32) -> Result<Payload, Status> {
    let unsupported = |_| Status::invalid_argument("only COMPRESSABLE payloads of a size ≥ 0");
    let size = usize::try_from(size).map_err(unsupported)?;
    if kind != PayloadType::Compressable as i32 {
        return Err(Status::invalid_argument("only COMPRESSABLE payloads"));
    }
    Ok(Payload { r#type: kind, body: Bytes::from(vec![0; size]) })
}
