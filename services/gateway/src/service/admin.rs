//! `GatewayAdmin`: what an operator may know of the gateway.

use strife_proto::gateway::v1::{
    StatusRequest, StatusResponse, gateway_admin_server::GatewayAdmin,
};
use tonic::{Request, Response, Status};

use super::GatewayService;
use crate::{banks::Banks, store::Store};

#[tonic::async_trait]
impl<B: Banks, S: Store> GatewayAdmin for GatewayService<B, S> {
    async fn get_status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let commits = self.coordinator.commits();
        Ok(Response::new(StatusResponse {
            commits: commits.count(),
            fsync_us_p50: commits.quantile_us(0.5),
            fsync_us_p99: commits.quantile_us(0.99),
        }))
    }
}
