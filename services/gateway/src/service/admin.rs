//! `GatewayAdmin`: what an operator may know of the gateway.

use std::pin::Pin;

use futures_util::{Stream, TryStreamExt, stream};
use strife_proto::gateway::v1::{
    HistoryEntry, ListPaymentsRequest, StatusRequest, StatusResponse,
    gateway_admin_server::GatewayAdmin,
};
use tonic::{Request, Response, Status};

use super::{GatewayService, convert};
use crate::{banks::Banks, error::GatewayError, store::Store};

/// Payments that are read at a time.
const PAGE: usize = 1_000;

#[tonic::async_trait]
impl<B: Banks, S: Store> GatewayAdmin for GatewayService<B, S> {
    async fn get_status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let commits = self.coordinator.commits();
        let queued = self.coordinator.queued().await.map_err(GatewayError::from)?;
        Ok(Response::new(StatusResponse {
            commits: commits.count(),
            fsync_us_p50: commits.quantile_us(0.5),
            fsync_us_p99: commits.quantile_us(0.99),
            store: self.coordinator.store_name(),
            queued,
            refusing_banks: self.coordinator.refusing_banks(),
        }))
    }

    type ListPaymentsStream = Pin<Box<dyn Stream<Item = Result<HistoryEntry, Status>> + Send>>;

    async fn list_payments(
        &self,
        _request: Request<ListPaymentsRequest>,
    ) -> Result<Response<Self::ListPaymentsStream>, Status> {
        let coordinator = self.coordinator.clone();
        let pages = stream::try_unfold(None, move |after| {
            let coordinator = coordinator.clone();
            async move {
                let page = coordinator.store().payments(after, PAGE).await;
                let page = page.map_err(GatewayError::from)?;
                let Some(last) = page.last() else { return Ok::<_, Status>(None) };
                let after = Some(last.id.sequence);
                let entries = page.into_iter().map(|record| Ok(convert::entry_to_wire(record)));
                Ok(Some((stream::iter(entries), after)))
            }
        });
        Ok(Response::new(Box::pin(pages.try_flatten())))
    }
}
