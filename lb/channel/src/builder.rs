//! What a channel is made from, and what it does without being told.

use std::{sync::Arc, time::Duration};

use http::HeaderName;
use strife_policy::Ramp;
use tokio::{runtime::Handle, sync::watch};
use tonic::transport::{self, Endpoint};

use crate::{
    Channel, ChannelError, Clock,
    call::Shared,
    connection::Dial,
    look_aside::{Balancer, LookAside},
    pick::Picks,
    servers::Servers,
};

/// Enough for a server that restarts at once to come back.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Each holds its messages and a stream, so their number is what bounds the channel's memory.
const MAX_CALLS: usize = 16_384;
/// When a silent connection is pinged, and how long the answer may take: as the balancer does.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

pub(crate) type MakeEndpoint =
    Arc<dyn Fn(&str) -> Result<Endpoint, transport::Error> + Send + Sync>;

/// Makes a [`Channel`].
#[must_use]
pub struct Builder {
    servers: Option<Source>,
    policy: String,
    hash_header: Option<String>,
    ramp: Ramp,
    ready_timeout: Duration,
    connect_timeout: Duration,
    max_calls: usize,
    endpoint: MakeEndpoint,
}

enum Source {
    Listed(watch::Receiver<Vec<String>>),
    Asked(Balancer),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            servers: None,
            policy: strife_policy::DEFAULT_POLICY.to_owned(),
            hash_header: None,
            // A new connection does not mean a new server.
            ramp: Ramp { window: Duration::ZERO, ..Ramp::default() },
            ready_timeout: READY_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_calls: MAX_CALLS,
            endpoint: Arc::new(plaintext),
        }
    }
}

impl Builder {
    /// These servers, `host:port` each. A name is looked up whenever a connection is made.
    pub fn servers(self, servers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let list: Vec<String> = servers.into_iter().map(Into::into).collect();
        if list.is_empty() {
            return Self { servers: None, ..self };
        }
        self.watch(watch::channel(list).1)
    }

    /// The servers of the newest list, `host:port` each; a list may be empty for a while. When the
    /// sender is dropped, its last list stays.
    pub fn watch(self, servers: watch::Receiver<Vec<String>>) -> Self {
        Self { servers: Some(Source::Listed(servers)), ..self }
    }

    /// For each call, the server that a balancer names: `balancer` leads to its control address.
    /// `pool`: the balancer's default pool if empty. Every pick is a call to the balancer, 1 s at
    /// most.
    pub fn look_aside(self, balancer: transport::Channel, pool: impl Into<String>) -> Self {
        let balancer = Balancer { channel: balancer, pool: pool.into() };
        Self { servers: Some(Source::Asked(balancer)), ..self }
    }

    /// As the balancer's `--policy`, parameters included; `least_load` if not given. `prequal` is
    /// `least_request` here: the channel does not probe.
    pub fn policy(self, policy: impl Into<String>) -> Self {
        Self { policy: policy.into(), ..self }
    }

    /// The request header whose value keeps calls together, if not the one that the policy names.
    /// With [`Builder::look_aside`] the balancer is told its hash.
    pub fn hash_by(self, header: impl Into<String>) -> Self {
        Self { hash_header: Some(header.into()), ..self }
    }

    /// Slow start: a server that was connected, anew too, gets its full share of calls only in so
    /// long. Not at all if not given: what is new to the channel need not be new.
    pub fn slow_start(self, window: Duration) -> Self {
        Self { ramp: Ramp { window, ..self.ramp }, ..self }
    }

    /// How long a call waits for a connected server; 1 s if not given.
    pub fn ready_timeout(self, ready_timeout: Duration) -> Self {
        Self { ready_timeout, ..self }
    }

    /// How long connecting to a server may take, TLS included; 3 s if not given.
    pub fn connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout, ..self }
    }

    /// Calls under way at once; one more fails with `RESOURCE_EXHAUSTED`. 16,384 if not given.
    pub fn max_calls(self, max_calls: usize) -> Self {
        Self { max_calls, ..self }
    }

    /// How to speak to the server of an address: TLS, its name, windows, keepalive. Plaintext HTTP/2
    /// with a ping every 30 s of silence if not given.
    ///
    /// ```no_run
    /// use strife_channel::Channel;
    /// use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
    ///
    /// # async fn example(ca: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = ClientTlsConfig::new()
    ///     .ca_certificate(Certificate::from_pem(ca))
    ///     .domain_name("bank.example");
    /// let channel = Channel::builder()
    ///     .servers(["10.0.0.1:9101", "10.0.0.2:9101"])
    ///     .endpoint(move |address| {
    ///         Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls.clone())
    ///     })
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn endpoint(
        self,
        endpoint: impl Fn(&str) -> Result<Endpoint, transport::Error> + Send + Sync + 'static,
    ) -> Self {
        Self { endpoint: Arc::new(endpoint), ..self }
    }

    /// The channel; its connections are being made from now on.
    pub fn build(self) -> Result<Channel, ChannelError> {
        Handle::try_current().map_err(|_| ChannelError::NoRuntime)?;
        if self.max_calls == 0 {
            return Err(ChannelError::NoCalls);
        }
        let policy = strife_policy::by_spec(&self.policy)?;
        let hashed = self.hash_header.or_else(|| policy.hashed_header().map(str::to_owned));
        let hashed = hashed
            .map(|name| HeaderName::try_from(&name).map_err(|_| ChannelError::InvalidHeader(name)))
            .transpose()?;
        let clock = Clock::start();
        let (list, look_aside) = match self.servers.ok_or(ChannelError::NoServers)? {
            Source::Listed(list) => (list, None),
            Source::Asked(balancer) => {
                let (look_aside, list) = LookAside::new(balancer, clock);
                (list, Some(look_aside))
            }
        };
        let dial = Dial { endpoint: self.endpoint, timeout: self.connect_timeout };
        let snapshots = Servers::start(policy, self.ramp, dial, clock, list);
        let picks = Picks::new(snapshots, hashed, clock, self.ready_timeout);
        Ok(Channel { shared: Arc::new(Shared::new(picks, look_aside, self.max_calls)) })
    }
}

fn plaintext(address: &str) -> Result<Endpoint, transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(endpoint
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true))
}
