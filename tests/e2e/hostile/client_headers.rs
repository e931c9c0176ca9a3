//! Clients whose header blocks never end, unpack to gigabytes, or try to make the balancer forget
//! what its tables hold (CVE-2024-27316, RUSTSEC-2024-0332, CVE-2023-32731).

use super::{
    frames::{
        self, MAX_PAYLOAD_BYTES, announced, code, continuation, data, flag, frame, headers, kind,
        open_headers, ping, repeated, reset, setting, settings, window_update,
    },
    header::{self, NEWEST_ENTRY, literal, remembered},
    peer::Peer,
    scene::{CALM, Scene, client_is_cut_off},
    server::{HANG, MARK},
};

/// gRPC's RESOURCE_EXHAUSTED.
const RESOURCE_EXHAUSTED: u32 = 8;
/// Bytes of a value that fills a table of 4096 bytes, the name and the entry's own 32 included.
const BIG_VALUE_BYTES: usize = 3_900;

/// CVE-2024-27316: 32 MiB of one header block.
#[tokio::test]
async fn a_flood_of_continuations_is_cut_off() {
    let begin = open_headers(1, flag::NONE, &header::request());
    let mut field = literal("x-part", &"x".repeat(MAX_PAYLOAD_BYTES / 2));
    field.truncate(MAX_PAYLOAD_BYTES);
    let flood = repeated(&continuation(1, &field), 4000);
    client_is_cut_off(CALM, &[begin, flood].concat()).await;
}

/// The same a field at a time, which a limit on bytes notices late.
#[tokio::test]
async fn a_flood_of_small_continuations_is_cut_off() {
    let begin = open_headers(1, flag::NONE, &header::request());
    let flood = repeated(&continuation(1, &literal("a", "b")), 200_000);
    client_is_cut_off(CALM, &[begin, flood].concat()).await;
}

/// The request is malformed from its first field on; its block must be read all the same, or not
/// be taken at all.
#[tokio::test]
async fn a_flood_of_continuations_after_a_malformed_field_is_cut_off() {
    let begin = open_headers(1, flag::END_STREAM, &literal("Upper", "case"));
    let flood = repeated(&continuation(1, &literal("a", &"b".repeat(1000))), 20_000);
    client_is_cut_off(&[code::ENHANCE_YOUR_CALM, code::PROTOCOL_ERROR], &[begin, flood].concat())
        .await;
}

/// 60 KiB that unpack to 230 MiB.
#[tokio::test]
async fn a_header_bomb_is_cut_off() {
    let mut block = header::request();
    block.extend(remembered("x-bomb", &"x".repeat(BIG_VALUE_BYTES)));
    block.extend([NEWEST_ENTRY; 56 * 1024]);
    client_is_cut_off(CALM, &headers(1, flag::END_STREAM, &block)).await;
}

/// Requests of a hundred bytes that unpack to 200 KiB each: every one is refused, and the client
/// in the end.
#[tokio::test]
async fn header_bombs_in_a_row_are_cut_off() {
    let arm = [header::request(), remembered("x-bomb", &"x".repeat(BIG_VALUE_BYTES))].concat();
    let bomb = [header::request(), vec![NEWEST_ENTRY; 50]].concat();
    let mut ids = frames::stream_ids();
    let mut flood = headers(ids.next().unwrap(), flag::END_STREAM, &arm);
    for stream in ids.take(20_000) {
        flood.extend(headers(stream, flag::END_STREAM, &bomb));
    }
    client_is_cut_off(CALM, &flood).await;
}

/// A hundred bytes that unpack to just what is allowed, hundreds of times in one breath: the
/// server's connection has to carry all of it, and must not be given up for that.
#[tokio::test]
async fn large_headers_of_many_calls_harm_nobody() {
    const CALLS: usize = 600;
    let scene = Scene::start(&["--max-buffer", "16MiB"]).await;
    let mut attacker = scene.attacker().await;
    let arm = [header::request(), remembered("x-large", &"x".repeat(BIG_VALUE_BYTES))].concat();
    let mut ids = frames::stream_ids();
    attacker.call(ids.next().unwrap(), &arm, "account").await;
    let message = header::message(HANG);
    // No two blocks are the same.
    let call = |stream: u32| {
        let number = literal("x-number", &stream.to_string());
        let block = [header::request(), number, vec![NEWEST_ENTRY; 15]].concat();
        [headers(stream, flag::NONE, &block), data(stream, flag::END_STREAM, &message)].concat()
    };
    let calls: Vec<u8> = ids.take(CALLS).flat_map(call).collect();
    // One breath of them is all that the others have to wait for.
    attacker.flood(&calls).await;
    scene.serves_others().await;
    scene.is_small();
    drop(attacker);
    scene.end().await;
}

/// More than the limit, and not by far: an answer, not an end; and whatever the block put into the
/// table is there for the next request.
#[tokio::test]
async fn a_too_large_header_list_is_refused_and_remembered() {
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let mut large = header::request();
    large.extend(remembered("x-large", &"x".repeat(BIG_VALUE_BYTES)));
    large.extend([NEWEST_ENTRY; 20]);
    large.extend(remembered(MARK, "kept"));
    client.send(&headers(1, flag::END_STREAM, &large)).await.unwrap();
    let answer = scene.amid(client.answer(1)).await;
    assert_eq!(answer.status, Some(RESOURCE_EXHAUSTED), "{answer:?}");
    let next = [header::request(), vec![NEWEST_ENTRY]].concat();
    assert_echoes_mark(&mut client, 3, &next, "kept").await;
    scene.end().await;
}

/// CVE-2023-32731: requests that are refused in every way put entries into the table; the requests
/// in between use them, and those of others are untouched (the bystander checks every answer).
#[tokio::test]
async fn refused_requests_do_not_desynchronise_tables() {
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let malformed: [Vec<u8>; 4] = [
        literal("Upper", "case"),
        literal("connection", "close"),
        literal(":path", "/twice"),
        literal("content-length", "-1"),
    ];
    let mut ids = frames::stream_ids();
    for round in 0..5 {
        for (kind, wrong) in malformed.iter().enumerate() {
            let mark = format!("round-{round}-{kind}");
            let block = [&header::request(), &wrong[..], &remembered(MARK, &mark)].concat();
            let stream = ids.next().unwrap();
            client.send(&headers(stream, flag::END_STREAM, &block)).await.unwrap();
            let answer = client.answer(stream).await;
            let is_refused = answer.reset.is_some() || answer.status.is_some_and(|code| code != 0);
            assert!(is_refused, "{kind}: {answer:?}");
            let next = [header::request(), vec![NEWEST_ENTRY]].concat();
            assert_echoes_mark(&mut client, ids.next().unwrap(), &next, &mark).await;
        }
    }
    scene.end().await;
}

/// A call that is reset while its block is decoded, or right after, leaves its entries too.
#[tokio::test]
async fn reset_requests_do_not_desynchronise_tables() {
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let mut ids = frames::stream_ids();
    for round in 0..50 {
        let (gone, next) = (ids.next().unwrap(), ids.next().unwrap());
        let mark = format!("round-{round}");
        let block = [header::request(), remembered(MARK, &mark)].concat();
        let bytes = [headers(gone, flag::NONE, &block), reset(gone, code::CANCEL)].concat();
        client.send(&bytes).await.unwrap();
        let block = [header::request(), vec![NEWEST_ENTRY]].concat();
        assert_echoes_mark(&mut client, next, &block, &mark).await;
    }
    scene.end().await;
}

async fn assert_echoes_mark(client: &mut Peer, stream: u32, block: &[u8], mark: &str) {
    let message = data(stream, flag::END_STREAM, &header::message("account"));
    client.send(&[headers(stream, flag::NONE, block), message].concat()).await.unwrap();
    let answer = client.answer(stream).await;
    let echoed = answer.data.windows(mark.len()).any(|part| part == mark.as_bytes());
    assert!(echoed, "`{mark}` was lost: {answer:?}");
}

/// What no decoder can make sense of ends the connection: the tables differ from here on.
#[tokio::test]
async fn nonsense_in_header_blocks_is_cut_off() {
    let scene = Scene::start(&[]).await;
    let nonsense: [(&str, Vec<u8>); 8] = [
        ("index 0", vec![0x80]),
        ("an index beyond the table", header::integer(0x80, 7, 200)),
        ("an index beyond any number", [&[0xff][..], &[0xff; 20], &[0]].concat()),
        ("a length beyond any number", [&[0, 0x7f][..], &[0xff; 20], &[0]].concat()),
        ("a string beyond the block", vec![0, 0x7e, b'a']),
        ("a table larger than allowed", header::table_size(1 << 20)),
        ("a change of size after a field", [vec![0x83], header::table_size(0)].concat()),
        ("Huffman's end of string", vec![0, 1, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (what, block) in nonsense {
        let mut attacker = scene.attacker().await;
        let block = if what.contains("larger") {
            [block, header::request()].concat()
        } else {
            [header::request(), block].concat()
        };
        let ending = attacker.flood(&headers(1, flag::END_STREAM, &block)).await;
        println!("{what}: {ending:?}");
        ending.is_cut_off(&[code::COMPRESSION_ERROR]);
    }
    scene.end().await;
}

/// Numbers that do not fit, or are none, are answered somehow, and nothing breaks.
#[tokio::test]
async fn absurd_numbers_are_survived() {
    let scene = Scene::start(&[]).await;
    let mut client = scene.attacker().await;
    let timeouts = ["99999999H", "0n", "-1S", "1", "S", "999999999999S", "1.5S", "1s", "١S"];
    let lengths = ["18446744073709551615", "18446744073709551616", "+5", "5, 5", "0x5", ""];
    let fields = timeouts.map(|timeout| literal("grpc-timeout", timeout)).into_iter();
    let fields = fields.chain(lengths.map(|length| literal("content-length", length)));
    for (stream, field) in frames::stream_ids().zip(fields) {
        let block = [header::request(), field].concat();
        let message = data(stream, flag::END_STREAM, &header::message("account"));
        client.send(&[headers(stream, flag::NONE, &block), message].concat()).await.unwrap();
        let answer = scene.amid(client.answer(stream)).await;
        assert!(answer.status.is_some() || answer.reset.is_some(), "{answer:?}");
    }
    scene.end().await;
}

/// Frames that no peer may send at all.
#[tokio::test]
async fn forbidden_frames_are_cut_off() {
    let scene = Scene::start(&[]).await;
    let open = headers(1, flag::NONE, &header::request());
    let part = open_headers(1, flag::NONE, &header::request());
    let whole = headers(3, flag::NONE, &header::request());
    let forbidden: [(&str, u32, Vec<u8>); 13] = [
        ("a block interrupted", code::PROTOCOL_ERROR, [&part[..], &ping(0, [1; 8])].concat()),
        ("a block amid a block", code::PROTOCOL_ERROR, [&part[..], &whole].concat()),
        ("a continuation of nothing", code::PROTOCOL_ERROR, continuation(1, b"x")),
        ("a reset of an idle stream", code::PROTOCOL_ERROR, reset(5, code::CANCEL)),
        ("data on an idle stream", code::PROTOCOL_ERROR, data(5, 0, b"x")),
        ("a server's stream", code::PROTOCOL_ERROR, headers(2, 0, &header::request())),
        ("a lower stream", code::PROTOCOL_ERROR, [whole, open.clone()].concat()),
        ("a promise", code::PROTOCOL_ERROR, frame(kind::PUSH_PROMISE, 4, 1, &[0; 8])),
        ("an empty window", code::PROTOCOL_ERROR, window_update(0, 0)),
        ("too large a window", code::FLOW_CONTROL_ERROR, window_update(0, u32::MAX >> 1)),
        (
            "a setting's window too large",
            code::FLOW_CONTROL_ERROR,
            settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]),
        ),
        ("half a setting", code::FRAME_SIZE_ERROR, frame(kind::SETTINGS, 0, 0, &[0; 5])),
        (
            "a frame of 16 MiB",
            code::FRAME_SIZE_ERROR,
            [open, announced((1 << 24) - 1, kind::DATA, 0, 1), vec![0; 1 << 16]].concat(),
        ),
    ];
    for (what, code, bytes) in forbidden {
        let mut attacker = scene.attacker().await;
        let ending = attacker.flood(&bytes).await;
        println!("{what}: {ending:?}");
        ending.is_cut_off(&[code]);
    }
    scene.end().await;
}
