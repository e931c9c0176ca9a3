//! What must arrive at the other side, and how: the balancer as an intermediary.

mod repeats;
mod requests;
mod responses;

use crate::runner::check;

#[tokio::test]
async fn blocks_that_repeat() {
    check(repeats::table).await;
}

#[tokio::test]
async fn requests_arrive() {
    check(requests::table).await;
}

#[tokio::test]
async fn responses_arrive() {
    check(responses::table).await;
}
