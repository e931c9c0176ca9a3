//! Pools: how their endpoints were picked, and what was changed about them.

use strife_policy::{POLICIES, Regime};

use super::super::{
    Label, PoolMetrics, ReportChannel,
    exposition::{Exposition, Kind},
};
use crate::balancer::Balancer;

pub(super) fn render(balancer: &Balancer, page: &mut Exposition) {
    picks(balancer, page);
    explained(balancer, page);
    history(balancer, page);
    reports(balancer, page);
}

/// A family with a number for each pool.
type Counted = (&'static str, &'static str, fn(&PoolMetrics) -> u64);

/// What happened to pools since the process began.
fn history(balancer: &Balancer, page: &mut Exposition) {
    const FAMILIES: [Counted; 3] = [
        (
            "strife_lb_pool_endpoints_joined_total",
            "Endpoints that became members of the pool.",
            |pool| pool.endpoints_joined.get(),
        ),
        (
            "strife_lb_pool_endpoints_left_total",
            "Endpoints that ceased to be members of the pool.",
            |pool| pool.endpoints_left.get(),
        ),
        (
            "strife_lb_pool_policy_switches_total",
            "Times that the pool was given a policy while it served.",
            |pool| pool.policy_switches.get(),
        ),
    ];
    for (family, help, of) in FAMILIES {
        page.family(family, Kind::Counter, help);
        for pool in &balancer.pools {
            page.sample(&[("pool", &pool.name)], of(&pool.metrics));
        }
    }
}

/// A series appears with its first pick.
fn picks(balancer: &Balancer, page: &mut Exposition) {
    page.family(
        "strife_lb_pool_picks_total",
        Kind::Counter,
        "Endpoints picked, by policy and by the rule of it that decided.",
    );
    for pool in &balancer.pools {
        for (place, policy) in POLICIES.iter().enumerate() {
            for regime in Regime::ALL {
                let picks = pool.metrics.picks(place, regime);
                if picks > 0 {
                    let labels = [
                        ("pool", &*pool.name),
                        ("policy", policy.name),
                        ("regime", Label::as_str(regime)),
                    ];
                    page.sample(&labels, picks);
                }
            }
        }
    }
}

fn explained(balancer: &Balancer, page: &mut Exposition) {
    page.family(
        "strife_lb_pool_picks_explained_total",
        Kind::Counter,
        "Picks whose reasons were written down, for the pick log or for who watches.",
    );
    for pool in &balancer.pools {
        page.sample(&[("pool", &pool.name)], pool.picks.explained());
    }
}

fn reports(balancer: &Balancer, page: &mut Exposition) {
    const FATES: [&str; 3] = ["accepted", "out_of_sequence", "invalid"];
    page.family(
        "strife_lb_endpoint_load_reports_total",
        Kind::Counter,
        "Load reports of the endpoint, by the way they came and by what became of them.",
    );
    for pool in &balancer.pools {
        for member in pool.snapshot().members.iter() {
            for &channel in ReportChannel::ALL {
                for (outcome, count) in FATES.iter().zip(member.endpoint.reports(channel)) {
                    let labels = [
                        ("pool", &*pool.name),
                        ("endpoint", &*member.endpoint.address),
                        ("channel", channel.as_str()),
                        ("outcome", outcome),
                    ];
                    if count > 0 || channel == ReportChannel::Push {
                        page.sample(&labels, count);
                    }
                }
            }
        }
    }
}
