//! A client with steady calls that must not notice anything: unary calls one after another, and one
//! stream open all the time, on a connection of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use strife_proto::bank::v1::{
    AccountRequest, CommandBatch, bank_service_client::BankServiceClient,
    bank_store_client::BankStoreClient,
};
use strife_runtime::{Security, connect, tls::Expected};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tonic::{Request, Status, Streaming, transport::Channel};

use super::{peer::PATIENCE, server::MARK};

/// Between calls, so that it leaves the machine to the others.
const PAUSE: Duration = Duration::from_millis(2);

/// Calls until it is stopped.
pub(crate) struct Bystander {
    served: Arc<Served>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Served {
    calls: AtomicU64,
    is_over: AtomicBool,
    failure: Mutex<Option<String>>,
}

/// A connection of one's own through the balancer.
pub(crate) fn channel(balancer: SocketAddr, authority: &str) -> Channel {
    let address = balancer.to_string();
    connect::channel(&address, authority, Expected::LB, &Security::Plaintext).unwrap()
}

impl Bystander {
    pub(crate) fn start(channel: Channel) -> Self {
        let served: Arc<Served> = Arc::default();
        let task = tokio::spawn({
            let served = served.clone();
            async move {
                if let Err(failure) = call_on(channel, &served).await {
                    *served.failure.lock().unwrap() = Some(failure);
                }
            }
        });
        Self { served, task }
    }

    /// Calls that succeeded.
    pub(crate) fn calls(&self) -> u64 {
        self.served.calls.load(Relaxed)
    }

    /// Waits until so many further calls have succeeded.
    pub(crate) async fn more(&self, calls: u64) {
        let (target, since) = (self.calls() + calls, Instant::now());
        while self.calls() < target {
            self.is_well();
            assert!(since.elapsed() < PATIENCE, "the bystander is not served");
            sleep(PAUSE).await;
        }
        self.is_well();
    }

    /// No call has failed.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        let failure = self.served.failure.lock().unwrap();
        assert!(failure.is_none(), "the bystander suffered: {}", failure.as_deref().unwrap());
    }

    /// Ends its calls; none has failed.
    pub(crate) async fn stop(&mut self) {
        self.served.is_over.store(true, Relaxed);
        (&mut self.task).await.unwrap();
        self.is_well();
    }
}

async fn call_on(channel: Channel, served: &Served) -> Result<(), String> {
    let mut bank = BankServiceClient::new(channel.clone());
    let (batches, mut results) = open_stream(channel).await?;
    while !served.is_over.load(Relaxed) {
        let number = served.calls.load(Relaxed);
        call(&mut bank, number).await?;
        echo(&batches, &mut results, number).await?;
        served.calls.fetch_add(1, Relaxed);
        sleep(PAUSE).await;
    }
    Ok(())
}

type Batches = tokio::sync::mpsc::Sender<CommandBatch>;

async fn open_stream(
    channel: Channel,
) -> Result<(Batches, Streaming<strife_proto::bank::v1::ResultBatch>), String> {
    let (batches, mut sent) = tokio::sync::mpsc::channel(1);
    let sent = futures_util::stream::poll_fn(move |context| sent.poll_recv(context));
    let mut store = BankStoreClient::new(channel);
    let opened = in_time("the stream", store.apply(sent)).await?;
    Ok((batches, opened.into_inner()))
}

async fn call(bank: &mut BankServiceClient<Channel>, number: u64) -> Result<(), String> {
    let mark = format!("mark-{number}");
    let mut request = Request::new(AccountRequest { account_id: format!("account-{number}") });
    request.metadata_mut().insert(MARK, mark.parse().unwrap());
    let answer = in_time("a call", bank.validate_account(request)).await?.into_inner();
    if answer.currency != mark || answer.account_id != format!("account-{number}") {
        return Err(format!("call {number} got another's answer: {answer:?}"));
    }
    Ok(())
}

async fn echo(
    batches: &Batches,
    results: &mut Streaming<strife_proto::bank::v1::ResultBatch>,
    number: u64,
) -> Result<(), String> {
    let batch = CommandBatch { batch_id: number, ..CommandBatch::default() };
    batches.send(batch).await.map_err(|_| "its stream has ended".to_owned())?;
    let result = in_time("a message", results.message()).await?;
    match result {
        Some(result) if result.batch_id == number => Ok(()),
        other => Err(format!("message {number} was answered by {other:?}")),
    }
}

async fn in_time<T>(
    what: &str,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, String> {
    match timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(format!("{what} failed: {status}")),
        Err(_) => Err(format!("{what} has no answer in {PATIENCE:?}")),
    }
}
