//! What a server says of its load in the trailers of an answer (ORCA, gRFC A51).

use std::time::Duration;

use http::HeaderMap;
use prost::Message;
use strife_policy::{EndpointLoad, Orca};
use strife_proto::xds::data::orca::v3::OrcaLoadReport;
use tonic::metadata::MetadataMap;

const HEADER: &str = "endpoint-load-metrics-bin";
/// Largest report that is looked at, in base64; an honest one has some tens of bytes.
const MOST_BYTES: usize = 4096;

/// A report that cannot be read, or says what cannot be, is passed over: it is no part of the answer.
pub(crate) fn record(load: &EndpointLoad, now: Duration, headers: &HeaderMap) {
    let Some(value) = headers.get(HEADER).filter(|value| value.len() <= MOST_BYTES) else { return };
    let alone = HeaderMap::from_iter([(http::HeaderName::from_static(HEADER), value.clone())]);
    let alone = MetadataMap::from_headers(alone);
    let bytes = alone.get_bin(HEADER).and_then(|value| value.to_bytes().ok());
    let Some(report) = bytes.and_then(|bytes| OrcaLoadReport::decode(bytes).ok()) else { return };
    // Refused if a figure is negative or no number.
    let _ = load.orca(
        now,
        &Orca {
            cpu_utilization: report.cpu_utilization,
            mem_utilization: report.mem_utilization,
            application_utilization: report.application_utilization,
            rps: report.rps_fractional,
            eps: report.eps,
        },
    );
}
