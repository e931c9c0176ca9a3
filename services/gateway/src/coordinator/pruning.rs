//! Keeps the outbox small: what every follower has acknowledged goes, and if nobody follows all but the
//! newest. For a follower that stays away everything is kept, and somebody is told.

use std::{sync::Arc, time::Duration};

use strife_store::StoreError;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, error, info, warn};

use super::Shared;
use crate::{
    banks::Banks,
    retry,
    store::{Outbox, Store},
};

/// How often.
const INTERVAL: Duration = Duration::from_secs(10);

/// Until the gateway ends.
pub(super) async fn run<B: Banks, S: Store>(shared: Arc<Shared<B, S>>) {
    let most = shared.settings.outbox_max;
    let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut worth_telling) = (false, most);
    loop {
        ticks.tick().await;
        match prune(&shared.store, most).await {
            Ok(outbox) => {
                if outbox.events < most {
                    worth_telling = most;
                } else if outbox.followers.is_empty() && !told {
                    told = true;
                    info!(events = most, "nobody follows the events; the oldest are removed");
                } else if outbox.events > worth_telling {
                    // Again when there are twice as many.
                    worth_telling = outbox.events.saturating_mul(2);
                    tell_who_is_slow(&outbox);
                }
            }
            Err(why) if retry::is_passing(&why) => debug!(%why, "events cannot be removed yet"),
            Err(why) => error!(%why, "events cannot be removed"),
        }
    }
}

async fn prune<S: Store>(store: &S, most: u64) -> Result<Outbox, StoreError> {
    while store.prune(most).await? {}
    store.outbox().await
}

fn tell_who_is_slow(outbox: &Outbox) {
    if let Some((follower, _)) = outbox.followers.iter().min_by_key(|(_, position)| position) {
        warn!(
            events = outbox.events,
            follower,
            "events are kept for a follower that does not take them; start it again, or give it up \
             with `strife admin events --forget NAME`"
        );
    }
}
