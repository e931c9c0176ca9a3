//! Picks explained by a running balancer: in the log, live, and made again.

use std::{path::Path, time::Duration};

use rustix::process::{Signal, getpid, kill_process};
use strife_policy::{PickTrace, replay};
use strife_proto::lb::v1::{WatchPicksRequest, WatchedPick, watched_pick::What};
use tokio::time::timeout;
use tonic::{Code, Streaming};

use crate::{
    fleet::{Fleet, PATIENCE, call},
    stub::{list, plain_stubs},
};

/// Every policy that needs nothing of its servers.
const POLICIES: [&str; 9] = [
    "pick_first",
    "round_robin",
    "random",
    "least_request",
    "least_load",
    "weighted_round_robin",
    "peak_ewma",
    "prequal",
    "ring_hash",
];

fn traces(path: &Path) -> Vec<PickTrace> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).expect("a pick")).collect()
}

/// Waits until the log has so many.
async fn logged(path: &Path, count: usize) -> Vec<PickTrace> {
    let waiting = async {
        while traces(path).len() < count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the picks are logged");
    traces(path)
}

async fn watch(fleet: &Fleet, every: u64, recent: u32) -> Streaming<WatchedPick> {
    let request = WatchPicksRequest { pool: String::new(), every, recent };
    fleet.admin().watch_picks(request).await.expect("a place").into_inner()
}

async fn next(picks: &mut Streaming<WatchedPick>) -> PickTrace {
    let message = timeout(PATIENCE, picks.message()).await.expect("a pick");
    match message.expect("no error").expect("the stream goes on").what {
        Some(What::Trace(line)) => serde_json::from_str(&line).expect("a pick"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_log_of_every_policy_replays() {
    const CALLS: usize = 40;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("picks.jsonl");
    let stubs = plain_stubs(3);
    // One thread and one call at a time: nothing else happens while a pick is written down.
    let flags = format!(
        "--pool default={} --threads 1 --pick-sample 1 --pick-log {}",
        list(&stubs),
        log.display()
    );
    let fleet = Fleet::start(&flags).await;
    let mut client = fleet.bank();
    for policy in POLICIES {
        fleet.set_policy(policy).await;
        for _ in 0..CALLS {
            call(&mut client).await.unwrap();
        }
    }
    let traces = logged(&log, POLICIES.len() * CALLS).await;
    for (n, trace) in traces.iter().enumerate() {
        assert_eq!((trace.policy.as_str(), trace.endpoint_count), (POLICIES[n / CALLS], 3));
        assert_eq!(replay(trace).unwrap(), trace.pick, "{trace:?}");
    }
}

#[tokio::test]
async fn the_log_is_opened_anew_at_a_hangup() {
    let dir = tempfile::tempdir().unwrap();
    let (log, rotated) = (dir.path().join("picks.jsonl"), dir.path().join("picks.jsonl.1"));
    let stubs = plain_stubs(2);
    let flags =
        format!("--pool default={} --pick-sample 1 --pick-log {}", list(&stubs), log.display());
    let fleet = Fleet::start(&flags).await;
    let mut client = fleet.bank();
    for _ in 0..5 {
        call(&mut client).await.unwrap();
    }
    logged(&log, 5).await;
    std::fs::rename(&log, &rotated).unwrap();
    kill_process(getpid(), Signal::HUP).unwrap();
    let waiting = async {
        while !log.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("a new file");
    call(&mut client).await.unwrap();
    assert_eq!((logged(&log, 1).await.len(), traces(&rotated).len()), (1, 5));
}

#[tokio::test]
async fn picks_are_seen_as_they_are_made_and_remembered() {
    let stubs = plain_stubs(2);
    let flags = format!("--pool default={} --pick-sample 0 --policy round_robin", list(&stubs));
    let fleet = Fleet::start(&flags).await;
    let mut client = fleet.bank();
    call(&mut client).await.unwrap();
    let mut picks = watch(&fleet, 1, 10).await;
    for _ in 0..10 {
        let answered = call(&mut client).await.unwrap();
        let trace = next(&mut picks).await;
        let chosen = trace.pick.unwrap().index;
        assert_eq!(
            trace.endpoints[chosen].1.address, answered,
            "the call that was before is not seen"
        );
    }
    let mut later = watch(&fleet, 1, 4).await;
    let mut remembered = Vec::new();
    for _ in 0..4 {
        remembered.push(next(&mut later).await.now);
    }
    assert!(remembered.is_sorted(), "{remembered:?}");
}

#[tokio::test]
async fn watchers_are_bounded_and_end_with_the_balancer() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut places = Vec::new();
    let refused = loop {
        let request = WatchPicksRequest { pool: String::new(), every: 1, recent: 0 };
        match fleet.admin().watch_picks(request).await {
            Ok(picks) => places.push(picks.into_inner()),
            Err(status) => break status,
        }
        assert!(places.len() < 100, "somebody is refused");
    };
    assert_eq!((places.len(), refused.code()), (8, Code::ResourceExhausted), "{refused}");
    drop(places.pop());
    let freed = async {
        loop {
            let request = WatchPicksRequest { pool: String::new(), every: 1, recent: 0 };
            match fleet.admin().watch_picks(request).await {
                Ok(picks) => break picks.into_inner(),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    places.push(timeout(PATIENCE, freed).await.expect("a place came free"));
    let unknown = WatchPicksRequest { pool: "nowhere".to_owned(), every: 1, recent: 0 };
    assert_eq!(fleet.admin().watch_picks(unknown).await.err().unwrap().code(), Code::NotFound);
    fleet.shutdown.request();
    for picks in &mut places {
        assert!(matches!(timeout(PATIENCE, picks.message()).await.expect("it ends"), Ok(None)));
    }
    timeout(PATIENCE, fleet.served).await.expect("nothing holds it up").unwrap().unwrap();
}
