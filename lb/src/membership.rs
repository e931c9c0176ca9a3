//! The one writer of a pool's snapshots.
//!
//! Health tasks send what they found; this task folds it into the next snapshot. With one writer
//! no finding is lost and no lock is needed.

use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{clock::Clock, pool::Pool, snapshot::State};

/// Findings that may wait to be written.
const QUEUE: usize = 256;

/// What a health task found.
#[derive(Debug)]
pub(crate) struct Change {
    /// Of the member, in the pool's order.
    pub(crate) index: usize,
    pub(crate) state: State,
    /// Why it is not ready.
    pub(crate) why: String,
}

/// Starts the writer; it ends when every sender is gone.
pub(crate) fn spawn_writer(pool: Arc<Pool>, clock: Clock) -> mpsc::Sender<Change> {
    let (changes, mut received) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(change) = received.recv().await {
            apply(&pool, change, clock);
        }
    });
    changes
}

fn apply(pool: &Pool, change: Change, clock: Clock) {
    let Change { index, state, why } = change;
    let before = pool.snapshot();
    let member = &before.members[index];
    let (pool_name, address) = (&pool.name, &member.endpoint.address);
    if member.state != state {
        match state {
            State::Ready => {
                member.endpoint.load.joined(clock.now());
                info!(pool = pool_name, endpoint = address, "endpoint ready");
            }
            State::TransientFailure => {
                warn!(pool = pool_name, endpoint = address, why, "endpoint down");
            }
            State::Idle | State::Connecting => {}
        }
    }
    pool.publish(before.with(index, state, why));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::PoolConfig;

    #[tokio::test]
    async fn only_ready_members_are_in_the_ready_slice() {
        let addresses = vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        let policy = "pick_first".to_owned();
        let config = PoolConfig { name: "default".to_owned(), addresses, policy };
        let pool = Arc::new(Pool::new(&config, 0).unwrap());
        let changes = spawn_writer(pool.clone(), Clock::start());
        assert!(!pool.wait_until_ready(Duration::ZERO).await);
        let change = |index, state| Change { index, state, why: "because".to_owned() };
        changes.send(change(0, State::TransientFailure)).await.unwrap();
        changes.send(change(1, State::Ready)).await.unwrap();
        assert!(pool.wait_until_settled(Duration::from_secs(60)).await);
        let snapshot = pool.snapshot();
        let ready: Vec<_> = snapshot.ready.iter().map(|endpoint| endpoint.number).collect();
        assert_eq!(ready, [1]);
        assert_eq!(snapshot.members[0].why, "because");
    }
}
