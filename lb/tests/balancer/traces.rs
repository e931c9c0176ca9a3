//! W3C Trace Context through the balancer, and the spans it sends to a collector.

use std::{collections::HashMap, net::SocketAddr};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::{Span, status::StatusCode},
};
use strife_proto::bank::v1::{BalanceRequest, bank_service_server::BankServiceServer};
use strife_runtime::Shutdown;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Server};

use crate::{
    fleet::{Fleet, PATIENCE, account},
    stub::{Service, free_port, list, plain_stubs},
};

const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// A server that shows the metadata of its calls.
struct Witness {
    address: SocketAddr,
    seen: mpsc::Receiver<MetadataMap>,
}

impl Witness {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (tell, seen) = mpsc::channel(64);
        let note = move |request: Request<()>| {
            tell.try_send(request.metadata().clone()).expect("fewer calls than room");
            Ok(request)
        };
        let (_, health) = tonic_health::server::health_reporter();
        let bank = BankServiceServer::with_interceptor(Service::alone(address), note);
        let server = Server::builder().add_service(health).add_service(bank);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, seen }
    }

    /// What came with the next call, by these names.
    async fn next(&mut self, names: &[&str]) -> Vec<Option<String>> {
        let seen = timeout(PATIENCE, self.seen.recv()).await.expect("a call arrives");
        let seen = seen.expect("the server runs");
        let text = |name: &&str| Some(seen.get(*name)?.to_str().expect("text").to_owned());
        names.iter().map(text).collect()
    }
}

/// A collector that shows what it gets.
struct Collector(mpsc::Sender<(HashMap<String, Value>, Span)>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let resource = attributes(&of_resource.resource.expect("a resource").attributes);
            for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                self.0.send((resource.clone(), span)).await.expect("the test waits");
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (SocketAddr, mpsc::Receiver<(HashMap<String, Value>, Span)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (tell, spans) = mpsc::channel(1024);
        let server = Server::builder().add_service(TraceServiceServer::new(Self(tell)));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (address, spans)
    }
}

fn attributes(list: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> HashMap<String, Value> {
    let value = |one: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        one.value.as_ref().and_then(|value| value.value.clone()).expect("a value")
    };
    list.iter().map(|one| (one.key.clone(), value(one))).collect()
}

fn text(value: &str) -> Option<Value> {
    Some(Value::StringValue(value.to_owned()))
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Calls with these fields; what the server saw of `names`.
async fn pass(
    fleet: &Fleet,
    witness: &mut Witness,
    fields: &[(&'static str, &str)],
) -> Vec<Option<String>> {
    let mut request = Request::new(account("a"));
    for (name, value) in fields {
        request.metadata_mut().append(*name, value.parse().expect("a header's value"));
    }
    fleet.bank().validate_account(request).await.expect("an answer");
    witness.next(&["traceparent", "tracestate", "baggage"]).await
}

#[tokio::test]
async fn trace_context_passes_unharmed_when_nothing_is_traced() {
    let mut witness = Witness::start().await;
    let fleet = Fleet::start(&format!("--pool default={}", witness.address)).await;
    let mut check = async |traceparent: &str, tracestate: &str, baggage: &str| {
        let fields =
            [("traceparent", traceparent), ("tracestate", tracestate), ("baggage", baggage)];
        let seen = pass(&fleet, &mut witness, &fields).await;
        let sent = [traceparent, tracestate, baggage].map(|value| Some(value.to_owned()));
        assert_eq!(seen, sent);
    };
    check(SAMPLED, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "user=alice;p=1,tier=gold").await;
    check(NOT_SAMPLED, "a=b", "k=v").await;
    check("nonsense", "not=ours", "to=judge").await;
}

#[tokio::test]
async fn a_sampled_call_has_a_span_in_its_clients_trace() {
    let (collector, mut spans) = Collector::start().await;
    let mut witness = Witness::start().await;
    let fleet = Fleet::start(&format!(
        "--pool default={} --otlp-endpoint http://{collector} --trace-sample 0",
        witness.address
    ))
    .await;
    let fields = [("traceparent", SAMPLED), ("tracestate", "a=b"), ("baggage", "k=v")];
    let seen = pass(&fleet, &mut witness, &fields).await;
    let (resource, span) = timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
    let own = hexadecimal(&span.span_id);
    let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{own}-01");
    assert_eq!(seen, [Some(expected), Some("a=b".to_owned()), Some("k=v".to_owned())]);
    assert_eq!(hexadecimal(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hexadecimal(&span.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(span.name, "strife.bank.v1.BankService/ValidateAccount");
    assert!(span.start_time_unix_nano > 0 && span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(resource.get("service.name"), text("strife-lb").as_ref());
    let found = attributes(&span.attributes);
    let check = |key: &str, expected: Option<Value>| {
        assert_eq!(found.get(key), expected.as_ref(), "{key}");
    };
    check("rpc.system", text("grpc"));
    check("rpc.service", text("strife.bank.v1.BankService"));
    check("rpc.method", text("ValidateAccount"));
    check("rpc.grpc.status_code", Some(Value::IntValue(0)));
    check("server.address", text("127.0.0.1"));
    check("server.port", Some(Value::IntValue(witness.address.port().into())));
    check("strife.pool", text("default"));
    check("strife.policy", text("least_load"));
    check("strife.regime", text("in_flight"));
    check("strife.attempts", Some(Value::IntValue(1)));
    check("strife.ended", text("completed"));
    assert!(matches!(found["strife.request_bytes"], Value::IntValue(bytes) if bytes > 5));
    // One that its client does not sample passes as it came, and has no span.
    let seen = pass(&fleet, &mut witness, &[("traceparent", NOT_SAMPLED)]).await;
    assert_eq!(seen[0].as_deref(), Some(NOT_SAMPLED));
    let balance = BalanceRequest { account_id: "x".to_owned() };
    let mut request = Request::new(balance);
    request.metadata_mut().insert("traceparent", SAMPLED.parse().unwrap());
    fleet.bank().get_account_balance(request).await.unwrap_err();
    let (_, span) = timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
    assert_eq!(span.name, "strife.bank.v1.BankService/GetAccountBalance");
    assert_eq!(span.status.unwrap().code(), StatusCode::Error);
    let status = attributes(&span.attributes).remove("rpc.grpc.status_code");
    assert_eq!(status, Some(Value::IntValue(5)));
}

#[tokio::test]
async fn a_trace_that_cannot_be_read_is_begun_anew() {
    let (collector, mut spans) = Collector::start().await;
    let mut witness = Witness::start().await;
    let fleet = Fleet::start(&format!(
        "--pool default={} --otlp-endpoint http://{collector} --trace-sample 1",
        witness.address
    ))
    .await;
    let malformed = [("traceparent", "00-xyz-1-2"), ("tracestate", "a=b"), ("baggage", "k=v")];
    let twice = [("traceparent", SAMPLED), ("traceparent", SAMPLED), ("baggage", "k=v")];
    let none = [("baggage", "k=v")];
    for fields in [&malformed[..], &twice, &none] {
        let seen = pass(&fleet, &mut witness, fields).await;
        let (_, span) = timeout(PATIENCE, spans.recv()).await.expect("a span").unwrap();
        let (trace, own) = (hexadecimal(&span.trace_id), hexadecimal(&span.span_id));
        assert_eq!(seen[0], Some(format!("00-{trace}-{own}-01")), "{fields:?}");
        assert_ne!(trace, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((seen[1].as_deref(), seen[2].as_deref()), (None, Some("k=v")));
        assert!(span.parent_span_id.is_empty());
    }
}

#[tokio::test]
async fn calls_are_unharmed_while_the_collector_is_down_and_the_end_is_not_held_up() {
    let stubs = plain_stubs(2);
    let flags = format!(
        "--pool default={} --otlp-endpoint http://{} --trace-sample 1",
        list(&stubs),
        free_port()
    );
    let fleet = Fleet::start(&flags).await;
    let mut client = fleet.bank();
    for _ in 0..100 {
        crate::fleet::call(&mut client).await.unwrap();
    }
    let shutdown: Shutdown = fleet.shutdown.clone();
    drop(client);
    shutdown.request();
    timeout(PATIENCE, fleet.served).await.expect("it ends").unwrap().unwrap();
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_end() {
    let (collector, mut spans) = Collector::start().await;
    let stubs = plain_stubs(1);
    let flags = format!(
        "--pool default={} --otlp-endpoint http://{collector} --trace-sample 1",
        list(&stubs),
    );
    let fleet = Fleet::start(&flags).await;
    let mut client = fleet.bank();
    for _ in 0..50 {
        crate::fleet::call(&mut client).await.unwrap();
    }
    drop(client);
    fleet.shutdown.request();
    timeout(PATIENCE, fleet.served).await.expect("it ends").unwrap().unwrap();
    let mut count = 0;
    while spans.try_recv().is_ok() {
        count += 1;
    }
    assert_eq!(count, 50);
}
