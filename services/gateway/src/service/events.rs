//! `Events`: what happens to payments, for whoever follows.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use strife_proto::gateway::v1::{
    AcknowledgeRequest, AcknowledgeResponse, EventMark, EventPage, FollowRequest, Follower,
    ForgetFollowerRequest, ForgetFollowerResponse, OutboxRequest, OutboxResponse,
    events_server::Events,
};
use strife_runtime::Shutdown;
use tonic::{Request, Response, Status};

use super::{GatewayService, convert};
use crate::{
    banks::Banks,
    coordinator::Coordinator,
    error::GatewayError,
    store::{Acknowledged, Page, Position, Store},
};

/// Events that are read and sent together at most.
const PAGE: usize = 256;
/// How long events gather before they are read, once a follower has caught up: so that one who follows
/// closely costs little.
const GATHER: Duration = Duration::from_millis(10);
/// Followers that are remembered at most.
const FOLLOWERS_MAX: usize = 32;
/// Longest name of a follower, bytes.
const NAME_BYTES_MAX: usize = 64;

#[tonic::async_trait]
impl<B: Banks, S: Store> Events for GatewayService<B, S> {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<EventPage, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let FollowRequest { follower, after, wait, at_after } = request.into_inner();
        // First, so that nothing is kept for whoever is refused.
        if let Some(after) = after {
            self.check_after(after, at_after).await?;
        }
        let acknowledged = self.begin_following(&follower).await?;
        let reader = Reader {
            coordinator: self.coordinator.clone(),
            leaving: self.leaving.clone(),
            // Whoever does not say from where gets what is there.
            from: after.unwrap_or(acknowledged),
            is_exact: after.is_some(),
            is_behind: true,
            wait,
        };
        Ok(Response::new(Box::pin(stream::try_unfold(reader, Reader::next))))
    }

    async fn acknowledge(
        &self,
        request: Request<AcknowledgeRequest>,
    ) -> Result<Response<AcknowledgeResponse>, Status> {
        let AcknowledgeRequest { follower, position } = request.into_inner();
        let store = self.coordinator.store();
        match store.acknowledge(&follower, position).await.map_err(GatewayError::from)? {
            Acknowledged::Done => Ok(Response::new(AcknowledgeResponse {})),
            Acknowledged::Unknown => Err(GatewayError::UnknownFollower(follower).into()),
            Acknowledged::NotYet => Err(GatewayError::NoSuchEvent(position).into()),
        }
    }

    async fn get_outbox(
        &self,
        _request: Request<OutboxRequest>,
    ) -> Result<Response<OutboxResponse>, Status> {
        let outbox = self.coordinator.store().outbox().await.map_err(GatewayError::from)?;
        let followers = outbox.followers.into_iter();
        let followers = followers.map(|(name, position)| Follower { name, position }).collect();
        Ok(Response::new(OutboxResponse { followers, events: outbox.events }))
    }

    async fn forget_follower(
        &self,
        request: Request<ForgetFollowerRequest>,
    ) -> Result<Response<ForgetFollowerResponse>, Status> {
        let follower = request.into_inner().follower;
        let store = self.coordinator.store();
        if !store.forget_follower(&follower).await.map_err(GatewayError::from)? {
            return Err(GatewayError::UnknownFollower(follower).into());
        }
        Ok(Response::new(ForgetFollowerResponse {}))
    }
}

impl<B: Banks, S: Store> GatewayService<B, S> {
    /// Whether all events after `after` are there, and, if that was not removed, an event stands there: this
    /// one. A store that was restored may begin its events anew, and number others like those of before.
    async fn check_after(
        &self,
        after: Position,
        mark: Option<EventMark>,
    ) -> Result<(), GatewayError> {
        let Page { events, removed } =
            self.coordinator.store().events(after.saturating_sub(1), 1).await?;
        match events.first() {
            _ if removed > after => Err(GatewayError::EventsRemoved { up_to: removed }),
            _ if removed == after => Ok(()),
            Some(event) if event.position == after => {
                let is_same = |mark: EventMark| {
                    mark.at_ms == event.at_ms && mark.transaction_id == event.record.id.to_string()
                };
                match mark.is_none_or(is_same) {
                    true => Ok(()),
                    false => Err(GatewayError::OtherEvent(after)),
                }
            }
            _ => Err(GatewayError::NoSuchEvent(after)),
        }
    }

    /// Keeps events for this follower from now on; up to where it has them all.
    async fn begin_following(&self, follower: &str) -> Result<Position, GatewayError> {
        if follower.is_empty() {
            return Ok(0);
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if follower.len() > NAME_BYTES_MAX || !follower.bytes().all(is_allowed) {
            return Err(GatewayError::MalformedFollower);
        }
        let store = self.coordinator.store();
        let followers = store.outbox().await?.followers;
        let is_known = followers.iter().any(|(name, _)| name == follower);
        if !is_known && followers.len() >= FOLLOWERS_MAX {
            return Err(GatewayError::TooManyFollowers { limit: FOLLOWERS_MAX });
        }
        Ok(store.follow(follower).await?)
    }
}

/// A follower's way through the outbox.
struct Reader<B: Banks, S: Store> {
    coordinator: Arc<Coordinator<B, S>>,
    leaving: Shutdown,
    /// Up to where it has everything.
    from: Position,
    /// Whether every event after that must be there.
    is_exact: bool,
    /// Whether there was more than went into the page before.
    is_behind: bool,
    wait: bool,
}

impl<B: Banks, S: Store> Reader<B, S> {
    /// The next page, as soon as there is one; `None` if none will be waited for.
    async fn next(mut self) -> Result<Option<(EventPage, Self)>, Status> {
        let leaving = self.leaving.clone();
        tokio::select! {
            page = self.read() => {
                let page = page?;
                Ok((!page.events.is_empty()).then_some((page, self)))
            }
            () = leaving.requested() => Err(GatewayError::Leaving.into()),
        }
    }

    async fn read(&mut self) -> Result<EventPage, GatewayError> {
        let store = self.coordinator.store();
        loop {
            if !self.is_behind && self.wait {
                tokio::time::sleep(GATHER).await;
            }
            let written = store.written();
            let Page { events, removed } = store.events(self.from, PAGE).await?;
            if self.is_exact && removed > self.from {
                return Err(GatewayError::EventsRemoved { up_to: removed });
            }
            self.is_exact = true;
            self.from = self.from.max(removed);
            self.is_behind = events.len() == PAGE;
            if let Some(last) = events.last() {
                self.from = last.position;
                let events = events.into_iter().map(convert::event_to_wire).collect();
                return Ok(EventPage { events });
            }
            if !self.wait {
                return Ok(EventPage::default());
            }
            written.await;
        }
    }
}
