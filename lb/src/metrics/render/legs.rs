//! Connections: those to clients (`leg="downstream"`) and those to endpoints (`leg="upstream"`).

use strife_wire::{Code, Flood};

use super::super::{
    CloseReason, Label, LegMetrics, Metrics, ThreadMetrics,
    exposition::{Exposition, Kind},
};

type Leg = (&'static str, fn(&ThreadMetrics) -> &LegMetrics);

const LEGS: [Leg; 2] =
    [("downstream", |thread| &thread.downstream), ("upstream", |thread| &thread.upstream)];

/// A family with a number for each leg.
type Family = (&'static str, Kind, &'static str, fn(&LegMetrics) -> u64);

const FAMILIES: [Family; 8] = [
    ("strife_lb_connections_opened_total", Kind::Counter, "Connections opened.", |leg| {
        leg.connections_opened.get()
    }),
    ("strife_lb_connections_active", Kind::Gauge, "Connections open now.", |leg| {
        leg.connections_active.get()
    }),
    (
        "strife_lb_handshake_failures_total",
        Kind::Counter,
        "Connections that failed before HTTP/2 began: TLS, ALPN or preface.",
        |leg| leg.handshake_failures.get(),
    ),
    ("strife_lb_received_bytes_total", Kind::Counter, "Bytes read from sockets.", |leg| {
        leg.bytes_received.get()
    }),
    ("strife_lb_sent_bytes_total", Kind::Counter, "Bytes written to sockets.", |leg| {
        leg.bytes_sent.get()
    }),
    ("strife_lb_goaways_received_total", Kind::Counter, "GOAWAY frames received.", |leg| {
        leg.goaways_received.get()
    }),
    ("strife_lb_goaways_sent_total", Kind::Counter, "GOAWAY frames sent.", |leg| {
        leg.goaways_sent.get()
    }),
    ("strife_lb_output_bytes", Kind::Gauge, "Bytes that wait for sockets to take them.", |leg| {
        leg.output_bytes.get()
    }),
];

pub(super) fn render(metrics: &Metrics, page: &mut Exposition) {
    for (family, kind, help, of) in FAMILIES {
        page.family(family, kind, help);
        for (name, leg) in LEGS {
            page.sample(&[("leg", name)], metrics.sum(|thread| of(leg(thread))));
        }
    }
    page.family(
        "strife_lb_connections_closed_total",
        Kind::Counter,
        "Connections that ended, by reason.",
    );
    per_label(metrics, page, "reason", |leg, reason: CloseReason| {
        leg.connections_closed.get(reason)
    });
    page.family(
        "strife_lb_protocol_errors_total",
        Kind::Counter,
        "Rules of HTTP/2 that peers broke, by the error code they were told.",
    );
    per_label(metrics, page, "code", |leg, code: Code| leg.protocol_errors.get(code));
    page.family(
        "strife_lb_floods_total",
        Kind::Counter,
        "Peers cut off for more of something than any honest peer sends, by kind.",
    );
    per_label(metrics, page, "kind", |leg, flood: Flood| leg.floods.get(flood));
}

fn per_label<L: Label>(
    metrics: &Metrics,
    page: &mut Exposition,
    label: &str,
    of: fn(&LegMetrics, L) -> u64,
) {
    for (name, leg) in LEGS {
        for &value in L::ALL {
            let sum = metrics.sum(|thread| of(leg(thread), value));
            page.sample(&[("leg", name), (label, value.as_str())], sum);
        }
    }
}
