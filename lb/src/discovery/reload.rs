//! SIGHUP: the configuration file is read again, and what can change while calls run does.
//!
//! Those are the sources of pools and their policies. Everything else (pools that come or go,
//! addresses, bounds) is the next process's: a restart with `--handover` applies it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::Sources;
use crate::{
    config::{Config, PoolConfig},
    membership::Writer,
};

/// The pools as they are configured now.
pub(crate) type Configured = Arc<ArcSwap<Vec<PoolConfig>>>;

/// Reads the file again on every SIGHUP. `sources`, `writers`: one per pool, in the order of the
/// configuration. The sources end with this, which never ends by itself.
pub(crate) async fn reload_on_hangup(
    config: Config,
    configured: Configured,
    mut sources: Vec<Sources>,
    writers: Vec<Writer>,
) {
    let mut hangups = if config.has_file() { hangups() } else { None };
    while let Some(hangups) = &mut hangups
        && hangups.recv().await.is_some()
    {
        match config.again() {
            Ok(new) => {
                let mut pools = configured.load_full().to_vec();
                apply(&pools, &new.pools, &mut sources, &writers).await;
                for pool in &mut pools {
                    if let Some(new) = new.pools.iter().find(|new| new.name == pool.name) {
                        pool.clone_from(new);
                    }
                }
                configured.store(Arc::new(pools));
            }
            Err(error) => warn!(%error, "the configuration stays as it was"),
        }
    }
    std::future::pending().await
}

fn hangups() -> Option<Signal> {
    let hangups = signal(SignalKind::hangup());
    let unheard = |error: &_| warn!(%error, "SIGHUP does not reload the configuration");
    hangups.inspect_err(unheard).ok()
}

async fn apply(
    old: &[PoolConfig],
    new: &[PoolConfig],
    sources: &mut [Sources],
    writers: &[Writer],
) {
    for ((old, sources), writer) in old.iter().zip(sources).zip(writers) {
        let pool = &old.name;
        let Some(new) = new.iter().find(|new| new.name == *pool) else {
            warn!(
                pool,
                "the pool is gone from the configuration; a restart with --handover ends it"
            );
            continue;
        };
        if sources.set(&new.sources).await {
            info!(pool, "sources changed");
        }
        if new.policy != old.policy
            && let Err(error) = writer.set_policy(&new.policy).await
        {
            warn!(pool, %error, "the policy stays as it was");
        }
        if !new.is_applied_to(old) {
            warn!(
                pool,
                "other settings of the pool changed; a restart with --handover applies them"
            );
        }
    }
    for pool in new.iter().filter(|new| !old.iter().any(|old| old.name == new.name)) {
        warn!(pool = pool.name, "the pool is new; a restart with --handover starts it");
    }
}
