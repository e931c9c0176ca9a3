//! The one writer of a pool's snapshots.
//!
//! Health tasks send what they found, operators what they wish; this task folds it into the next
//! snapshot. With one writer no change is lost and no lock is needed.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::{clock::Clock, error::LbError, pool::Pool, snapshot::State};

/// Changes that may wait to be written.
const QUEUE: usize = 256;

/// What a health task found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Of the member, in the pool's order.
    pub(crate) index: usize,
    pub(crate) state: State,
    /// Why it is not ready.
    pub(crate) why: String,
}

/// What an operator wishes for a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain {
    /// In the pool's order.
    pub(crate) index: usize,
    /// Or may have calls again.
    pub(crate) draining: bool,
    /// Even if no other takes calls.
    pub(crate) force: bool,
}

#[derive(Debug)]
enum Change {
    Found(Finding),
    Drain(Drain, oneshot::Sender<Result<bool, LbError>>),
}

/// Hands changes to the writer of one pool.
#[derive(Debug, Clone)]
pub(crate) struct Writer(mpsc::Sender<Change>);

impl Writer {
    pub(crate) async fn found(&self, finding: Finding) {
        // Fails only when the balancer is being torn down.
        let _ = self.0.send(Change::Found(finding)).await;
    }

    /// Whether that changed anything, once the next pick knows of it.
    pub(crate) async fn drain(&self, drain: Drain) -> Result<bool, LbError> {
        let (answer, written) = oneshot::channel();
        // As above.
        let _ = self.0.send(Change::Drain(drain, answer)).await;
        written.await.unwrap_or(Ok(false))
    }
}

/// Starts the writer; it ends when every [`Writer`] of it is gone.
pub(crate) fn spawn_writer(pool: Arc<Pool>, clock: Clock) -> Writer {
    let (changes, mut received) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        while let Some(change) = received.recv().await {
            match change {
                Change::Found(finding) => note(&pool, finding, clock),
                Change::Drain(drain, answer) => {
                    // Nobody waits when the operator hung up.
                    let _ = answer.send(set_draining(&pool, drain, clock));
                }
            }
        }
    });
    Writer(changes)
}

fn note(pool: &Pool, finding: Finding, clock: Clock) {
    let Finding { index, state, why } = finding;
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

fn set_draining(pool: &Pool, drain: Drain, clock: Clock) -> Result<bool, LbError> {
    let Drain { index, draining, force } = drain;
    let before = pool.snapshot();
    let member = &before.members[index];
    let (pool_name, endpoint) = (&pool.name, &member.endpoint);
    if member.draining == draining {
        return Ok(false);
    }
    if draining && !force && before.is_last(index) {
        let (pool, address) = (pool_name.clone(), endpoint.address.clone());
        return Err(LbError::LastServer { pool, address });
    }
    if !draining {
        endpoint.load.joined(clock.now());
    }
    endpoint.set_draining(draining);
    info!(pool = pool_name, endpoint = endpoint.address, draining, "endpoint drain set");
    pool.publish(before.with_draining(index, draining));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::PoolConfig;

    fn pool() -> (Arc<Pool>, Writer) {
        let addresses = vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        let policy = "pick_first".to_owned();
        let config = PoolConfig { name: "default".to_owned(), addresses, policy };
        let pool = Arc::new(Pool::new(&config, 0).unwrap());
        let writer = spawn_writer(pool.clone(), Clock::start());
        (pool, writer)
    }

    fn finding(index: usize, state: State) -> Finding {
        Finding { index, state, why: "because".to_owned() }
    }

    fn check_ready(pool: &Pool, expected: &[usize]) {
        let snapshot = pool.snapshot();
        let ready: Vec<_> = snapshot.ready.iter().map(|endpoint| endpoint.number).collect();
        assert_eq!(ready, expected);
    }

    #[tokio::test]
    async fn only_ready_members_are_in_the_ready_slice() {
        let (pool, writer) = pool();
        assert!(pool.snapshot().ready.is_empty());
        writer.found(finding(0, State::TransientFailure)).await;
        writer.found(finding(1, State::Ready)).await;
        assert!(pool.wait_until_settled(Duration::from_secs(60)).await);
        check_ready(&pool, &[1]);
        assert_eq!(pool.snapshot().members[0].why, "because");
    }

    #[tokio::test]
    async fn a_draining_member_stays_out_whatever_its_health() {
        let (pool, writer) = pool();
        for index in [0, 1] {
            writer.found(finding(index, State::Ready)).await;
        }
        let drain = |draining| writer.drain(Drain { index: 0, draining, force: false });
        assert!(drain(true).await.unwrap());
        assert!(!drain(true).await.unwrap(), "it was draining already");
        check_ready(&pool, &[1]);
        let first = pool.snapshot().members[0].endpoint.clone();
        assert!(first.is_draining());
        for state in [State::TransientFailure, State::Connecting, State::Ready] {
            writer.found(finding(0, state)).await;
        }
        // Written after the findings: they are in.
        assert!(!drain(true).await.unwrap());
        assert_eq!(pool.snapshot().members[0].state, State::Ready);
        check_ready(&pool, &[1]);
        assert!(drain(false).await.unwrap());
        check_ready(&pool, &[0, 1]);
        assert!(!first.is_draining());
    }

    #[tokio::test]
    async fn the_last_member_that_takes_calls_is_drained_by_force_only() {
        let (pool, writer) = pool();
        writer.found(finding(0, State::Ready)).await;
        let drain = |index, force| writer.drain(Drain { index, draining: true, force });
        let refused = drain(0, false).await.unwrap_err();
        assert!(matches!(refused, LbError::LastServer { .. }), "{refused}");
        check_ready(&pool, &[0]);
        assert!(drain(1, false).await.unwrap(), "one that takes no calls is no loss");
        assert!(drain(0, true).await.unwrap());
        check_ready(&pool, &[]);
    }
}
