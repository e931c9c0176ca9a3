//! Bank servers that join their pool by themselves, under load: whoever comes gets calls, whoever goes in
//! good order loses none, and whoever is killed is forgotten when its lease ends.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use strife_proto::{
    bank::v1::{AccountRequest, bank_service_client::BankServiceClient},
    lb::v1::{
        EndpointState, EndpointStatus, StatusRequest,
        load_balancer_admin_client::LoadBalancerAdminClient,
    },
};
use strife_runtime::{
    Role, Security, TlsArgs,
    certs::{self, Wanted},
    connect,
    tls::Expected,
};
use tempfile::TempDir;
use tokio::{process::Command, task::JoinSet};
use tonic::transport::Channel;

use crate::{
    interop::process::Process,
    support::{PATIENCE, program, refused},
};

const POOL: &str = "bank.icici";
const CALLERS: usize = 8;
/// Short, so that a test does not wait long for it to end; no server is silent for so long that is there, also
/// on a busy machine.
const LEASE: &str = "8s";

/// A bank's owner and a balancer whose pool is empty at first.
struct Scene {
    balancer: Process,
    control: String,
    owner: Process,
    directory: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certs = directory.path().join("certs");
        certs::init(&certs, &Wanted::for_fleet(&["icici".to_owned()], &[], &[])).unwrap();
        let pool = format!("{POOL}=register:");
        let balancer = ["lb", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
        let flags = ["--pool", &pool, "--registration-lease", LEASE, "--policy", "round_robin"];
        let balancer = Process::start(command(directory.path(), &[&balancer[..], &flags].concat()));
        let balancer = balancer.await;
        let control = balancer.more.strip_prefix("control=").unwrap().to_owned();
        let data = directory.path().join("data").display().to_string();
        let accounts =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("services/bank/examples/icici.csv");
        let accounts = accounts.display().to_string();
        let owner = ["bank", "--bank-name", "icici", "--port", "0"];
        let flags = ["--data", &data, "--accounts", &accounts];
        let owner = Process::start(command(directory.path(), &[&owner[..], &flags].concat())).await;
        Self { balancer, control, owner, directory }
    }

    /// One more server of the bank, which registers.
    async fn server(&self) -> Process {
        let owner = self.owner.address.to_string();
        let server = ["bank", "--bank-name", "icici", "--port", "0", "--store", &owner];
        let flags = ["--balancer", &self.control, "--register", "--service-time", "constant:5ms"];
        Process::start(command(self.directory.path(), &[&server[..], &flags].concat())).await
    }

    fn security(&self, role: Role) -> Security {
        let certs = self.directory.path().join("certs");
        Security::load(&TlsArgs { certs, plaintext: false }, role, "1").unwrap()
    }

    fn bank(&self) -> BankServiceClient<Channel> {
        let (address, security) = (self.balancer.address, self.security(Role::Loadgen));
        let channel = connect::channel(&address.to_string(), POOL, Expected::LB, &security);
        BankServiceClient::new(channel.unwrap())
    }

    /// Waits until the balancer's list of servers is as it should be.
    async fn until(&self, what: &str, condition: impl Fn(&[EndpointStatus]) -> bool) {
        let security = self.security(Role::Admin);
        let channel = connect::direct(&self.control, Expected::LB, &security).unwrap();
        let mut admin = LoadBalancerAdminClient::new(channel);
        let mut last = Vec::new();
        let met = async {
            loop {
                let status = admin.get_status(StatusRequest {}).await.unwrap().into_inner();
                last = status.pools.into_iter().next().expect("one pool").endpoints;
                if condition(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let met = tokio::time::timeout(PATIENCE, met).await;
        assert!(met.is_ok(), "{what}: {last:#?}");
    }

    /// Waits until `server` is ready and has had some calls, or none is asked for.
    async fn until_called(&self, server: &Process, calls: u64) {
        let address = server.address.to_string();
        let is_called = |endpoint: &EndpointStatus| {
            endpoint.address == address
                && endpoint.state() == EndpointState::Ready
                && endpoint.calls >= calls
        };
        self.until("a member gets calls", |endpoints| endpoints.iter().any(is_called)).await;
    }

    /// Waits until `server` is not in the pool any more.
    async fn until_gone(&self, address: &str) {
        let gone = |endpoints: &[EndpointStatus]| {
            endpoints.iter().all(|endpoint| endpoint.address != address)
        };
        self.until("who left is gone", gone).await;
    }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    let certs = directory.join("certs").display().to_string();
    command.args(arguments).args(["--certs", &certs, "--log-level", "warn"]);
    command
}

fn request() -> AccountRequest {
    AccountRequest { account_id: "nobody".to_owned() }
}

/// Calls through the balancer until it is stopped.
struct Load {
    done: Arc<AtomicBool>,
    succeeded: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    callers: JoinSet<()>,
}

impl Load {
    fn start(scene: &Scene) -> Self {
        let (done, succeeded) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let failures = Arc::<Mutex<Vec<String>>>::default();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (mut bank, done, succeeded) = (scene.bank(), done.clone(), succeeded.clone());
            let failures = failures.clone();
            callers.spawn(async move {
                while !done.load(Relaxed) {
                    match bank.validate_account(request()).await {
                        Ok(_) => drop(succeeded.fetch_add(1, Relaxed)),
                        Err(status) => failures.lock().unwrap().push(status.to_string()),
                    }
                }
            });
        }
        Self { done, succeeded, failures, callers }
    }

    /// Lets the calls under way end. None may have failed.
    async fn stop(mut self) {
        self.done.store(true, Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
        let (succeeded, failures) = (self.succeeded.load(Relaxed), self.failures.lock().unwrap());
        assert!(
            failures.is_empty(),
            "{} failed, {succeeded} did not: {failures:#?}",
            failures.len()
        );
        assert!(succeeded > 0);
    }
}

#[tokio::test]
async fn servers_come_and_go_without_a_failed_call() {
    let scene = Scene::start().await;
    let (first, second) = (scene.server().await, scene.server().await);
    scene.until_called(&first, 0).await;
    scene.until_called(&second, 0).await;
    let load = Load::start(&scene);
    scene.until_called(&first, 50).await;
    let third = scene.server().await;
    scene.until_called(&third, 50).await;
    for leaving in [first, second] {
        let address = leaving.address.to_string();
        leaving.terminate();
        leaving.ended().await;
        scene.until_gone(&address).await;
    }
    load.stop().await;
}

#[tokio::test]
async fn a_killed_server_is_forgotten_when_its_lease_ends() {
    let scene = Scene::start().await;
    let (killed, stays) = (scene.server().await, scene.server().await);
    scene.until_called(&killed, 0).await;
    scene.until_called(&stays, 0).await;
    let address = killed.address.to_string();
    killed.kill().await;
    scene.until_gone(&address).await;
    let mut bank = scene.bank();
    for _ in 0..20 {
        bank.validate_account(request()).await.unwrap();
    }
    scene.until_called(&stays, 20).await;
}

#[tokio::test]
async fn a_pool_that_takes_no_registrations_says_so() {
    let scene = Scene::start().await;
    let (owner, certs) = (scene.owner.address.to_string(), scene.directory.path().join("certs"));
    let certs = certs.display().to_string();
    let server = ["bank", "--bank-name", "icici", "--port", "0", "--store", &owner];
    let register = ["--register", "--balancer", &scene.control, "--certs", &certs];
    let elsewhere = [&server[..], &register, &["--pool", "bank.sbi"]].concat();
    let expected = ["into the pool bank.sbi", "--pool bank.sbi=register:"];
    refused(&elsewhere, 1, &expected);
    let nowhere = [&server[..], &["--register", "--certs", &certs]].concat();
    refused(&nowhere, 2, &["add --balancer HOST:PORT"]);
}
