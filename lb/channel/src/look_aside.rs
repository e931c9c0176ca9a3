//! Servers by a balancer's picks: it is asked for each call, and who it names gets a connection.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use strife_proto::lb::v1::{ServerRequest, load_balancer_client::LoadBalancerClient};
use tokio::sync::watch;
use tonic::{Code, Status, transport};

use crate::Clock;

/// How long the balancer may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// A server that was not named for so long is left.
const IDLE: Duration = Duration::from_secs(60);
/// Servers that are kept connected; whoever was not named for the longest time is left for one more.
const MOST_SERVERS: usize = 256;
/// Codes that are the servers' to use: a call must not seem to have been answered by one (gRFC A54).
const NOT_OURS: [Code; 7] = [
    Code::InvalidArgument,
    Code::NotFound,
    Code::AlreadyExists,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::DataLoss,
];

/// Who is asked, and for what.
pub(crate) struct Balancer {
    pub(crate) channel: transport::Channel,
    pub(crate) pool: String,
}

/// The servers that were named, and when.
pub(crate) struct LookAside {
    balancer: Balancer,
    clock: Clock,
    named: Mutex<Named>,
}

struct Named {
    at: HashMap<String, Duration>,
    looked_at: Duration,
    list: watch::Sender<Vec<String>>,
}

impl LookAside {
    /// And the list of servers to connect to.
    pub(crate) fn new(balancer: Balancer, clock: Clock) -> (Self, watch::Receiver<Vec<String>>) {
        let (list, servers) = watch::channel(Vec::new());
        let named = Named { at: HashMap::new(), looked_at: Duration::ZERO, list };
        (Self { balancer, clock, named: Mutex::new(named) }, servers)
    }

    /// The address of the server that the next call goes to, rather none of these.
    pub(crate) async fn ask(&self, hash: Option<u64>, avoid: &[String]) -> Result<String, Status> {
        let pool = self.balancer.pool.clone();
        let request = ServerRequest { pool, hash, avoid: avoid.to_vec() };
        let mut client = LoadBalancerClient::new(self.balancer.channel.clone());
        let asked = tokio::time::timeout(TIMEOUT, client.get_best_server(request)).await;
        let asked = asked
            .unwrap_or_else(|_| Err(Status::unavailable(format!("no answer within {TIMEOUT:?}"))));
        let address = asked.map_err(foreign)?.into_inner().address;
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.add(&address, self.clock.now());
        Ok(address)
    }
}

impl Named {
    fn add(&mut self, address: &str, now: Duration) {
        let known = self.at.get_mut(address).map(|at| *at = now).is_some();
        if known && now < self.looked_at + IDLE {
            return;
        }
        self.looked_at = now;
        self.at.retain(|_, at| *at + IDLE > now);
        if !known && self.at.len() >= MOST_SERVERS {
            let oldest = self.at.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(address, _)| address.clone()) {
                self.at.remove(&oldest);
            }
        }
        self.at.insert(address.to_owned(), now);
        let mut list: Vec<_> = self.at.keys().cloned().collect();
        list.sort_unstable();
        self.list.send_replace(list);
    }
}

fn foreign(status: Status) -> Status {
    let code = if NOT_OURS.contains(&status.code()) { Code::Internal } else { status.code() };
    Status::new(code, format!("the balancer names no server: {}", status.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn named() -> (Named, watch::Receiver<Vec<String>>) {
        let (list, servers) = watch::channel(Vec::new());
        (Named { at: HashMap::new(), looked_at: Duration::ZERO, list }, servers)
    }

    #[test]
    fn who_is_not_named_any_more_is_left() {
        let (mut named, servers) = named();
        named.add("a", SECOND);
        named.add("b", SECOND);
        assert_eq!(*servers.borrow(), ["a", "b"]);
        for second in 2..=61 {
            named.add("b", SECOND * second);
        }
        assert_eq!(*servers.borrow(), ["b"]);
    }

    #[test]
    fn however_many_are_named_so_many_are_kept() {
        let (mut named, servers) = named();
        for number in 0..1000_u32 {
            named.add(&number.to_string(), Duration::from_millis(number.into()));
        }
        assert_eq!(servers.borrow().len(), MOST_SERVERS);
        assert!(servers.borrow().contains(&"999".to_owned()));
        assert!(!servers.borrow().contains(&"743".to_owned()));
    }

    #[test]
    fn a_balancers_refusal_does_not_look_like_a_servers_answer() {
        let status = foreign(Status::not_found("there is no pool `x`"));
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("there is no pool `x`"));
        assert_eq!(foreign(Status::unavailable("")).code(), Code::Unavailable);
    }
}
