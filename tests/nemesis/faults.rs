//! What befalls processes: `kill -9` and a new start, SIGSTOP for a while; one at a time, or two.

use std::{collections::BTreeMap, fmt, fs, time::Duration};

use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use strife_fleet::Fleet;
use tokio::time::{Instant, sleep, timeout};

use crate::PATIENCE;

/// How long a gateway may be silent before another takes over from it.
const LEASE: &str = "2s";
/// How long a process is suspended; longer than a gateway's lease at times.
const SUSPENDED_MS: std::ops::Range<u64> = 200..4_000;
/// How long another may take to find out.
const FOUND_OUT: Duration = Duration::from_secs(30);
/// Between two looks at what gateways say.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Between two blows.
const PAUSE_MS: std::ops::Range<u64> = 100..1_500;

/// How often each fault struck.
pub(crate) struct Befallen(BTreeMap<&'static str, u32>);

impl Befallen {
    /// How often a gateway said that it takes over from another.
    pub(crate) fn takeovers(&self, fleet: &Fleet) -> usize {
        let said = |name: &String| {
            let log = fleet.spec().dir.join("logs").join(format!("{name}.log"));
            let text = fs::read_to_string(log).unwrap_or_default();
            text.matches("taking over its payments").count()
        };
        fleet.spec().gateway_names().iter().map(said).sum()
    }
}

impl fmt::Display for Befallen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> =
            self.0.iter().map(|(what, times)| format!("{times} processes {what}")).collect();
        write!(f, "{}", counts.join(", "))
    }
}

/// Has gateways reach the banks, and the banks the gateways, by way of `proxy`.
pub(crate) async fn put_between(fleet: &mut Fleet, proxy: &str) {
    let members: Vec<String> = fleet.members().map(str::to_owned).collect();
    let is_on_database = fleet.spec().database.is_some();
    for member in members {
        let is_owner = fleet.spec().banks.iter().any(|bank| bank.name == member);
        let flag = match member.as_str() {
            "lb" => continue,
            gateway if gateway.starts_with("gateway") => "--balancer",
            _ if is_owner || is_on_database => "--gateway",
            _ => continue,
        };
        fleet.kill(&member).await.unwrap();
        let mut flags = vec![(flag, proxy)];
        if flag == "--balancer" {
            flags.push(("--lease", LEASE));
        }
        fleet.restart_with(&member, &flags, &[]).await.unwrap();
    }
    fleet.until_ready(PATIENCE).await.unwrap();
}

/// For so long; then everybody runs again.
pub(crate) async fn befall(fleet: &mut Fleet, random: &mut StdRng, time: Duration) -> Befallen {
    let members: Vec<String> = fleet.members().map(str::to_owned).collect();
    let (mut befallen, end) = (Befallen(BTreeMap::new()), Instant::now() + time);
    if fleet.spec().gateways > 1 {
        // One that is taken for gone, and wakes up.
        *befallen.0.entry("suspended").or_default() += 1;
        suspend_until_taken_for_gone(fleet, &befallen).await;
    }
    while Instant::now() < end {
        let number = random.random_range(1..=2);
        let mut victims: Vec<_> = members.sample(random, number).collect();
        // Owners of stores first: their servers do not start without them.
        victims.sort();
        if random.random_bool(0.5) {
            *befallen.0.entry("killed").or_default() += victims.len() as u32;
            for victim in &victims {
                fleet.kill(victim).await.unwrap();
            }
            for victim in &victims {
                fleet.restart(victim).await.unwrap_or_else(|error| panic!("{error}"));
            }
        } else {
            *befallen.0.entry("suspended").or_default() += victims.len() as u32;
            let victims: Vec<_> = victims.iter().map(|victim| victim.as_str()).collect();
            suspend(fleet, &victims, Duration::from_millis(random.random_range(SUSPENDED_MS)))
                .await;
        }
        sleep(Duration::from_millis(random.random_range(PAUSE_MS))).await;
        // A gateway that was taken for gone ends by itself.
        fleet.restart_ended().await.unwrap_or_else(|error| panic!("{error}"));
    }
    befallen
}

async fn suspend_until_taken_for_gone(fleet: &mut Fleet, befallen: &Befallen) {
    let before = befallen.takeovers(fleet);
    fleet.freeze("gateway").unwrap();
    let taken_for_gone = async {
        while befallen.takeovers(fleet) == before {
            sleep(LOOK_AGAIN).await;
        }
    };
    // If it is not, that shows in the end.
    let _ = timeout(FOUND_OUT, taken_for_gone).await;
    fleet.thaw("gateway").unwrap();
}

async fn suspend(fleet: &mut Fleet, victims: &[&str], time: Duration) {
    for victim in victims {
        fleet.freeze(victim).unwrap();
    }
    sleep(time).await;
    for victim in victims {
        fleet.thaw(victim).unwrap();
    }
}
