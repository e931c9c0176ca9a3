//! A balancer of its own for a test: one pool, in the clear or with mutual TLS on either leg.

use std::{net::SocketAddr, path::Path, sync::Arc};

use strife_interop::Target;
use strife_runtime::{
    Role, Security, TlsArgs,
    certs::{self, Wanted},
};
use tempfile::TempDir;
use tokio::process::Command;

use super::{ANYWHERE, process::Process};
use crate::support::program;

/// Whose certificate servers behind the balancer show: a pool named `default` takes any server's.
const SERVER: (Role, &str) = (Role::Bank, "icici");
/// The host name in every certificate.
pub(crate) const HOST: &str = "localhost";

/// How the balancer, its clients and its servers are connected.
#[derive(Clone)]
pub(crate) struct Links {
    certs: Option<Arc<TempDir>>,
}

impl Links {
    pub(crate) fn plaintext() -> Self {
        Self { certs: None }
    }

    /// Mutual TLS by certificates of the test's own.
    pub(crate) fn tls() -> Self {
        let dir = tempfile::tempdir().unwrap();
        certs::init(dir.path(), &Wanted::for_fleet(&[SERVER.1.to_owned()], &[], &[])).unwrap();
        Self { certs: Some(Arc::new(dir)) }
    }

    /// Where the certificates are, if there are any.
    pub(crate) fn certs(&self) -> Option<&Path> {
        self.certs.as_ref().map(|dir| dir.path())
    }

    /// The same as flags of the command.
    fn flags(&self) -> Vec<String> {
        match self.certs() {
            None => vec!["--plaintext".to_owned()],
            Some(certs) => vec!["--certs".to_owned(), certs.display().to_string()],
        }
    }

    fn security(&self, (role, name): (Role, &str)) -> Security {
        let certs = self.certs().unwrap_or(Path::new("none")).to_owned();
        let tls = TlsArgs { certs, plaintext: self.certs.is_none() };
        Security::load(&tls, role, name).unwrap()
    }

    /// A server's side.
    pub(crate) fn server(&self) -> Security {
        self.security(SERVER)
    }

    /// An operator's side.
    pub(crate) fn operator(&self) -> Security {
        self.security((Role::Admin, "1"))
    }

    /// A client's side.
    pub(crate) fn client(&self) -> Security {
        self.security((Role::Loadgen, "1"))
    }
}

/// A running `strife lb`.
pub(crate) struct Balancer {
    pub(crate) process: Process,
    pub(crate) links: Links,
}

impl Balancer {
    /// Starts one in front of `servers` and waits until it serves.
    pub(crate) async fn start(servers: &[SocketAddr], links: &Links) -> Self {
        Self::start_with(servers, links, &[]).await
    }

    /// The same with more flags.
    pub(crate) async fn start_with(servers: &[SocketAddr], links: &Links, flags: &[&str]) -> Self {
        let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new(program());
        command
            .args(["lb", "--policy", "round_robin", "--log-level", "warn"])
            .args(["--listen", &ANYWHERE.to_string(), "--control", &ANYWHERE.to_string()])
            .args(["--pool", &format!("default={}", servers.join(","))])
            .args(flags);
        command.args(links.flags());
        Self { process: Process::start(command).await, links: links.clone() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Where else it serves: `control`, `dashboard`.
    pub(crate) fn other(&self, name: &str) -> SocketAddr {
        let mut others = self.process.more.split(' ').filter_map(|other| other.split_once('='));
        let found = others.find(|(other, _)| *other == name);
        found.expect("it said so").1.parse().unwrap()
    }

    /// Runs `strife admin` on it, which must go well; what it says.
    pub(crate) async fn admin(&self, arguments: &[&str]) -> String {
        let control = self.other("control").to_string();
        let mut command = Command::new(program());
        command.arg("admin").args(arguments).args(["--control", &control]);
        let output = command.args(self.links.flags()).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a tonic client needs to know; `calls` is what the names of its calls begin with.
    pub(crate) fn target(&self, calls: &str) -> Target {
        Target {
            address: self.address(),
            authority: HOST.to_owned(),
            security: self.links.client(),
            calls: calls.to_owned(),
        }
    }
}
