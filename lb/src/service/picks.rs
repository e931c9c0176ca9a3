//! `WatchPicks`: a stream of picks and their reasons, for a bounded number of watchers.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt, stream};
use strife_proto::lb::v1::{WatchPicksRequest, WatchedPick, watched_pick::What};
use strife_runtime::Shutdown;
use tokio::sync::Semaphore;
use tonic::Status;

use crate::{error::LbError, picks::Seen, pool::Pool};

/// Who may watch at once.
const MAX_WATCHERS: usize = 8;

/// What a watcher gets.
pub(super) type Picks = Pin<Box<dyn Stream<Item = Result<WatchedPick, Status>> + Send>>;

/// Those who watch.
pub(super) struct Watchers {
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Watchers {
    /// Their streams end with `shutdown`.
    pub(super) fn new(shutdown: Shutdown) -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_WATCHERS)), shutdown }
    }

    /// One more, of these pools.
    pub(super) fn watch(
        &self,
        pools: &[Arc<Pool>],
        request: &WatchPicksRequest,
    ) -> Result<Picks, LbError> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| LbError::TooManyWatchers(MAX_WATCHERS))?;
        let wanted = request.recent as usize;
        let mut recent: Vec<_> = pools
            .iter()
            .flat_map(|pool| pool.picks.recent().into_iter().rev().take(wanted))
            .collect();
        recent.sort_by_key(|trace| trace.now);
        let watches = pools.iter().map(|pool| pool.picks.watch(request.every));
        let live = watches.map(|watch| {
            stream::unfold(watch, async |mut watch| Some((watch.next().await?, watch))).boxed()
        });
        let live = stream::select_all(live);
        let shutdown = self.shutdown.clone();
        let all = stream::iter(recent).map(Seen::Pick).chain(live);
        let all = all.map(move |seen| {
            let _held_while_read = &place;
            message(seen)
        });
        Ok(all.take_until(async move { shutdown.requested().await }).boxed())
    }
}

fn message(seen: Seen) -> Result<WatchedPick, Status> {
    let what = match seen {
        Seen::Pick(trace) => {
            let line = serde_json::to_string(&*trace);
            What::Trace(line.map_err(|error| Status::internal(error.to_string()))?)
        }
        Seen::Missed(missed) => What::Missed(missed),
    };
    Ok(WatchedPick { what: Some(what) })
}
