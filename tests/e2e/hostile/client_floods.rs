//! Clients that send frames without end that cost them nothing (CVE-2019-9512 to 9518).

use super::{
    frames::{
        self, PREFACE, code, continuation, data, flag, frame, headers, kind, open_headers, ping,
        priority, repeated, reset, setting, settings, window_update,
    },
    header,
    peer::{PATIENCE, Peer},
    scene::{CALM, Scene, client_is_cut_off},
    server::HANG,
};

/// Frames of a flood: a hundred times what any guard lets through.
const FRAMES: usize = 200_000;

/// A call on stream 1 whose request goes on.
fn open_call() -> Vec<u8> {
    headers(1, flag::NONE, &header::request())
}

/// A call on stream 1 that is never answered.
fn hanging_call() -> Vec<u8> {
    [open_call(), data(1, flag::END_STREAM, &header::message(HANG))].concat()
}

fn flood_of(frame: &[u8]) -> Vec<u8> {
    repeated(frame, FRAMES)
}

/// CVE-2019-9512.
#[tokio::test]
async fn a_flood_of_pings_is_cut_off() {
    client_is_cut_off(CALM, &flood_of(&ping(flag::NONE, [7; 8]))).await;
}

#[tokio::test]
async fn a_flood_of_unasked_ping_answers_is_cut_off() {
    client_is_cut_off(CALM, &flood_of(&ping(flag::ACK, [7; 8]))).await;
}

/// CVE-2019-9515.
#[tokio::test]
async fn a_flood_of_settings_is_cut_off() {
    client_is_cut_off(CALM, &flood_of(&settings(&[]))).await;
}

/// Every one of them costs a step for each open stream.
#[tokio::test]
async fn a_flood_of_window_settings_over_many_streams_is_cut_off() {
    const STREAMS: usize = 500;
    let (first, further) = header::short_request();
    let mut bytes = Vec::new();
    for (stream, block) in frames::stream_ids().zip([&first].into_iter().chain([&further; STREAMS]))
    {
        bytes.extend(headers(stream, flag::NONE, block));
    }
    let change = |bytes: u32| settings(&[(setting::INITIAL_WINDOW_SIZE, bytes)]);
    bytes.extend(repeated(&[change(0), change(1 << 20)].concat(), FRAMES / 2));
    client_is_cut_off(CALM, &bytes).await;
}

/// CVE-2019-9513.
#[tokio::test]
async fn a_flood_of_priorities_is_cut_off() {
    let shuffle = [priority(3, 5), priority(5, 3)].concat();
    client_is_cut_off(CALM, &repeated(&shuffle, FRAMES / 2)).await;
}

#[tokio::test]
async fn a_flood_of_unknown_frames_is_cut_off() {
    client_is_cut_off(CALM, &flood_of(&frame(kind::UNKNOWN, 0xff, 0, b"what"))).await;
}

/// CVE-2019-9518.
#[tokio::test]
async fn a_flood_of_empty_data_is_cut_off() {
    let flood = flood_of(&data(1, flag::NONE, &[]));
    client_is_cut_off(CALM, &[open_call(), flood].concat()).await;
}

/// Empty but for its padding, which counts against the window.
#[tokio::test]
async fn a_flood_of_padding_is_cut_off() {
    const PADDED: u8 = 8;
    let flood = flood_of(&data(1, PADDED, &[0]));
    let codes = [code::ENHANCE_YOUR_CALM, code::FLOW_CONTROL_ERROR];
    client_is_cut_off(&codes, &[open_call(), flood].concat()).await;
}

/// CVE-2019-9518, as CVE-2024-27316 needs it least.
#[tokio::test]
async fn a_flood_of_empty_continuations_is_cut_off() {
    let begin = open_headers(1, flag::NONE, &header::request());
    client_is_cut_off(CALM, &[begin, flood_of(&continuation(1, &[]))].concat()).await;
}

#[tokio::test]
async fn a_flood_of_useless_windows_is_cut_off() {
    client_is_cut_off(CALM, &flood_of(&window_update(0, 1))).await;
}

#[tokio::test]
async fn a_flood_of_useless_windows_on_a_stream_is_cut_off() {
    let flood = flood_of(&window_update(1, 1));
    client_is_cut_off(CALM, &[hanging_call(), flood].concat()).await;
}

/// A stream that is closed may see such frames for a while, not for ever.
#[tokio::test]
async fn a_flood_for_a_closed_stream_is_cut_off() {
    for late in [window_update(1, 1), reset(1, code::CANCEL), priority(1, 0)] {
        let scene = Scene::start(&[]).await;
        let mut attacker = scene.attacker().await;
        attacker.call(1, &header::request(), "account").await;
        scene.amid(attacker.flood(&flood_of(&late))).await.is_cut_off(CALM);
        scene.end().await;
    }
}

#[tokio::test]
async fn a_flood_of_goaways_is_cut_off() {
    let scene = Scene::start(&[]).await;
    let mut attacker = scene.attacker().await;
    let ending = scene.amid(attacker.flood(&flood_of(&frames::goaway(0, 0)))).await;
    // The client said good-bye itself, so the balancer may do as much.
    assert!(ending.closed, "{ending:?}");
    scene.end().await;
}

/// CVE-2019-9516: fields without a name, each of which costs some memory.
#[tokio::test]
async fn a_flood_of_nameless_fields_is_cut_off() {
    let nameless = repeated(&header::literal("", ""), 1000);
    let block = [header::request(), nameless].concat();
    let requests = frames::stream_ids().take(2000);
    let flood: Vec<_> = requests.flat_map(|id| headers(id, flag::END_STREAM, &block)).collect();
    client_is_cut_off(&[code::ENHANCE_YOUR_CALM, code::PROTOCOL_ERROR], &flood).await;
}

/// The answers queue up in the balancer if it lets them (CVE-2019-9512, CVE-2019-9515).
#[tokio::test]
async fn floods_whose_answers_are_never_read_are_cut_off() {
    const BYTES: usize = 64 << 20;
    for frame in [ping(flag::NONE, [7; 8]), settings(&[])] {
        let scene = Scene::start(&[]).await;
        let mut attacker = Peer::connect(scene.balancer.listen).await;
        attacker.send(&[PREFACE, &settings(&[])].concat()).await.unwrap();
        let flood = repeated(&frame, BYTES / frame.len());
        assert!(scene.amid(attacker.flood_blindly(&flood, PATIENCE)).await, "not cut off");
        scene.end().await;
    }
}
