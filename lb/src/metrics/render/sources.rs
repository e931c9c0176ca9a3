//! Where pools get their servers from, and whether that works.

use super::super::exposition::{Exposition, Kind};
use crate::{balancer::Balancer, discovery::Said};

/// A family with a number for each source.
type Told = (&'static str, &'static str, fn(&Said) -> usize);

const TOLD: [Told; 2] = [
    ("strife_lb_source_servers", "Servers that the source named last.", |said| said.servers),
    (
        "strife_lb_source_well",
        "1 if the source can say which servers it has; else those it named before stay.",
        |said| usize::from(said.problem.is_empty()),
    ),
];

pub(super) fn render(balancer: &Balancer, page: &mut Exposition) {
    for (family, help, of) in TOLD {
        page.family(family, Kind::Gauge, help);
        for pool in &balancer.pools {
            for source in pool.sources().iter() {
                let labels = [("pool", pool.name.as_str()), ("source", source.name.as_str())];
                page.sample(&labels, of(&source.said()));
            }
        }
    }
}
