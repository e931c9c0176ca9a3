//! Clients that make calls begin and end without end: rapid reset (CVE-2023-44487), and having the
//! balancer do the resetting (MadeYouReset, CVE-2025-8671).

use std::time::Duration;

use tokio::time::Instant;

use super::{
    frames::{
        self, DEFAULT_WINDOW_BYTES, PREFACE, code, data, flag, frame, headers, kind, reset,
        settings, window_update,
    },
    header,
    peer::Peer,
    scene::{CALM, Scene},
    server::HANG,
};

/// Resets a client may send at once, and in a second; faster is an attack.
const RESETS: u32 = 20_000;
/// Calls of a MadeYouReset attack, and of those how many may reach the server.
const PROVOCATIONS: usize = 20_000;
const MOST_FORWARDED: u64 = 1_000;

/// Stream ids and blocks of requests that are short from the second on.
fn short_requests() -> impl Iterator<Item = (u32, Vec<u8>)> {
    let (first, further) = header::short_request();
    frames::stream_ids().zip(std::iter::once(first).chain(std::iter::repeat(further)))
}

/// CVE-2023-44487.
#[tokio::test]
async fn rapid_reset_is_cut_off() {
    const CALLS: u32 = 10 * RESETS;
    let calls = short_requests().take(CALLS as usize);
    let call = |(stream, block): (u32, Vec<u8>)| {
        [headers(stream, flag::END_STREAM, &block), reset(stream, code::CANCEL)].concat()
    };
    let flood: Vec<u8> = calls.flat_map(call).collect();
    let scene = Scene::start(&[]).await;
    let mut attacker = scene.attacker().await;
    let since = Instant::now();
    let ending = scene.amid(attacker.flood(&flood)).await;
    // A machine that takes longer than this over them was never under attack.
    let allowed = Duration::from_secs(u64::from((CALLS - RESETS) / RESETS));
    if ending.closed || since.elapsed() < allowed {
        ending.is_cut_off(CALM);
    }
    drop(attacker);
    scene.end().await;
}

/// Each call is complete and hangs on the server when `provocation` makes the balancer end it. The
/// client is cut off, for the flood or at once for what it did, and few calls reached the server.
async fn provokes(own_code: u32, fields: &[u8], provocation: impl Fn(u32) -> Vec<u8>) {
    let message = header::message(HANG);
    let calls = short_requests().take(PROVOCATIONS);
    let call = |(stream, block): (u32, Vec<u8>)| {
        let block = [&block, fields].concat();
        [headers(stream, flag::NONE, &block), data(stream, flag::END_STREAM, &message)]
            .concat()
            .into_iter()
            .chain(provocation(stream))
    };
    let flood: Vec<u8> = calls.flat_map(call).collect();
    let scene = Scene::start(&[]).await;
    let mut attacker = scene.attacker().await;
    let ending = scene.amid(attacker.flood(&flood)).await;
    ending.is_cut_off(&[code::ENHANCE_YOUR_CALM, own_code]);
    let forwarded = scene.foreign_calls();
    assert!(forwarded < MOST_FORWARDED, "{forwarded} calls reached the server");
    scene.end().await;
}

#[tokio::test]
async fn made_you_reset_by_empty_windows_is_cut_off() {
    provokes(code::PROTOCOL_ERROR, &[], |stream| window_update(stream, 0)).await;
}

#[tokio::test]
async fn made_you_reset_by_too_large_windows_is_cut_off() {
    provokes(code::FLOW_CONTROL_ERROR, &[], |stream| window_update(stream, u32::MAX >> 1)).await;
}

#[tokio::test]
async fn made_you_reset_by_late_data_is_cut_off() {
    provokes(code::STREAM_CLOSED, &[], |stream| data(stream, flag::NONE, b"late")).await;
}

#[tokio::test]
async fn made_you_reset_by_late_headers_is_cut_off() {
    let late = |stream| headers(stream, flag::END_STREAM, &header::literal("late", "yes"));
    provokes(code::STREAM_CLOSED, &[], late).await;
}

#[tokio::test]
async fn made_you_reset_by_short_priorities_is_cut_off() {
    let short = |stream| frame(kind::PRIORITY, flag::NONE, stream, &[0; 4]);
    provokes(code::FRAME_SIZE_ERROR, &[], short).await;
}

#[tokio::test]
async fn made_you_reset_by_content_length_is_cut_off() {
    let fields = header::literal("content-length", "3");
    provokes(code::PROTOCOL_ERROR, &fields, |_| Vec::new()).await;
}

#[tokio::test]
async fn made_you_reset_by_forbidden_fields_is_cut_off() {
    let fields = header::literal("connection", "close");
    provokes(code::PROTOCOL_ERROR, &fields, |_| Vec::new()).await;
}

/// The request is still open when its trailers turn out to be malformed.
#[tokio::test]
async fn made_you_reset_by_trailers_is_cut_off() {
    let calls = short_requests().take(PROVOCATIONS);
    let trailers = header::literal(":path", "/elsewhere");
    let call = |(stream, block): (u32, Vec<u8>)| {
        let message = data(stream, flag::NONE, &header::message(HANG));
        let end = headers(stream, flag::END_STREAM, &trailers);
        [headers(stream, flag::NONE, &block), message, end].concat()
    };
    let flood: Vec<u8> = calls.flat_map(call).collect();
    super::scene::client_is_cut_off(&[code::ENHANCE_YOUR_CALM, code::PROTOCOL_ERROR], &flood).await;
}

/// Calls beyond the limit are refused, and a client that does not care is cut off or only refused;
/// the server never sees more than the limit.
#[tokio::test]
async fn calls_beyond_the_limit_are_refused() {
    const LIMIT: u64 = 50;
    let scene = Scene::start(&["--max-streams", "50"]).await;
    let mut attacker = scene.attacker().await;
    let message = header::message(HANG);
    assert!(message.len() * 2000 < DEFAULT_WINDOW_BYTES, "the connection's window holds them");
    let call = |(stream, block): (u32, Vec<u8>)| {
        [headers(stream, flag::NONE, &block), data(stream, flag::END_STREAM, &message)].concat()
    };
    let flood: Vec<u8> = short_requests().take(2000).flat_map(call).collect();
    let ending = scene.amid(attacker.flood(&flood)).await;
    ending.is_refused(&[code::REFUSED_STREAM, code::ENHANCE_YOUR_CALM]);
    scene.serves_others().await;
    let in_flight = scene.server.in_flight();
    assert!(in_flight <= LIMIT + 1, "{in_flight} calls under way on the server");
    drop(attacker);
    scene.end().await;
}

/// Clients that vanish without a word, each with a call under way.
#[tokio::test]
async fn vanishing_clients_leave_nothing_behind() {
    const CLIENTS: usize = 500;
    let scene = Scene::start(&[]).await;
    let before = scene.balancer.descriptors();
    let vanish = async {
        for _ in 0..CLIENTS {
            let mut client = Peer::connect(scene.balancer.listen).await;
            let message = data(1, flag::END_STREAM, &header::message(HANG));
            let call = [headers(1, flag::NONE, &header::request()), message].concat();
            let greeting = [PREFACE, &settings(&[])].concat();
            client.send(&[greeting, call].concat()).await.unwrap();
            client.vanish();
        }
    };
    scene.amid(vanish).await;
    scene.until_forgotten(before).await;
    scene.end().await;
}
