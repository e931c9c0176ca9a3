//! A client without manners of its own: one connection, and what came back of each call, unread.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::TcpStream;

use super::{balancer::HOST, raw::framed};

/// A connection in the clear. It enforces no deadline and retries nothing.
pub(super) struct Caller {
    sender: SendRequest<Bytes>,
}

/// A call under way; dropped, it is cancelled.
pub(super) struct Call {
    response: ResponseFuture,
}

/// What came back of a call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Answer {
    /// `grpc-status`, where it stands by the protocol: in the trailers, or in headers that are all there is.
    pub(super) fn status(&self) -> Option<&str> {
        let last = if self.trailers.is_empty() { &self.headers } else { &self.trailers };
        last.get("grpc-status").and_then(|status| status.to_str().ok())
    }
}

impl Caller {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = h2::client::handshake(socket).await.unwrap();
        // How it ends is seen by the calls on it.
        tokio::spawn(async move { drop(connection.await) });
        Self { sender }
    }

    /// Calls a method of the test service with one message.
    pub(super) async fn call(
        &self,
        method: &str,
        message: &impl Message,
        fields: &[(&str, &str)],
    ) -> Call {
        let mut request = Request::post(format!("http://{HOST}/grpc.testing.TestService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut sender = self.sender.clone().ready().await.unwrap();
        let (response, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(framed(&message.encode_to_vec()).into(), true).unwrap();
        Call { response }
    }
}

impl Call {
    /// Reads it to its end, or to the error that ends it.
    pub(super) async fn answer(self) -> Result<Answer, h2::Error> {
        let response = self.response.await?;
        let (head, mut stream) = response.into_parts();
        let mut body = BytesMut::new();
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len())?;
            body.extend(data);
        }
        let trailers = stream.trailers().await?.unwrap_or_default();
        Ok(Answer { headers: head.headers, body: body.freeze(), trailers })
    }
}
