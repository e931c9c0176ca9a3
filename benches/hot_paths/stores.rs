//! One durable batch of transfers on each store that a bank can have: what a commit costs, and what it
//! costs a transfer when many share it. The disk decides most of it.

use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, measurement::WallTime};
use strife_bank::{
    BankError,
    ledger::{AccountState, OpenAccount},
    store::{Embedded, Postgres, WholeStore},
};
use strife_store::postgres::{
    Address, Connections,
    testing::{Options, Server},
};
use tokio::runtime::Runtime;

use crate::ledger::{ACCOUNTS, account, amount, transfers};

const SIZES: [usize; 3] = [1, 64, 256];

fn openings() -> Vec<OpenAccount> {
    let open = |number| OpenAccount {
        account_id: account(number),
        balance: amount(1_000_000_000_000),
        state: AccountState::Active,
        transaction_id: None,
    };
    (0..ACCOUNTS).map(open).collect()
}

/// Batches of each size, one after another.
fn batches(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    store: &impl WholeStore,
) {
    let mut round = 0;
    for size in SIZES {
        group.throughput(criterion::Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new(name, size), |bencher| {
            let fresh = || {
                round += 1;
                let mut commands = transfers(round);
                commands.truncate(size);
                commands
            };
            bencher.iter_batched(
                fresh,
                |commands| {
                    let verdicts = runtime.block_on(store.apply_all(commands));
                    let verdicts = verdicts.expect("the store works");
                    assert!(verdicts.iter().all(Result::is_ok), "the bench's commands are sound");
                },
                BatchSize::SmallInput,
            );
        });
    }
    let commits = store.commits();
    let (p50, p99) = (commits.quantile_us(0.5), commits.quantile_us(0.99));
    println!("{name}: durable commits took p50 {p50} us, p99 {p99} us");
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut group = criterion.benchmark_group("store batch");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ledger.redb");
    let embedded = Embedded::create(&path, "icici", &openings());
    let embedded = embedded.unwrap_or_else(|error| panic!("{error}"));
    batches(&mut group, &runtime, "embedded", &embedded);
    runtime.block_on(embedded.close());
    if Server::is_installed() {
        let server = Server::start(&Options::default());
        let postgres = runtime.block_on(open(&server)).unwrap_or_else(|error| panic!("{error}"));
        batches(&mut group, &runtime, "postgresql", &postgres);
        runtime.block_on(postgres.close());
    } else {
        println!("store batch/postgresql: skipped, PostgreSQL is not installed");
    }
    group.finish();
}

async fn open(server: &Server) -> Result<Postgres, BankError> {
    let address = Address::parse(&server.create_database().await)?;
    let opened = Postgres::open(&address, "icici", Connections::default(), || Ok(openings()));
    Ok(opened.await?.0)
}
