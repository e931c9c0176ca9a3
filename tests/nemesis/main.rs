//! Nemesis: real processes are killed and suspended, and the messages between them dropped, delayed,
//! doubled and reordered, while payers pay. Afterwards every unit is somewhere, nothing is held, and every
//! payment has the one outcome that its payer was told, once; and `strife admin reconcile` finds nothing.
//!
//! `STRIFE_NEMESIS_SECONDS` says for how long (30), `STRIFE_NEMESIS_SEED` repeats the choices of a run, though
//! not its interleaving: the processes are real.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

mod faults;
mod payers;
mod proxy;

use std::{
    env,
    process::{Command, Stdio},
    str::FromStr,
    time::Duration,
};

use payers::{Paid, Payers, World};
use proxy::Proxy;
use rand::{SeedableRng, rngs::StdRng};
use strife_fleet::{BankSpec, Fleet, FleetSpec};
use strife_proto::gateway::v1::PaymentState;
use strife_runtime::TlsArgs;
use strife_store::postgres::testing::Server;
use tokio::sync::Mutex;

/// One nemesis at a time, or the processes do nothing but wait for each other.
static TURN: Mutex<()> = Mutex::const_new(());
/// How long what must come true may take.
const PATIENCE: Duration = Duration::from_secs(300);
const SECONDS: u64 = 30;

fn from_environment<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_files() {
    check(2, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_on_postgres_with_two_gateways() {
    let url = Server::shared().create_database().await;
    check(1, |spec| {
        spec.database = Some(url);
        spec.gateways = 2;
    })
    .await;
}

/// `thirds`: of the time that there is.
async fn check(thirds: u64, change: impl FnOnce(&mut FleetSpec)) {
    let _turn = TURN.lock().await;
    let seconds = from_environment("STRIFE_NEMESIS_SECONDS").unwrap_or(SECONDS);
    let seed = from_environment("STRIFE_NEMESIS_SEED").unwrap_or_else(rand::random::<u32>);
    println!("STRIFE_NEMESIS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed.into());

    let dir = tempfile::tempdir().unwrap();
    let mut spec = FleetSpec::new(env!("CARGO_BIN_EXE_strife"), dir.path());
    spec.banks = vec![BankSpec::new("icici", 2), BankSpec::new("sbi", 2)];
    spec.accounts_per_bank = 20;
    spec.payment_timeout = Duration::from_secs(3);
    change(&mut spec);
    let mut fleet = Fleet::boot(spec).await.unwrap_or_else(|error| panic!("{error}"));
    let tls = TlsArgs { certs: fleet.spec().certs(), plaintext: false };
    let proxy = Proxy::start(fleet.balancer(), tls, &mut random).await;
    faults::put_between(&mut fleet, &proxy.address()).await;

    let world = World::of(&fleet).await;
    let before = fleet.totals().await.unwrap();
    let payers = Payers::start(&world, &mut random);
    let time = Duration::from_secs(seconds * thirds).div_f64(3.0);
    let befallen = faults::befall(&mut fleet, &mut random, time.mul_f64(0.75)).await;
    proxy.behave();
    tokio::time::sleep(time.mul_f64(0.25)).await;
    let paid = payers.stop().await;

    let after = fleet.settled_totals(PATIENCE).await.unwrap();
    after.check_against(&before).unwrap();
    world.check(&paid).await;
    fleet.totals().await.unwrap().check_against(&before).unwrap();
    // A gateway that stood still for too long ends when it finds out, which may be only now.
    fleet.restart_ended().await.unwrap_or_else(|error| panic!("{error}"));
    reconcile(&fleet);
    let committed = |paid: &&Paid| paid.state == PaymentState::Committed;
    let committed = paid.iter().filter(committed).count();
    let queued = paid.iter().filter(|paid| paid.was_queued).count();
    println!(
        "{} payments, {committed} committed, {queued} after a while in the queue; {befallen}; {proxy}",
        paid.len()
    );
    assert!(committed > 0, "nothing was paid at all");
    if fleet.spec().gateways > 1 {
        assert!(befallen.takeovers(&fleet) > 0, "no gateway took over from another");
    }
    fleet.stop().await;
}

/// Every leg has its payment and every payment its legs.
fn reconcile(fleet: &Fleet) {
    let address = |member: &str| fleet.address(member).unwrap();
    let mut command = Command::new(&fleet.spec().program);
    command.args(["admin", "reconcile", "--settled-after", "0s", "--certs"]);
    command.arg(fleet.spec().certs()).args(["--gateway", address("gateway")]);
    for BankSpec { name, .. } in &fleet.spec().banks {
        command.args(["--bank", &format!("{name}={}", address(name))]);
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    println!("{}", said.trim_end());
}
