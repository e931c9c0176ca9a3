//! Lists of servers that change under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use strife_channel::Channel;
use tokio::sync::watch;
use tonic::Code;

use crate::server::{PATIENCE, addresses, check, servers, until, until_idle, until_ready};

/// 200 lists of one to five servers while eight clients call: no call fails, also none that was at a
/// server which left.
#[tokio::test]
async fn servers_come_and_go_without_a_failed_call() {
    let servers = servers(5);
    let all = addresses(&servers);
    let (lists, list) = watch::channel(all.clone());
    let channel = Channel::builder().watch(list).ready_timeout(PATIENCE).build().unwrap();
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients = (0..8).map(|_| {
        let (channel, stop, calls) = (channel.clone(), stop.clone(), calls.clone());
        tokio::spawn(async move {
            while !stop.load(Relaxed) {
                check(&channel, "").await.expect("no call fails");
                calls.fetch_add(1, Relaxed);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for change in 0..200_usize {
        let some = (0..=change % 5).map(|place| all[(place + change * 7) % 5].clone());
        lists.send_replace(some.collect());
        let before = calls.load(Relaxed);
        let called = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            while calls.load(Relaxed) == before
                && !clients.iter().any(|client| client.is_finished())
            {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, called).await.expect("calls go on");
    }
    stop.store(true, Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    until_idle(&channel).await;
}

#[tokio::test]
async fn who_leaves_the_list_keeps_its_call_and_gets_no_more() {
    let servers = servers(2);
    let all = addresses(&servers);
    let (lists, list) = watch::channel(all.clone());
    let channel = Channel::builder().watch(list).policy("round_robin").build().unwrap();
    until_ready(&channel, 2).await;
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { check(&channel, "hang").await })
        })
        .collect();
    until(&channel, |_| servers.iter().all(|server| server.calls() == 1)).await;
    lists.send_replace(all[1..].to_vec());
    until(&channel, |servers| servers.len() == 1).await;
    let before = servers[0].calls();
    for _ in 0..20 {
        check(&channel, "").await.unwrap();
    }
    assert_eq!(servers[0].calls(), before);
    assert!(slow.iter().all(|call| !call.is_finished()), "both are still being served");
    slow.iter().for_each(|call| call.abort());
}

#[tokio::test]
async fn an_empty_list_is_named_and_one_that_fills_is_used() {
    let servers = servers(1);
    let (lists, list) = watch::channel(Vec::new());
    let channel = Channel::builder().watch(list).ready_timeout(Duration::ZERO).build().unwrap();
    let status = check(&channel, "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("the list of servers is empty"), "{status}");
    lists.send_replace(addresses(&servers));
    until_ready(&channel, 1).await;
    drop(lists);
    check(&channel, "").await.unwrap();
}

#[tokio::test]
async fn who_is_named_twice_is_one_server() {
    let servers = servers(1);
    let list = [servers[0].address.clone(), servers[0].address.clone()];
    let channel = Channel::builder().servers(list).build().unwrap();
    until_ready(&channel, 1).await;
    assert_eq!(channel.servers().len(), 1);
}
