//! Where a tonic client finds what it tests.

use std::net::SocketAddr;

use hyper_util::rt::TokioIo;
use strife_proto::xds::service::orca::v3::open_rca_service_client::OpenRcaServiceClient;
use strife_runtime::{Security, tls::Expected};
use tonic::{
    Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint, Uri},
};
use tower::service_fn;

use crate::{
    MAX_HEADER_BYTES, MAX_MESSAGE_BYTES, headers,
    pb::{
        test_service_client::TestServiceClient,
        unimplemented_service_client::UnimplementedServiceClient,
    },
};

/// What the server may send of one response, and altogether, before it is read: many streams that are not
/// read leave room for one that is.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What the cases are run against, and as whom.
#[derive(Clone)]
pub struct Target {
    /// Where to connect.
    pub address: SocketAddr,
    /// What to put into `:authority`.
    pub authority: String,
    /// How to connect.
    pub security: Security,
    /// What the names of calls begin with whose events are looked for at the server.
    pub calls: String,
}

impl Target {
    /// A channel with a connection of its own, made when it is first used.
    pub fn channel(&self) -> Channel {
        let origin: Uri =
            format!("{}://{}", self.security.scheme(), self.authority).parse().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .origin(origin)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        let (address, security) = (self.address.to_string(), self.security.clone());
        endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
            let (address, security) = (address.clone(), security.clone());
            async move { security.connect(&address, &Expected::AnyServer).await.map(TokioIo::new) }
        }))
    }

    /// A client of the test service on a new channel.
    pub fn client(&self) -> TestServiceClient<Channel> {
        TestServiceClient::new(self.channel())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// A client of the load reports out of band.
    pub(crate) fn load(&self) -> OpenRcaServiceClient<Channel> {
        OpenRcaServiceClient::new(self.channel())
    }

    /// A client of the service that no server has.
    pub(crate) fn unimplemented(&self) -> UnimplementedServiceClient<Channel> {
        UnimplementedServiceClient::new(self.channel())
    }

    /// `message` in a call that the server reports on, as `CALLS-name`.
    pub fn observed<T>(&self, name: &str, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let call: MetadataValue<_> = format!("{}-{name}", self.calls).parse().unwrap();
        request.metadata_mut().insert(headers::CALL, call);
        request
    }
}

/// Whether tonic gave a call up before a byte of it was sent, as its connection was being drained. Other
/// clients then send it on the next connection by themselves; tonic leaves that to its caller.
pub fn was_not_sent(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return error.is_canceled();
        }
        source = error.source();
    }
    false
}
