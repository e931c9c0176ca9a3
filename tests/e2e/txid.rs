//! Transaction ids from servers of their own: each killed amid payments, all of them away, one gateway taking
//! over from another.

use std::{
    collections::HashSet,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use strife_proto::{
    gateway::v1::{
        HistoryEntry, ListPaymentsRequest, PaymentRequest, PaymentState,
        gateway_admin_client::GatewayAdminClient,
    },
    txid::v1::{Block, TakeBlockRequest, transaction_ids_client::TransactionIdsClient},
};
use strife_runtime::{Role, connect, tls::Expected};
use strife_store::postgres::testing::Server;
use tokio::sync::RwLock;
use tonic::Code;

use crate::{
    money::disturb_amid_payments,
    postgres::until_more,
    support::{Booted, PATIENCE, boot, refused},
};

/// Servers in these tests.
const SERVERS: u8 = 3;
/// Ids in a block: few, so that payments use up many.
const BLOCK: u32 = 8;
/// Bits of an id that count within its block.
const BLOCK_BITS: u32 = 24;
/// Set in ids of blocks.
const OF_BLOCK: u64 = 1 << 62;

/// Every payment of a fleet, whatever became of it.
async fn payments(booted: &Booted) -> Vec<HistoryEntry> {
    let address = booted.fleet.address("gateway").unwrap();
    let security = booted.security(Role::Admin, "1");
    let channel = connect::direct(address, Expected::GATEWAY, &security).unwrap();
    let listed =
        GatewayAdminClient::new(channel).list_payments(ListPaymentsRequest::default()).await;
    let (mut listed, mut all) = (listed.unwrap().into_inner(), Vec::new());
    while let Some(entry) = listed.message().await.unwrap() {
        all.push(entry);
    }
    all
}

/// The block that an id is from.
fn block_of(transaction_id: &str) -> u64 {
    let (_, sequence) = transaction_id.split_once('-').unwrap();
    let sequence = u64::from_str_radix(sequence, 16).unwrap();
    assert_ne!(sequence & OF_BLOCK, 0, "{transaction_id} was counted");
    assert!(sequence % (1 << BLOCK_BITS) < BLOCK.into(), "{transaction_id} is beyond the size");
    (sequence & !OF_BLOCK) >> BLOCK_BITS
}

/// Checks that all transactions have ids of their own, from blocks; which servers gave those.
async fn check_ids(booted: &Booted) -> HashSet<u64> {
    let (mut seen, mut servers) = (HashSet::new(), HashSet::new());
    for payment in payments(booted).await {
        servers.insert(block_of(&payment.transaction_id) & 0xff);
        assert!(seen.insert(payment.transaction_id.clone()), "{} twice", payment.transaction_id);
    }
    servers
}

fn with_servers(spec: &mut strife_fleet::FleetSpec) {
    (spec.txids, spec.txid_block_size) = (SERVERS, BLOCK);
}

/// Takes blocks through the balancer, as a gateway does, until `done`.
async fn take_blocks(booted: &RwLock<Booted>, done: &AtomicBool) -> Vec<Block> {
    let mut client = {
        let booted = booted.read().await;
        let security = booted.security(Role::Gateway, "1");
        let balancer = booted.fleet.balancer();
        let channel = connect::channel(balancer, "txid", Expected::LB, &security).unwrap();
        TransactionIdsClient::new(channel)
    };
    let mut taken: Vec<Block> = Vec::new();
    while !done.load(Relaxed) {
        let above = taken.last().map_or(0, |block| block.block);
        match client.take_block(TakeBlockRequest { above }).await {
            Ok(block) => taken.push(block.into_inner()),
            Err(status) => assert!(crate::support::may_ask_again(&status), "{status}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    taken
}

#[tokio::test]
async fn every_server_is_killed_in_turn_and_payments_go_on_with_ids_of_their_own() {
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        let done = AtomicBool::new(false);
        let kill = async {
            for server in 1..=SERVERS {
                let member = format!("txid-{server}");
                until_more(outcomes).await;
                booted.write().await.fleet.kill(&member).await.unwrap();
                until_more(outcomes).await;
                booted.write().await.fleet.restart(&member).await.unwrap();
            }
            done.store(true, Relaxed);
        };
        let ((), taken) = tokio::join!(kill, take_blocks(booted, &done));
        let booted = booted.read().await;
        let servers = check_ids(&booted).await;
        assert!(servers.len() > 1, "all ids are from {servers:?}");
        assert!(taken.is_sorted_by_key(|block| block.block), "each above the one before");
        let blocks: HashSet<u64> = taken.iter().map(|block| block.block).collect();
        assert_eq!(blocks.len(), taken.len(), "a block was given twice");
        assert_eq!(taken.iter().map(|block| block.server).collect::<HashSet<_>>().len(), 3);
        for payment in payments(&booted).await {
            let block = block_of(&payment.transaction_id);
            assert!(!blocks.contains(&block), "{block} was given to the gateway, too");
        }
    };
    disturb_amid_payments(boot(with_servers).await, disturb).await;
}

#[tokio::test]
async fn without_any_server_payments_are_unavailable_until_one_is_back() {
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        until_more(outcomes).await;
        for server in 1..=SERVERS {
            booted.write().await.fleet.kill(&format!("txid-{server}")).await.unwrap();
        }
        let (mut gateway, request) = {
            let booted = booted.read().await;
            let (from, to) = (booted.account("icici", 40), booted.account("sbi", 0));
            (booted.gateway(), booted.payment("meanwhile", from, to))
        };
        // What was at hand is used up by the payers at the latest.
        let mut number = 0;
        let status = loop {
            let payment_id = format!("meanwhile-{number}");
            let answer = gateway.process_payment(PaymentRequest { payment_id, ..request.clone() });
            match answer.await {
                Err(status) if status.message().contains("--txid") => break status,
                _ => number += 1,
            }
        };
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        booted.write().await.fleet.restart("txid-2").await.unwrap();
        until_more(outcomes).await;
        check_ids(&*booted.read().await).await;
    };
    disturb_amid_payments(boot(with_servers).await, disturb).await;
}

#[tokio::test]
async fn a_gateway_that_is_killed_loses_nothing_of_its_blocks() {
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        for _ in 0..2 {
            until_more(outcomes).await;
            booted.write().await.fleet.kill("gateway").await.unwrap();
            booted.write().await.fleet.restart("gateway").await.unwrap();
        }
        until_more(outcomes).await;
        check_ids(&*booted.read().await).await;
    };
    disturb_amid_payments(boot(with_servers).await, disturb).await;
}

#[tokio::test]
async fn another_gateway_knows_whose_blocks_were_whose() {
    let url = Server::shared().create_database().await;
    let booted = boot(|spec| {
        with_servers(spec);
        spec.database = Some(url);
        spec.gateways = 2;
    });
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        until_more(outcomes).await;
        booted.write().await.fleet.kill("gateway-2").await.unwrap();
        until_more(outcomes).await;
        check_ids(&*booted.read().await).await;
    };
    disturb_amid_payments(booted.await, disturb).await;
}

#[tokio::test]
async fn the_store_of_another_server_is_refused() {
    let mut booted = boot(|spec| (spec.txids, spec.gateway) = (1, false)).await;
    booted.fleet.drain("txid-1").await.unwrap();
    let data = booted.fleet.spec().dir.join("data/txid-1").display().to_string();
    let start = |server: &str, code, expected: &[&str]| {
        let arguments = ["txid", "--server", server, "--port", "0", "--plaintext", "--data", &data];
        refused(&arguments, code, expected);
    };
    start("2", 1, &["`txid 1 v1`, not of `txid 2 v1`", "a directory of its own"]);
    start("0", 2, &[]);
    start("256", 2, &[]);
}

/// Whether the log of a member whose name begins like this says `what`.
fn says(booted: &Booted, member: &str, what: &str) -> bool {
    let logs = std::fs::read_dir(booted.fleet.spec().dir.join("logs")).unwrap();
    logs.map(|log| log.unwrap()).any(|log| {
        log.file_name().to_string_lossy().starts_with(member)
            && std::fs::read_to_string(log.path()).is_ok_and(|text| text.contains(what))
    })
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Its runs are counted again, and banks know of the first of them that they are gone.
#[tokio::test]
async fn a_gateway_on_an_older_copy_of_its_store_says_so_and_serves_once_its_runs_are_new() {
    let mut booted = boot(|spec| {
        with_servers(spec);
        spec.log.log_level = "info".to_owned();
    })
    .await;
    let request = {
        let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
        booted.payment("after", from, to)
    };
    let data = booted.fleet.spec().dir.join("data");
    let (store, older) = (data.join("gateway"), data.join("older"));
    booted.fleet.drain("gateway").await.unwrap();
    copy(&store, &older);
    for _ in 2..=3 {
        booted.fleet.restart("gateway").await.unwrap();
        booted.fleet.drain("gateway").await.unwrap();
    }
    booted.fleet.restart("gateway").await.unwrap();
    let until = async |what: &str, is_so: &mut dyn FnMut() -> bool| {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !is_so() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what}"));
    };
    let know = |booted: &Booted| {
        let is_told = |run| ["icici", "sbi"].iter().all(|bank| says(booted, bank, run));
        is_told("fence run 2 of store") && is_told("fence run 3 of store")
    };
    until("the banks know", &mut || know(&booted)).await;
    booted.fleet.drain("gateway").await.unwrap();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&older, &store);
    for run in 2..=3 {
        booted.fleet.restart("gateway").await.unwrap();
        let mut gateway = booted.gateway();
        let payment_id = format!("as-run-{run}");
        let request = PaymentRequest { payment_id, ..request.clone() };
        // Until the balancer has connected to it again.
        let asking = async {
            while !booted.fleet.has_ended("gateway").unwrap() {
                let answer = gateway.process_payment(request.clone()).await;
                assert!(answer.is_err(), "run {run} answers {answer:?}");
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("it ends");
    }
    assert!(says(&booted, "gateway", "is an older copy"));
    booted.fleet.restart("gateway").await.unwrap();
    let payment_id = "new".to_owned();
    let answer = booted.pay(PaymentRequest { payment_id, ..request }).await;
    assert_eq!(answer.state(), PaymentState::Committed, "{answer:?}");
    let totals = booted.fleet.settled_totals(PATIENCE).await.unwrap();
    assert_eq!(totals.in_doubt, 0);
}
