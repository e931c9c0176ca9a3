//! Servers in Python that report by ORCA trailers alone: they get calls by what they report.

use std::net::SocketAddr;

use strife_interop::pb::Empty;
use tokio::task::JoinSet;

use super::Language;
use crate::interop::{
    balancer::{Balancer, Links},
    process::Process,
};

/// Calls at once, and calls each makes before shares are counted.
const CALLERS: usize = 8;
const CALLS: usize = 50;

/// Two servers that say they are as busy as each other and serve 400 and 100 calls a second. They are
/// called until the first one's share is within `wanted`.
async fn check(policy: &str, wanted: std::ops::RangeInclusive<f64>) {
    let Some(python) = Language::python() else { return };
    let [strong, weak] = ["400", "100"].map(|rps| {
        let mut command = python.command("orca_server");
        command.args(["--utilization", "0.5", "--rps", rps]);
        Process::start(command)
    });
    let (strong, weak) = (strong.await, weak.await);
    let flags = ["--pool-policy", &format!("default={policy}")];
    let servers = [strong.address, weak.address];
    let balancer = Balancer::start_with(&servers, &Links::plaintext(), &flags).await;
    let mut share = f64::NAN;
    let balanced = async {
        while !wanted.contains(&share) {
            share = share_of(strong.address, &balancer).await;
        }
    };
    let balanced = tokio::time::timeout(crate::support::PATIENCE, balanced).await;
    assert!(balanced.is_ok(), "{policy}: the strong server's share was {share}, not {wanted:?}");
}

async fn share_of(address: SocketAddr, balancer: &Balancer) -> f64 {
    let (client, address) = (balancer.target("orca").client(), address.to_string());
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut client, address) = (client.clone(), address.clone());
        callers.spawn(async move {
            let mut there = 0;
            for _ in 0..CALLS {
                let answer = client.empty_call(Empty {}).await.unwrap();
                let endpoint = answer.metadata().get("x-strife-endpoint").unwrap();
                there += usize::from(*endpoint == *address);
            }
            there
        });
    }
    let there: usize = callers.join_all().await.iter().sum();
    there as f64 / (CALLERS * CALLS) as f64
}

#[tokio::test]
async fn weights_are_what_servers_report() {
    let policy = "weighted_round_robin:blackout_period=0s,weight_update_period=100ms";
    check(policy, 0.77..=0.83).await;
}

#[tokio::test]
async fn the_least_loaded_is_found_by_what_servers_report() {
    check("least_load", 0.6..=0.95).await;
}
