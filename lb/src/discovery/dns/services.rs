//! What SRV records mean (RFC 2782): targets, of which those of the lowest priority are used.
//!
//! Weights are not: how much a server gets is for the pool's policy to decide, which knows its load.

/// One SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) target: Target,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

/// The targets to use, each once. A target `.` says that there is no such service, and a port 0 that
/// nobody can be reached there.
pub(super) fn lowest(services: Vec<Service>) -> Vec<Target> {
    let is_one = |service: &Service| service.target.host != "." && service.target.port > 0;
    let services: Vec<_> = services.into_iter().filter(is_one).collect();
    let lowest = services.iter().map(|service| service.priority).min();
    let used = services.into_iter().filter(|service| Some(service.priority) == lowest);
    let mut targets: Vec<_> = used.map(|service| service.target).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(services: &[(u16, &str, u16)], expected: &[(&str, u16)]) {
        let service = |&(priority, host, port): &(u16, &str, u16)| Service {
            priority,
            target: Target { host: host.to_owned(), port },
        };
        let targets = lowest(services.iter().map(service).collect());
        let found: Vec<_> = targets.iter().map(|one| (one.host.as_str(), one.port)).collect();
        assert_eq!(found, expected, "{services:?}");
    }

    #[test]
    fn the_lowest_priority_is_used() {
        check(&[], &[]);
        check(&[(10, "b.", 2), (10, "a.", 1), (20, "c.", 3)], &[("a.", 1), ("b.", 2)]);
        check(&[(0, "a.", 2), (0, "a.", 1), (0, "a.", 2)], &[("a.", 1), ("a.", 2)]);
        check(&[(0, ".", 0), (5, "a.", 1)], &[("a.", 1)]);
        check(&[(0, ".", 0)], &[]);
        check(&[(0, "a.", 0)], &[]);
    }
}
