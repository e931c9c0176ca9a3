//! The ledger's apply on the in-memory state: the work of a bank without its disk.

use criterion::{BatchSize, Criterion};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use strife_bank::{
    ledger::{
        AccountState, Command, Leg, LegBody, LegKey, MemoryState, OpenAccount, Prepare, Transfer,
        apply,
    },
    money::Amount,
};

pub(crate) const ACCOUNTS: u32 = 10_000;

pub(crate) fn account(number: u32) -> String {
    format!("icici-{number:06}")
}

pub(crate) fn amount(minor_units: i64) -> Amount {
    Amount { minor_units, currency: "INR".parse().expect("a currency") }
}

fn do_all(state: &mut MemoryState, commands: &[Command]) {
    for command in commands {
        let verdict = apply(state, command).expect("memory does not fail");
        verdict.expect("the bench's commands are sound");
    }
}

fn bank() -> MemoryState {
    let mut state = MemoryState::default();
    let open = |number| {
        Command::OpenAccount(OpenAccount {
            account_id: account(number),
            balance: amount(1_000_000_000_000),
            state: AccountState::Active,
            transaction_id: None,
        })
    };
    do_all(&mut state, &(0..ACCOUNTS).map(open).collect::<Vec<_>>());
    state
}

/// A thousand transfers between random accounts.
pub(crate) fn transfers(round: u64) -> Vec<Command> {
    let mut rng = StdRng::seed_from_u64(round);
    let transfer = |number| {
        let from = rng.random_range(0..ACCOUNTS);
        Command::Transfer(Transfer {
            transaction_id: format!("{round}-{number}"),
            from: account(from),
            to: account((from + 1 + rng.random_range(0..ACCOUNTS - 1)) % ACCOUNTS),
            amount: amount(1),
            at_ms: 1,
        })
    };
    (0..1000).map(transfer).collect()
}

/// Five hundred debits, prepared and committed.
fn debits(round: u64) -> Vec<Command> {
    let mut rng = StdRng::seed_from_u64(round);
    let both = |number| {
        let key = LegKey { transaction_id: format!("{round}-{number}"), leg: Leg::Debit };
        let body = LegBody {
            account_id: account(rng.random_range(0..ACCOUNTS)),
            amount: amount(1),
            coordinator: "gateway".to_owned(),
        };
        let prepare = Prepare { key: key.clone(), body, at_ms: 0, maker: None };
        [Command::Prepare(prepare), Command::Commit(key)]
    };
    (0..500).flat_map(both).collect()
}

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    group.throughput(criterion::Throughput::Elements(1000));
    let mut round = 0;
    for (name, make) in [
        ("1000 transfers", transfers as fn(u64) -> Vec<Command>),
        ("1000 prepares and commits", debits),
    ] {
        let mut state = bank();
        group.bench_function(name, |bencher| {
            let fresh = || {
                round += 1;
                make(round)
            };
            bencher.iter_batched(
                fresh,
                |commands| do_all(&mut state, &commands),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}
