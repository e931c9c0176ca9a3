//! Which identity may call which method: an exact table per server, deny by default.

use crate::identity::{Identity, Role};

/// One line of an access table.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// A service (`/strife.bank.v1.BankService/`) or one method of it (`/…/GetTotals`).
    pub path: &'static str,
    /// Who may call it.
    pub roles: &'static [Role],
}

/// The rules of one server. A method no rule names is denied, but for health and reflection and, to
/// balancers, load.
pub type AccessTable = &'static [Rule];

/// Services that any authenticated identity may call on any server.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// Services by which a balancer asks a server for its load; nobody else needs to know.
const BALANCERS: [&str; 2] = ["/strife.lb.v1.ServerLoad/", "/xds.service.orca.v3.OpenRcaService/"];

/// Whether `identity` may call the method at `path`.
pub fn is_allowed(table: AccessTable, path: &str, identity: &Identity) -> bool {
    let is_among = |services: &[&str]| services.iter().any(|service| path.starts_with(service));
    is_among(&OPEN)
        || (identity.role == Role::Lb && is_among(&BALANCERS))
        || table.iter().any(|rule| matches(rule.path, path) && rule.roles.contains(&identity.role))
}

fn matches(rule: &str, path: &str) -> bool {
    if rule.ends_with('/') { path.starts_with(rule) } else { path == rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: AccessTable = &[
        Rule { path: "/a.S/", roles: &[Role::Gateway] },
        Rule { path: "/b.S/Get", roles: &[Role::Admin, Role::Gateway] },
    ];

    fn check(path: &str, role: Role, expected: bool) {
        let identity = Identity::new(role, "x");
        assert_eq!(is_allowed(TABLE, path, &identity), expected, "{path} {identity}");
    }

    #[test]
    fn only_what_the_table_says() {
        check("/a.S/Any", Role::Gateway, true);
        check("/a.S/Any", Role::Client, false);
        check("/b.S/Get", Role::Admin, true);
        check("/b.S/GetAll", Role::Admin, false);
        check("/c.S/Get", Role::Admin, false);
        check("/grpc.health.v1.Health/Check", Role::Client, true);
        for load in [
            "/strife.lb.v1.ServerLoad/Probe",
            "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics",
        ] {
            check(load, Role::Lb, true);
            check(load, Role::Client, false);
            check(load, Role::Admin, false);
        }
    }
}
