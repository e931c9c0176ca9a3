//! Load reports as ORCA has them (gRFC A51), so that any gRPC client or proxy that knows ORCA can use
//! them. What Strife's balancer wants to know beyond that are named metrics, `strife.*`, with the
//! meaning of the fields of `strife.lb.v1.LoadReport`.

use http::HeaderMap;
use prost::Message;
use strife_proto::{lb::v1::LoadReport, xds::data::orca::v3::OrcaLoadReport};
use tonic::metadata::{MetadataMap, MetadataValue};

use super::usage::Usage;

/// The trailer that carries a report: binary metadata, which is base64 without padding on the wire.
pub(crate) const TRAILER: &str = "endpoint-load-metrics-bin";

/// `report` as ORCA has it. Utilization is over the same time as the rates are: gRFC A58 divides one by
/// the other.
pub(super) fn report(report: &LoadReport, usage: Usage) -> OrcaLoadReport {
    let named = [
        ("strife.in_flight", f64::from(report.in_flight)),
        ("strife.queued", f64::from(report.queued)),
        ("strife.slots", f64::from(report.slots)),
        ("strife.service_time_us", f64::from(report.service_time_us)),
        ("strife.latency_us", f64::from(report.latency_us)),
        ("strife.completed", report.completed as f64),
        ("strife.sequence", report.sequence as f64),
        ("strife.epoch", report.epoch as f64),
    ];
    let application_utilization = match report.slots {
        0 => 0.0,
        slots => usage.calls_in_flight / f64::from(slots),
    };
    OrcaLoadReport {
        cpu_utilization: report.cpu_utilization,
        rps_fractional: usage.calls_per_s,
        eps: usage.failures_per_s,
        application_utilization,
        named_metrics: named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..OrcaLoadReport::default()
    }
}

/// `report` as a field of trailers.
pub(super) fn trailer(report: &OrcaLoadReport) -> HeaderMap {
    let mut metadata = MetadataMap::with_capacity(1);
    metadata.insert_bin(TRAILER, MetadataValue::from_bytes(&report.encode_to_vec()));
    metadata.into_headers()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The report among trailers, read as a client would.
    pub(crate) fn read(trailers: &HeaderMap) -> OrcaLoadReport {
        let metadata = MetadataMap::from_headers(trailers.clone());
        let bytes = metadata.get_bin(TRAILER).expect("a report").to_bytes().unwrap();
        OrcaLoadReport::decode(bytes).unwrap()
    }

    #[test]
    fn a_report_reads_back_from_the_trailer_with_all_its_numbers() {
        let load = LoadReport {
            sequence: 7,
            epoch: 1_700_000_000_123,
            in_flight: 3,
            queued: 1,
            slots: 4,
            cpu_utilization: 0.25,
            service_time_us: 5_000,
            completed: 99,
            latency_us: 6_000,
            ..LoadReport::default()
        };
        let usage = Usage {
            cpu_utilization: 0.25,
            calls_per_s: 40.0,
            failures_per_s: 2.0,
            calls_in_flight: 2.5,
        };
        let made = trailer(&report(&load, usage));
        let value = made[TRAILER].to_str().unwrap();
        assert!(!value.contains('='), "unpadded: {value}");
        let orca = read(&made);
        assert_eq!((orca.cpu_utilization, orca.application_utilization), (0.25, 0.625));
        assert_eq!((orca.rps_fractional, orca.eps), (40.0, 2.0));
        let named = |name: &str| orca.named_metrics[&format!("strife.{name}")];
        let counts = ["in_flight", "queued", "slots", "completed", "sequence"].map(named);
        assert_eq!(counts, [3.0, 1.0, 4.0, 99.0, 7.0]);
        assert_eq!(["service_time_us", "latency_us"].map(named), [5_000.0, 6_000.0]);
        assert_eq!(named("epoch"), 1_700_000_000_123.0);
    }

    #[test]
    fn without_slots_there_is_no_application_utilization() {
        let load = LoadReport { in_flight: 3, ..LoadReport::default() };
        let usage = Usage { calls_in_flight: 3.0, ..Usage::default() };
        assert_eq!(report(&load, usage).application_utilization, 0.0);
    }
}
