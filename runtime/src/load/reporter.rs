//! Pushes reports to the balancer, `LoadBalancer.ReportServerLoad`.

use std::{sync::Arc, time::Duration};

use strife_proto::lb::v1::{LoadReport, load_balancer_client::LoadBalancerClient};
use tonic::transport::Channel;
use tracing::{info, warn};

use super::Reports;
use crate::{
    Failure, Shutdown, connect,
    tls::{Expected, Security},
};

/// Reports lost in a row before the log says so: servers often start before their balancer.
const LOST_REPORTS: u64 = 30;

/// Where and how often to report.
#[derive(Debug, Clone)]
pub struct Reporter {
    /// The balancer's control address, `host:port`.
    pub balancer: String,
    /// The pool this server belongs to.
    pub pool: String,
    /// This server as the balancer knows it, `host:port`.
    pub address: String,
    /// Time between reports.
    pub interval: Duration,
}

impl Reporter {
    /// Reports until shutdown, in the background. A balancer that cannot be reached for long is
    /// told of once in the log and tried again at every interval.
    pub fn spawn(
        self,
        reports: Arc<Reports>,
        security: &Security,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        let channel = connect::direct(&self.balancer, Expected::LB, security)?;
        tokio::spawn(async move {
            tokio::select! {
                () = self.run(LoadBalancerClient::new(channel), &reports) => {}
                () = shutdown.requested() => {}
            }
        });
        Ok(())
    }

    async fn run(self, mut balancer: LoadBalancerClient<Channel>, reports: &Reports) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut lost = 0_u64;
        loop {
            ticks.tick().await;
            let (pool, address) = (self.pool.clone(), self.address.clone());
            let report = LoadReport { pool, address, ..reports.next() };
            let sent = tokio::time::timeout(self.interval * 5, balancer.report_server_load(report));
            let outcome = match sent.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(status)) => Err(status.message().to_owned()),
                Err(_) => Err("no answer".to_owned()),
            };
            match outcome {
                Ok(()) => {
                    if lost >= LOST_REPORTS {
                        info!(balancer = %self.balancer, "load reports arrive again");
                    }
                    lost = 0;
                }
                Err(why) => {
                    lost += 1;
                    if lost == LOST_REPORTS {
                        warn!(balancer = %self.balancer, why, "load reports do not arrive; will keep trying");
                    }
                }
            }
        }
    }
}
