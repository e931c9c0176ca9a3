//! Servers that answer a call with frames without end: the same floods as clients', the other way.

use super::{
    enemy::Enemy,
    frames::{
        self, ForStream, code, continuation, data, flag, frame, headers, kind, open_headers, ping,
        priority, repeated, reset, setting, settings, window_update,
    },
    header::{self, literal},
    scene::{CALM, Scene, server_is_cut_off},
};

/// Frames of a flood: a hundred times what any guard lets through.
const FRAMES: usize = 200_000;

/// The answer's head on the stream of the call; its body may follow.
fn head(stream: u32) -> Vec<u8> {
    headers(stream, flag::NONE, &header::response())
}

/// The whole answer but for its message: the stream is closed.
fn whole(stream: u32) -> Vec<u8> {
    let block = [header::response(), header::trailers(14)].concat();
    headers(stream, flag::END_STREAM, &block)
}

#[tokio::test]
async fn a_servers_flood_of_pings_is_cut_off() {
    server_is_cut_off(CALM, |_| repeated(&ping(flag::NONE, [7; 8]), FRAMES)).await;
}

#[tokio::test]
async fn a_servers_flood_of_settings_is_cut_off() {
    let flood = |_| repeated(&settings(&[(setting::INITIAL_WINDOW_SIZE, 70_000)]), FRAMES);
    server_is_cut_off(CALM, flood).await;
}

#[tokio::test]
async fn a_servers_flood_of_priorities_is_cut_off() {
    server_is_cut_off(CALM, |stream| repeated(&priority(stream, 0), FRAMES)).await;
}

#[tokio::test]
async fn a_servers_flood_of_unknown_frames_is_cut_off() {
    server_is_cut_off(CALM, |_| repeated(&frame(kind::UNKNOWN, 0xff, 0, b"what"), FRAMES)).await;
}

#[tokio::test]
async fn a_servers_flood_of_useless_windows_is_cut_off() {
    server_is_cut_off(CALM, |stream| repeated(&window_update(stream, 1), FRAMES)).await;
}

#[tokio::test]
async fn a_servers_flood_of_empty_data_is_cut_off() {
    let flood = |stream| [head(stream), repeated(&data(stream, 0, &[]), FRAMES)].concat();
    server_is_cut_off(CALM, flood).await;
}

#[tokio::test]
async fn a_servers_flood_of_goaways_is_cut_off() {
    let mut enemy = Enemy::flooding(|_| repeated(&frames::goaway(1, 0), FRAMES)).await;
    let scene = Scene::with(&enemy, &[]).await;
    let ending = scene.amid(async { tokio::join!(enemy.ending(), scene.suffer()).0 }).await;
    // The server said good-bye itself, so the balancer may do as much.
    assert!(ending.closed, "{ending:?}");
    drop(enemy);
    scene.end().await;
}

#[tokio::test]
async fn a_servers_flood_of_continuations_is_cut_off() {
    let flood = |stream| {
        let begin = open_headers(stream, flag::NONE, &header::response());
        let part = literal("x-part", &"x".repeat(8000));
        [begin, repeated(&continuation(stream, &part), 8000)].concat()
    };
    server_is_cut_off(CALM, flood).await;
}

#[tokio::test]
async fn a_servers_flood_of_empty_continuations_is_cut_off() {
    let flood = |stream| {
        let begin = open_headers(stream, flag::NONE, &header::response());
        [begin, repeated(&continuation(stream, &[]), FRAMES)].concat()
    };
    server_is_cut_off(CALM, flood).await;
}

/// Answers that are none: 103 for ever.
#[tokio::test]
async fn a_servers_endless_early_hints_are_cut_off() {
    let status = [header::table_size(0), literal(":status", "103")].concat();
    let hint = [status, literal("link", "</style.css>")].concat();
    let flood = move |stream| repeated(&headers(stream, flag::NONE, &hint), FRAMES);
    server_is_cut_off(CALM, flood).await;
}

/// The call is over; what is late may come for a while, not for ever.
#[tokio::test]
async fn a_servers_flood_for_a_closed_stream_is_cut_off() {
    let codes = [code::ENHANCE_YOUR_CALM, code::STREAM_CLOSED, code::PROTOCOL_ERROR];
    let late: [ForStream; 4] = [
        |stream| data(stream, flag::NONE, b"late"),
        |stream| headers(stream, flag::END_STREAM, &header::trailers(0)),
        |stream| reset(stream, code::CANCEL),
        |stream| window_update(stream, 1),
    ];
    for late in late {
        let flood = move |stream| [whole(stream), repeated(&late(stream), FRAMES)].concat();
        let mut enemy = Enemy::flooding(flood).await;
        let scene = Scene::with(&enemy, &[]).await;
        let (ending, status) = scene.attacked_by(&mut enemy).await;
        ending.is_cut_off(&codes);
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        drop(enemy);
        scene.end().await;
    }
}
