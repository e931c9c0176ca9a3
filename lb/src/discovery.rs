//! A pool's sources at work: each tells the pool's writer which servers there are.
//!
//! What a file or an answer of DNS means is decided in pure rooms ([`mod@file`], [`dns`], [`leases`]);
//! around them a task per source reads, asks and waits. A source that cannot say which servers there
//! are leaves those it named before: no failure of a name server or slip of an editor takes a pool
//! away. What is wrong is said once in the log, and in the source's [`SourceStatus`].

mod dns;
mod feed;
mod file;
mod leases;
mod registrations;
mod reload;
mod status;

use std::{ops::Range, sync::Arc};

use tokio::task::JoinSet;

use self::feed::Feed;
pub(crate) use self::{
    registrations::Registrations,
    reload::{Configured, reload_on_hangup},
    status::{Said, SourceStatus},
};
use crate::{
    config::{Membership, SourceConfig},
    membership::Writer,
    pool::Pool,
};

/// Servers of one source; what it names beyond is passed over, and said.
const MAX_SERVERS: usize = 20_000;

/// The sources of one pool; they end with it.
pub(crate) struct Sources {
    pool: Arc<Pool>,
    writer: Writer,
    membership: Membership,
    registrations: Arc<Registrations>,
    configs: Vec<SourceConfig>,
    /// As the writer knows those at work.
    numbers: Range<usize>,
    tasks: JoinSet<()>,
}

impl Sources {
    /// None yet.
    pub(crate) fn new(
        pool: Arc<Pool>,
        writer: Writer,
        membership: Membership,
        registrations: Arc<Registrations>,
    ) -> Self {
        let (configs, tasks) = (Vec::new(), JoinSet::new());
        Self { pool, writer, membership, registrations, configs, numbers: 0..0, tasks }
    }

    /// These are the sources from now on; whether that is a change. Servers of earlier ones stay until
    /// every new one has named its own.
    pub(crate) async fn set(&mut self, configs: &[SourceConfig]) -> bool {
        if self.configs == configs {
            return false;
        }
        self.configs = configs.to_vec();
        self.numbers = self.numbers.end..self.numbers.end + configs.len();
        self.tasks = JoinSet::new();
        let numbered = self.numbers.clone().zip(configs);
        let statuses: Vec<_> =
            numbered.map(|(number, config)| SourceStatus::new(number, config)).collect();
        for (config, status) in configs.iter().zip(&statuses) {
            self.start(config, status);
        }
        self.pool.set_sources(statuses.clone());
        let mut registering = configs.iter().zip(&statuses);
        let registering = registering.find(|(one, _)| **one == SourceConfig::Registration);
        if let Some((_, status)) = registering {
            self.registrations.open(status.clone()).await;
        }
        let retirement = Retirement {
            writer: self.writer.clone(),
            registrations: self.registrations.clone(),
            earlier: 0..self.numbers.start,
            registering: registering.map(|(_, status)| status.clone()),
            later: statuses,
        };
        self.tasks.spawn(retirement.carry_out());
        true
    }

    fn start(&mut self, config: &SourceConfig, status: &Arc<SourceStatus>) {
        let pool = self.pool.name.clone();
        let feed = Feed { pool, writer: self.writer.clone(), status: status.clone() };
        let membership = self.membership;
        match config.clone() {
            SourceConfig::Static(addresses) => {
                self.tasks.spawn(async move { feed.has(addresses).await });
            }
            SourceConfig::File(path) => {
                self.tasks.spawn(file::watch(path, feed));
            }
            SourceConfig::Dns { host, port } => {
                self.tasks.spawn(dns::resolve(dns::Question::Host(host, port), membership, feed));
            }
            SourceConfig::Srv(name) => {
                self.tasks.spawn(dns::resolve(dns::Question::Service(name), membership, feed));
            }
            SourceConfig::Registration => {}
        }
    }
}

/// The end of earlier sources.
struct Retirement {
    writer: Writer,
    registrations: Arc<Registrations>,
    /// As the writer knows them.
    earlier: Range<usize>,
    later: Vec<Arc<SourceStatus>>,
    /// That of `later` by which servers register.
    registering: Option<Arc<SourceStatus>>,
}

impl Retirement {
    /// Takes the servers of earlier sources away once all that came after know theirs.
    async fn carry_out(self) {
        for status in &self.later {
            status.until(|said| said.is_known).await;
        }
        if let Some(status) = &self.registering {
            self.registrations.until_heard().await;
            if self.later.len() == 1 {
                // Servers that may register and do not are no reason to have none.
                status.until(|said| said.servers > 0).await;
            }
        }
        for number in self.earlier {
            self.writer.set_servers(number, Vec::new()).await;
        }
        if self.registering.is_none() {
            self.registrations.close().await;
        }
    }
}
