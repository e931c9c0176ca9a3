//! Starting and stopping.

use futures_util::StreamExt;
use strife_lb::Bound;
use strife_proto::bank::v1::CommandBatch;
use strife_runtime::Security;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    fleet::{Fleet, PATIENCE, account, config},
    stub::{list, plain_stubs},
};

#[tokio::test]
async fn a_call_under_way_at_shutdown_ends_well() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let (batches, sent) = mpsc::channel(1);
    let mut results = fleet.store().apply(ReceiverStream::new(sent)).await.unwrap().into_inner();
    fleet.shutdown.request();
    for batch_id in 0..10 {
        batches.send(CommandBatch { batch_id, commands: Vec::new() }).await.unwrap();
        assert_eq!(results.next().await.unwrap().unwrap().batch_id, batch_id);
    }
    drop(batches);
    assert!(results.next().await.is_none());
    let served = tokio::time::timeout(PATIENCE, fleet.served).await;
    served.expect("it ends").unwrap().unwrap();
}

#[tokio::test]
async fn nobody_is_accepted_after_shutdown() {
    let stubs = plain_stubs(1);
    let fleet = Fleet::start(&format!("--pool default={}", list(&stubs))).await;
    let mut client = fleet.bank();
    fleet.shutdown.request();
    let served = tokio::time::timeout(PATIENCE, fleet.served).await;
    served.expect("it ends").unwrap().unwrap();
    assert!(client.validate_account(account("a")).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_one_clear_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (flag, other) in [("--listen", "--control"), ("--control", "--listen")] {
        let flags = format!("{flag} {address} {other} 127.0.0.1:0 --pool a=127.0.0.1:1");
        let failure = Bound::bind(config(&flags), Security::Plaintext).await.err().unwrap();
        let message = failure.to_string();
        assert!(message.contains("is in use") && message.contains(flag), "{message}");
    }
}
