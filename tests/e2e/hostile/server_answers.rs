//! Servers whose answers break the rules, or come out of nowhere: their connection ends, the calls
//! on it fail, and nothing is left of them (CVE-2023-35945).

use strife_proto::bank::v1::AccountRequest;
use tonic::Code;

use super::{
    enemy::Enemy,
    frames::{
        self, ForStream, Frame, MAX_PAYLOAD_BYTES, announced, code, data, flag, frame, headers,
        kind, ping, repeated, reset, setting, settings, window_update,
    },
    header::{self, NEWEST_ENTRY, literal},
    peer::Ending,
    scene::{CALM, Scene, server_is_cut_off},
};

/// A stream the balancer cannot have opened yet.
const IDLE: u32 = 1_000_001;

fn head(stream: u32) -> Vec<u8> {
    headers(stream, flag::NONE, &header::response())
}

#[tokio::test]
async fn a_promise_is_cut_off() {
    let promise = |stream| {
        let payload = [&2_u32.to_be_bytes()[..], &header::request()].concat();
        frame(kind::PUSH_PROMISE, flag::END_HEADERS, stream, &payload)
    };
    server_is_cut_off(&[code::PROTOCOL_ERROR], promise).await;
}

#[tokio::test]
async fn answers_that_nobody_asked_for_are_cut_off() {
    let answers = |_| {
        let ids = (IDLE..).step_by(2).take(10_000);
        ids.flat_map(|stream| headers(stream, flag::END_STREAM, &header::response())).collect()
    };
    server_is_cut_off(&[code::PROTOCOL_ERROR], answers).await;
}

#[tokio::test]
async fn data_that_nobody_asked_for_is_cut_off() {
    let answers = |_| repeated(&data(IDLE, flag::NONE, &[0; 1000]), 10_000);
    server_is_cut_off(&[code::PROTOCOL_ERROR], answers).await;
}

#[tokio::test]
async fn a_servers_own_stream_is_cut_off() {
    let own = |_| headers(2, flag::END_STREAM, &header::response());
    server_is_cut_off(&[code::PROTOCOL_ERROR], own).await;
}

/// The client takes nothing, so the windows stay shut; the server sends all the same.
#[tokio::test]
async fn answers_beyond_the_window_are_refused() {
    const BYTES: usize = 64 << 20;
    let mut enemy = Enemy::flooding(|stream| {
        let body = data(stream, flag::NONE, &[0; MAX_PAYLOAD_BYTES]);
        [head(stream), repeated(&body, BYTES / MAX_PAYLOAD_BYTES)].concat()
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let window = [(setting::INITIAL_WINDOW_SIZE, 0)];
    let mut client = super::peer::Peer::client(scene.balancer.listen, &window).await;
    let block = header::request_to(header::PATH, "hostile");
    let message = data(1, flag::END_STREAM, &header::message("account"));
    client.send(&[headers(1, flag::NONE, &block), message].concat()).await.unwrap();
    let (ending, answer) =
        scene.amid(async { tokio::join!(enemy.ending(), client.answer(1)) }).await;
    ending.is_refused(&[code::FLOW_CONTROL_ERROR]);
    let is_over = answer.reset.is_some() || answer.status.is_some_and(|status| status != 0);
    assert!(is_over, "{answer:?}");
    drop((client, enemy));
    scene.end().await;
}

/// The balancer's table has no room, so nothing can be in it.
#[tokio::test]
async fn nonsense_in_an_answers_block_is_cut_off() {
    let nonsense: [Vec<u8>; 4] = [
        [header::response(), vec![NEWEST_ENTRY]].concat(),
        [header::table_size(4096), header::response()].concat(),
        [header::response(), header::integer(0x80, 7, 10_000)].concat(),
        [header::response(), vec![0, 0x7e, b'a']].concat(),
    ];
    for block in nonsense {
        let answer = move |stream| headers(stream, flag::END_STREAM, &block);
        server_is_cut_off(&[code::COMPRESSION_ERROR], answer).await;
    }
}

#[tokio::test]
async fn an_answers_endless_header_list_is_cut_off() {
    let answer = |stream| {
        let fields = repeated(&literal("x-many", &"x".repeat(1000)), 4000);
        headers(stream, flag::END_STREAM, &[header::response(), fields].concat())
    };
    server_is_cut_off(CALM, answer).await;
}

#[tokio::test]
async fn forbidden_frames_of_a_server_are_cut_off() {
    let forbidden: [(u32, ForStream); 7] = [
        (code::PROTOCOL_ERROR, |_| window_update(0, 0)),
        (code::FLOW_CONTROL_ERROR, |_| window_update(0, u32::MAX >> 1)),
        (code::FRAME_SIZE_ERROR, |_| frame(kind::PING, 0, 0, &[0; 7])),
        (code::PROTOCOL_ERROR, |_| reset(IDLE, code::CANCEL)),
        (code::PROTOCOL_ERROR, |stream| frames::continuation(stream, b"x")),
        (code::PROTOCOL_ERROR, |stream| {
            let part = frames::open_headers(stream, flag::NONE, &header::response());
            [part, ping(flag::NONE, [1; 8])].concat()
        }),
        (code::FRAME_SIZE_ERROR, |stream| {
            let large = announced((1 << 24) - 1, kind::DATA, flag::NONE, stream);
            [head(stream), large, vec![0; 1 << 16]].concat()
        }),
    ];
    for (code, bytes) in forbidden {
        server_is_cut_off(&[code], bytes).await;
    }
}

/// CVE-2023-35945: each connection's only call is reset and the server then goes away; whatever the
/// balancer keeps of it adds up.
#[tokio::test]
async fn resets_before_goodbyes_leave_nothing_behind() {
    const CALLS: usize = 300;
    let enemy = Enemy::start(&[], |mut peer, stream| async move {
        let bytes = [reset(stream, code::CANCEL), frames::goaway(stream, code::NO_ERROR)].concat();
        // The balancer may be gone already.
        let _ = peer.send(&bytes).await;
        peer.ending().await
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let before = scene.balancer.descriptors();
    let mut victim = scene.victim();
    let attack = async {
        for _ in 0..CALLS {
            let request = AccountRequest { account_id: "victim".to_owned() };
            victim.validate_account(request).await.expect_err("nobody is answered");
        }
    };
    scene.amid(attack).await;
    drop((victim, enemy));
    scene.until_forgotten(before).await;
    scene.end().await;
}

/// Answers with as large headers as are allowed, all in one breath: the client reads them, so it
/// must not be given up for them. Its next call is for another server.
#[tokio::test]
async fn large_headers_of_many_answers_harm_nobody() {
    const CALLS: usize = 200;
    let enemy = Enemy::start(&[], |mut peer, first| async move {
        let mut asked = vec![first];
        while asked.len() < CALLS {
            match peer.until_for_ever(|frame| frame.kind == kind::HEADERS).await {
                Some(frame) => asked.push(frame.stream),
                None => return Ending { closed: true, ..Ending::default() },
            }
        }
        let large = literal("x-large", &"x".repeat(60_000));
        let block = [header::response(), large, header::trailers(9)].concat();
        let answer = |stream| headers(stream, flag::END_STREAM, &block);
        let answers: Vec<u8> = asked.into_iter().flat_map(answer).collect();
        peer.flood(&answers).await
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let mut client = scene.attacker().await;
    let block = header::request_to(header::PATH, "hostile");
    let ids: Vec<u32> = frames::stream_ids().take(CALLS + 1).collect();
    let (last, ids) = ids.split_last().unwrap();
    let ask = |stream: &u32| headers(*stream, flag::END_STREAM, &block);
    client.send(&ids.iter().flat_map(ask).collect::<Vec<u8>>()).await.unwrap();
    let mut answered = 0;
    while answered < CALLS {
        let frame = scene.amid(client.next()).await.expect("the client's connection lives");
        assert_ne!(frame.kind, kind::GOAWAY, "GOAWAY {}", frame.error_code());
        answered += usize::from(frame.kind == kind::HEADERS);
    }
    client.call(*last, &header::request(), "another server").await;
    drop((client, enemy));
    scene.end().await;
}

/// A server that refuses every stream is no attacker, and no reason to try for ever.
#[tokio::test]
async fn a_server_that_refuses_everything_is_given_up() {
    let enemy = Enemy::start(&[], |mut peer, first| async move {
        let mut stream = first;
        loop {
            if peer.send(&reset(stream, code::REFUSED_STREAM)).await.is_err() {
                return Ending::default();
            }
            let is_request = |frame: &Frame| frame.kind == kind::HEADERS;
            match peer.until_for_ever(is_request).await {
                Some(frame) => stream = frame.stream,
                None => return Ending::default(),
            }
        }
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    for _ in 0..100 {
        let status = scene.amid(scene.suffer()).await;
        assert!(matches!(status.code(), Code::Unavailable | Code::ResourceExhausted), "{status}");
    }
    drop(enemy);
    scene.end().await;
}

/// It says good-bye to every call, of which it has processed none: they may be tried again, and not
/// for ever.
#[tokio::test]
async fn a_server_that_only_says_goodbye_is_given_up() {
    const CALLS: usize = 20;
    let enemy = Enemy::start(&[], |mut peer, _| async move {
        let _ = peer.send(&frames::goaway(0, code::NO_ERROR)).await;
        while peer.next_for_ever().await.is_some() {}
        Ending::default()
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let before = scene.balancer.descriptors();
    for _ in 0..CALLS {
        let status = scene.amid(scene.suffer()).await;
        assert!(matches!(status.code(), Code::Unavailable | Code::ResourceExhausted), "{status}");
    }
    drop(enemy);
    scene.until_forgotten(before).await;
    scene.end().await;
}

/// Settings change under the balancer's feet while a call is open; the last ones hold.
#[tokio::test]
async fn windows_below_zero_are_no_error() {
    let enemy = Enemy::start(&[], |mut peer, stream| async move {
        let shrink = settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]);
        let grow = settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
        let trailers = headers(stream, flag::END_STREAM, &header::trailers(9));
        let bytes = [shrink, grow, head(stream), trailers].concat();
        let _ = peer.send(&bytes).await;
        while peer.next_for_ever().await.is_some() {}
        Ending::default()
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let mut victim = scene.victim();
    let request = AccountRequest { account_id: "x".repeat(100_000) };
    let status = victim.validate_account(request).await.expect_err("the server says so");
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    drop((victim, enemy));
    scene.end().await;
}
