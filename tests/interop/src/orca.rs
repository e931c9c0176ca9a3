//! Load reports of the test server (ORCA, gRFC A51): it says whatever it is told to.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use prost::Message;
use strife_proto::xds::{
    data::orca::v3::OrcaLoadReport,
    service::orca::v3::{OrcaLoadReportRequest, open_rca_service_server::OpenRcaService},
};
use tokio::sync::watch;
use tokio_stream::wrappers::IntervalStream;
use tonic::{
    Request, Response, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{headers::LOAD, pb::TestOrcaReport};

/// The shortest time between two reports of a stream.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What a test asks for, as it is reported.
pub(crate) fn report(wanted: TestOrcaReport) -> OrcaLoadReport {
    OrcaLoadReport {
        cpu_utilization: wanted.cpu_utilization,
        mem_utilization: wanted.memory_utilization,
        request_cost: wanted.request_cost,
        utilization: wanted.utilization,
        ..OrcaLoadReport::default()
    }
}

/// A report among trailers.
pub(crate) fn trailers(report: &OrcaLoadReport) -> HeaderMap {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(LOAD, MetadataValue::from_bytes(&report.encode_to_vec()));
    metadata.into_headers()
}

/// The report that `trailers` carry.
pub(crate) fn carried(trailers: &MetadataMap) -> Option<OrcaLoadReport> {
    let bytes = trailers.get_bin(LOAD)?.to_bytes().unwrap();
    Some(OrcaLoadReport::decode(bytes).unwrap())
}

/// The report that the server gives whoever streams it: the last one it was told.
#[derive(Debug, Clone)]
pub(crate) struct OutOfBand(Arc<watch::Sender<OrcaLoadReport>>);

impl Default for OutOfBand {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(OrcaLoadReport::default())))
    }
}

impl OutOfBand {
    pub(crate) fn set(&self, wanted: TestOrcaReport) {
        self.0.send_replace(report(wanted));
    }
}

#[tonic::async_trait]
impl OpenRcaService for OutOfBand {
    type StreamCoreMetricsStream =
        Pin<Box<dyn Stream<Item = Result<OrcaLoadReport, Status>> + Send>>;

    async fn stream_core_metrics(
        &self,
        request: Request<OrcaLoadReportRequest>,
    ) -> Result<Response<Self::StreamCoreMetricsStream>, Status> {
        let asked = request.into_inner().report_interval.unwrap_or_default();
        let interval = Duration::try_from(asked).unwrap_or_default().max(INTERVAL_MIN);
        let reports = self.0.clone();
        let ticks = IntervalStream::new(tokio::time::interval(interval));
        Ok(Response::new(Box::pin(ticks.map(move |_| Ok(reports.borrow().clone())))))
    }
}
