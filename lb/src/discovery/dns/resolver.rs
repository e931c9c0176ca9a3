//! Questions to DNS, by hickory's resolver: the system's configuration, or one server that is named.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    lookup::Lookup as Records,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};

use super::{
    families::Lookup,
    services::{Service, Target},
};

/// For one try at one name server, of [`ATTEMPTS`].
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// For a question in all, over every name server and every name of the search list.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks DNS; remembers no answer.
pub(super) struct Resolver(TokioResolver);

impl Resolver {
    /// `server`: instead of those of the system's configuration, whose hosts file and search list are
    /// then not used either.
    pub(super) fn open(server: Option<SocketAddr>) -> Result<Self, String> {
        let unusable = |error: NetError| format!("the system's DNS configuration: {error}");
        let mut builder = match server {
            Some(server) => {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = server.port();
                    connection
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                let server = NameServerConfig::new(server.ip(), true, connections);
                let config = ResolverConfig::from_name_servers(vec![server]);
                let provider = TokioRuntimeProvider::default();
                let mut builder = TokioResolver::builder_with_config(config, provider);
                builder.options_mut().use_hosts_file = ResolveHosts::Never;
                builder
            }
            None => TokioResolver::builder_tokio().map_err(unusable)?,
        };
        let options = builder.options_mut();
        (options.timeout, options.attempts) = (TIMEOUT, ATTEMPTS);
        // Many servers do not fit into 512 bytes.
        (options.cache_size, options.edns0) = (0, true);
        Ok(Self(builder.build().map_err(unusable)?))
    }

    /// The A and AAAA records of a host.
    pub(super) async fn addresses(&self, host: &str) -> [Lookup<IpAddr>; 2] {
        let address = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        let (v4, v6) = tokio::join!(
            self.ask(host, RecordType::A, address),
            self.ask(host, RecordType::AAAA, address)
        );
        [v4, v6]
    }

    /// The SRV records of a service.
    pub(super) async fn services(&self, name: &str) -> Lookup<Service> {
        let service = |data: &RData| match data {
            RData::SRV(record) => {
                let target = Target { host: record.target.to_string(), port: record.port };
                Some(Service { priority: record.priority, target })
            }
            _ => None,
        };
        self.ask(name, RecordType::SRV, service).await
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        of: impl Fn(&RData) -> Option<T>,
    ) -> Lookup<T> {
        match tokio::time::timeout(QUESTION_TIMEOUT, self.0.lookup(name, kind)).await {
            Ok(Ok(records)) => found(&records, of),
            Ok(Err(error)) if error.is_no_records_found() => Lookup::Nothing,
            Ok(Err(error)) => Lookup::Failed(format!("DNS does not answer ({kind}: {error})")),
            Err(_) => Lookup::Failed(format!(
                "DNS does not answer ({kind}: nothing in {QUESTION_TIMEOUT:?})"
            )),
        }
    }
}

fn found<T>(records: &Records, of: impl Fn(&RData) -> Option<T>) -> Lookup<T> {
    let answers = records.answers().iter();
    let found: Vec<_> =
        answers.filter_map(|record| Some((of(&record.data)?, record.ttl))).collect();
    let Some(ttl) = found.iter().map(|(_, ttl)| *ttl).min() else { return Lookup::Nothing };
    let found = found.into_iter().map(|(one, _)| one).collect();
    Lookup::Found(found, Duration::from_secs(u64::from(ttl)))
}
