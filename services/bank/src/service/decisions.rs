//! A bank's way to its coordinators: what became of a transaction?

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use strife_proto::gateway::v1::{
    Decision as WireDecision, DecisionRequest, decision_service_client::DecisionServiceClient,
};
use strife_runtime::{Failure, Security, connect, tls::Expected};
use tonic::transport::Channel;

use crate::resolver::{Coordinators, Decision};

/// How long a coordinator may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Coordinators to which channels are kept.
const MAX_COORDINATORS: usize = 16;

/// Asks by `GetDecision` at one address, usually the balancer's, under each coordinator's
/// authority.
pub struct DecisionClient {
    gateway: String,
    security: Security,
    clients: Mutex<HashMap<String, DecisionServiceClient<Channel>>>,
}

impl DecisionClient {
    /// `gateway`: `host:port`.
    pub fn new(gateway: &str, security: &Security) -> Self {
        let (gateway, security) = (gateway.to_owned(), security.clone());
        Self { gateway, security, clients: Mutex::default() }
    }

    /// Reaches the coordinator of that name by `channel`.
    #[cfg(feature = "test-support")]
    pub fn by(self, coordinator: &str, channel: Channel) -> Self {
        let client = DecisionServiceClient::new(channel);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.insert(coordinator.to_owned(), client);
        drop(clients);
        self
    }

    fn client(&self, coordinator: &str) -> Result<DecisionServiceClient<Channel>, Failure> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(coordinator) {
            return Ok(client.clone());
        }
        if clients.len() == MAX_COORDINATORS {
            clients.clear();
        }
        let expected = Expected::LB_OR_GATEWAY;
        let channel = connect::channel(&self.gateway, coordinator, expected, &self.security)?;
        let client = DecisionServiceClient::new(channel);
        clients.insert(coordinator.to_owned(), client.clone());
        Ok(client)
    }
}

impl Coordinators for DecisionClient {
    async fn decision(&self, coordinator: &str, transaction_id: &str) -> Result<Decision, String> {
        let mut client = self.client(coordinator).map_err(|error| error.to_string())?;
        let request = DecisionRequest { transaction_id: transaction_id.to_owned() };
        let asked = tokio::time::timeout(TIMEOUT, client.get_decision(request)).await;
        let answer = asked.map_err(|_| "no answer".to_owned())?;
        match answer.map_err(|status| status.message().to_owned())?.into_inner().decision() {
            WireDecision::Commit => Ok(Decision::Commit),
            WireDecision::Abort => Ok(Decision::Abort),
            WireDecision::StillActive => Ok(Decision::StillActive),
            WireDecision::Unspecified => Err("an answer without a decision".to_owned()),
        }
    }
}
