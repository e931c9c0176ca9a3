//! `strife admin drain` and `undrain`: a server is taken out of its pools, and waited for until
//! its calls are done.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use clap::Args;
use strife_proto::lb::v1::{DrainServerRequest, EndpointState};
use strife_runtime::{Failure, parse};
use tokio::time::Instant;

use super::Target;

/// Time between two looks at what is still under way. The first look waits too, so that a pick made
/// just before the drain is counted.
const POLL: Duration = Duration::from_millis(100);

/// Which server, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub(super) struct DrainArgs {
    /// The server's address, as in `strife admin status`.
    #[arg(value_name = "SERVER")]
    server: String,
    /// Only in this pool; in all it is in if not given.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// How long its calls may take to end; it stays drained when they do not.
    #[arg(long, default_value = "60s", value_parser = parse::duration, value_name = "TIME")]
    timeout: Duration,
    /// Do not wait for its calls.
    #[arg(long)]
    no_wait: bool,
    /// Even if no other server of a pool takes calls.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    target: Target,
}

/// Which server.
#[derive(Debug, Clone, Args)]
pub(super) struct UndrainArgs {
    /// The server's address, as in `strife admin status`.
    #[arg(value_name = "SERVER")]
    server: String,
    /// Only in this pool; in all it is in if not given.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl DrainArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = DrainServerRequest {
            pool: self.pool.clone().unwrap_or_default(),
            address: self.server.clone(),
            drain: true,
            force: self.force,
        };
        let pools = self.target.drain_server(request).await?;
        let server = &self.server;
        println!("{server}: draining in {}", pools.join(", "));
        if self.no_wait {
            return Ok(());
        }
        self.wait(&pools).await?;
        println!("{server}: drained");
        Ok(())
    }

    async fn wait(&self, pools: &[String]) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut progress = Progress::new(&self.server);
        loop {
            tokio::time::sleep(POLL).await;
            let in_flight = self.in_flight(pools).await?;
            progress.show(in_flight);
            if in_flight == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (server, waited) = (&self.server, parse::format_duration(self.timeout));
                return Err(Failure::new(format!(
                    "{server} still has {in_flight} calls under way after {waited}; it stays \
                     drained: wait again with a longer --timeout, or stop it and lose them"
                )));
            }
        }
    }

    /// Its calls in these pools.
    async fn in_flight(&self, pools: &[String]) -> Result<u64, Failure> {
        let status = self.target.status().await?;
        let mut in_flight = 0;
        for pool in status.pools.iter().filter(|pool| pools.contains(&pool.name)) {
            let servers = pool.endpoints.iter();
            for endpoint in servers.filter(|endpoint| endpoint.address == self.server) {
                if endpoint.state() != EndpointState::Draining {
                    let (server, pool) = (&self.server, &pool.name);
                    return Err(Failure::new(format!(
                        "{server} takes calls of pool `{pool}` again: someone else undrained it, \
                         or the balancer was started anew; drain it once more"
                    )));
                }
                in_flight += u64::from(endpoint.in_flight);
            }
        }
        Ok(in_flight)
    }
}

impl UndrainArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = DrainServerRequest {
            pool: self.pool.clone().unwrap_or_default(),
            address: self.server.clone(),
            drain: false,
            force: false,
        };
        let pools = self.target.drain_server(request).await?;
        println!("{}: takes calls of {}", self.server, pools.join(", "));
        Ok(())
    }
}

/// A line on standard error that is written over on a terminal, and once elsewhere.
struct Progress<'a> {
    server: &'a str,
    is_terminal: bool,
    is_shown: bool,
}

impl<'a> Progress<'a> {
    fn new(server: &'a str) -> Self {
        Self { server, is_terminal: io::stderr().is_terminal(), is_shown: false }
    }

    fn show(&mut self, in_flight: u64) {
        let mut out = io::stderr();
        let line = format!("{}: {in_flight} calls under way", self.server);
        // A line that cannot be shown is no reason to stop waiting.
        let _ = match (self.is_terminal, self.is_shown) {
            (true, _) => write!(out, "\r\x1b[K{line}").and_then(|()| out.flush()),
            (false, false) => writeln!(out, "{line}"),
            (false, true) => Ok(()),
        };
        self.is_shown = true;
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.is_terminal && self.is_shown {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}
