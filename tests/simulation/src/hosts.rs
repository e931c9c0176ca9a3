//! What runs where, and what of it outlives a crash: the disks.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::rngs::StdRng;
use strife_bank::{
    gate::{Gate, GateConfig, ServiceTime},
    ledger::{AccountState, OpenAccount},
    money::Amount,
    resolver::Resolver,
    service::{Bank, decisions::DecisionClient},
    store::Embedded as Ledger,
};
use strife_gateway::{
    coordinator::{Coordinator, Settings},
    retry::Backoff,
    service::{GatewayService, banks::BankClients},
    store::Embedded as Payments,
    users::Users,
};
use strife_proto::{
    bank::v1::{
        bank_participant_server::BankParticipantServer, bank_service_server::BankServiceServer,
    },
    gateway::v1::{
        decision_service_server::DecisionServiceServer,
        payment_gateway_server::PaymentGatewayServer,
    },
};
use strife_runtime::{Security, load::LoadTracker};
use strife_store::disk::ForgetfulDisk;
use tokio::time::Instant;

use crate::net;

/// The gateway's host, and the name under which banks ask it.
pub const GATEWAY: &str = "gateway";
/// The banks' hosts, and names.
pub const BANKS: [&str; 2] = ["icici", "sbi"];
/// Accounts of each bank, all of one user.
pub const ACCOUNTS: [&str; 2] = ["a", "b"];
/// Who pays.
pub const USER: &str = "john";
/// What every account has at first, minor units: so little that some payments cannot be made.
pub const OPENING: i64 = 100;

/// How often a bank asks about what is in doubt.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// A host's disk and, as long as it runs, what is on it.
pub struct Site<S> {
    disk: Mutex<ForgetfulDisk>,
    store: Mutex<Option<S>>,
    lies: AtomicBool,
}

impl<S> Default for Site<S> {
    fn default() -> Self {
        Self { disk: Mutex::default(), store: Mutex::new(None), lies: AtomicBool::new(false) }
    }
}

impl<S: Clone> Site<S> {
    /// What is on the disk; `None` while the host is down.
    pub fn store(&self) -> Option<S> {
        self.store.lock().unwrap().clone()
    }

    /// From now on its disks say that they have synced, and have not.
    pub fn lie(&self) {
        self.lies.store(true, Relaxed);
    }

    fn disk(&self) -> ForgetfulDisk {
        let disk = self.disk.lock().unwrap().clone();
        if self.lies.load(Relaxed) {
            disk.lie();
        }
        disk
    }
}

/// What happens to a site, whatever is on it.
pub trait Disk {
    /// The power fails after so many more writes and syncs.
    fn fail_after(&self, steps: u64);
    /// Whether it has.
    fn has_failed(&self) -> bool;
    /// The host is down. What was not synced is lost, some of it or all, if the power failed.
    fn crashed(&self, random: &mut StdRng);
}

impl<S: Clone> Disk for Site<S> {
    fn fail_after(&self, steps: u64) {
        self.disk().fail_after(steps);
    }

    fn has_failed(&self) -> bool {
        self.disk().has_failed()
    }

    fn crashed(&self, random: &mut StdRng) {
        *self.store.lock().unwrap() = None;
        let mut disk = self.disk.lock().unwrap();
        *disk = disk.after_power_failure(random);
    }
}

/// A bank, until it crashes.
pub async fn bank(site: Arc<Site<Ledger>>) -> turmoil::Result {
    let disk = site.disk();
    without_power(&disk, serve_bank(&site).await).await
}

/// The gateway, until it crashes.
pub async fn gateway(site: Arc<Site<Payments>>, users: Arc<Users>) -> turmoil::Result {
    let disk = site.disk();
    without_power(&disk, serve_payments(&site, users).await).await
}

/// A process that ends because its power failed has not failed itself: its host is about to go down.
async fn without_power(disk: &ForgetfulDisk, ended: turmoil::Result) -> turmoil::Result {
    match ended {
        Err(_) if disk.has_failed() => std::future::pending().await,
        ended => ended,
    }
}

async fn serve_bank(site: &Site<Ledger>) -> turmoil::Result {
    let store = Ledger::on_disk(&site.disk(), &openings())?;
    *site.store.lock().unwrap() = Some(store.clone());
    let service_time = ServiceTime::Constant(Duration::ZERO);
    let config = GateConfig { slots: 0, service_time, slow: 1.0, seed: 1, max_queue: 1_000 };
    let bank = Bank::new(store.clone(), Arc::new(Gate::new(config, LoadTracker::new(0))));
    tokio::spawn(resolve(store));
    let services = net::server()
        .add_service(BankServiceServer::new(bank.clone()))
        .add_service(BankParticipantServer::new(bank));
    net::serve(services).await
}

fn openings() -> Vec<OpenAccount> {
    let balance = Amount { minor_units: OPENING, currency: "INR".parse().unwrap() };
    let opening = |id: &&str| OpenAccount {
        account_id: (*id).to_owned(),
        balance,
        state: AccountState::Active,
        transaction_id: None,
    };
    ACCOUNTS.iter().map(opening).collect()
}

/// Asks about everything that is in doubt, however new, by the simulation's clock.
async fn resolve(store: Ledger) {
    let coordinators =
        DecisionClient::new(GATEWAY, &Security::Plaintext).by(GATEWAY, net::channel(GATEWAY));
    let (mut resolver, start) =
        (Resolver::new(store, coordinators, Duration::ZERO), Instant::now());
    loop {
        tokio::time::sleep(ASK_INTERVAL).await;
        let now_ms = start.elapsed().as_millis() as u64;
        // Its store has ended, if it fails: the host is about to go down.
        let _ = resolver.pass(u64::MAX, now_ms).await;
    }
}

async fn serve_payments(site: &Site<Payments>, users: Arc<Users>) -> turmoil::Result {
    let store = Payments::on_disk(&site.disk())?;
    *site.store.lock().unwrap() = Some(store.clone());
    let channels = BANKS.map(|bank| (bank.to_owned(), net::channel(bank)));
    let banks = BankClients::by(channels, GATEWAY);
    let coordinator = Coordinator::start(store, banks, GATEWAY, settings(), None).await?;
    let gateway = GatewayService::new(Arc::new(coordinator), users);
    let services = net::server()
        .add_service(PaymentGatewayServer::new(gateway.clone()))
        .add_service(DecisionServiceServer::new(gateway));
    net::serve(services).await
}

/// Short, as there is less time in a simulation.
fn settings() -> Settings {
    let milliseconds = Duration::from_millis;
    Settings {
        payment_timeout: milliseconds(1_000),
        attempt_timeout: milliseconds(200),
        backoff: Backoff { first: milliseconds(5), most: milliseconds(100) },
        phase_two_attempts: 3,
        sweep_interval: milliseconds(100),
        ..Settings::default()
    }
}

/// Everybody's accounts are one user's.
pub fn users() -> Users {
    let mut file = "username,bank,account_id\n".to_owned();
    for bank in BANKS {
        for account in ACCOUNTS {
            file += &format!("{USER},{bank},{account}\n");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("users.csv");
    std::fs::write(&path, file).unwrap();
    Users::read(&path).unwrap()
}
