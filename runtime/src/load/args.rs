//! The flags by which a server is known to its balancer, the same for all of Strife's servers.

use std::{fmt, net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use strife_proto::{
    lb::v1::server_load_server::ServerLoadServer,
    xds::service::orca::v3::open_rca_service_server::OpenRcaServiceServer,
};
use tokio::task::JoinHandle;

use super::{
    LoadTracker, Registration, Reporter, Reports,
    registration::Stopping,
    services::{OutOfBand, Probed},
};
use crate::{Failure, Security, Server, Services, Shutdown, parse};

/// How a server is known to its balancer.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Join the pool by oneself, at the balancer's control address, instead of being listed in its
    /// --pool. On SIGTERM the server leaves the pool, finishes its calls, and stops then.
    #[arg(long)]
    pub register: bool,
    /// This server's address as the balancer knows it [default: the address it listens on].
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// How load is reported, with commas: push (to the balancer, every --report-interval), probe (asked
    /// for by the balancer), trailers (of calls, as ORCA has it), oob (ORCA out of band); or none.
    #[arg(long, default_value_t = Channels::ALL, value_name = "HOW")]
    pub load_reports: Channels,
    /// Time between load reports that are pushed.
    #[arg(long, default_value = "100ms", value_name = "TIME", value_parser = report_interval)]
    pub report_interval: Duration,
}

/// The ways in which reports leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// `LoadBalancer.ReportServerLoad` at the balancer.
    pub push: bool,
    /// `ServerLoad.Probe` at the server.
    pub probe: bool,
    /// `endpoint-load-metrics-bin` in the trailers of calls.
    pub trailers: bool,
    /// `OpenRcaService.StreamCoreMetrics` at the server.
    pub oob: bool,
}

/// Whom a server belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The balancer's control address, if there is one, `host:port`.
    pub balancer: Option<&'a str>,
    /// The flag that gives it.
    pub balancer_flag: &'static str,
    /// The pool.
    pub pool: &'a str,
    /// Where the server listens.
    pub listens: SocketAddr,
}

/// A server's reports and its place in the pool, while it serves.
pub struct Balanced {
    reports: Arc<Reports>,
    channels: Channels,
    stopping: Stopping,
    reporter: Option<Reporter>,
    registration: Option<Registration>,
    security: Security,
}

impl LoadArgs {
    /// When a server stops that is `asked` to.
    pub fn stopping(&self, asked: Shutdown) -> Stopping {
        if self.register { Stopping::after_leaving(asked) } else { Stopping::at_once(asked) }
    }

    /// A server at `place` whose calls `tracker` counts. To be made inside the runtime that serves.
    pub fn balanced(
        &self,
        place: Place<'_>,
        tracker: Arc<LoadTracker>,
        security: &Security,
        stopping: Stopping,
    ) -> Result<Balanced, Failure> {
        let Place { balancer, balancer_flag, pool, listens } = place;
        if self.register && balancer.is_none() {
            return Err(Failure::usage(format!(
                "--register needs the balancer's control address; add {balancer_flag} HOST:PORT"
            )));
        }
        if self.register && self.advertise.is_none() && listens.ip().is_unspecified() {
            return Err(Failure::usage(format!(
                "--register needs an address of this server that the balancer reaches, and {listens} is \
                 any; add --advertise HOST:PORT"
            )));
        }
        let address = self.advertise.clone().unwrap_or_else(|| listens.to_string());
        let at = balancer.map(|balancer| (balancer.to_owned(), pool.to_owned(), address));
        let registration = at.clone().filter(|_| self.register);
        let registration =
            registration.map(|(balancer, pool, address)| Registration { balancer, pool, address });
        let interval = self.report_interval;
        let reporter = at.filter(|_| self.load_reports.push);
        let reporter = reporter.map(|(balancer, pool, address)| Reporter {
            balancer,
            pool,
            address,
            interval,
        });
        Ok(Balanced {
            reports: Reports::new(tracker),
            channels: self.load_reports,
            stopping,
            reporter,
            registration,
            security: security.clone(),
        })
    }
}

impl Balanced {
    /// Serves until stopped, with reports by every channel that is on, and, if the server registers, as
    /// a member of its pool.
    pub async fn serve(self, server: Server, services: Services) -> Result<(), Failure> {
        let Self { reports, channels, stopping, reporter, registration, security } = self;
        let mut services = services;
        if channels.trailers {
            services = services.reporting(reports.clone());
        }
        if channels.probe {
            services = services.add(ServerLoadServer::new(Probed(reports.clone())));
        }
        if channels.oob {
            let streams = OutOfBand::new(reports.clone(), stopping.asked.clone());
            services = services.add(OpenRcaServiceServer::new(streams));
        }
        if let Some(reporter) = reporter {
            reporter.spawn(reports.clone(), &security, stopping.asked.clone())?;
        }
        let tracker = reports.tracker().clone();
        let member = registration
            .map(|registration| registration.spawn(tracker, &security, stopping.clone()))
            .transpose()?;
        server.serve(services, stopping.stop).await?;
        match member {
            Some(member) => outcome(member).await,
            None => Ok(()),
        }
    }
}

async fn outcome(member: JoinHandle<Result<(), Failure>>) -> Result<(), Failure> {
    member.await.map_err(|error| Failure::new(format!("registration: {error}")))?
}

impl Channels {
    /// All of them.
    pub const ALL: Self = Self { push: true, probe: true, trailers: true, oob: true };
    /// None.
    pub const NONE: Self = Self { push: false, probe: false, trailers: false, oob: false };
}

impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        let mut channels = Self::NONE;
        for name in text.split(',') {
            match name {
                "push" => channels.push = true,
                "probe" => channels.probe = true,
                "trailers" => channels.trailers = true,
                "oob" => channels.oob = true,
                _ => {
                    return Err(format!(
                        "`{name}` is none of push, probe, trailers and oob (several with commas, or none)"
                    ));
                }
            }
        }
        Ok(channels)
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { push, probe, trailers, oob } = *self;
        let all = [(push, "push"), (probe, "probe"), (trailers, "trailers"), (oob, "oob")];
        let on: Vec<_> = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        f.write_str(if on.is_empty() { "none".to_owned() } else { on.join(",") }.as_str())
    }
}

fn report_interval(text: &str) -> Result<Duration, String> {
    match parse::duration(text)? {
        interval if interval >= Duration::from_millis(1) => Ok(interval),
        _ => Err("the interval must be at least 1ms".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn parsed(flags: &str) -> Result<LoadArgs, String> {
        let words = ["server"].into_iter().chain(flags.split_whitespace());
        Line::try_parse_from(words).map(|line| line.load).map_err(|error| error.to_string())
    }

    #[test]
    fn all_channels_are_on_unless_some_are_named() {
        let on = |flags: &str| parsed(flags).unwrap().load_reports.to_string();
        assert_eq!(on(""), "push,probe,trailers,oob");
        assert_eq!(on("--load-reports oob,push"), "push,oob");
        assert_eq!(on("--load-reports none"), "none");
        for wrong in ["", "pull", "push,none", "push,,oob"] {
            let error = parsed(&format!("--load-reports={wrong}")).unwrap_err();
            assert!(error.contains("push, probe, trailers and oob"), "{error}");
        }
    }

    #[test]
    fn an_interval_is_at_least_a_millisecond() {
        assert_eq!(parsed("").unwrap().report_interval, Duration::from_millis(100));
        assert!(parsed("--report-interval 0s").is_err());
    }

    #[tokio::test]
    async fn registering_needs_a_balancer() {
        let place = Place {
            balancer: None,
            balancer_flag: "--control",
            pool: "gateway",
            listens: "127.0.0.1:1".parse().unwrap(),
        };
        let args = parsed("--register").unwrap();
        let stopping = args.stopping(Shutdown::manual());
        let made = args.balanced(place, LoadTracker::new(0), &Security::Plaintext, stopping);
        assert!(made.err().unwrap().to_string().ends_with("add --control HOST:PORT"));
    }
}
