//! Load reports of servers that only speak ORCA: in trailers and out of band.

use std::{net::SocketAddr, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use strife_proto::{lb::v1::EndpointStatus, xds::data::orca::v3::OrcaLoadReport};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::fleet::{Fleet, PATIENCE, account};

/// What the server sends of its load.
#[derive(Clone, Default)]
struct Says {
    /// The value of `endpoint-load-metrics-bin` in every answer's trailers.
    trailer: Option<&'static str>,
    /// Reports of the out-of-band stream, which then stays open; `None`: it is not served.
    stream: Option<Vec<OrcaLoadReport>>,
}

/// A server that answers every call with an empty message.
struct Server {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (says, mut tasks) = (Arc::new(says), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, says.clone()));
            }
        });
        Self { address, _tasks: tasks }
    }
}

async fn serve(stream: TcpStream, says: Arc<Says>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut held = Vec::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        held.extend(answer(&request, respond, &says));
    }
}

/// Returns what has to be kept for the stream to stay open.
fn answer(
    request: &Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    says: &Says,
) -> Option<SendStream<Bytes>> {
    let mut head = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", grpc);
    let path = request.uri().path();
    let is_stream = path == "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics";
    if path.starts_with("/grpc.health.v1") || (is_stream && says.stream.is_none()) {
        head.headers_mut().insert("grpc-status", HeaderValue::from_static("12"));
        respond.send_response(head, true).ok()?;
        return None;
    }
    let mut body = respond.send_response(head, false).ok()?;
    if is_stream {
        for report in says.stream.iter().flatten() {
            body.send_data(framed(report), false).ok()?;
        }
        return Some(body);
    }
    body.send_data(Bytes::from_static(&[0; 5]), false).ok()?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    if let Some(trailer) = says.trailer {
        trailers.insert("endpoint-load-metrics-bin", HeaderValue::from_static(trailer));
    }
    body.send_trailers(trailers).ok()?;
    None
}

fn framed(report: &OrcaLoadReport) -> Bytes {
    let message = report.encode_to_vec();
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.len() as u32);
    bytes.put_slice(&message);
    bytes.freeze()
}

/// Of a server with calls and errors in these rates.
fn report(cpu_utilization: f64, rps_fractional: f64) -> OrcaLoadReport {
    OrcaLoadReport { cpu_utilization, rps_fractional, ..OrcaLoadReport::default() }
}

/// Calls through a balancer of these servers until what it says of them is as wanted.
async fn call_until(servers: &[Says], wanted: impl Fn(&[EndpointStatus]) -> bool) {
    let mut started = Vec::new();
    for says in servers {
        started.push(Server::start(says.clone()).await);
    }
    let addresses: Vec<_> = started.iter().map(|server| server.address.to_string()).collect();
    let pool = addresses.join(",");
    let fleet = Fleet::start(&format!("--pool default={pool} --policy round_robin")).await;
    let mut client = fleet.bank();
    let asking = async {
        loop {
            client.validate_account(account("a")).await.expect("an answer");
            if wanted(&fleet.pool().await.endpoints) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the reports arrive");
}

fn count(endpoint: &EndpointStatus, channel: &str) -> (u64, u64, u64) {
    let count = endpoint.reports.iter().find(|count| count.channel == channel);
    count.map_or((0, 0, 0), |one| (one.accepted, one.out_of_sequence, one.invalid))
}

/// A cpu_utilization of 0.5.
const HALF_BUSY: &str = "CQAAAAAAAOA/";
/// Not a number, and -1.
const NOT_A_NUMBER: &str = "CQAAAAAAAPh/";
const NEGATIVE: &str = "CQAAAAAAAPC/";

#[tokio::test]
async fn trailers_say_how_busy_a_server_is() {
    let says = |trailer| Says { trailer, stream: None };
    let servers = [
        says(Some(HALF_BUSY)),
        says(Some("no report!")),
        says(Some(NOT_A_NUMBER)),
        says(Some(NEGATIVE)),
        says(None),
    ];
    call_until(&servers, |endpoints| {
        let counts: Vec<_> = endpoints.iter().map(|one| count(one, "trailers")).collect();
        assert!(counts[1..].iter().all(|(accepted, ..)| *accepted == 0), "{counts:?}");
        assert_eq!(counts[4], (0, 0, 0));
        let is_told = endpoints[0].orca.is_some_and(|orca| orca.utilization == 0.5);
        is_told && counts[0].0 > 2 && counts[1..4].iter().all(|(.., invalid)| *invalid > 1)
    })
    .await;
}

#[tokio::test]
async fn a_server_streams_how_busy_it_is() {
    let streams = |reports| Says { trailer: None, stream: Some(reports) };
    let bad = [f64::NAN, -1.0, f64::INFINITY].map(|utilization| report(utilization, 1.0));
    let servers = [
        streams(vec![report(0.25, 10.0), report(0.75, 20.0)]),
        streams(bad.to_vec()),
        streams(Vec::new()),
        Says::default(),
    ];
    call_until(&servers, |endpoints| {
        let counts: Vec<_> = endpoints.iter().map(|one| count(one, "out_of_band")).collect();
        let last = endpoints[0].orca;
        counts == [(2, 0, 0), (0, 0, 3), (0, 0, 0), (0, 0, 0)]
            && last.is_some_and(|orca| (orca.utilization, orca.rps) == (0.75, 20.0))
    })
    .await;
}
