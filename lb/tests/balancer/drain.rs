//! Servers drained by an operator, over the control port.

use clap::Parser;
use futures_util::StreamExt;
use strife_lb::{AdminCommand, run_admin};
use strife_proto::{
    bank::v1::CommandBatch,
    lb::v1::{DrainServerRequest, DrainServerResponse, EndpointState},
};
use strife_runtime::Security;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::{
    fleet::{Fleet, call, endpoint_of},
    stub::{Stub, list, plain_stubs},
};

impl Fleet {
    async fn drain(&self, request: DrainServerRequest) -> Result<DrainServerResponse, Status> {
        self.admin().drain_server(request).await.map(tonic::Response::into_inner)
    }
}

#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    command: AdminCommand,
}

/// `strife admin` with this and the balancer's address.
async fn admin(fleet: &Fleet, command: &str) -> Result<(), String> {
    let line = format!("admin {command} --plaintext --control {}", fleet.control);
    let command = Command::parse_from(line.split_whitespace()).command;
    let run = tokio::task::spawn_blocking(|| run_admin(command).map_err(|error| error.to_string()));
    run.await.expect("no panic")
}

fn drain(stub: &Stub) -> DrainServerRequest {
    DrainServerRequest {
        address: stub.address.to_string(),
        drain: true,
        ..DrainServerRequest::default()
    }
}

#[tokio::test]
async fn a_drained_server_gets_no_new_call_and_keeps_those_it_has() {
    let stubs = plain_stubs(2);
    let flags = format!("--policy round_robin --slow-start 0s --pool default={}", list(&stubs));
    let fleet = Fleet::start(&flags).await;
    let (batches, sent) = mpsc::channel(1);
    let answer = fleet.store().apply(ReceiverStream::new(sent)).await.unwrap();
    let addresses: Vec<_> = stubs.iter().map(|stub| stub.address.to_string()).collect();
    let busy = addresses.iter().position(|address| *address == endpoint_of(&answer)).unwrap();
    let mut results = answer.into_inner();
    let drained = fleet.drain(drain(&stubs[busy])).await.unwrap();
    assert_eq!((drained.pools, drained.in_flight), (vec!["default".to_owned()], 1));
    fleet.wait_for_state(busy, EndpointState::Draining).await;
    let mut client = fleet.bank();
    for batch_id in 0..10 {
        assert_eq!(call(&mut client).await.unwrap(), addresses[1 - busy]);
        batches.send(CommandBatch { batch_id, commands: Vec::new() }).await.unwrap();
        assert_eq!(results.next().await.unwrap().unwrap().batch_id, batch_id);
    }
    drop(batches);
    assert!(results.next().await.is_none());
    fleet.wait_for(|endpoints| endpoints[busy].in_flight == 0).await;
    let undrained = DrainServerRequest { drain: false, ..drain(&stubs[busy]) };
    fleet.drain(undrained).await.unwrap();
    fleet.wait_for_state(busy, EndpointState::Ready).await;
    let answered = [call(&mut client).await.unwrap(), call(&mut client).await.unwrap()];
    assert!(answered.contains(&addresses[busy]), "{answered:?}");
}

#[tokio::test]
async fn a_drained_server_can_be_restarted_and_stays_drained() {
    let mut stubs = plain_stubs(2);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let address = stubs[0].address.to_string();
    fleet.drain(drain(&stubs[0])).await.unwrap();
    stubs.remove(0).kill();
    fleet.wait_for(|endpoints| !endpoints[0].last_error.is_empty()).await;
    let restarted = Stub::start_at(&address, &Security::Plaintext);
    fleet.wait_for(|endpoints| endpoints[0].last_error.is_empty()).await;
    assert_eq!(fleet.pool().await.endpoints[0].state(), EndpointState::Draining);
    let mut client = fleet.bank();
    for _ in 0..20 {
        assert_eq!(call(&mut client).await.unwrap(), stubs[0].address.to_string());
    }
    fleet.drain(DrainServerRequest { drain: false, ..drain(&restarted) }).await.unwrap();
    fleet.wait_for_state(0, EndpointState::Ready).await;
}

#[tokio::test]
async fn the_last_server_is_drained_by_force_only() {
    let stubs = plain_stubs(2);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    fleet.drain(drain(&stubs[0])).await.unwrap();
    let refused = fleet.drain(drain(&stubs[1])).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("is the last server of pool `default`"), "{refused}");
    call(&mut fleet.bank()).await.unwrap();
    fleet.drain(DrainServerRequest { force: true, ..drain(&stubs[1]) }).await.unwrap();
    assert_eq!(call(&mut fleet.bank()).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_server_of_several_pools_is_drained_in_all_or_in_none() {
    let stubs = plain_stubs(2);
    let (first, both) = (stubs[0].address, list(&stubs));
    let fleet = Fleet::start(&format!("--pool many={both} --pool one={first}")).await;
    let refused = fleet.drain(drain(&stubs[0])).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("pool `one`"), "{refused}");
    assert_eq!(fleet.pool().await.endpoints[0].state(), EndpointState::Ready);
    let in_many = DrainServerRequest { pool: "many".to_owned(), ..drain(&stubs[0]) };
    assert_eq!(fleet.drain(in_many).await.unwrap().pools, ["many"]);
    let forced = DrainServerRequest { force: true, ..drain(&stubs[0]) };
    assert_eq!(fleet.drain(forced).await.unwrap().pools, ["many", "one"]);
}

#[tokio::test]
async fn who_is_not_there_cannot_be_drained() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let elsewhere = DrainServerRequest { pool: "bank.x".to_owned(), ..drain(&stubs[0]) };
    let unknown = DrainServerRequest { address: "nobody:1".to_owned(), ..drain(&stubs[0]) };
    for request in [elsewhere, unknown] {
        assert_eq!(fleet.drain(request).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn the_command_waits_until_calls_are_done_and_servers_are_back() {
    let mut stubs = plain_stubs(2);
    let flags = format!("--policy round_robin --slow-start 0s --pool default={}", list(&stubs));
    let fleet = Fleet::start(&flags).await;
    let (batches, sent) = mpsc::channel::<CommandBatch>(1);
    let answer = fleet.store().apply(ReceiverStream::new(sent)).await.unwrap();
    let busy = endpoint_of(&answer);
    let late = admin(&fleet, &format!("drain {busy} --timeout 0s")).await.unwrap_err();
    assert!(late.contains("still has 1 call under way after 0s; it stays drained"), "{late}");
    let command = format!("drain {busy}");
    let waiting = admin(&fleet, &command);
    let ending = async {
        drop(batches);
        assert!(answer.into_inner().next().await.is_none());
    };
    let (drained, ()) = tokio::join!(waiting, ending);
    drained.unwrap();
    let index = stubs.iter().position(|stub| stub.address.to_string() == busy).unwrap();
    stubs.remove(index).kill();
    fleet.wait_for(|endpoints| !endpoints[index].last_error.is_empty()).await;
    let down = admin(&fleet, &format!("undrain {busy} --timeout 0s")).await.unwrap_err();
    assert!(down.contains("is undrained, but not ready in pool `default`"), "{down}");
    let _restarted = Stub::start_at(&busy, &Security::Plaintext);
    admin(&fleet, &format!("undrain {busy}")).await.unwrap();
    assert_eq!(fleet.pool().await.endpoints[index].state(), EndpointState::Ready);
    let unknown = admin(&fleet, "drain nobody:1 --no-wait").await.unwrap_err();
    assert!(unknown.contains("there is no server nobody:1"), "{unknown}");
}
