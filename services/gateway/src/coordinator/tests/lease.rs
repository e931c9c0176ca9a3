//! A gateway on the real shared store, held up by one that is gone.

use std::collections::BTreeSet;

use strife_store::postgres::{Address, Connections, testing::Server};
use tokio_postgres::NoTls;

use super::*;
use crate::store::Postgres;

/// Beats that are waited for while one fence waits.
const BEATS: i64 = 3;
/// Connections on which a fence waits. Who gives up on one leaves it waiting for a while.
const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
    AND datname = current_database() AND query LIKE 'UPDATE runs SET live%'";
const BEATEN: &str = "SELECT beats FROM strife_gateway.runs WHERE number = $1";

/// A gateway may be gone in the middle of a transaction, for which its fence waits. Who fences it says all
/// the same that he goes on, or he would be taken for gone himself.
#[tokio::test]
async fn a_gateway_that_has_to_wait_for_a_fence_goes_on_to_say_that_it_is_there() {
    let url = Server::shared().create_database().await;
    let address = Address::parse(&url).unwrap();
    let opened = Postgres::open(&address, Connections::default(), Limits::default()).await;
    let store = opened.unwrap();
    let gone = store.start("gone").await.unwrap().number;
    let connect = async || {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    };
    let (holding, watching) = (connect().await, connect().await);
    let hold = "SELECT FROM strife_gateway.runs WHERE number =";
    holding.batch_execute(&format!("BEGIN; {hold} {gone} FOR KEY SHARE")).await.unwrap();

    let settings = Settings { lease: Duration::from_millis(300), ..settings() };
    let banks = TestBanks::new(true);
    let gateway = Coordinator::start(store.clone(), banks, "one", settings, None).await.unwrap();
    let number = gateway.run().number as i32;
    let look = async || {
        let waiting = watching.query(WAITING, &[]).await.unwrap();
        let waiting: BTreeSet<i32> = waiting.iter().map(|row| row.get(0)).collect();
        let beats: i64 = watching.query_one(BEATEN, &[&number]).await.unwrap().get(0);
        (waiting, beats)
    };
    let looking = async {
        let (mut fences, mut since) = look().await;
        loop {
            let (waiting, beats) = look().await;
            if waiting != fences || waiting.len() != 1 {
                (fences, since) = (waiting, beats);
            } else if beats >= since + BEATS {
                return;
            }
        }
    };
    tokio::time::timeout(NEVER, looking).await.expect("no beats while one fence waits");

    holding.batch_execute("COMMIT").await.unwrap();
    let is_gone = async || store.runs().await.unwrap().iter().all(|run| run.number != gone);
    until(is_gone).await;
    assert!(store.beat(gateway.run().number).await.unwrap());
}
