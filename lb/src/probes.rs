//! Asks servers how they are, when the pool's policy wants to know: `strife.lb.v1.ServerLoad/Probe`.
//!
//! Whom to ask and what follows from the answers is the policy's (`prequal`); here are the calls. They
//! go over the connections that health is watched by, beside the calls of clients, and are few: a
//! probe is one small call of a round that is bounded.

use std::{sync::Arc, time::Duration};

use strife_policy::{MOST_PROBES_AT_ONCE, PickContext};
use strife_proto::lb::v1::{ProbeRequest, server_load_client::ServerLoadClient};
use tokio::{
    task::JoinSet,
    time::{self, MissedTickBehavior},
};
use tonic::{Code, transport::Channel};
use tracing::debug;

use crate::{
    clock::Clock, endpoint::Endpoint, metrics::ReportChannel, pool::Pool, reports::ServerReport,
    snapshot::Snapshot,
};

/// Between rounds.
const ROUND: Duration = Duration::from_millis(5);
/// A later answer would be about a server as it was.
const TIMEOUT: Duration = Duration::from_millis(100);
/// Probes under way at once; no more are sent before some are answered.
const MOST_UNDER_WAY: usize = 8 * MOST_PROBES_AT_ONCE;

/// Asks for the pool's policy, whichever it is, for ever.
pub(crate) async fn run(pool: Arc<Pool>, clock: Clock) {
    let mut switches = pool.policy_switches();
    loop {
        tokio::select! {
            () = ask_while_wanted(&pool, clock) => {}
            // Rounds begin anew with the new policy.
            _ = switches.changed() => continue,
        }
        // Cannot fail: the pool has the sender.
        let _ = switches.changed().await;
    }
}

/// Ends when the policy wants no probes.
async fn ask_while_wanted(pool: &Pool, clock: Clock) {
    let mut context = PickContext { now: Duration::ZERO, rng: rand::make_rng() };
    let mut rounds = time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut ask, mut under_way) = (Vec::new(), JoinSet::new());
    loop {
        rounds.tick().await;
        while under_way.try_join_next().is_some() {}
        let snapshot = pool.snapshot();
        let Some(prober) = snapshot.picker.prober() else { return };
        context.now = clock.now();
        prober.due(&mut context, &mut ask);
        for index in ask.drain(..) {
            let channel = snapshot.ready[index].channel().filter(|_| {
                under_way.len() < MOST_UNDER_WAY && snapshot.ready[index].serves_probes()
            });
            if let Some(channel) = channel {
                under_way.spawn(probe(snapshot.clone(), index, channel, clock));
            }
        }
    }
}

/// Asks one server and tells the policy.
async fn probe(snapshot: Arc<Snapshot>, index: usize, channel: Arc<Channel>, clock: Clock) {
    let endpoint: &Endpoint = &snapshot.ready[index];
    let mut client = ServerLoadClient::new((*channel).clone());
    match time::timeout(TIMEOUT, client.probe(ProbeRequest {})).await {
        Ok(Ok(answer)) => {
            let (now, report) = (clock.now(), answer.into_inner());
            let told = Ok(ServerReport::from(&report));
            if let Err(error) = endpoint.reported(now, ReportChannel::Probe, &told) {
                return debug!(endpoint = endpoint.address, %error, "answer to a probe");
            }
            if let Some(prober) = snapshot.picker.prober() {
                prober.answered(now, index, report.in_flight, report.latency_us);
            }
        }
        Ok(Err(status)) => {
            debug!(endpoint = endpoint.address, %status, "no answer to a probe");
            if status.code() == Code::Unimplemented {
                endpoint.note_no_probes();
            }
        }
        Err(_) => debug!(endpoint = endpoint.address, "no answer to a probe in {TIMEOUT:?}"),
    }
}
