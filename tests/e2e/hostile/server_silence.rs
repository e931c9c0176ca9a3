//! Servers that accept and then say nothing, read nothing, or stop halfway.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use strife_proto::bank::v1::AccountRequest;
use tokio::{sync::Notify, time::Instant};
use tonic::{Code, Request};

use super::{
    enemy::Enemy,
    frames::{
        self, ForStream, announced, continuation, flag, headers, kind, open_headers, setting,
    },
    header,
    peer::Ending,
    scene::Scene,
};

/// Calls at once, and the bytes of a request's message that must not pile up.
const CALLS: usize = 100;
const REQUEST_BYTES: usize = 1 << 20;
/// A deadline of the caller: all his calls are under way by then, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(6);

/// Calls with large requests and a deadline; each one's status.
async fn suffer_at_length(scene: &Scene) -> Vec<Code> {
    let victim = scene.victim();
    let calls = (0..CALLS).map(|_| {
        let mut victim = victim.clone();
        let mut request = Request::new(AccountRequest { account_id: "x".repeat(REQUEST_BYTES) });
        request.set_timeout(DEADLINE);
        async move { victim.validate_account(request).await.expect_err("nobody answers").code() }
    });
    join_all(calls).await
}

#[track_caller]
fn all_are_over(codes: &[Code]) {
    let is_over = |code: &Code| {
        matches!(
            code,
            Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable | Code::ResourceExhausted
        )
    };
    assert!(codes.len() == CALLS && codes.iter().all(is_over), "{codes:?}");
}

/// It accepts TCP and never sends its settings.
#[tokio::test]
async fn a_silent_server_fails_its_calls_in_time() {
    let enemy = Enemy::silent().await;
    let flags = ["--handshake-timeout", "2s", "--connect-timeout", "2s"];
    let scene = Scene::with(&enemy, &flags).await;
    let status = scene.amid(scene.suffer()).await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    all_are_over(&scene.amid(suffer_at_length(&scene)).await);
    drop(enemy);
    scene.end().await;
}

/// It speaks the protocol at first and then never reads its socket again.
#[tokio::test]
async fn a_server_that_never_reads_costs_bounded_memory() {
    let enemy =
        Enemy::start(&[(setting::INITIAL_WINDOW_SIZE, u32::MAX >> 1)], |mut peer, _| async move {
            let open = frames::window_update(0, (u32::MAX >> 1) - 65_535);
            let _ = peer.send(&open).await;
            let forever: Ending = std::future::pending().await;
            drop(peer);
            forever
        })
        .await;
    let scene = Scene::with(&enemy, &[]).await;
    all_are_over(&scene.amid(suffer_at_length(&scene)).await);
    scene.is_small();
    drop(enemy);
    scene.end().await;
}

/// It breaks a rule while its socket is full, and lingers, its calls being over; what others begin
/// meanwhile is theirs and stays theirs when it goes at last.
#[tokio::test]
async fn a_server_that_lingers_takes_nobody_along() {
    let cue: Arc<Notify> = Arc::default();
    let wait = cue.clone();
    let enemy =
        Enemy::start(&[(setting::INITIAL_WINDOW_SIZE, u32::MAX >> 1)], move |mut peer, _| {
            let wait = wait.clone();
            async move {
                let open = frames::window_update(0, (u32::MAX >> 1) - 65_535);
                let _ = peer.send(&open).await;
                wait.notified().await;
                let _ = peer.send(&continuation(1, b"of nothing")).await;
                let forever: Ending = std::future::pending().await;
                drop(peer);
                forever
            }
        })
        .await;
    let scene = Scene::with(&enemy, &[]).await;
    let attack = async {
        let since = Instant::now();
        while (scene.in_flight().await as usize) < CALLS {
            assert!(since.elapsed() < DEADLINE, "not all are ever under way");
            scene.serves_others().await;
        }
        cue.notify_one();
    };
    let (codes, ()) = scene.amid(async { tokio::join!(suffer_at_length(&scene), attack) }).await;
    all_are_over(&codes);
    scene.spares_the_innocent(|| drop(enemy)).await;
    scene.end().await;
}

/// It reads, opens no window and never answers.
#[tokio::test]
async fn a_server_with_shut_windows_costs_bounded_memory() {
    let enemy = Enemy::start(&[(setting::INITIAL_WINDOW_SIZE, 0)], |mut peer, _| async move {
        while peer.next_for_ever().await.is_some() {}
        Ending::default()
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    all_are_over(&scene.amid(suffer_at_length(&scene)).await);
    scene.is_small();
    drop(enemy);
    scene.end().await;
}

/// It allows no stream at all.
#[tokio::test]
async fn a_server_without_streams_fails_its_calls_in_time() {
    let enemy = Enemy::start(&[(setting::MAX_CONCURRENT_STREAMS, 0)], |mut peer, _| async move {
        while peer.next_for_ever().await.is_some() {}
        Ending::default()
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    all_are_over(&scene.amid(suffer_at_length(&scene)).await);
    drop(enemy);
    scene.end().await;
}

/// It stops halfway through its answer: amid a frame's header, its payload, a header block.
#[tokio::test]
async fn a_server_that_stops_halfway_is_let_go() {
    let halves: [ForStream; 3] = [
        |stream| announced(100, kind::HEADERS, flag::END_HEADERS, stream)[..5].to_vec(),
        |stream| {
            let head = headers(stream, flag::NONE, &header::response());
            [head, announced(1000, kind::DATA, flag::NONE, stream)].concat()
        },
        |stream| {
            let begin = open_headers(stream, flag::NONE, &header::response());
            [begin, continuation(stream, &header::literal("a", "b"))].concat()
        },
    ];
    let attacks = halves.map(|half| async move {
        let mut enemy = Enemy::start(&[], move |mut peer, stream| async move {
            let _ = peer.send(&half(stream)).await;
            // Any answer would be taken for the other half.
            while peer.next_unanswered().await.is_some() {}
            Ending { closed: true, ..Ending::default() }
        })
        .await;
        let scene = Scene::with(&enemy, &["--handshake-timeout", "2s"]).await;
        let (ending, status) = scene.attacked_by(&mut enemy).await;
        assert!(ending.closed);
        let is_told = matches!(status.code(), Code::Unavailable | Code::Internal);
        assert!(is_told, "{status}");
        drop(enemy);
        scene.end().await;
    });
    join_all(attacks).await;
}

/// The caller's deadline ends a call that the server never answers.
#[tokio::test]
async fn a_deadline_ends_a_call_that_is_never_answered() {
    let enemy = Enemy::start(&[], |mut peer, _| async move {
        while peer.next_for_ever().await.is_some() {}
        Ending::default()
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let mut client = scene.attacker().await;
    let mut block = header::request_to(header::PATH, "hostile");
    block.extend(header::literal("grpc-timeout", "500m"));
    let message = frames::data(1, flag::END_STREAM, &header::message("account"));
    client.send(&[headers(1, flag::NONE, &block), message].concat()).await.unwrap();
    let answer = scene.amid(client.answer(1)).await;
    assert_eq!(answer.status, Some(Code::DeadlineExceeded as u32), "{answer:?}");
    drop((client, enemy));
    scene.end().await;
}
