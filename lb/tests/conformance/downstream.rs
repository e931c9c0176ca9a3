//! The balancer as a server: faulty clients in front of it.
//!
//! Every case of h2spec has a row here; sections are those of RFC 9113 and RFC 7541.

mod flow_control;
mod framing;
mod hpack;
mod messages;
mod preface;
mod settings;
mod signals;
mod states;
mod streams;

use crate::runner::check;

#[tokio::test]
async fn prefaces_and_settings() {
    check(preface::table).await;
    check(settings::table).await;
}

#[tokio::test]
async fn frames_out_of_shape() {
    check(framing::table).await;
}

#[tokio::test]
async fn streams_and_their_states() {
    check(streams::table).await;
    check(states::table).await;
}

#[tokio::test]
async fn resets_pings_and_goodbyes() {
    check(signals::table).await;
}

#[tokio::test]
async fn windows() {
    check(flow_control::table).await;
}

#[tokio::test]
async fn header_blocks() {
    check(hpack::table).await;
}

#[tokio::test]
async fn malformed_requests() {
    check(messages::table).await;
}
