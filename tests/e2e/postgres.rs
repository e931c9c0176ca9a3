//! Banks on PostgreSQL: several servers without an owner, killed amid payments; the database crashing
//! amid payments; and what a server that cannot have its database says.

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use strife_store::postgres::testing::{Options, Server};
use tokio::sync::RwLock;

use crate::{
    money::disturb_amid_payments,
    support::{Booted, PATIENCE, boot, refused},
};

/// Payments that must get an outcome after something was killed.
const MORE: usize = 60;

/// Waits until so many more payments have an outcome.
pub(crate) async fn until_more(outcomes: &AtomicUsize) {
    let enough = outcomes.load(Relaxed) + MORE;
    let more = async {
        while outcomes.load(Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, more).await.expect("payments go on");
}

#[tokio::test]
async fn whichever_server_is_killed_the_others_go_on() {
    let url = Server::shared().create_database().await;
    let booted = boot(|spec| spec.database = Some(url)).await;
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        until_more(outcomes).await;
        // The one that opened the accounts, and one of the two behind the balancer.
        for victim in ["icici", "icici-1", "sbi-2"] {
            booted.write().await.fleet.kill(victim).await.unwrap();
        }
        until_more(outcomes).await;
        booted.write().await.fleet.restart("icici").await.unwrap();
    };
    disturb_amid_payments(booted, disturb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_crashes_amid_payments_loses_nothing() {
    let server = Server::start(&Options::default());
    let url = server.create_database().await;
    let booted = boot(|spec| spec.database = Some(url)).await;
    let disturb = async |_: &RwLock<Booted>, outcomes: &AtomicUsize| {
        until_more(outcomes).await;
        tokio::task::block_in_place(|| {
            server.crash();
            server.restart();
        });
        until_more(outcomes).await;
    };
    disturb_amid_payments(booted, disturb).await;
}

#[test]
fn a_server_without_its_database_says_what_to_do() {
    let check = |url: &str, code: i32, expected: &[&str]| {
        let bank = ["bank", "--bank-name", "icici", "--port", "0", "--plaintext", "--store", url];
        refused(&bank, code, expected);
    };
    check("postgres://u@127.0.0.1:1/d", 1, &["127.0.0.1:1/d", "check that it runs there"]);
    check("postgres://u@127.0.0.1", 2, &["names no database", "postgres://USER@HOST"]);
    check("postgres://u@h/d?sslmode=verify-full", 2, &["sslrootcert=FILE"]);
    let server = Server::shared();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = runtime.block_on(server.create_database());
    check(&url, 2, &["no bank icici", "strife accounts generate"]);
    check(&format!("{url}?sslmode=require"), 1, &["sslmode", "TLS"]);
    check(&server.url("no_such"), 1, &["no_such", "createdb"]);
}
