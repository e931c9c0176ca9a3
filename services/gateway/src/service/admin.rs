//! `GatewayAdmin`: what an operator may know of the gateway.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, TryStreamExt};
use strife_proto::gateway::v1::{
    HistoryEntry, ListPaymentsRequest, StatusRequest, StatusResponse,
    gateway_admin_server::GatewayAdmin,
};
use tonic::{Request, Response, Status};

use super::{
    GatewayService,
    listing::{self, Wanted},
};
use crate::{banks::Banks, error::GatewayError, store::Store};

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
        request: Request<ListPaymentsRequest>,
    ) -> Result<Response<Self::ListPaymentsStream>, Status> {
        let request = request.into_inner();
        let wanted = Wanted::of(&request, self.coordinator.store().name())?;
        let most = match request.limit {
            0 => usize::MAX,
            limit => limit as usize,
        };
        let payments = listing::payments(self.coordinator.clone(), wanted);
        Ok(Response::new(Box::pin(payments.err_into().take(most))))
    }
}
