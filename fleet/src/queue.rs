//! What a fleet's gateway is asked: how its store does, how many payments wait in its queue, and what
//! happened to each.

use strife_proto::gateway::v1::{
    AcknowledgeRequest, Event, FollowRequest, StatusRequest, StatusResponse,
    events_client::EventsClient, gateway_admin_client::GatewayAdminClient,
};
use strife_runtime::{connect, tls::Expected};
use tonic::transport::Channel;

use crate::{Fleet, FleetError, control::call, fleet::GATEWAY};

impl Fleet {
    /// How the first gateway's store does. Its queue is that of all gateways on one database.
    pub async fn gateway_status(&self) -> Result<StatusResponse, FleetError> {
        let mut admin = GatewayAdminClient::new(self.gateway_channel()?);
        let answer = admin.get_status(StatusRequest {}).await;
        Ok(answer.map_err(|status| call(GATEWAY, &status))?.into_inner())
    }

    /// Gives what happened to payments to `each`, in order: all that `follower` was not given before. From the
    /// first time on the gateway keeps for it what it has not seen.
    pub async fn follow_payments(
        &self,
        follower: &str,
        mut each: impl FnMut(Event),
    ) -> Result<(), FleetError> {
        let failed = |status: tonic::Status| call(GATEWAY, &status);
        let mut events = EventsClient::new(self.gateway_channel()?);
        let request = FollowRequest { follower: follower.to_owned(), ..Default::default() };
        let mut pages = events.follow(request).await.map_err(failed)?.into_inner();
        let mut last = None;
        while let Some(page) = pages.message().await.map_err(failed)? {
            for event in page.events {
                last = Some(event.position);
                each(event);
            }
        }
        if let Some(position) = last {
            let request = AcknowledgeRequest { follower: follower.to_owned(), position };
            events.acknowledge(request).await.map_err(failed)?;
        }
        Ok(())
    }

    fn gateway_channel(&self) -> Result<Channel, FleetError> {
        let address = self.address(GATEWAY)?;
        Ok(connect::direct(address, Expected::GATEWAY, self.security())?)
    }
}
