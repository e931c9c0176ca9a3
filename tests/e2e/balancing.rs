//! The balancer amid its fleet: policies, switches, dead servers, look-aside.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use strife_fleet::{BankSpec, PoolCalls};
use strife_policy::POLICIES;
use strife_proto::lb::v1::{
    ServerRequest, SetPolicyRequest, load_balancer_admin_client::LoadBalancerAdminClient,
    load_balancer_client::LoadBalancerClient,
};
use strife_runtime::{Role, connect, tls::Expected};

use crate::support::{Booted, boot, may_ask_again, resident_bytes, strife, validate};

const CALLERS: usize = 16;

async fn one_bank_of_four() -> Booted {
    boot(|spec| {
        spec.banks = vec![BankSpec::new("icici", 4)];
        spec.gateway = false;
        spec.policy = "round_robin".to_owned();
    })
    .await
}

/// Calls that succeeded and failed while `amid` ran.
async fn call_amid(booted: &Booted, amid: impl Future<Output = ()>) -> (u64, u64) {
    let done = Arc::new(AtomicBool::new(false));
    let counts: Arc<[AtomicU64; 2]> = Arc::default();
    let request = validate(booted.account("icici", 0));
    let callers = (0..CALLERS).map(|_| {
        let (mut bank, request) = (booted.bank("icici"), request.clone());
        let (done, counts) = (done.clone(), counts.clone());
        tokio::spawn(async move {
            while !done.load(Relaxed) {
                let failed = bank.validate_account(request.clone()).await.is_err();
                counts[usize::from(failed)].fetch_add(1, Relaxed);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    amid.await;
    done.store(true, Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    (counts[0].load(Relaxed), counts[1].load(Relaxed))
}

async fn calls_by_server(booted: &Booted) -> Vec<u64> {
    let pools: Vec<PoolCalls> = booted.fleet.pools().await.unwrap();
    pools[0].endpoints.iter().map(|endpoint| endpoint.calls).collect()
}

/// What ten thousand switches may leave behind: less than a picker of any policy each.
const MOST_GROWTH_BYTES: u64 = 8 << 20;

#[tokio::test]
async fn ten_thousand_policy_switches_under_load_fail_no_call_and_leak_nothing() {
    let booted = one_bank_of_four().await;
    let control = booted.fleet.control();
    let operator = booted.security(Role::Admin, "1");
    let channel = connect::direct(control, Expected::LB, &operator).unwrap();
    let mut admin = LoadBalancerAdminClient::new(channel);
    let switches = async {
        let mut warm_bytes = 0;
        for switch in 0..10_000 {
            if switch == 2_000 {
                warm_bytes = resident_bytes("lb", control);
            }
            let policy = POLICIES[switch % POLICIES.len()].name.to_owned();
            admin.set_policy(SetPolicyRequest { pool: String::new(), policy }).await.unwrap();
        }
        let grown = resident_bytes("lb", control).saturating_sub(warm_bytes);
        assert!(grown < MOST_GROWTH_BYTES, "{grown} bytes more after 8,000 switches");
    };
    let (succeeded, failed) = call_amid(&booted, switches).await;
    assert_eq!(failed, 0);
    assert!(succeeded > 0);
}

#[tokio::test]
async fn round_robin_is_even_and_pick_first_sticks() {
    let booted = one_bank_of_four().await;
    let request = validate(booted.account("icici", 0));
    let mut bank = booted.bank("icici");
    let before = calls_by_server(&booted).await;
    for _ in 0..400 {
        bank.validate_account(request.clone()).await.unwrap();
    }
    let after = calls_by_server(&booted).await;
    let shares: Vec<u64> =
        after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(shares, [100; 4]);

    let admin = [
        "admin",
        "policy",
        "pick_first",
        "--control",
        booted.fleet.control(),
        "--certs",
        &booted.fleet.spec().certs().display().to_string(),
    ];
    let output = strife(&admin);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for _ in 0..100 {
        bank.validate_account(request.clone()).await.unwrap();
    }
    let last = calls_by_server(&booted).await;
    let shares: Vec<u64> = last.iter().zip(&after).map(|(last, after)| last - after).collect();
    assert_eq!(shares.iter().filter(|share| **share > 0).count(), 1, "{shares:?}");
}

#[tokio::test]
async fn a_dead_server_is_avoided_and_comes_back() {
    let mut booted = one_bank_of_four().await;
    booted.fleet.kill("icici-2").await.unwrap();
    let request = validate(booted.account("icici", 0));
    let mut bank = booted.bank("icici");
    // Calls that were on their way to it may fail; the balancer then knows.
    let known = async {
        loop {
            let pools = booted.fleet.pools().await.unwrap();
            if pools[0].endpoints.iter().any(|endpoint| !endpoint.ready) {
                return;
            }
            if let Err(status) = bank.validate_account(request.clone()).await {
                assert!(may_ask_again(&status), "{status}");
            }
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, known).await.expect("the death is noticed");
    for _ in 0..200 {
        bank.validate_account(request.clone()).await.expect("only living servers are picked");
    }
    booted.fleet.restart("icici-2").await.unwrap();
    booted.fleet.until_ready(crate::support::PATIENCE).await.unwrap();
}

#[tokio::test]
async fn look_aside_picks_name_servers_of_the_pool() {
    let booted = one_bank_of_four().await;
    let (control, security) = (booted.fleet.control(), booted.fleet.security());
    let channel = connect::direct(control, Expected::LB, security).unwrap();
    let mut balancer = LoadBalancerClient::new(channel);
    let request = ServerRequest { pool: "bank.icici".to_owned(), ..ServerRequest::default() };
    let mut picked = Vec::new();
    for _ in 0..4 {
        let answer = balancer.get_best_server(request.clone()).await.unwrap().into_inner();
        picked.push(answer.address);
    }
    picked.sort();
    let names = ["icici-1", "icici-2", "icici-3", "icici-4"];
    let mut known: Vec<_> =
        names.iter().map(|name| booted.fleet.address(name).unwrap().to_owned()).collect();
    known.sort();
    assert_eq!(picked, known, "round robin names each once");
    let status = balancer
        .get_best_server(ServerRequest { pool: "nowhere".to_owned(), ..ServerRequest::default() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
}
