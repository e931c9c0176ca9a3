//! gRPC's negative HTTP/2 cases with grpcio as the client: it sees what they ask for through the balancer.

use std::net::SocketAddr;

use super::Language;
use crate::interop::{
    balancer::{Balancer, Links},
    negative::{Until, goaway_server, reset_server},
};

async fn run(case: &str, server: SocketAddr) {
    let Some(python) = Language::python() else { return };
    let balancer = Balancer::start(&[server], &Links::plaintext()).await;
    python.run(case, "negative", &balancer).await;
}

#[tokio::test]
async fn goaway() {
    let (server, _calls) = goaway_server().await;
    run("goaway", server).await;
}

#[tokio::test]
async fn rst_after_header() {
    run("rst", reset_server(Until::Headers).await).await;
}

#[tokio::test]
async fn rst_during_data() {
    run("rst", reset_server(Until::HalfTheData).await).await;
}

#[tokio::test]
async fn rst_after_data() {
    run("rst", reset_server(Until::AllTheData).await).await;
}
