//! What a fleet is asked while it runs: the balancer's counts and policy, the banks' totals.

use std::{collections::BTreeMap, time::Duration};

use strife_proto::{
    bank::v1::{TotalsRequest, TotalsResponse, bank_admin_client::BankAdminClient},
    common::v1::Money,
    lb::v1::{
        EndpointState, PoolStatus, SetPolicyRequest, StatusRequest,
        load_balancer_admin_client::LoadBalancerAdminClient,
    },
};
use strife_runtime::{connect, tls::Expected};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

use crate::{BankSpec, Fleet, FleetError};

/// How often a condition is looked at while it is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A pool as the balancer counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolCalls {
    /// The pool's name.
    pub pool: String,
    /// The policy in force.
    pub policy: String,
    /// Its endpoints, in the order of the configuration.
    pub endpoints: Vec<EndpointCalls>,
}

/// An endpoint as the balancer counts it, since the balancer started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointCalls {
    /// `host:port`
    pub address: String,
    /// The member's name in this fleet.
    pub member: String,
    /// Whether it is picked at all.
    pub ready: bool,
    /// Calls sent and not yet ended.
    pub in_flight: u32,
    /// Calls sent.
    pub calls: u64,
    /// Calls that failed by the endpoint's or the connection's fault.
    pub failed: u64,
}

/// All money in the fleet, from each bank's own consistent snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Accounts of all banks.
    pub accounts: u64,
    /// Sum of customers' available and held money by currency, minor units.
    pub customers: BTreeMap<String, i64>,
    /// Sum of the banks' settlement accounts by currency; zero when every payment is whole.
    pub settlement: BTreeMap<String, i64>,
    /// Legs whose decision a bank does not know yet.
    pub in_doubt: u64,
    /// fsync of a store's commit, microseconds: the slowest bank's p50 and p99.
    pub fsync_us: (u64, u64),
}

/// How long durable commits of the stores took since they were opened: p50 and p99, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fsyncs {
    /// The slowest bank's.
    pub banks: (u64, u64),
    /// The gateway's, if there is one.
    pub gateway: Option<(u64, u64)>,
}

impl Fleet {
    /// What the balancer counted, by pool.
    pub async fn pools(&self) -> Result<Vec<PoolCalls>, FleetError> {
        let mut admin = self.admin()?;
        let answer = admin.get_status(StatusRequest {}).await.map_err(|s| call("lb", &s))?;
        Ok(answer.into_inner().pools.into_iter().map(|pool| self.pool_calls(pool)).collect())
    }

    /// Switches every pool's policy.
    pub async fn set_policy(&self, policy: &str) -> Result<(), FleetError> {
        let request = SetPolicyRequest { pool: String::new(), policy: policy.to_owned() };
        self.admin()?.set_policy(request).await.map_err(|status| call("lb", &status))?;
        Ok(())
    }

    /// Waits until the balancer finds every endpoint ready.
    pub async fn until_ready(&self, limit: Duration) -> Result<(), FleetError> {
        let ready = |pools: &[PoolCalls]| {
            pools.iter().flat_map(|pool| &pool.endpoints).all(|endpoint| endpoint.ready)
        };
        self.until("find every server ready", limit, ready).await
    }

    /// Waits until no call is under way behind the balancer.
    pub async fn until_idle(&self, limit: Duration) -> Result<(), FleetError> {
        let idle = |pools: &[PoolCalls]| {
            pools.iter().flat_map(|pool| &pool.endpoints).all(|endpoint| endpoint.in_flight == 0)
        };
        self.until("become idle", limit, idle).await
    }

    /// The money in all banks, as it stands.
    pub async fn totals(&self) -> Result<Totals, FleetError> {
        let mut totals = Totals::default();
        for bank in &self.spec().banks {
            let (address, expected) = (self.address(&bank.name)?, Expected::bank(&bank.name));
            let channel = connect::direct(address, expected, self.security())?;
            let answer = BankAdminClient::new(channel).get_totals(TotalsRequest {}).await;
            totals.add(answer.map_err(|status| call(&bank.name, &status))?.into_inner());
            if self.spec().database.is_some() {
                self.add_commits_of_servers(bank, &mut totals).await?;
            }
        }
        Ok(totals)
    }

    /// On a database every server commits by itself. One that does not answer has nothing to add.
    async fn add_commits_of_servers(
        &self,
        bank: &BankSpec,
        totals: &mut Totals,
    ) -> Result<(), FleetError> {
        for number in 1..=bank.servers {
            let address = self.address(&format!("{}-{number}", bank.name))?;
            let channel = connect::direct(address, Expected::bank(&bank.name), self.security())?;
            if let Ok(answer) = BankAdminClient::new(channel).get_totals(TotalsRequest {}).await {
                let TotalsResponse { fsync_us_p50, fsync_us_p99, .. } = *answer.get_ref();
                totals.add_commits(fsync_us_p50, fsync_us_p99);
            }
        }
        Ok(())
    }

    /// The money in all banks once nothing is in doubt any more; as it stands after `limit`. Until then banks
    /// that do not answer are asked again.
    pub async fn settled_totals(&self, limit: Duration) -> Result<Totals, FleetError> {
        let end = Instant::now() + limit;
        loop {
            let totals = self.totals().await;
            let is_settled = totals.as_ref().is_ok_and(|totals| totals.in_doubt == 0);
            if is_settled || Instant::now() >= end {
                return totals;
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// How the stores' disks do.
    pub async fn fsyncs(&self) -> Result<Fsyncs, FleetError> {
        let banks = self.totals().await?.fsync_us;
        if !self.spec().gateway {
            return Ok(Fsyncs { banks, gateway: None });
        }
        let status = self.gateway_status().await?;
        Ok(Fsyncs { banks, gateway: Some((status.fsync_us_p50, status.fsync_us_p99)) })
    }

    fn admin(&self) -> Result<LoadBalancerAdminClient<Channel>, FleetError> {
        let channel = connect::direct(self.control(), Expected::LB, self.security())?;
        Ok(LoadBalancerAdminClient::new(channel))
    }

    /// Waits until the balancer's counts meet `condition`; `what` names it in the error.
    pub async fn until(
        &self,
        what: &'static str,
        limit: Duration,
        condition: impl Fn(&[PoolCalls]) -> bool,
    ) -> Result<(), FleetError> {
        let end = Instant::now() + limit;
        while !self.pools().await.is_ok_and(|pools| condition(&pools)) {
            if Instant::now() >= end {
                let (member, log) = ("lb".to_owned(), self.log_of("lb"));
                return Err(FleetError::TooSlow { member, what, seconds: limit.as_secs(), log });
            }
            sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }

    fn pool_calls(&self, pool: PoolStatus) -> PoolCalls {
        let member_at = |address: &str| {
            let at = |name: &&str| self.address(name).is_ok_and(|known| known == address);
            self.members().find(at).unwrap_or(address).to_owned()
        };
        let endpoints = pool.endpoints.into_iter().map(|endpoint| EndpointCalls {
            member: member_at(&endpoint.address),
            ready: endpoint.state() == EndpointState::Ready,
            in_flight: endpoint.in_flight,
            calls: endpoint.calls,
            failed: endpoint.failed,
            address: endpoint.address,
        });
        PoolCalls { endpoints: endpoints.collect(), pool: pool.name, policy: pool.policy }
    }
}

impl Totals {
    fn add(&mut self, bank: TotalsResponse) {
        let sum = |into: &mut BTreeMap<String, i64>, amounts: Vec<Money>| {
            for amount in amounts {
                *into.entry(amount.currency).or_default() += amount.minor_units;
            }
        };
        sum(&mut self.customers, bank.customers);
        sum(&mut self.settlement, bank.settlement);
        self.accounts += bank.accounts;
        self.in_doubt += bank.in_doubt;
        self.add_commits(bank.fsync_us_p50, bank.fsync_us_p99);
    }

    fn add_commits(&mut self, fsync_us_p50: u64, fsync_us_p99: u64) {
        self.fsync_us.0 = self.fsync_us.0.max(fsync_us_p50);
        self.fsync_us.1 = self.fsync_us.1.max(fsync_us_p99);
    }

    /// Whether all money is where it was in `before`, in whole payments, with none held. Says so in
    /// one line, or what is wrong.
    pub fn check_against(&self, before: &Self) -> Result<String, FleetError> {
        let wrong = |what: String| Err(FleetError::Unbalanced(what));
        if self.in_doubt > 0 {
            return wrong(format!("{} legs are still in doubt", self.in_doubt));
        }
        if self.customers != before.customers {
            return wrong(format!("{:?} before, {:?} now", before.customers, self.customers));
        }
        if let Some((currency, sum)) = self.settlement.iter().find(|(_, sum)| **sum != 0) {
            return wrong(format!("settlement accounts sum to {sum} {currency} instead of 0"));
        }
        let sums = self.customers.iter().map(|(currency, sum)| format!("{sum} {currency}"));
        let sums = sums.collect::<Vec<_>>().join(", ");
        Ok(format!(
            "{} accounts hold {sums} in minor units, as before; nothing in doubt",
            self.accounts
        ))
    }
}

pub(crate) fn call(member: &str, status: &tonic::Status) -> FleetError {
    FleetError::Call { member: member.to_owned(), reason: status.message().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(customers: i64, settlement: i64, in_doubt: u64) -> Totals {
        Totals {
            accounts: 2,
            customers: [("INR".to_owned(), customers)].into(),
            settlement: [("INR".to_owned(), settlement)].into(),
            in_doubt,
            fsync_us: (0, 0),
        }
    }

    #[test]
    fn only_whole_books_balance() {
        let before = totals(1000, 0, 0);
        assert!(totals(1000, 0, 0).check_against(&before).is_ok());
        for wrong in [totals(999, 0, 0), totals(1000, 1, 0), totals(1000, 0, 1)] {
            assert!(wrong.check_against(&before).is_err(), "{wrong:?}");
        }
    }
}
