//! All pools, and which of them a call belongs to.

use std::{collections::HashMap, sync::Arc};

use crate::{
    clock::Clock,
    config::{DEFAULT_POOL, PoolConfig},
    error::LbError,
    pool::Pool,
};

/// What the data plane, the control server and the health tasks share.
pub(crate) struct Balancer {
    pub(crate) pools: Vec<Arc<Pool>>,
    pub(crate) clock: Clock,
    by_name: HashMap<String, Arc<Pool>>,
    default: Option<Arc<Pool>>,
}

impl Balancer {
    pub(crate) fn new(configs: &[PoolConfig]) -> Result<Self, LbError> {
        let pools = configs.iter().map(|config| Ok(Arc::new(Pool::new(config)?)));
        let pools: Vec<_> = pools.collect::<Result<_, LbError>>()?;
        let by_name: HashMap<_, _> =
            pools.iter().map(|pool| (pool.name.clone(), pool.clone())).collect();
        let only = || pools.first().filter(|_| pools.len() == 1);
        let default = by_name.get(DEFAULT_POOL).or_else(only).cloned();
        Ok(Self { clock: Clock::start(), by_name, default, pools })
    }

    /// The pool of a call by its authority, port and case aside.
    pub(crate) fn route(&self, authority: &str) -> Result<&Arc<Pool>, LbError> {
        let host = without_port(authority);
        let pool = match self.by_name.get(host) {
            Some(pool) => Some(pool),
            None => self.by_name.get(&host.to_ascii_lowercase()).or(self.default.as_ref()),
        };
        pool.ok_or_else(|| LbError::NoPoolFor {
            authority: authority.to_owned(),
            known: self.known(),
        })
    }

    /// A pool by its name; the default pool if the name is empty.
    pub(crate) fn pool(&self, name: &str) -> Result<&Arc<Pool>, LbError> {
        let pool = if name.is_empty() { self.default.as_ref() } else { self.by_name.get(name) };
        pool.ok_or_else(|| LbError::UnknownPool { name: name.to_owned(), known: self.known() })
    }

    /// The pool that takes what no other pool is named after.
    pub(crate) fn default_pool(&self) -> Option<&Arc<Pool>> {
        self.default.as_ref()
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.pools.iter().map(|pool| pool.name.as_str()).collect();
        names.join(", ")
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(names: &[&str]) -> Balancer {
        let config = |name: &&str| PoolConfig::of(name, &["127.0.0.1:1"], "pick_first");
        Balancer::new(&names.iter().map(config).collect::<Vec<_>>()).unwrap()
    }

    fn check(names: &[&str], authority: &str, expected: Option<&str>) {
        let balancer = balancer(names);
        let pool = balancer.route(authority).ok().map(|pool| pool.name.as_str());
        assert_eq!(pool, expected, "{authority} among {names:?}");
    }

    #[test]
    fn calls_are_routed_by_authority() {
        let pools = ["gateway", "bank.icici"];
        check(&pools, "gateway", Some("gateway"));
        check(&pools, "bank.icici:7000", Some("bank.icici"));
        check(&pools, "Bank.ICICI:7000", Some("bank.icici"));
        check(&pools, "bank.sbi", None);
        check(&["default", "gateway"], "127.0.0.1:7000", Some("default"));
        check(&["default", "gateway"], "gateway", Some("gateway"));
        check(&["gateway"], "localhost:7000", Some("gateway"));
        check(&["default"], "[::1]:7000", Some("default"));
    }

    #[test]
    fn an_authority_without_a_pool_is_told_the_pools() {
        let balancer = balancer(&["a", "b"]);
        let error = balancer.route("c:1").err().unwrap().to_string();
        assert!(error.contains("`c:1`") && error.contains("the pools are a, b"), "{error}");
    }
}
