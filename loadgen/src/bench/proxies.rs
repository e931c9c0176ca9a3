//! The proxies that are compared, and how each is set up for the comparison. Pure.
//!
//! All get the same task: accept gRPC on one address, balance calls over the same servers in turn, one
//! thread, no access log, limits out of the way, and with TLS the same certificates, both
//! sides verified, TLS 1.3, ALPN `h2`. What is theirs to choose (cipher suite, buffer sizes, how many
//! connections upstream) is left at their defaults. The templates are the files that are run.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

pub(super) mod found;

/// A proxy, ours among them. The order is that of charts and tables.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(super) enum Proxy {
    /// `strife lb`, of this very program.
    Strife,
    /// Envoy.
    Envoy,
    /// HAProxy.
    Haproxy,
    /// nginx.
    Nginx,
    /// `strife bench copy`: bytes from one socket to another, the least that any proxy does.
    TcpCopy,
}

impl Proxy {
    pub(super) const ALL: [Self; 5] =
        [Self::Strife, Self::Envoy, Self::Haproxy, Self::Nginx, Self::TcpCopy];

    /// As files and flags name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Strife => "strife",
            Self::Envoy => "envoy",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::TcpCopy => "tcp_copy",
        }
    }

    /// Somebody else's.
    pub(super) fn is_peer(self) -> bool {
        matches!(self, Self::Envoy | Self::Haproxy | Self::Nginx)
    }

    /// A copy does not look into what it copies.
    pub(super) fn speaks_tls(self) -> bool {
        self != Self::TcpCopy
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a proxy is told.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    /// Where it listens, `127.0.0.1:port`.
    pub(super) listen: &'a str,
    /// The servers.
    pub(super) backends: &'a [String],
    /// A directory of its own, for what it writes.
    pub(super) dir: &'a Path,
    /// `None` in the clear.
    pub(super) tls: Option<&'a Certificates>,
    /// Whether the user is root: nginx then gives its worker away to another user if not told.
    pub(super) as_root: bool,
}

/// What a proxy needs for TLS on both sides.
#[derive(Debug, Clone)]
pub(super) struct Certificates {
    /// The directory, for our own.
    pub(super) dir: String,
    /// Whom to believe.
    pub(super) authority: String,
    /// The proxy's certificate and key, towards clients and servers.
    pub(super) certificate: String,
    pub(super) key: String,
    /// Both in one file, as HAProxy wants them.
    pub(super) combined: String,
}

/// A command line, and a configuration file if it has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) arguments: Vec<String>,
    /// Its name in the proxy's directory, and its text.
    pub(super) file: Option<(&'static str, String)>,
}

impl Proxy {
    /// How to start it.
    pub(super) fn launch(self, setup: &Setup<'_>) -> Launch {
        let file = |name: &'static str, text: String, before: &[&str]| {
            let path = setup.dir.join(name).display().to_string();
            let arguments = before.iter().map(|word| (*word).to_owned()).chain([path]).collect();
            Launch { arguments, file: Some((name, text)) }
        };
        match self {
            Self::Strife => strife(setup),
            Self::TcpCopy => tcp_copy(setup),
            Self::Envoy => {
                const FLAGS: [&str; 6] =
                    ["--concurrency", "1", "--disable-hot-restart", "-l", "warning", "-c"];
                file("envoy.yaml", envoy(setup), &FLAGS)
            }
            Self::Haproxy => file("haproxy.cfg", haproxy(setup), &["-db", "-q", "-f"]),
            Self::Nginx => {
                let mut launch = file("nginx.conf", nginx(setup), &["-c"]);
                launch.arguments.extend(["-p".to_owned(), setup.dir.display().to_string()]);
                launch
            }
        }
    }
}

fn strife(setup: &Setup<'_>) -> Launch {
    let pool = format!("default={}", setup.backends.join(","));
    let mut arguments: Vec<String> = ["lb", "--threads", "1", "--policy", "round_robin"]
        .into_iter()
        .chain(["--listen", setup.listen, "--control", "127.0.0.1:0", "--pool", &pool])
        .map(str::to_owned)
        .collect();
    match setup.tls {
        Some(certificates) => arguments.extend(["--certs".to_owned(), certificates.dir.clone()]),
        None => arguments.push("--plaintext".to_owned()),
    }
    Launch { arguments, file: None }
}

fn tcp_copy(setup: &Setup<'_>) -> Launch {
    let to = setup.backends.join(",");
    let words = ["bench", "copy", "--listen", setup.listen, "--to", &to];
    Launch { arguments: words.map(str::to_owned).to_vec(), file: None }
}

/// Replaces each `@NAME@` of a template.
fn filled(template: &str, values: &[(&str, String)]) -> String {
    let fill = |text: String, (name, value): &(&str, String)| text.replace(name, value);
    values.iter().fold(template.to_owned(), fill)
}

/// Host and port of an address that was made by us.
fn host_and_port(address: &str) -> (&str, &str) {
    address.rsplit_once(':').unwrap_or((address, "0"))
}

fn envoy(setup: &Setup<'_>) -> String {
    let socket = |address: &str| {
        let (host, port) = host_and_port(address);
        format!("{{socket_address: {{address: {host}, port_value: {port}}}}}")
    };
    let endpoints = setup
        .backends
        .iter()
        .map(|backend| format!("          - endpoint: {{address: {}}}", socket(backend)));
    let context = |kind: &str, rest: &str, tls: &Certificates| {
        let Certificates { authority, certificate, key, .. } = tls;
        format!(
            "transport_socket: {{name: tls, typed_config: {{\"@type\": \
             type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}, {rest}, \
             common_tls_context: {{alpn_protocols: [h2], \
             tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}, \
             tls_certificates: [{{certificate_chain: {{filename: \"{certificate}\"}}, \
             private_key: {{filename: \"{key}\"}}}}], \
             validation_context: {{trusted_ca: {{filename: \"{authority}\"}}}}}}}}}}"
        )
    };
    let tls = |kind: &str, rest: &str| {
        setup.tls.map_or_else(String::new, |certificates| context(kind, rest, certificates))
    };
    filled(
        include_str!("proxies/envoy.yaml"),
        &[
            ("@LISTEN@", socket(setup.listen)),
            ("@ENDPOINTS@", endpoints.collect::<Vec<_>>().join("\n")),
            ("@DOWNSTREAM_TLS@", tls("DownstreamTlsContext", "require_client_certificate: true")),
            ("@UPSTREAM_TLS@", tls("UpstreamTlsContext", "sni: localhost")),
        ],
    )
}

fn haproxy(setup: &Setup<'_>) -> String {
    let bind = setup.tls.map_or_else(
        || "proto h2".to_owned(),
        |Certificates { authority, combined, .. }| {
            format!(
                "ssl crt {combined} ca-file {authority} verify required alpn h2 ssl-min-ver TLSv1.3"
            )
        },
    );
    let server = setup.tls.map_or_else(
        || "proto h2".to_owned(),
        |Certificates { authority, combined, .. }| {
            format!(
                "ssl crt {combined} ca-file {authority} verify required sni str(localhost) alpn h2 \
                 ssl-min-ver TLSv1.3"
            )
        },
    );
    let servers = setup.backends.iter().enumerate();
    let servers = servers.map(|(at, address)| format!("    server s{at} {address} {server}"));
    filled(
        include_str!("proxies/haproxy.cfg"),
        &[
            ("@LISTEN@", setup.listen.to_owned()),
            ("@BIND@", bind),
            ("@SERVERS@", servers.collect::<Vec<_>>().join("\n")),
        ],
    )
}

fn nginx(setup: &Setup<'_>) -> String {
    let servers = setup.backends.iter().map(|backend| format!("        server {backend};"));
    let (listen, scheme, tls) = match setup.tls {
        None => ("http2", "grpc", String::new()),
        Some(Certificates { authority, certificate, key, .. }) => {
            let lines = [
                format!("ssl_certificate {certificate};"),
                format!("ssl_certificate_key {key};"),
                format!("ssl_client_certificate {authority};"),
                "ssl_verify_client on;".to_owned(),
                "ssl_protocols TLSv1.3;".to_owned(),
                format!("grpc_ssl_certificate {certificate};"),
                format!("grpc_ssl_certificate_key {key};"),
                format!("grpc_ssl_trusted_certificate {authority};"),
                "grpc_ssl_verify on;".to_owned(),
                "grpc_ssl_name localhost;".to_owned(),
                "grpc_ssl_server_name on;".to_owned(),
                "grpc_ssl_protocols TLSv1.3;".to_owned(),
            ];
            ("ssl http2", "grpcs", lines.join("\n        "))
        }
    };
    filled(
        include_str!("proxies/nginx.conf"),
        &[
            ("@USER@", if setup.as_root { "user root;" } else { "" }.to_owned()),
            ("@DIR@", setup.dir.display().to_string()),
            ("@SERVERS@", servers.collect::<Vec<_>>().join("\n")),
            ("@LISTEN@", format!("{} {listen}", setup.listen)),
            ("@TLS@", tls),
            ("@SCHEME@", scheme.to_owned()),
        ],
    )
}

#[cfg(test)]
mod tests;
