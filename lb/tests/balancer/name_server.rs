//! A server of DNS whose answers a test writes.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::SRV},
};
use tokio::{net::UdpSocket, task::JoinHandle};

/// Of every record, seconds.
const TTL: u32 = 0;

/// A running name server; it ends with the test.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<AtomicU64>,
    served: JoinHandle<()>,
}

#[derive(Default)]
struct Zone {
    records: HashMap<(Name, RecordType), Vec<RData>>,
    /// Every question is answered with SERVFAIL.
    fails: bool,
}

impl NameServer {
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let (zone, asked) = (Arc::new(Mutex::new(Zone::default())), Arc::new(AtomicU64::new(0)));
        let served = tokio::spawn(serve(socket, zone.clone(), asked.clone()));
        Self { address, zone, asked, served }
    }

    /// Flags for a balancer that asks here, often.
    pub(crate) fn flags(&self) -> String {
        format!("--dns-server {} --dns-interval 100ms", self.address)
    }

    /// These addresses, of both families, are all that `host` has from now on.
    pub(crate) fn set_host(&self, host: &str, addresses: &[&str]) {
        let parsed = addresses.iter().map(|address| address.parse::<IpAddr>().expect("an address"));
        let (v4, v6): (Vec<_>, Vec<_>) = parsed.partition(IpAddr::is_ipv4);
        let mut zone = self.zone.lock().expect("no panic while held");
        for (kind, addresses) in [(RecordType::A, v4), (RecordType::AAAA, v6)] {
            let data = addresses.into_iter().map(RData::from).collect();
            zone.records.insert((name(host), kind), data);
        }
    }

    /// Priority, target and port of each.
    pub(crate) fn set_service(&self, service: &str, targets: &[(u16, &str, u16)]) {
        let record = |&(priority, target, port): &(u16, &str, u16)| {
            RData::SRV(SRV::new(priority, 1, port, name(target)))
        };
        let mut zone = self.zone.lock().expect("no panic while held");
        let key = (name(service), RecordType::SRV);
        zone.records.insert(key, targets.iter().map(record).collect());
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.zone.lock().expect("no panic while held").fails = fails;
    }

    /// Questions so far.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.served.abort();
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).expect("a name");
    name.set_fqdn(true);
    name
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>, asked: Arc<AtomicU64>) {
    let mut datagram = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut datagram).await.expect("it serves");
        let question = Message::from_vec(&datagram[..length]).expect("a question");
        asked.fetch_add(1, Relaxed);
        let answer = zone.lock().expect("no panic while held").answer(&question);
        socket.send_to(&answer.to_vec().expect("it can be written"), peer).await.expect("sent");
    }
}

impl Zone {
    fn answer(&self, question: &Message) -> Message {
        let query = question.queries.first().expect("it asks something").clone();
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_available = true;
        let key = (query.name().to_lowercase(), query.query_type());
        let is_known = self.records.keys().any(|(name, _)| *name == key.0);
        answer.metadata.response_code = match is_known {
            _ if self.fails => ResponseCode::ServFail,
            true => ResponseCode::NoError,
            false => ResponseCode::NXDomain,
        };
        if !self.fails {
            for data in self.records.get(&key).into_iter().flatten() {
                answer.add_answer(Record::from_rdata(query.name().clone(), TTL, data.clone()));
            }
        }
        answer.add_query(query);
        answer
    }
}
