//! Calls that go on while something is restarted: unary ones, and streams that make progress.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use strife_interop::{
    Target,
    pb::{ResponseParameters, SimpleRequest, StreamingOutputCallRequest},
    was_not_sent,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Callers of each kind; each kind has a connection of its own.
const CALLERS: usize = 4;
/// Requests and responses of one stream, one after the other.
const EXCHANGES: usize = 100;

/// Calls under way, from start to [`Load::stop`].
pub(crate) struct Load {
    done: Arc<AtomicBool>,
    seen: Arc<Seen>,
    callers: JoinSet<()>,
}

/// What became of the calls.
#[derive(Default)]
struct Seen {
    calls: watch::Sender<u64>,
    failures: Mutex<Vec<String>>,
}

impl Seen {
    fn count(&self, what: &str, outcome: Result<(), Status>) {
        if outcome.as_ref().is_err_and(was_not_sent) {
            // There was no call; the caller makes another.
            return;
        }
        self.calls.send_modify(|calls| *calls += 1);
        if let Err(status) = outcome {
            self.failures.lock().unwrap().push(format!("{what}: {status}"));
        }
    }
}

impl Load {
    /// Begins to call, and returns when the first calls have come back.
    pub(crate) async fn start(target: &Target) -> Self {
        let (done, seen) = (Arc::<AtomicBool>::default(), Arc::<Seen>::default());
        let (unary, streams) = (target.client(), target.client());
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (ended, counted, target) = (done.clone(), seen.clone(), target.clone());
            let mut client = unary.clone();
            callers.spawn(async move {
                while !ended.load(Relaxed) {
                    let request = SimpleRequest { response_size: 100, ..SimpleRequest::default() };
                    let called = client.unary_call(target.observed("unary", request)).await;
                    counted.count("unary", called.map(drop));
                }
            });
            let (ended, counted) = (done.clone(), seen.clone());
            let mut client = streams.clone();
            callers.spawn(async move {
                while !ended.load(Relaxed) {
                    counted.count("stream", stream(&mut client).await);
                }
            });
        }
        let load = Self { done, seen, callers };
        load.progress().await;
        load
    }

    /// Waits for some more calls.
    pub(crate) async fn progress(&self) {
        const SOME: u64 = 100;
        let mut calls = self.seen.calls.subscribe();
        let wanted = *calls.borrow() + SOME;
        let progress = calls.wait_for(|calls| *calls >= wanted);
        let progress = tokio::time::timeout(super::PATIENCE, progress).await;
        progress.expect("calls go on").expect("the counter is there");
    }

    /// Lets the calls under way end. None may have failed.
    pub(crate) async fn stop(mut self) {
        self.done.store(true, Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
        let calls = *self.seen.calls.borrow();
        let failures = self.seen.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} of {calls} calls failed: {failures:#?}", failures.len());
    }
}

type Client = strife_interop::pb::test_service_client::TestServiceClient<tonic::transport::Channel>;

/// A stream that takes its time: no request before the last one was answered.
async fn stream(client: &mut Client) -> Result<(), Status> {
    let request = StreamingOutputCallRequest {
        response_parameters: vec![ResponseParameters {
            size: 100,
            ..ResponseParameters::default()
        }],
        ..StreamingOutputCallRequest::default()
    };
    let (requests, received) = mpsc::channel(1);
    let gone = |_| Status::unavailable("the stream ended while it was written to");
    requests.send(request.clone()).await.map_err(gone)?;
    let mut responses = client.full_duplex_call(ReceiverStream::new(received)).await?.into_inner();
    for exchange in 1..=EXCHANGES {
        let response = responses.message().await?;
        response.ok_or_else(|| Status::unavailable("the stream ended early"))?;
        if exchange < EXCHANGES {
            requests.send(request.clone()).await.map_err(gone)?;
        }
    }
    drop(requests);
    match responses.message().await? {
        None => Ok(()),
        Some(_) => Err(Status::internal("a response too many")),
    }
}
