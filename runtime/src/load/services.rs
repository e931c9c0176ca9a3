//! Reports for whoever asks: `strife.lb.v1.ServerLoad` answers once, `xds.service.orca.v3.OpenRcaService`
//! (gRFC A51) with a stream of reports. Access tables let balancers call both ([`crate::access`]).

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use strife_proto::{
    lb::v1::{LoadReport, ProbeRequest, server_load_server::ServerLoad},
    xds::{
        data::orca::v3::OrcaLoadReport,
        service::orca::v3::{OrcaLoadReportRequest, open_rca_service_server::OpenRcaService},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Interval, MissedTickBehavior},
};
use tonic::{Request, Response, Status};

use super::Reports;
use crate::Shutdown;

/// The shortest time between two reports of a stream, and the one of streams that ask for none.
const STREAM_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// The longest.
const STREAM_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Streams at once; further ones are refused with RESOURCE_EXHAUSTED. Every thread of every balancer may
/// have one.
const STREAMS_MAX: usize = 256;

/// Answers probes.
#[derive(Debug)]
pub(super) struct Probed(pub(super) Arc<Reports>);

#[tonic::async_trait]
impl ServerLoad for Probed {
    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<LoadReport>, Status> {
        Ok(Response::new(self.0.next()))
    }
}

/// Streams reports until the client has enough of them or the server stops.
#[derive(Debug)]
pub(super) struct OutOfBand {
    reports: Arc<Reports>,
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl OutOfBand {
    /// Streams end when `shutdown` is requested, so that they hold up nobody who drains.
    pub(super) fn new(reports: Arc<Reports>, shutdown: Shutdown) -> Self {
        Self { reports, places: Arc::new(Semaphore::new(STREAMS_MAX)), shutdown }
    }
}

type OrcaReports = Pin<Box<dyn Stream<Item = Result<OrcaLoadReport, Status>> + Send>>;

#[tonic::async_trait]
impl OpenRcaService for OutOfBand {
    type StreamCoreMetricsStream = OrcaReports;

    async fn stream_core_metrics(
        &self,
        request: Request<OrcaLoadReportRequest>,
    ) -> Result<Response<OrcaReports>, Status> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!("{STREAMS_MAX} streams of load reports are open"))
        })?;
        let mut ticks = tokio::time::interval(interval(&request.into_inner()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (reports, shutdown) = (self.reports.clone(), self.shutdown.clone());
        let stream = Streaming { reports, ticks, shutdown, _place: place };
        Ok(Response::new(Box::pin(stream::unfold(stream, Streaming::next))))
    }
}

/// One stream.
struct Streaming {
    reports: Arc<Reports>,
    ticks: Interval,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

impl Streaming {
    async fn next(mut self) -> Option<(Result<OrcaLoadReport, Status>, Self)> {
        tokio::select! {
            _ = self.ticks.tick() => Some((Ok(self.reports.next_orca()), self)),
            () = self.shutdown.requested() => None,
        }
    }
}

/// The interval asked for, within bounds; what makes no sense counts as not asked for.
fn interval(request: &OrcaLoadReportRequest) -> Duration {
    let asked = request.report_interval.and_then(|asked| Duration::try_from(asked).ok());
    asked.unwrap_or_default().clamp(STREAM_INTERVAL_MIN, STREAM_INTERVAL_MAX)
}

#[cfg(test)]
mod tests;
