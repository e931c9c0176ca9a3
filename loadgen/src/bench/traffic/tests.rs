//! Load and servers face to face, without a proxy.

use tokio::runtime::{Builder, LocalOptions};

use super::*;

/// Runs a test as a benchmark is run: on one thread, with tasks of its own.
fn locally(test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() });
}

async fn open(connections: u32, message_bytes: u32, calls: Calls) -> (Backends, Load) {
    let backends = Backends::start(1, &Security::Plaintext).await.unwrap();
    let address = backends.addresses[0].clone();
    let load = Load::open(&address, &Security::Plaintext, connections, message_bytes, calls).await;
    (backends, load.unwrap())
}

#[test]
fn calls_follow_each_other_in_a_closed_loop() {
    locally(async {
        // The largest needs more than one window and more than one frame.
        for message_bytes in [0, 100, 16_384, 300_000] {
            let (_backends, load) = open(3, message_bytes, Calls::Closed(4)).await;
            load.begin();
            while load.tally().calls() < 100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(load.tally().errors(), 0, "{:?}", load.tally().first_error());
            assert!(load.close().await.latency.len() >= 50);
        }
    });
}

#[test]
fn paced_calls_are_all_accounted_for() {
    locally(async {
        let (_backends, load) = open(2, 100, Calls::Paced).await;
        load.begin();
        let pace = Pace { per_second: 2000.0, seed: 5 };
        load.pace(pace, Duration::from_millis(250)).await.unwrap();
        let (answered, errors) = (load.tally().calls(), load.tally().errors());
        let times = load.close().await;
        assert_eq!(errors, 0);
        assert!(answered > 0, "some of about 500 are answered");
        assert!(times.latency.len() >= answered, "those under way count too");
    });
}

#[test]
fn single_calls_leave_their_connections_open() {
    locally(async {
        let (_backends, load) = open(20, 100, Calls::Single).await;
        assert_eq!((load.tally().calls(), load.tally().errors()), (20, 0));
    });
}

#[test]
fn nobody_there_is_an_error() {
    locally(async {
        let opened = Load::open("127.0.0.1:1", &Security::Plaintext, 1, 100, Calls::Single).await;
        assert!(matches!(opened.err(), Some(TrafficError::Socket(_))));
    });
}

#[test]
fn a_wrong_answer_is_an_error() {
    locally(async {
        // A server of 1 MiB at most: larger messages are answered with an error.
        let backends = Backends::start(1, &Security::Plaintext).await.unwrap();
        let address = &backends.addresses[0];
        let opened = Load::open(address, &Security::Plaintext, 1, 2 << 20, Calls::Single).await;
        let error = opened.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("gRPC status"), "{error}");
    });
}
