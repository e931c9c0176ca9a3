//! One connection to a gateway: events come in, are written, made durable, acknowledged.

use std::time::Duration;

use strife_proto::gateway::v1::{
    AcknowledgeRequest, EventPage, FollowRequest, OutboxRequest, StatusRequest,
    events_client::EventsClient, gateway_admin_client::GatewayAdminClient,
};
use strife_runtime::{Failure, Security, Shutdown, connect, tls::Expected};
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status, transport::Channel};

use super::{file::Output, line};

/// How long what is written may wait to be made durable and acknowledged.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);
/// How much may wait for it, bytes.
pub(super) const SYNC_BYTES: u64 = 1 << 20;

/// Why a connection came to nothing.
pub(super) enum Broken {
    /// It may be better with the next one.
    Lost(Status),
    /// It will not be.
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// A client that is connected when it is used.
pub(super) fn client(address: &str, security: &Security) -> Result<EventsClient<Channel>, Failure> {
    Ok(EventsClient::new(connect::direct(address, Expected::GATEWAY, security)?))
}

/// What to do about a gateway's status.
pub(super) fn refused(address: &str, status: &Status) -> Failure {
    let said = status.message();
    match status.code() {
        Code::Unimplemented => Failure::new(format!(
            "the gateway at {address} tells no events; it is of an earlier version: replace it first"
        )),
        code if is_passing(code) => Failure::new(format!(
            "no gateway answers at {address} ({said}); name the gateway itself with --gateway, and \
             use --plaintext if and only if it does"
        )),
        Code::InvalidArgument => Failure::usage(format!("--follower: {said}")),
        Code::NotFound => Failure::new(format!(
            "{said}; see who follows with `strife admin events --followers`, and log to a new file"
        )),
        Code::OutOfRange => Failure::new(format!(
            "{said}; begin a new file with a --follower of its own, or bring back the newest copy of \
             this one"
        )),
        Code::ResourceExhausted => {
            Failure::new(format!("{said} with `strife admin events --forget NAME`"))
        }
        _ => Failure::new(said.to_owned()),
    }
}

fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::Aborted
            | Code::DeadlineExceeded
    )
}

/// A connection and what it is for.
pub(super) struct Connection<'a> {
    pub(super) address: &'a str,
    pub(super) client: EventsClient<Channel>,
    /// Empty: nobody is to be remembered.
    pub(super) follower: &'a str,
    pub(super) wait: bool,
    pub(super) stop: &'a Shutdown,
    /// Whether any gateway answered so far.
    pub(super) reached: &'a mut bool,
}

impl Connection<'_> {
    /// Until everything is there, if that is all, or until stopped.
    pub(super) async fn log(
        &mut self,
        output: &mut Output,
        security: &Security,
    ) -> Result<(), Broken> {
        self.check(output, security).await?;
        let request = FollowRequest {
            follower: self.follower.to_owned(),
            after: output.last(),
            wait: self.wait,
            at_after: output.mark(),
        };
        let pages = self.client.follow(request).await;
        let mut pages = pages.map_err(|status| self.broken(status))?.into_inner();
        *self.reached = true;
        self.keep(output).await?;
        let mut sync_at = None;
        loop {
            let due = sync_at.unwrap_or_else(Instant::now);
            tokio::select! {
                page = pages.message() => match page {
                    Ok(Some(page)) => {
                        self.write(page, output)?;
                        sync_at = sync_at.or_else(|| Some(Instant::now() + SYNC_INTERVAL));
                        if output.unsynced() < SYNC_BYTES {
                            continue;
                        }
                    }
                    Ok(None) => return self.keep(output).await,
                    Err(status) => {
                        output.sync()?;
                        return Err(self.broken(status));
                    }
                },
                () = sleep_until(due), if sync_at.is_some() => {}
                () = self.stop.requested() => return self.keep(output).await,
            }
            sync_at = None;
            self.keep(output).await?;
        }
    }

    /// Whether the file is of this gateway's store, and whole as far as it was acknowledged.
    async fn check(&mut self, output: &mut Output, security: &Security) -> Result<(), Broken> {
        let outbox = self.client.get_outbox(OutboxRequest {}).await;
        let outbox = outbox.map_err(|status| self.broken(status))?.into_inner();
        let follower = outbox.followers.iter().find(|known| known.name == self.follower);
        let acknowledged = follower.map_or(0, |follower| follower.position);
        if let Some(transaction_id) = output.last_transaction() {
            let channel = connect::direct(self.address, Expected::GATEWAY, security)?;
            let status = GatewayAdminClient::new(channel).get_status(StatusRequest {}).await;
            let store = status.map_err(|status| self.broken(status))?.into_inner().store;
            if !transaction_id.starts_with(&store) {
                let why = format!(
                    "{} is of another store: its last payment is {transaction_id}, those of the gateway \
                     at {} begin with {store}; name another file",
                    output.name(),
                    self.address
                );
                return Err(Failure::usage(why).into());
            }
        }
        Ok(output.resume(acknowledged)?)
    }

    fn write(&self, page: EventPage, output: &mut Output) -> Result<(), Failure> {
        for event in page.events {
            let line = line::of(event).ok_or_else(|| {
                Failure::new(format!(
                    "the gateway at {} tells what this version does not know; use the version of strife \
                     that it runs",
                    self.address
                ))
            })?;
            output.add(&line);
        }
        output.write()
    }

    /// Makes durable what was written, then says so.
    async fn keep(&mut self, output: &mut Output) -> Result<(), Broken> {
        output.sync()?;
        let position = output.last().filter(|_| !self.follower.is_empty());
        let Some(position) = position else { return Ok(()) };
        let request = AcknowledgeRequest { follower: self.follower.to_owned(), position };
        let acknowledged = self.client.acknowledge(request).await;
        acknowledged.map(drop).map_err(|status| self.broken(status))
    }

    fn broken(&self, status: Status) -> Broken {
        if is_passing(status.code()) {
            Broken::Lost(status)
        } else {
            Broken::Failed(refused(self.address, &status))
        }
    }
}
