//! Many payments in doubt, and every process killed: how long until they serve again, and whether every
//! payment then ends as it was decided. Times are printed, and never asserted.
//!
//! `STRIFE_RECOVERY_PAYMENTS` says how many (2,000). For figures:
//!
//! `STRIFE_RECOVERY_PAYMENTS=100000 cargo test --release --workspace --test recovery -- --nocapture`

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

mod seed;

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use seed::Seed;
use strife_fleet::{BankSpec, Fleet, FleetSpec};

/// How long what must come true may take.
const PATIENCE: Duration = Duration::from_secs(600);
const PAYMENTS: u64 = 2_000;
/// The banks, whose owners are their only servers.
const BANKS: [&str; 2] = ["icici", "sbi"];
const GATEWAY: &str = "gateway";
/// Accounts of each bank: payments from one are few, so that its money suffices.
const ACCOUNTS: u32 = 1_000;

fn payments() -> u64 {
    let Ok(text) = env::var("STRIFE_RECOVERY_PAYMENTS") else { return PAYMENTS };
    text.parse().unwrap_or_else(|_| panic!("STRIFE_RECOVERY_PAYMENTS is not a number: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_in_doubt_end_as_decided_after_everybody_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = FleetSpec::new(env!("CARGO_BIN_EXE_strife"), dir.path());
    spec.banks = BANKS.map(|bank| BankSpec::new(bank, 0)).into();
    spec.accounts_per_bank = ACCOUNTS;
    let mut fleet = Fleet::boot(spec).await.unwrap_or_else(|error| panic!("{error}"));
    let before = fleet.totals().await.unwrap();

    fleet.kill(GATEWAY).await.unwrap();
    let seed = Seed::of(&fleet, payments());
    let data = fleet.spec().dir.join("data");
    let run = seed.write_payments(&data.join(GATEWAY)).await;
    for bank in BANKS {
        seed.prepare_legs(&fleet, bank, run).await;
    }
    for bank in BANKS {
        serve_again(&mut fleet, bank, &data.join(bank)).await;
    }
    let in_doubt = fleet.totals().await.unwrap().in_doubt;
    assert_eq!(in_doubt, 2 * seed.payments(), "every leg is as it was");

    serve_again(&mut fleet, GATEWAY, &data.join(GATEWAY)).await;
    serve_again(&mut fleet, GATEWAY, &data.join(GATEWAY)).await;
    let served = Instant::now();
    let after = fleet.settled_totals(PATIENCE).await.unwrap();
    println!("nothing in doubt after {:.1} s more", served.elapsed().as_secs_f64());
    after.check_against(&before).unwrap();
    // The balancer connects again with backoff, which has grown while the gateway was away.
    fleet.until_ready(PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    seed.check(&fleet).await;
    fleet.stop().await;
}

/// Kills a member, starts it again and prints how long it took until it served.
async fn serve_again(fleet: &mut Fleet, member: &str, data: &Path) {
    fleet.kill(member).await.unwrap();
    let bytes: u64 =
        fs::read_dir(data).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let killed = Instant::now();
    fleet.restart(member).await.unwrap_or_else(|error| panic!("{error}"));
    println!(
        "{member}: {} payments in doubt, {:.1} MB: serving {} ms after its start",
        payments(),
        bytes as f64 / 1e6,
        killed.elapsed().as_millis()
    );
}
