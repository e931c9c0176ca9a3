//! What looks like an attack and is gRPC at work: nobody is cut off for it, on either leg.

use std::time::Duration;

use prost::Message;
use strife_proto::bank::v1::{AccountRequest, AccountResponse, CommandBatch};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    enemy::Enemy,
    frames::{
        self, Frame, code, data, flag, headers, kind, ping, reset, setting, settings, window_update,
    },
    header,
    peer::{Ending, Peer},
    scene::Scene,
    server::{HANG, PAUSING, large},
};

/// 100 calls each 10 ms, for two seconds.
const CANCELS_AT_ONCE: usize = 100;
const BATCHES: usize = 200;
const BETWEEN_BATCHES: Duration = Duration::from_millis(10);

fn hanging_call(stream: u32, block: &[u8]) -> Vec<u8> {
    let message = data(stream, flag::END_STREAM, &header::message(HANG));
    [headers(stream, flag::NONE, block), message].concat()
}

/// Opens and cancels 10,000 calls a second: a batch is cancelled as soon as it was sent, or only
/// with the next one, when its calls have reached the server.
async fn cancels_are_borne(is_late: bool) {
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let before = scene.balancer.descriptors();
    let (first, further) = header::short_request();
    client.call(1, &first, "account").await;
    let mut ids = frames::stream_ids().skip(1);
    let mut ticks = interval(BETWEEN_BATCHES);
    // A machine that stands still must not make a burst of them: that is an attack.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut opened: Vec<u32> = Vec::new();
    let cancels = async {
        for _ in 0..BATCHES {
            let batch: Vec<u32> = ids.by_ref().take(CANCELS_AT_ONCE).collect();
            let calls: Vec<u8> =
                batch.iter().flat_map(|stream| hanging_call(*stream, &further)).collect();
            let gone = if is_late { std::mem::replace(&mut opened, batch) } else { batch };
            let cancels: Vec<u8> =
                gone.iter().flat_map(|stream| reset(*stream, code::CANCEL)).collect();
            client.send(&[calls, cancels].concat()).await.expect("the connection lives");
            client.read_until_quiet(&mut ticks).await;
        }
    };
    scene.amid(cancels).await;
    let rest: Vec<u8> = opened.iter().flat_map(|stream| reset(*stream, code::CANCEL)).collect();
    client.send(&rest).await.unwrap();
    client.call(ids.next().unwrap(), &further, "still here").await;
    scene.until_forgotten(before).await;
    scene.end().await;
}

#[tokio::test]
async fn ten_thousand_cancels_a_second_are_borne() {
    cancels_are_borne(false).await;
}

#[tokio::test]
async fn ten_thousand_cancels_a_second_of_running_calls_are_borne() {
    cancels_are_borne(true).await;
}

/// The server sees calls and their cancellations in one read, however far apart they were sent. One
/// built on h2 gives a connection up when it has read more than 20 such calls and started none.
#[tokio::test]
async fn cancels_while_the_server_pauses_are_borne() {
    const PAUSES: u64 = 5;
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let mut ids = frames::stream_ids();
    for round in 0..PAUSES {
        let pausing = ids.next().unwrap();
        let message = data(pausing, flag::END_STREAM, &header::message(PAUSING));
        let head = headers(pausing, flag::NONE, &header::request());
        client.send(&[head, message].concat()).await.unwrap();
        while scene.server.pauses() <= round {
            tokio::task::yield_now().await;
        }
        let batch: Vec<u32> = ids.by_ref().take(CANCELS_AT_ONCE).collect();
        let calls = batch.iter().flat_map(|stream| hanging_call(*stream, &header::request()));
        let probe = u64::from(pausing).to_be_bytes();
        let calls: Vec<u8> = calls.chain(ping(flag::NONE, probe)).collect();
        client.send(&calls).await.unwrap();
        client.until(is_answer_to(probe)).await.expect("the balancer has sent them on");
        let cancels: Vec<u8> =
            batch.iter().flat_map(|stream| reset(*stream, code::CANCEL)).collect();
        client.send(&cancels).await.unwrap();
        assert_eq!(client.answer(pausing).await.status, Some(0));
        scene.amid(scene.serves_others()).await;
    }
    scene.end().await;
}

/// gRPC measures the bandwidth with a ping for each burst of data it receives.
#[tokio::test]
async fn pings_with_every_answer_are_borne() {
    const CALLS: usize = 3000;
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let (first, further) = header::short_request();
    let mut ids = frames::stream_ids();
    client.call(ids.next().unwrap(), &first, "account").await;
    let calls = async {
        for stream in ids.by_ref().take(CALLS) {
            client.call(stream, &further, "account").await;
            let probe = u64::from(stream).to_be_bytes();
            client.send(&ping(flag::NONE, probe)).await.unwrap();
            client.until(is_answer_to(probe)).await.expect("the ping is answered");
        }
    };
    scene.amid(calls).await;
    scene.end().await;
}

fn is_answer_to(probe: [u8; 8]) -> impl Fn(&Frame) -> bool {
    move |frame| frame.kind == kind::PING && frame.has(flag::ACK) && frame.payload[..] == probe
}

/// Keepalive far faster than anyone sets it, while a call waits.
#[tokio::test]
async fn keepalive_is_borne() {
    const PINGS: u64 = 150;
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    client.send(&hanging_call(1, &header::request())).await.unwrap();
    let mut ticks = interval(BETWEEN_BATCHES);
    for number in 0..PINGS {
        ticks.tick().await;
        client.send(&ping(flag::NONE, number.to_be_bytes())).await.unwrap();
        let answered = client.until(is_answer_to(number.to_be_bytes())).await;
        answered.expect("the ping is answered");
    }
    client.call(3, &header::request(), "still here").await;
    drop(client);
    scene.end().await;
}

/// Two window updates for every DATA frame, over 8 MiB of answers.
#[tokio::test]
async fn window_updates_for_all_data_are_borne() {
    const ANSWER_BYTES: usize = 2 << 20;
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    for stream in frames::stream_ids().take(4) {
        let message = header::message(&large(ANSWER_BYTES));
        let head = headers(stream, flag::NONE, &header::request());
        client.send(&[head, data(stream, flag::END_STREAM, &message)].concat()).await.unwrap();
        let received = scene.amid(client.drink(stream)).await;
        assert!(received > ANSWER_BYTES, "{received} bytes");
    }
    scene.end().await;
}

/// The same for thousands of small messages on one stream.
#[tokio::test]
async fn window_updates_for_small_messages_are_borne() {
    const MESSAGES: u64 = 3000;
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let block = header::request_to(header::STREAM_PATH, "default");
    client.send(&headers(1, flag::NONE, &block)).await.unwrap();
    let messages = async {
        for batch_id in 1..=MESSAGES {
            let batch = CommandBatch { batch_id, ..CommandBatch::default() }.encode_to_vec();
            let length = u32::try_from(batch.len()).unwrap().to_be_bytes();
            let message = [&[0], &length[..], &batch].concat();
            client.send(&data(1, flag::NONE, &message)).await.unwrap();
            let echo = client.until(|frame| frame.kind == kind::DATA).await.expect("an echo");
            let length = u32::try_from(echo.payload.len()).unwrap();
            let updates = [window_update(1, length), window_update(0, length)].concat();
            client.send(&updates).await.unwrap();
        }
    };
    scene.amid(messages).await;
    client.send(&data(1, flag::END_STREAM, &[])).await.unwrap();
    assert_eq!(client.answer(1).await.status, Some(0));
    scene.end().await;
}

#[tokio::test]
async fn a_few_changes_of_settings_are_borne() {
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    for (stream, window) in frames::stream_ids().zip([0, 1, 1 << 20, 65_535, 1 << 30, 10, 65_535]) {
        let change = settings(&[
            (setting::INITIAL_WINDOW_SIZE, window),
            (setting::MAX_FRAME_SIZE, 16_384 + window % 1000),
        ]);
        client.send(&change).await.unwrap();
        let is_ack = |frame: &Frame| frame.kind == kind::SETTINGS && frame.has(flag::ACK);
        client.until(is_ack).await.expect("the settings are acknowledged");
        // Whatever the window was when the call began, this makes room for its answer.
        let room = window_update(stream, 1000);
        let head = headers(stream, flag::NONE, &header::request());
        let message = data(stream, flag::END_STREAM, &header::message("account"));
        client.send(&[head, message, room].concat()).await.unwrap();
        assert_eq!(client.answer(stream).await.status, Some(0));
    }
    scene.end().await;
}

/// A server that pings and opens both windows for every request it gets, as gRPC's own do.
#[tokio::test]
async fn a_lively_server_is_borne() {
    const CALLS: usize = 3000;
    let mut enemy = Enemy::start(&[], |mut peer, first| async move {
        let mut stream = first;
        let mut served = 0_u64;
        loop {
            let sent = peer.send(&lively_answer(stream, served)).await;
            served += 1;
            let next = peer.until_for_ever(|frame| frame.kind == kind::HEADERS).await;
            match next {
                Some(frame) if sent.is_ok() => stream = frame.stream,
                _ => return Ending { closed: served < CALLS as u64, ..Ending::default() },
            }
        }
    })
    .await;
    let scene = Scene::with(&enemy, &[]).await;
    let mut victim = scene.victim();
    let calls = async {
        for _ in 0..CALLS {
            let request = AccountRequest { account_id: "account".to_owned() };
            victim.validate_account(request).await.expect("the server is well");
        }
    };
    scene.amid(calls).await;
    drop(victim);
    // Only the balancer's end closes the one connection that served them all.
    let Scene { balancer, .. } = scene;
    drop(balancer);
    let ending = enemy.ending().await;
    assert!(!ending.closed, "the server was cut off");
}

fn lively_answer(stream: u32, number: u64) -> Vec<u8> {
    let body = AccountResponse { account_id: "account".to_owned(), ..AccountResponse::default() };
    let body = body.encode_to_vec();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [
        ping(flag::NONE, number.to_be_bytes()),
        window_update(0, 20),
        window_update(stream, 20),
        headers(stream, flag::NONE, &header::response()),
        data(stream, flag::NONE, &[&[0], &length[..], &body].concat()),
        headers(stream, flag::END_STREAM, &header::trailers(0)),
    ]
    .concat()
}

impl Peer {
    /// Reads what comes until the next tick.
    async fn read_until_quiet(&mut self, ticks: &mut tokio::time::Interval) {
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => return,
                frame = self.next_for_ever() => {
                    let frame = frame.expect("the connection lives");
                    assert_ne!(frame.kind, kind::GOAWAY, "GOAWAY {}", frame.error_code());
                }
            }
        }
    }

    /// Reads an answer to its end and makes room for more after each frame of it; its bytes.
    async fn drink(&mut self, stream: u32) -> usize {
        let mut received = 0;
        loop {
            let frame = self.next().await.expect("the connection lives");
            assert_ne!(frame.kind, kind::GOAWAY, "GOAWAY {}", frame.error_code());
            if frame.stream != stream || !matches!(frame.kind, kind::DATA | kind::HEADERS) {
                continue;
            }
            if frame.has(flag::END_STREAM) {
                return received;
            }
            if frame.kind == kind::DATA && !frame.payload.is_empty() {
                received += frame.payload.len();
                let length = u32::try_from(frame.payload.len()).unwrap();
                let updates = [window_update(stream, length), window_update(0, length)].concat();
                self.send(&updates).await.unwrap();
            }
        }
    }
}
