//! What passive health checks made of pools and endpoints.

use super::super::{
    EjectionCause, Label,
    exposition::{Exposition, Kind},
};
use crate::balancer::Balancer;

pub(super) fn render(balancer: &Balancer, page: &mut Exposition) {
    let pools = || balancer.pools.iter().map(|pool| (pool, pool.snapshot()));
    page.family(
        "strife_lb_pool_panic",
        Kind::Gauge,
        "1 while so few endpoints take calls that ejected ones do, too.",
    );
    for (pool, snapshot) in pools() {
        page.sample(&[("pool", &pool.name)], u64::from(snapshot.panics));
    }
    page.family("strife_lb_pool_panics_total", Kind::Counter, "Times that such a panic began.");
    for (pool, _) in pools() {
        page.sample(&[("pool", &pool.name)], pool.metrics.panics.get());
    }
    page.family(
        "strife_lb_pool_retries_denied_total",
        Kind::Counter,
        "Calls that were not sent again because the retry budget was used up.",
    );
    for (pool, _) in pools() {
        page.sample(&[("pool", &pool.name)], pool.metrics.retries_denied.get());
    }
    page.family(
        "strife_lb_pool_endpoints_ejected",
        Kind::Gauge,
        "Endpoints of the pool that are ejected.",
    );
    for (pool, snapshot) in pools() {
        let ejected = snapshot.members.iter().filter(|member| member.ejection.is_some()).count();
        page.sample(&[("pool", &pool.name)], ejected);
    }
    page.family(
        "strife_lb_endpoint_ejected",
        Kind::Gauge,
        "1 while it gets no calls because of how it answered those it had.",
    );
    for (pool, snapshot) in pools() {
        for member in snapshot.members.iter() {
            let labels = [("pool", &*pool.name), ("endpoint", &member.endpoint.address)];
            page.sample(&labels, u64::from(member.ejection.is_some()));
        }
    }
    page.family(
        "strife_lb_endpoint_ejections_total",
        Kind::Counter,
        "Times that the endpoint was ejected, by cause.",
    );
    for (pool, snapshot) in pools() {
        for member in snapshot.members.iter() {
            for &cause in EjectionCause::ALL {
                let [pool, endpoint] =
                    [("pool", &*pool.name), ("endpoint", &member.endpoint.address)];
                let ejections = member.endpoint.ejections.get(cause);
                page.sample(&[pool, endpoint, ("cause", cause.as_str())], ejections);
            }
        }
    }
}
