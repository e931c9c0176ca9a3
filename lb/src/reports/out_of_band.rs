//! Reports that a server streams: `xds.service.orca.v3.OpenRcaService` (gRFC A51).
//!
//! The stream goes over the connection that the endpoint's health is watched by, and ends with it. A
//! server that does not serve it is not asked again on that connection.

use std::time::Duration;

use strife_proto::xds::service::orca::v3::{
    OrcaLoadReportRequest, open_rca_service_client::OpenRcaServiceClient,
};
use tonic::{Code, Status, transport::Channel};
use tracing::debug;

use super::ServerReport;
use crate::{clock::Clock, endpoint::Endpoint, metrics::ReportChannel};

/// Between attempts when a stream ends; a server that restarts its stream often is not followed any
/// faster.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes a server's reports for as long as it is polled; never ends.
pub(crate) async fn follow(
    channel: &Channel,
    endpoint: &Endpoint,
    interval: Duration,
    clock: Clock,
) {
    let mut client = OpenRcaServiceClient::new(channel.clone());
    loop {
        let ended = stream(&mut client, endpoint, interval, clock).await;
        debug!(endpoint = endpoint.address, %ended, "no reports out of band");
        if ended.code() == Code::Unimplemented {
            return std::future::pending().await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn stream(
    client: &mut OpenRcaServiceClient<Channel>,
    endpoint: &Endpoint,
    interval: Duration,
    clock: Clock,
) -> Status {
    let report_interval = prost_types::Duration {
        seconds: interval.as_secs() as i64,
        nanos: interval.subsec_nanos() as i32,
    };
    let request = OrcaLoadReportRequest {
        report_interval: Some(report_interval),
        request_cost_names: Vec::new(),
    };
    let mut reports = match client.stream_core_metrics(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status,
    };
    loop {
        match reports.message().await {
            Ok(Some(message)) => {
                let report = Ok(ServerReport::from(&message));
                let taken = endpoint.reported(clock.now(), ReportChannel::OutOfBand, &report);
                if let Err(error) = taken {
                    debug!(endpoint = endpoint.address, %error, "load report out of band");
                }
            }
            Ok(None) => return Status::ok("the stream ended"),
            Err(status) => return status,
        }
    }
}
