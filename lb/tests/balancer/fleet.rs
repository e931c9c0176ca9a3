//! A balancer under test and clients of it.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use strife_lb::{Bound, Config, ENDPOINT_HEADER, LbArgs};
use strife_proto::{
    bank::v1::{
        AccountRequest, AccountResponse, bank_service_client::BankServiceClient,
        bank_store_client::BankStoreClient,
    },
    lb::v1::{
        EndpointState, EndpointStatus, PoolStatus, SetPolicyRequest, StatusRequest,
        load_balancer_admin_client::LoadBalancerAdminClient,
        load_balancer_client::LoadBalancerClient,
    },
};
use strife_runtime::{Failure, Security, Shutdown, connect, tls::Expected};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Response, Status, transport::Channel};

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at what a test waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: LbArgs,
}

pub(crate) fn config(flags: &str) -> Config {
    let words = std::iter::once("lb").chain(flags.split_whitespace());
    Command::parse_from(words).args.config().expect("valid flags")
}

/// A running balancer.
pub(crate) struct Fleet {
    pub(crate) listen: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) served: JoinHandle<Result<(), Failure>>,
    security: Security,
}

impl Fleet {
    /// Two threads unless the flags say otherwise, any free ports, in the clear, and these flags;
    /// waits until it says ready.
    pub(crate) async fn start(flags: &str) -> Self {
        Self::start_with(flags, Security::Plaintext, Security::Plaintext).await
    }

    /// `client`: as whom tests administer it.
    pub(crate) async fn start_with(flags: &str, security: Security, client: Security) -> Self {
        let threads = if flags.contains("--threads") { "" } else { "--threads 2" };
        let flags = format!("--listen 127.0.0.1:0 --control 127.0.0.1:0 {threads} {flags}");
        let bound = Bound::bind(config(&flags), security).await.expect("free ports");
        let (listen, control) = (bound.listen_address(), bound.control_address());
        let shutdown = Shutdown::manual();
        let (ready, is_ready) = oneshot::channel();
        let announce = || ready.send(()).expect("the test waits");
        let served = tokio::spawn(bound.serve(shutdown.clone(), announce));
        is_ready.await.expect("it becomes ready");
        let fleet = Self { listen, control, shutdown, served, security: client };
        fleet.until_settled().await;
        fleet
    }

    /// Every server was tried once: a balancer is ready after a second in any case.
    async fn until_settled(&self) {
        let settled = async {
            loop {
                let status = self.admin().get_status(StatusRequest {}).await.expect("status");
                let pools = status.into_inner().pools;
                let mut endpoints = pools.iter().flat_map(|pool| &pool.endpoints);
                if endpoints.all(|endpoint| endpoint.state() != EndpointState::Connecting) {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("every server is tried");
    }

    /// A connection of its own through the balancer.
    pub(crate) fn channel(&self, authority: &str, security: &Security) -> Channel {
        connect::channel(&self.listen.to_string(), authority, Expected::LB, security)
            .expect("an authority")
    }

    pub(crate) fn bank(&self) -> BankServiceClient<Channel> {
        BankServiceClient::new(self.channel("localhost", &Security::Plaintext))
    }

    pub(crate) fn store(&self) -> BankStoreClient<Channel> {
        BankStoreClient::new(self.channel("localhost", &Security::Plaintext))
    }

    pub(crate) fn look_aside(&self, security: &Security) -> LoadBalancerClient<Channel> {
        let control = self.control.to_string();
        LoadBalancerClient::new(
            connect::direct(&control, Expected::LB, security).expect("an address"),
        )
    }

    pub(crate) fn admin(&self) -> LoadBalancerAdminClient<Channel> {
        let control = self.control.to_string();
        let channel = connect::direct(&control, Expected::LB, &self.security);
        LoadBalancerAdminClient::new(channel.expect("an address"))
    }

    pub(crate) async fn set_policy(&self, policy: &str) {
        let request = SetPolicyRequest { pool: String::new(), policy: policy.to_owned() };
        self.admin().set_policy(request).await.expect("a known policy");
    }

    /// The first pool.
    pub(crate) async fn pool(&self) -> PoolStatus {
        let status = self.admin().get_status(StatusRequest {}).await.expect("status");
        status.into_inner().pools.remove(0)
    }

    /// Asks for the state of the first pool until it is as wanted.
    pub(crate) async fn wait_until(&self, wanted: impl Fn(&PoolStatus) -> bool) {
        let asking = async {
            while !wanted(&self.pool().await) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if tokio::time::timeout(PATIENCE, asking).await.is_err() {
            panic!("the pool stays as it is: {:?}", self.pool().await);
        }
    }

    /// Until exactly these servers are in the first pool and take calls.
    pub(crate) async fn wait_for_servers(&self, addresses: &[&str]) {
        self.wait_until(|pool| {
            let is_ready = |one: &EndpointStatus| one.state() == EndpointState::Ready;
            let mut found: Vec<_> = pool.endpoints.iter().map(|one| one.address.as_str()).collect();
            let mut wanted = addresses.to_vec();
            found.sort_unstable();
            wanted.sort_unstable();
            found == wanted && pool.endpoints.iter().all(is_ready)
        })
        .await;
    }

    /// Asks for the state of the first pool's servers until it is as wanted.
    pub(crate) async fn wait_for(&self, wanted: impl Fn(&[EndpointStatus]) -> bool) {
        let asking = async {
            while !wanted(&self.pool().await.endpoints) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("the endpoints become as wanted");
    }

    pub(crate) async fn wait_for_state(&self, endpoint: usize, state: EndpointState) {
        self.wait_for(|endpoints| endpoints[endpoint].state() == state).await;
    }
}

pub(crate) fn account(id: &str) -> AccountRequest {
    AccountRequest { account_id: id.to_owned() }
}

/// A call, and which server says that it answered.
pub(crate) async fn call(client: &mut BankServiceClient<Channel>) -> Result<String, Status> {
    let response = client.validate_account(account("a")).await?;
    let named = endpoint_of(&response);
    let answer: AccountResponse = response.into_inner();
    assert_eq!(named, answer.account_id, "the endpoint named is the one that answered");
    Ok(answer.account_id)
}

pub(crate) fn endpoint_of<T>(response: &Response<T>) -> String {
    let named = response.metadata().get(ENDPOINT_HEADER.as_str()).expect("an endpoint is named");
    named.to_str().expect("an address").to_owned()
}
