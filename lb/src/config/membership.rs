//! Flags for where servers come from beside a pool's own: how often DNS is asked and whom, how long a
//! registration holds.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use strife_runtime::parse;

use super::limits::{LONGEST, check};
use crate::error::LbError;

const LEAST_DNS_INTERVAL: Duration = Duration::from_millis(50);
const LEAST_LEASE: Duration = Duration::from_millis(100);

/// Flags for membership.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Membership")]
pub struct MembershipArgs {
    /// How long an answer of DNS is good for at most; less if its TTL is shorter, 1s at least.
    #[arg(long, default_value = "30s", value_parser = parse::duration, value_name = "TIME")]
    pub dns_interval: Duration,
    /// The DNS server to ask instead of the system's (/etc/resolv.conf, /etc/hosts).
    #[arg(long, value_name = "IP:PORT")]
    pub dns_server: Option<SocketAddr>,
    /// How long a server that registered stays without registering again.
    #[arg(long, default_value = "3s", value_parser = parse::duration, value_name = "TIME")]
    pub registration_lease: Duration,
}

/// How servers are found; see [`MembershipArgs`].
#[derive(Debug, Clone, Copy)]
pub struct Membership {
    /// Between two questions to DNS, at most.
    pub dns_interval: Duration,
    /// Whom to ask instead of the system's servers.
    pub dns_server: Option<SocketAddr>,
    /// How long a registration holds.
    pub registration_lease: Duration,
}

impl MembershipArgs {
    /// Checks every bound against its range.
    pub(super) fn membership(&self) -> Result<Membership, LbError> {
        let times = [
            ("--dns-interval", self.dns_interval, LEAST_DNS_INTERVAL),
            ("--registration-lease", self.registration_lease, LEAST_LEASE),
        ];
        for (flag, value, least) in times {
            check(flag, value, least..=LONGEST, parse::format_duration)?;
        }
        Ok(Membership {
            dns_interval: self.dns_interval,
            dns_server: self.dns_server,
            registration_lease: self.registration_lease,
        })
    }
}
