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

#[cfg(test)]
mod tests {
    use strife_policy::Ramp;
    use tonic::metadata::BinaryMetadataValue;

    use super::*;

    /// The utilization that is known after these bytes came.
    fn utilization(report: &[u8]) -> Option<f64> {
        let load = EndpointLoad::new("127.0.0.1:1", Ramp::default());
        let mut trailers = MetadataMap::new();
        trailers.insert_bin(HEADER, BinaryMetadataValue::from_bytes(report));
        record(&load, Duration::from_secs(1), &trailers.into_headers());
        load.last_orca().map(|report| report.utilization)
    }

    #[test]
    fn a_sound_report_is_taken_and_no_other() {
        let report = |cpu_utilization| {
            OrcaLoadReport { cpu_utilization, ..OrcaLoadReport::default() }.encode_to_vec()
        };
        assert_eq!(utilization(&report(0.5)), Some(0.5));
        for lie in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(utilization(&report(lie)), None, "{lie}");
        }
        assert_eq!(utilization(&[0xff; 3]), None);
        let long = OrcaLoadReport {
            cpu_utilization: 0.5,
            utilization: (0..1000).map(|name| (name.to_string(), 0.5)).collect(),
            ..OrcaLoadReport::default()
        };
        assert_eq!(utilization(&long.encode_to_vec()), None, "too long to be looked at");
    }
}
