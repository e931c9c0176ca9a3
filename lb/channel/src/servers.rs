//! The servers, their connections, and what picks among them: one task writes it all down.
//!
//! A task per server keeps its connection and says what became of it; the one writer folds that and
//! the newest list into the next snapshot. Picks read snapshots, and whoever waits for a server
//! waits for the next one.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rand::{RngExt, rngs::SmallRng};
use strife_policy::{EndpointLoad, Picker, Policy, Ramp};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::Instant,
};
use tonic::transport;

use crate::{Clock, connection::Dial};

/// First, last and growth of the time between attempts to connect, and the share by which it is
/// spread either way (gRPC's connection backoff, with the balancer's shorter start and end).
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(5);
const BACKOFF_GROWTH: f64 = 1.6;
const BACKOFF_JITTER: f64 = 0.2;
/// Findings that may wait to be written down.
const QUEUE: usize = 256;

/// A server's connection, as gRPC's connectivity states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connectivity {
    /// The first attempt is under way.
    Connecting,
    /// Connected. Only these are picked.
    Ready,
    /// Not connected, and why; tried again with growing pauses.
    TransientFailure(String),
}

/// A server and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// `host:port`.
    pub address: String,
    /// Its connection.
    pub state: Connectivity,
    /// This channel's calls under way there.
    pub in_flight: u64,
    /// Calls sent there since it is in the list.
    pub calls: u64,
    /// Of those, how many failed by its fault.
    pub failed: u64,
}

/// A connected server. Connected anew, it is another one.
pub(crate) struct Ready {
    pub(crate) load: Arc<EndpointLoad>,
    pub(crate) channel: transport::Channel,
}

/// What is known at one moment.
pub(crate) struct Snapshot {
    pub(crate) members: Vec<(Arc<EndpointLoad>, Connectivity)>,
    pub(crate) ready: Vec<Arc<Ready>>,
    /// Over `ready`.
    pub(crate) picker: Box<dyn Picker>,
}

/// For who reads the newest snapshot: taking it waits for nobody.
#[derive(Clone)]
pub(crate) struct Snapshots {
    pub(crate) newest: Arc<ArcSwap<Snapshot>>,
    /// Told when there is a newer one. The writer ends with the last of these.
    pub(crate) changed: watch::Receiver<()>,
}

struct Member {
    load: Arc<EndpointLoad>,
    state: Connectivity,
    ready: Option<Arc<Ready>>,
    keeper: AbortHandle,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

struct Finding {
    load: Arc<EndpointLoad>,
    state: Result<transport::Channel, String>,
}

/// The writer.
pub(crate) struct Servers {
    policy: Box<dyn Policy>,
    ramp: Ramp,
    dial: Dial,
    clock: Clock,
    members: Vec<Member>,
    tell: mpsc::Sender<Finding>,
    newest: Arc<ArcSwap<Snapshot>>,
    changed: watch::Sender<()>,
}

impl Servers {
    /// Runs until nobody reads its snapshots any more.
    pub(crate) fn start(
        policy: Box<dyn Policy>,
        ramp: Ramp,
        dial: Dial,
        clock: Clock,
        mut list: watch::Receiver<Vec<String>>,
    ) -> Snapshots {
        let picker = policy.picker(Arc::new([]), clock.now());
        let nothing = Snapshot { members: Vec::new(), ready: Vec::new(), picker };
        let newest = Arc::new(ArcSwap::from_pointee(nothing));
        let (changed, told) = watch::channel(());
        let (tell, findings) = mpsc::channel(QUEUE);
        let read = Snapshots { newest: newest.clone(), changed: told };
        let members = Vec::new();
        let mut servers = Self { policy, ramp, dial, clock, members, tell, newest, changed };
        servers.list(&list.borrow_and_update().clone());
        servers.publish();
        tokio::spawn(servers.run(list, findings));
        read
    }

    async fn run(
        mut self,
        mut list: watch::Receiver<Vec<String>>,
        mut findings: mpsc::Receiver<Finding>,
    ) {
        let refresh_every = self.policy.refresh_every();
        let mut is_list_final = false;
        let mut refresh_at = Instant::now();
        loop {
            if let Some(every) = refresh_every {
                refresh_at = Instant::now() + every;
            }
            tokio::select! {
                () = self.changed.closed() => return,
                Some(finding) = findings.recv() => {
                    self.found(finding);
                    while let Ok(finding) = findings.try_recv() {
                        self.found(finding);
                    }
                }
                changed = list.changed(), if !is_list_final => match changed {
                    Ok(()) => self.list(&list.borrow_and_update().clone()),
                    Err(_) => is_list_final = true,
                },
                () = tokio::time::sleep_until(refresh_at), if refresh_every.is_some() => {}
            }
            self.publish();
        }
    }

    /// These, in this order, and no others. Who is named twice is one server.
    fn list(&mut self, addresses: &[String]) {
        let mut old = std::mem::take(&mut self.members);
        for address in addresses {
            if self.members.iter().any(|member| member.load.address() == address) {
                continue;
            }
            let known = old.iter().position(|member| member.load.address() == address);
            let member = known.map(|index| old.swap_remove(index));
            let member = member.unwrap_or_else(|| self.member(address));
            self.members.push(member);
        }
    }

    fn member(&self, address: &str) -> Member {
        let load = Arc::new(EndpointLoad::new(address, self.ramp));
        let keeper = keep(load.clone(), self.dial.clone(), self.tell.clone());
        let keeper = tokio::spawn(keeper).abort_handle();
        Member { load, state: Connectivity::Connecting, ready: None, keeper }
    }

    fn found(&mut self, finding: Finding) {
        let known = |member: &&mut Member| Arc::ptr_eq(&member.load, &finding.load);
        // Whoever left since, and even came back as somebody else, is not meant.
        let Some(member) = self.members.iter_mut().find(known) else { return };
        (member.state, member.ready) = match finding.state {
            Ok(channel) => {
                member.load.joined(self.clock.now());
                let ready = Ready { load: member.load.clone(), channel };
                (Connectivity::Ready, Some(Arc::new(ready)))
            }
            Err(why) => (Connectivity::TransientFailure(why), None),
        };
    }

    fn publish(&self) {
        let members = self.members.iter();
        let members = members.map(|member| (member.load.clone(), member.state.clone())).collect();
        let ready: Vec<_> = self.members.iter().filter_map(|member| member.ready.clone()).collect();
        let loads = ready.iter().map(|ready| ready.load.clone()).collect();
        let picker = self.policy.picker(loads, self.clock.now());
        self.newest.store(Arc::new(Snapshot { members, ready, picker }));
        self.changed.send_replace(());
    }
}

/// Keeps a server connected, and tells; until it is dropped or nobody listens.
async fn keep(load: Arc<EndpointLoad>, dial: Dial, tell: mpsc::Sender<Finding>) {
    let mut rng: SmallRng = rand::make_rng();
    let mut backoff = BACKOFF_FIRST;
    loop {
        let started = Instant::now();
        let why = match dial.connect(load.address()).await {
            Ok(connection) => {
                let state = Ok(connection.channel.clone());
                if tell.send(Finding { load: load.clone(), state }).await.is_err() {
                    return;
                }
                connection.lost().await;
                "the connection was lost".to_owned()
            }
            Err(why) => why,
        };
        if tell.send(Finding { load: load.clone(), state: Err(why) }).await.is_err() {
            return;
        }
        // One that lasted was a good one, and its end may be no more than its age.
        if started.elapsed() > BACKOFF_LAST {
            backoff = BACKOFF_FIRST;
            continue;
        }
        let jitter = rng.random_range(1.0 - BACKOFF_JITTER..1.0 + BACKOFF_JITTER);
        tokio::time::sleep(backoff.mul_f64(jitter)).await;
        backoff = backoff.mul_f64(BACKOFF_GROWTH).min(BACKOFF_LAST);
    }
}
