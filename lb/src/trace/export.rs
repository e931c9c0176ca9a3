//! The task that sends spans to a collector: OTLP over gRPC, in batches.
//!
//! A batch that the collector does not take is lost and counted: traces are a sample, and memory
//! has a bound. The log speaks of it once, and again when it is well.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span as OtlpSpan, Status as SpanStatus, span::SpanKind,
        status::StatusCode,
    },
};
use tokio::sync::mpsc;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tracing::{info, warn};

use super::{Span, SpanCounts};

/// Spans sent at once.
const BATCH: usize = 512;
/// How long a span may wait for others to be sent with.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a collector may take to answer, or to be connected to.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The flags of a span: its parent came over the wire, and that is known.
const PARENT_IS_REMOTE: u32 = 0x300;

/// Sends spans.
pub(super) struct Exporter {
    client: TraceServiceClient<Channel>,
    resource: Resource,
    counts: Arc<SpanCounts>,
    failing: bool,
}

impl Exporter {
    /// Connects when there is something to send.
    pub(super) fn new(endpoint: &http::Uri, instance: &str, counts: Arc<SpanCounts>) -> Self {
        let endpoint = Endpoint::from(endpoint.clone()).connect_timeout(TIMEOUT).timeout(TIMEOUT);
        let resource = Resource {
            attributes: vec![
                text("service.name", "strife-lb"),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", instance),
            ],
            ..Resource::default()
        };
        let client = TraceServiceClient::new(endpoint.connect_lazy());
        Self { client, resource, counts, failing: false }
    }

    /// Until nobody makes spans any more and all are sent.
    pub(super) async fn run(mut self, mut received: mpsc::Receiver<Span>) {
        let mut batch = Vec::with_capacity(BATCH);
        while received.recv_many(&mut batch, BATCH).await > 0 {
            let gather = async {
                while batch.len() < BATCH {
                    let room = BATCH - batch.len();
                    if received.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(INTERVAL, gather).await;
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    async fn export(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let request = self.request(batch);
        let rejected = match self.client.export(request).await {
            Ok(answer) => {
                if std::mem::take(&mut self.failing) {
                    info!("spans are exported again");
                }
                let partial = answer.into_inner().partial_success.unwrap_or_default();
                u64::try_from(partial.rejected_spans).unwrap_or(0).min(count)
            }
            Err(status) => {
                self.complain(&status);
                count
            }
        };
        self.counts.exported.fetch_add(count - rejected, Relaxed);
        self.counts.dropped.fetch_add(rejected, Relaxed);
    }

    fn complain(&mut self, status: &Status) {
        if !std::mem::replace(&mut self.failing, true) {
            let (code, message) = (status.code(), status.message());
            warn!(
                ?code,
                message, "cannot export spans; calls go on without them (see --otlp-endpoint)"
            );
        }
    }

    fn request(&self, batch: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: "strife".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = batch.into_iter().map(OtlpSpan::from).collect();
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let of_resource = ResourceSpans { resource, scope_spans, ..ResourceSpans::default() };
        ExportTraceServiceRequest { resource_spans: vec![of_resource] }
    }
}

impl From<Span> for OtlpSpan {
    fn from(span: Span) -> Self {
        let has_failed = span.has_failed();
        let (ended, reason) = span.ended.as_strs();
        let status = SpanStatus {
            message: if has_failed { reason.unwrap_or(ended).to_owned() } else { String::new() },
            code: if has_failed { StatusCode::Error } else { StatusCode::Unset }.into(),
        };
        Self {
            trace_id: span.trace_id.to_vec(),
            span_id: span.span_id.to_vec(),
            parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
            flags: if span.parent.is_some() { 1 | PARENT_IS_REMOTE } else { 1 },
            kind: SpanKind::Client.into(),
            start_time_unix_nano: since_epoch_ns(span.began_at),
            end_time_unix_nano: since_epoch_ns(span.ended_at),
            attributes: attributes(&span),
            status: Some(status),
            name: span.name,
            ..Self::default()
        }
    }
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let (ended, reason) = span.ended.as_strs();
    let (service, method) = span.name.rsplit_once('/').unwrap_or(("", &span.name));
    let mut attributes = vec![
        text("rpc.system", "grpc"),
        text("rpc.service", service),
        text("rpc.method", method),
        text("client.address", &span.client.to_string()),
        number("strife.attempts", span.attempts.into()),
        number("strife.request_bytes", span.request_bytes),
        number("strife.response_bytes", span.response_bytes),
        text("strife.ended", ended),
    ];
    let server = span.endpoint.as_deref().and_then(|endpoint| endpoint.rsplit_once(':'));
    if let Some((host, port)) = server {
        attributes.push(text("server.address", host));
        attributes.extend(port.parse().ok().map(|port| number("server.port", port)));
    }
    let grpc_status = span.grpc_status.map(u64::from);
    attributes.extend(grpc_status.map(|status| number("rpc.grpc.status_code", status)));
    if span.http_status > 0 {
        attributes.push(number("http.response.status_code", span.http_status.into()));
    }
    attributes.extend(span.pool.as_deref().map(|pool| text("strife.pool", pool)));
    if let Some((policy, regime)) = span.picked {
        attributes.push(text("strife.policy", policy));
        attributes.push(text("strife.regime", regime));
    }
    attributes.extend(reason.map(|reason| text("strife.reason", reason)));
    attributes
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn since_epoch_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
