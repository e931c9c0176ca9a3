//! The balancer as a client: faulty servers behind it.
//!
//! In every row a sound client asks first; what the server does wrong must end the connection or
//! the stream at the server's side, and must not look like a good answer at the client's.

mod flow_control;
mod framing;
mod hpack;
mod life;
mod responses;
mod settings;
mod states;

use crate::{
    case::{
        Act, Case, Step, Want, answered, case, request, sees, sends, server_sees, server_sends,
    },
    frames::{WHOLE, headers},
    hpack::{get, ok},
    runner::check,
};

#[tokio::test]
async fn prefaces_and_settings() {
    check(settings::table).await;
}

#[tokio::test]
async fn frames_out_of_shape() {
    check(framing::table).await;
}

#[tokio::test]
async fn streams_and_their_states() {
    check(states::table).await;
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
async fn malformed_responses() {
    check(responses::table).await;
}

#[tokio::test]
async fn goodbyes_and_limits() {
    check(life::table).await;
}

/// A client's call that has reached the server.
fn asked() -> Vec<Step> {
    vec![sends(&[headers(1, WHOLE, &get("/"))]), server_sees(request(1))]
}

/// The server ends the connection's error; the call fails.
fn breaks(section: &'static str, name: &str, frames: &[Vec<u8>], codes: &[u32]) -> Case {
    let mut steps = asked();
    steps.push(server_sends(frames));
    steps.push(server_sees(Want::ConnectionError(codes.to_vec())));
    steps.push(sees(Want::Failed(1)));
    case(section, name, steps)
}

/// The same for one stream, or the whole connection for it.
fn errs(section: &'static str, name: &str, frames: &[Vec<u8>], codes: &[u32]) -> Case {
    let mut steps = asked();
    steps.push(server_sends(frames));
    steps.push(server_sees(Want::StreamError(1, codes.to_vec())));
    steps.push(sees(Want::Failed(1)));
    case(section, name, steps)
}

/// What the server sends is all right, and a good answer follows.
fn passes(section: &'static str, name: &str, frames: &[Vec<u8>]) -> Case {
    let mut steps = asked();
    steps.push(server_sends(frames));
    steps.push(server_sees(Want::Alive));
    steps.push(server_sends(&[headers(1, WHOLE, &ok())]));
    steps.push(sees(answered(1)));
    case(section, name, steps)
}

/// These frames are a good answer.
fn answers(section: &'static str, name: &str, frames: &[Vec<u8>]) -> Case {
    let mut steps = asked();
    steps.push(server_sends(frames));
    steps.push(sees(answered(1)));
    steps.push(Step::Server(Act::See(Want::Alive)));
    case(section, name, steps)
}
