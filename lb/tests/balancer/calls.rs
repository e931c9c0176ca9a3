//! Every kind of call passes through unchanged.

use std::collections::HashMap;

use futures_util::StreamExt;
use strife_proto::bank::v1::{BalanceRequest, CommandBatch, TransactionRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    fleet::{Fleet, call},
    stub::{FATAL_BATCH, Hanging, MAX_MESSAGE, list, plain_stubs},
};

#[tokio::test]
async fn one_connections_calls_are_spread_call_by_call() {
    let stubs = plain_stubs(3);
    let flags = format!("--pool default={} --policy round_robin --slow-start 0s", list(&stubs));
    let fleet = Fleet::start(&flags).await;
    let mut client = fleet.bank();
    let mut calls = HashMap::<_, u32>::new();
    for _ in 0..30 {
        *calls.entry(call(&mut client).await.unwrap()).or_default() += 1;
    }
    assert!(calls.len() == 3 && calls.values().all(|count| *count == 10), "{calls:?}");
}

#[tokio::test]
async fn an_error_keeps_its_code_and_message() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.bank();
    let request = BalanceRequest { account_id: "x".to_owned() };
    let status = client.get_account_balance(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "no account `x` – nowhere"));
    let named = status.metadata().get("x-strife-endpoint").expect("an endpoint is named");
    assert_eq!(named.to_str().unwrap(), stubs[0].address.to_string());
    let request = BalanceRequest { account_id: "break".to_owned() };
    let status = client.get_account_balance(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    let endpoint = fleet.pool().await.endpoints.remove(0);
    assert_eq!((endpoint.calls, endpoint.succeeded, endpoint.failed), (2, 1, 1));
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let (batches, sent) = mpsc::channel(1);
    let request = ReceiverStream::new(sent);
    let mut results = fleet.store().apply(request).await.unwrap().into_inner();
    for batch_id in 0..100 {
        // The next batch is sent only when the answer to the last one is there.
        batches.send(CommandBatch { batch_id, commands: Vec::new() }).await.unwrap();
        assert_eq!(results.next().await.unwrap().unwrap().batch_id, batch_id);
    }
    drop(batches);
    assert!(results.next().await.is_none());
    fleet.wait_for(|endpoints| endpoints[0].succeeded == 1).await;
}

#[tokio::test]
async fn an_error_after_answers_keeps_its_code() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let batches = [1, FATAL_BATCH].map(|batch_id| CommandBatch { batch_id, commands: Vec::new() });
    let request = futures_util::stream::iter(batches);
    let mut results = fleet.store().apply(request).await.unwrap().into_inner();
    assert_eq!(results.next().await.unwrap().unwrap().batch_id, 1);
    let status = results.next().await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DataLoss, "fatal batch"));
    fleet.wait_for(|endpoints| endpoints[0].failed == 1).await;
}

#[tokio::test]
async fn a_server_stream_arrives_while_it_is_open() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client =
        HealthClient::new(fleet.channel("localhost", &strife_runtime::Security::Plaintext));
    let request = HealthCheckRequest { service: String::new() };
    let mut updates = client.watch(request).await.unwrap().into_inner();
    assert!(updates.next().await.unwrap().is_ok());
    fleet.wait_for(|endpoints| endpoints[0].in_flight == 1).await;
    drop(updates);
    fleet.wait_for(|endpoints| endpoints[0].in_flight == 0).await;
    let endpoint = fleet.pool().await.endpoints.remove(0);
    assert_eq!((endpoint.succeeded, endpoint.failed), (0, 0), "cancelled is neither");
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_server() {
    let mut stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.bank();
    let call = client.get_account_balance(BalanceRequest { account_id: "hang".to_owned() });
    tokio::select! {
        answer = call => panic!("{answer:?}"),
        event = stubs[0].hanging() => assert_eq!(event, Hanging::Arrived),
    }
    assert_eq!(stubs[0].hanging().await, Hanging::Cancelled);
    fleet.wait_for(|endpoints| endpoints[0].in_flight == 0).await;
}

#[tokio::test]
async fn large_messages_pass_both_ways() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.bank().max_decoding_message_size(MAX_MESSAGE);
    let transaction_id = "x".repeat(4 * 1024 * 1024);
    let request =
        TransactionRequest { transaction_id: transaction_id.clone(), ..Default::default() };
    let answer = client.process_transaction(request).await.unwrap().into_inner();
    assert!(answer.transaction_id == transaction_id);
}

/// A client that does not read its answers stalls itself and nobody else.
#[tokio::test]
async fn a_stalled_call_holds_up_no_other() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.bank().max_decoding_message_size(MAX_MESSAGE);
    let (batches, sent) = mpsc::channel(1);
    let results = fleet.store().apply(ReceiverStream::new(sent)).await.unwrap().into_inner();
    // Until the answers fill every buffer on the way and the server reads no more.
    let fill = async {
        for batch_id in 1.. {
            let batch = CommandBatch { batch_id, commands: vec![Default::default(); 8192] };
            if batches.send(batch).await.is_err() {
                return;
            }
        }
    };
    let others = async {
        for _ in 0..50 {
            let transaction_id = "x".repeat(100_000);
            let request = TransactionRequest { transaction_id, ..Default::default() };
            client.process_transaction(request).await.unwrap();
        }
    };
    tokio::select! {
        () = fill => panic!("the stalled call ended"),
        () = others => {}
    }
    drop(results);
}
