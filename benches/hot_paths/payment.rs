//! One payment between two banks, from the gateway's call to its answer: a gateway and two banks in
//! this process, each with a store of its own on the disk, speaking over loopback connections without
//! TLS and without a balancer.
//!
//! Alone a payment waits for two commits in series; many at once share them.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use criterion::{Criterion, Throughput};
use futures_util::future::join_all;
use strife_bank::{
    gate::{Gate, GateConfig, ServiceTime},
    ledger::{AccountState, OpenAccount},
    money::Amount,
    service,
    store::Embedded as Ledger,
};
use strife_gateway::{
    coordinator::{Coordinator, Settings},
    service::{
        GatewayService,
        banks::{BankClients, BankRoutes},
    },
    store::Embedded as Payments,
    users::Users,
};
use strife_proto::{
    common::v1::Money,
    gateway::v1::{
        AccountRef, PaymentRequest, PaymentState, payment_gateway_server::PaymentGateway,
    },
};
use strife_runtime::{Security, Server, Shutdown, load::LoadTracker};
use strife_store::Limits;
use tempfile::TempDir;
use tonic::Request;

/// Payments under way at once in the second measurement.
const AT_ONCE: u64 = 64;
/// Accounts of each bank, so that payments seldom meet at one.
const ACCOUNTS: u64 = 1_000;
const BANKS: [&str; 2] = ["icici", "sbi"];

pub(super) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be started");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let gateway = runtime.block_on(gateway(&directory));
    let next = AtomicU64::new(0);
    let mut group = criterion.benchmark_group("payment");
    group.bench_function("alone", |bencher| {
        bencher.iter(|| runtime.block_on(pay(&gateway, next.fetch_add(1, Relaxed))));
    });
    group.throughput(Throughput::Elements(AT_ONCE));
    group.bench_function(format!("{AT_ONCE} at once"), |bencher| {
        bencher.iter(|| {
            let first = next.fetch_add(AT_ONCE, Relaxed);
            let payments = (first..first + AT_ONCE).map(|number| pay(&gateway, number));
            runtime.block_on(join_all(payments))
        });
    });
    group.finish();
}

type Gateway = GatewayService<BankClients, Payments>;

async fn gateway(directory: &TempDir) -> Gateway {
    let mut direct = BTreeMap::new();
    for bank in BANKS {
        direct.insert(bank.to_owned(), bank_server(directory, bank).await);
    }
    let lines = (0..ACCOUNTS).flat_map(|n| BANKS.map(|bank| format!("user,{bank},{n}\n")));
    let users = directory.path().join("users.csv");
    let text = format!("username,bank,account_id\n{}", lines.collect::<String>());
    fs::write(&users, text).expect("the directory can be written");
    let users = Users::read(&users).expect("the file is sound");
    let routes = BankRoutes { balancer: None, direct, coordinator: "gateway".to_owned() };
    let banks = BankClients::new(BANKS, routes, &Security::Plaintext).expect("routes to both");
    let store = Payments::open(directory.path(), Limits::default()).expect("a new store");
    let coordinator = Coordinator::start(store, banks, "bench", Settings::default(), None).await;
    GatewayService::new(Arc::new(coordinator.expect("an empty store")), Arc::new(users))
}

/// Where it serves.
async fn bank_server(directory: &TempDir, bank: &str) -> String {
    let account = |n: u64| OpenAccount {
        account_id: n.to_string(),
        balance: Amount { minor_units: 1_000_000_000, currency: "INR".parse().expect("a code") },
        state: AccountState::Active,
        transaction_id: None,
    };
    let accounts: Vec<_> = (0..ACCOUNTS).map(account).collect();
    let path = directory.path().join(format!("{bank}.redb"));
    let store = Ledger::create(&path, bank, &accounts).expect("a new store");
    let tracker = LoadTracker::new(0);
    let service_time = ServiceTime::Constant(Duration::ZERO);
    let gate = GateConfig { slots: 0, service_time, slow: 1.0, seed: 1, max_queue: 0 };
    let gate = Arc::new(Gate::new(gate, tracker.clone()));
    let services = service::add_everyones(service::none(), store, gate, tracker);
    let server = Server::bind("127.0.0.1:0", "", &Security::Plaintext).await;
    let server = server.expect("a port is free");
    let address = server.address().to_string();
    tokio::spawn(server.serve(services, Shutdown::manual()));
    address
}

async fn pay(gateway: &Gateway, number: u64) {
    let account = |bank: &str, n: u64| {
        Some(AccountRef { bank: bank.to_owned(), account_id: (n % ACCOUNTS).to_string() })
    };
    let request = PaymentRequest {
        payment_id: format!("payment-{number}"),
        user: "user".to_owned(),
        from: account(BANKS[0], number),
        to: account(BANKS[1], number / 7),
        amount: Some(Money { minor_units: 1, currency: "INR".to_owned() }),
        queue_for_s: 0,
    };
    let answer = gateway.process_payment(Request::new(request)).await;
    let answer = answer.expect("both banks answer").into_inner();
    assert_eq!(answer.state(), PaymentState::Committed);
}
