//! Clients that ask for much and take nothing, or in drops (CVE-2019-9511, CVE-2019-9517,
//! CVE-2020-12604), and those that send what nobody has room for.

use super::{
    enemy::Enemy,
    frames::{
        self, MAX_PAYLOAD_BYTES, code, continuation, data, flag, headers, repeated, setting,
        window_update,
    },
    header,
    peer::{Ending, Peer},
    scene::Scene,
    server::{HANG, large},
};

/// An answer that fits into no window, and how many are asked for.
const ANSWER_BYTES: usize = 1 << 20;
const ANSWERS: usize = 400;
/// The largest window there is.
const MOST: u32 = u32::MAX >> 1;

/// Asks for so many answers of [`ANSWER_BYTES`].
fn ask_for_much(answers: usize) -> Vec<u8> {
    let message = header::message(&large(ANSWER_BYTES));
    let (first, further) = header::short_request();
    let blocks = std::iter::once(first).chain(std::iter::repeat(further));
    let ask = |(stream, block): (u32, Vec<u8>)| {
        [headers(stream, flag::NONE, &block), data(stream, flag::END_STREAM, &message)].concat()
    };
    frames::stream_ids().zip(blocks).take(answers).flat_map(ask).collect()
}

async fn client_with_window(scene: &Scene, bytes: u32) -> Peer {
    Peer::client(scene.balancer.listen, &[(setting::INITIAL_WINDOW_SIZE, bytes)]).await
}

/// CVE-2019-9517: the windows are wide open, the socket is never read.
#[tokio::test]
async fn a_client_that_never_reads_costs_bounded_memory() {
    let scene = Scene::start(&[]).await;
    let mut attacker = client_with_window(&scene, MOST).await;
    let open = window_update(0, MOST - 65_535);
    attacker.send(&[open, ask_for_much(ANSWERS)].concat()).await.unwrap();
    stalls_itself_alone(&scene).await;
    drop(attacker);
    scene.end().await;
}

/// CVE-2020-12604: the windows of its streams are shut.
#[tokio::test]
async fn a_client_with_shut_windows_costs_bounded_memory() {
    let scene = Scene::start(&[]).await;
    let mut attacker = client_with_window(&scene, 0).await;
    attacker.send(&ask_for_much(ANSWERS)).await.unwrap();
    stalls_itself_alone(&scene).await;
    drop(attacker);
    scene.end().await;
}

/// The streams' windows are open, the connection's is not.
#[tokio::test]
async fn a_client_with_a_shut_connection_costs_bounded_memory() {
    let scene = Scene::start(&[]).await;
    let mut attacker = client_with_window(&scene, MOST).await;
    attacker.send(&ask_for_much(ANSWERS)).await.unwrap();
    stalls_itself_alone(&scene).await;
    drop(attacker);
    scene.end().await;
}

/// While every call of the attacker is stuck, nothing burns and others go on.
async fn stalls_itself_alone(scene: &Scene) {
    scene.amid(scene.serves_others()).await;
    while scene.server.started() < ANSWERS as u64 {
        scene.serves_others().await;
    }
    scene.amid(scene.serves_others()).await;
    scene.is_small();
}

/// A client that breaks a rule while its socket is full lingers, its calls being over; what others
/// begin meanwhile is theirs and stays theirs when it goes at last.
#[tokio::test]
async fn a_client_that_lingers_takes_nobody_along() {
    let scene = Scene::start(&[]).await;
    let mut attacker = client_with_window(&scene, MOST).await;
    let open = window_update(0, MOST - 65_535);
    attacker.send(&[open, ask_for_much(ANSWERS)].concat()).await.unwrap();
    stalls_itself_alone(&scene).await;
    attacker.send(&continuation(1, b"of nothing")).await.unwrap();
    while scene.in_flight().await > ANSWERS as u32 / 2 {
        scene.serves_others().await;
    }
    scene.spares_the_innocent(|| drop(attacker)).await;
    scene.end().await;
}

/// What is stuck for too long is reset; the attacker need not go away for that.
#[tokio::test]
async fn stalled_calls_are_ended() {
    let scene = Scene::start(&["--stall-timeout", "3s"]).await;
    let mut attacker = client_with_window(&scene, 0).await;
    attacker.send(&ask_for_much(ANSWERS)).await.unwrap();
    for _ in 0..ANSWERS {
        let over = scene.amid(attacker.until(is_over)).await;
        assert!(over.is_some(), "the connection lives");
    }
    scene.end().await;
}

/// Calls that would hold more than there is room for are ended; the bystander's never are, though
/// every byte of room is taken by the attacker: the last ones by calls that hold a few bytes each.
#[tokio::test]
async fn stalled_calls_do_not_take_all_the_room() {
    const LARGE_ANSWERS: usize = 64;
    const SMALL_ANSWERS: usize = 500;
    let scene = Scene::start(&["--max-buffer", "1MiB"]).await;
    let mut attacker = client_with_window(&scene, 0).await;
    attacker.send(&ask_for_much(LARGE_ANSWERS)).await.unwrap();
    let over = scene.amid(attacker.until(is_over)).await;
    assert!(over.is_some(), "the connection lives");
    let mut attackers = vec![attacker];
    for answer_bytes in [1000, 100, 1] {
        let mut attacker = client_with_window(&scene, 0).await;
        let message = header::message(&large(answer_bytes));
        let ask = |stream| {
            let head = headers(stream, flag::NONE, &header::request());
            [head, data(stream, flag::END_STREAM, &message)].concat()
        };
        let asked: Vec<u8> = frames::stream_ids().take(SMALL_ANSWERS).flat_map(ask).collect();
        scene.amid(attacker.flood(&asked)).await.is_borne();
        scene.amid(scene.serves_others()).await;
        attackers.push(attacker);
    }
    drop(attackers);
    scene.end().await;
}

/// The end of a call: a reset, or trailers in place of what was left of the answer.
fn is_over(frame: &frames::Frame) -> bool {
    let is_end = frame.kind == frames::kind::HEADERS && frame.has(flag::END_STREAM);
    is_end || frame.kind == frames::kind::RST_STREAM
}

/// CVE-2019-9511: all of it in drops of one byte.
#[tokio::test]
async fn a_client_that_drinks_in_drops_costs_bounded_memory() {
    const STREAMS: usize = 100;
    let scene = Scene::start(&[]).await;
    let mut attacker = client_with_window(&scene, 0).await;
    let drops = frames::stream_ids().take(STREAMS).flat_map(|stream| window_update(stream, 1));
    let round: Vec<u8> = drops.collect();
    let flood = [ask_for_much(STREAMS), repeated(&round, 500)].concat();
    // Every drop is used, so nothing is wrong with it but its size: it may be borne.
    scene.amid(attacker.flood(&flood)).await;
    drop(attacker);
    scene.end().await;
}

/// The server takes nothing, so the balancer's own windows are all there is.
#[tokio::test]
async fn data_beyond_the_window_is_refused() {
    const BYTES: usize = 32 << 20;
    let enemy = Enemy::start(&[(setting::INITIAL_WINDOW_SIZE, 0)], |mut peer, _| async move {
        while peer.next_for_ever().await.is_some() {}
        Ending::default()
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let mut attacker = scene.attacker().await;
    let block = header::request_to(header::PATH, "hostile");
    let flood = repeated(&data(1, flag::NONE, &[0; MAX_PAYLOAD_BYTES]), BYTES / MAX_PAYLOAD_BYTES);
    let begin = headers(1, flag::NONE, &block);
    let ending = scene.amid(attacker.flood(&[begin, flood].concat())).await;
    ending.is_refused(&[code::FLOW_CONTROL_ERROR]);
    drop(attacker);
    scene.end().await;
}

/// As many connections as one machine may open, each with one call that hangs, none of them read.
#[tokio::test]
async fn many_connections_that_never_read_cost_bounded_memory() {
    const CONNECTIONS: usize = 200;
    let scene = Scene::start(&[]).await;
    let call = [
        headers(1, flag::NONE, &header::request()),
        data(1, flag::END_STREAM, &header::message(HANG)),
    ]
    .concat();
    let before = scene.balancer.descriptors();
    let mut attackers = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut attacker = scene.attacker().await;
        attacker.send(&call).await.unwrap();
        attackers.push(attacker);
    }
    scene.amid(scene.serves_others()).await;
    drop(attackers);
    scene.until_forgotten(before).await;
    scene.end().await;
}
