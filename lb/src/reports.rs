//! What servers say of their load, however it reaches the balancer: pushed to the control port, in
//! the trailers of calls, streamed out of band, or asked for.
//!
//! Trailers and streams carry ORCA (gRFC A51). Strife's own servers put their exact figures into its
//! `named_metrics`, so that such a report is worth as much as a pushed one; of any other server
//! utilization and rates are known.

mod out_of_band;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::Message;
use strife_policy::{Orca, Report};
use strife_proto::{lb::v1::LoadReport, xds::data::orca::v3::OrcaLoadReport};

pub(crate) use self::out_of_band::follow;

/// The trailer that carries a report (gRFC A51).
pub(crate) const HEADER: &[u8] = b"endpoint-load-metrics-bin";
/// A report has a handful of figures; whoever sends more is not read.
const MAX_BYTES: usize = 8 * 1024;
/// Binary metadata comes with or without padding (gRPC over HTTP/2, Custom-Metadata).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A report as it was decoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerReport {
    /// In ORCA's terms, if it came in them.
    pub(crate) orca: Option<Orca>,
    /// Of Strife's own servers.
    pub(crate) report: Option<Report>,
}

/// What should be a report is not ORCA, or is longer than any report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl ServerReport {
    /// From the value of a trailer.
    pub(crate) fn from_trailer(value: &[u8]) -> Result<Self, Unreadable> {
        if value.len() > MAX_BYTES {
            return Err(Unreadable);
        }
        let bytes = BASE64.decode(value).map_err(|_| Unreadable)?;
        let message = OrcaLoadReport::decode(&*bytes).map_err(|_| Unreadable)?;
        Ok(Self::from(&message))
    }
}

impl From<&OrcaLoadReport> for ServerReport {
    fn from(message: &OrcaLoadReport) -> Self {
        Self {
            orca: Some(Orca {
                cpu_utilization: message.cpu_utilization,
                application_utilization: message.application_utilization,
                mem_utilization: message.mem_utilization,
                rps: message.rps_fractional,
                eps: message.eps,
            }),
            report: own_figures(message),
        }
    }
}

impl From<&LoadReport> for ServerReport {
    fn from(report: &LoadReport) -> Self {
        let report = Report {
            in_flight: report.in_flight,
            queued: report.queued,
            slots: report.slots,
            service_time_us: report.service_time_us,
            latency_us: report.latency_us,
            cpu_utilization: report.cpu_utilization,
            completed: report.completed,
            sequence: report.sequence,
            epoch: report.epoch,
        };
        Self { orca: None, report: Some(report) }
    }
}

/// What Strife's servers add to a report; a report without a sequence number cannot be told from an
/// older one.
fn own_figures(message: &OrcaLoadReport) -> Option<Report> {
    let figure = |name: &str| message.named_metrics.get(name).copied();
    // A figure that is out of range is as near to it as there is; one that is not a number is 0.
    let small = |name: &str| figure(name).unwrap_or_default() as u32;
    let large = |name: &str| figure(name).unwrap_or_default() as u64;
    figure("strife.sequence")?;
    Some(Report {
        in_flight: small("strife.in_flight"),
        queued: small("strife.queued"),
        slots: small("strife.slots"),
        service_time_us: small("strife.service_time_us"),
        latency_us: small("strife.latency_us"),
        cpu_utilization: message.cpu_utilization,
        completed: large("strife.completed"),
        sequence: large("strife.sequence"),
        epoch: large("strife.epoch"),
    })
}

#[cfg(test)]
mod tests;
