//! The interoperability cases between languages: Python's grpcio and Node's grpc-js on either side of the
//! balancer, tonic on the other or neither.

mod negative;
mod node;
mod orca;
mod pairs;
pub(crate) mod python;
mod rolling;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
};

use strife_interop::Events;
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

use crate::interop::{
    balancer::{Balancer, HOST, Links},
    process::Process,
};

/// A language with gRPC of its own, installed where the tests run.
pub(crate) enum Language {
    /// grpcio, by this interpreter.
    Python(std::path::PathBuf),
    /// grpc-js, from this `node_modules`.
    Node(std::path::PathBuf),
}

impl Language {
    /// `None` where there is no Python; see [`python::python`].
    pub(crate) fn python() -> Option<Self> {
        python::python().map(Self::Python)
    }

    /// `None` where there is no Node; see [`node::modules`].
    pub(crate) fn node() -> Option<Self> {
        node::modules().map(Self::Node)
    }

    /// Runs `tests/LANGUAGE/PROGRAM`.
    fn command(&self, program: &str) -> Command {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        match self {
            Self::Python(python) => {
                let mut command = Command::new(python);
                command.arg(tests.join(format!("python/{program}.py")));
                command
            }
            Self::Node(modules) => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", modules).arg(tests.join(format!("node/{program}.js")));
                command
            }
        }
    }

    /// A server with the test service, on `port` or, if that is 0, any free one.
    pub(crate) async fn server(&self, links: &Links, port: u16) -> Process {
        let mut command = self.command("interop_server");
        command.arg(format!("--port={port}")).args(security(links));
        Process::start(command).await
    }

    /// Runs cases (`all`, or their names with commas) through the balancer, the names of its calls beginning
    /// with `calls`.
    pub(crate) async fn run(&self, cases: &str, calls: &str, balancer: &Balancer) {
        let running = self.client(cases, calls, balancer).output();
        let output = tokio::time::timeout(crate::support::PATIENCE, running).await;
        check(output.expect("the client ends in time").unwrap());
    }

    /// Begins unary calls and streams that go on until [`Calling::stop`].
    pub(crate) async fn load(&self, balancer: &Balancer) -> Calling {
        let mut command = self.client("load", "load", balancer);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn().unwrap();
        let mut first = [0; CALLING.len()];
        let said = client.stdout.as_mut().unwrap().read_exact(&mut first).await;
        if said.is_ok() && first == CALLING {
            return Calling(client);
        }
        check(client.wait_with_output().await.unwrap());
        panic!("the client ended before it was stopped");
    }

    fn client(&self, cases: &str, calls: &str, balancer: &Balancer) -> Command {
        let address: SocketAddr = balancer.address();
        let mut command = self.command("interop_client");
        command
            .arg(format!("--server_host={}", address.ip()))
            .arg(format!("--server_port={}", address.port()))
            .arg(format!("--server_host_override={HOST}"))
            .arg(format!("--calls={calls}"))
            .arg(format!("--test_case={cases}"))
            .args(security(&balancer.links))
            .kill_on_drop(true);
        command
    }
}

/// What the case `load` says when its calls have begun.
const CALLING: [u8; 8] = *b"calling\n";

/// A client that calls until it is stopped.
pub(crate) struct Calling(Child);

impl Calling {
    /// Lets the calls under way end. None may have failed.
    pub(crate) async fn stop(mut self) {
        drop(self.0.stdin.take());
        check(self.0.wait_with_output().await.unwrap());
    }
}

/// Fails with what a client said, if a case failed or none was run.
#[track_caller]
fn check(output: Output) {
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.lines().any(|line| line.starts_with("ok ")), "no case was run: {said}{errors}");
}

fn security(links: &Links) -> Vec<String> {
    match links.certs() {
        None => Vec::new(),
        Some(certs) => vec!["--use_tls=true".to_owned(), format!("--certs={}", certs.display())],
    }
}

/// Fails where continuous integration lacks what a newcomer's machine may lack; there it is only said.
pub(crate) fn missing<T>(what: &str) -> Option<T> {
    assert!(std::env::var_os("CI").is_none(), "{what} is needed");
    eprintln!("NOT RUN: install {what} to run this test");
    None
}

/// All cases of one language against a server of another, or the same.
async fn all_cases(client: &Language, server: SocketAddr, events: &Events, links: &Links) {
    let balancer = Balancer::start(&[server], links).await;
    client.run("all", "foreign", &balancer).await;
    strife_interop::cases::check_events(events, "foreign").await;
}
