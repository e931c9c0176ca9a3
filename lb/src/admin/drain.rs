//! `strife admin drain` and `undrain`: a server is taken out of its pools, and waited for until its
//! calls are done; it is put back, and waited for until it is ready.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use clap::Args;
use strife_proto::lb::v1::{DrainServerRequest, EndpointState, EndpointStatus};
use strife_runtime::{Failure, parse};
use tokio::time::Instant;

use super::Target;

/// Time between two looks at what is still under way. The first look waits too, so that a pick made
/// just before the drain is counted.
const POLL: Duration = Duration::from_millis(100);

/// Which server, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How long its calls may take to end; it stays drained when they do not.
    #[arg(long, default_value = "60s", value_parser = parse::duration, value_name = "TIME")]
    timeout: Duration,
    /// Do not wait for its calls.
    #[arg(long)]
    no_wait: bool,
    /// Even if no other server of a pool takes calls.
    #[arg(long)]
    force: bool,
}

/// Which server, and how long to wait for it.
#[derive(Debug, Clone, Args)]
pub(super) struct UndrainArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// How long it may take to become ready; it stays undrained when it does not.
    #[arg(long, default_value = "60s", value_parser = parse::duration, value_name = "TIME")]
    timeout: Duration,
    /// Do not wait for it to become ready.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Clone, Args)]
struct ServerArgs {
    /// The server's address, as in `strife admin status`.
    #[arg(value_name = "SERVER")]
    address: String,
    /// Only in this pool; in all it is in if not given.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl DrainArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let pools = self.server.set(true, self.force).await?;
        let address = &self.server.address;
        println!("{address}: draining in {}", pools.join(", "));
        if self.no_wait {
            return Ok(());
        }
        self.wait(&pools).await?;
        println!("{address}: drained");
        Ok(())
    }

    async fn wait(&self, pools: &[String]) -> Result<(), Failure> {
        let (deadline, address) = (Instant::now() + self.timeout, &self.server.address);
        let mut progress = Progress::new(address);
        loop {
            tokio::time::sleep(POLL).await;
            let states = self.server.states(pools).await?;
            if let Some((pool, _)) =
                states.iter().find(|(_, state)| state.state() != EndpointState::Draining)
            {
                return Err(Failure::new(format!(
                    "{address} takes calls of pool `{pool}` again: someone else undrained it, or \
                     the balancer was started anew; drain it once more"
                )));
            }
            let in_flight: u64 = states.iter().map(|(_, state)| u64::from(state.in_flight)).sum();
            progress.show(&under_way(in_flight));
            if in_flight == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let (left, waited) = (under_way(in_flight), parse::format_duration(self.timeout));
                return Err(Failure::new(format!(
                    "{address} still has {left} after {waited}; it stays drained: wait again with \
                     a longer --timeout, or stop it and lose what is left"
                )));
            }
        }
    }
}

impl UndrainArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let pools = self.server.set(false, false).await?;
        let (address, names) = (&self.server.address, pools.join(", "));
        if self.no_wait {
            println!("{address}: undrained in {names}");
            return Ok(());
        }
        self.wait(&pools).await?;
        println!("{address}: takes calls of {names}");
        Ok(())
    }

    async fn wait(&self, pools: &[String]) -> Result<(), Failure> {
        let (deadline, address) = (Instant::now() + self.timeout, &self.server.address);
        let mut progress = Progress::new(address);
        loop {
            let states = self.server.states(pools).await?;
            let is_ready = |state: &EndpointStatus| state.state() == EndpointState::Ready;
            let waiting = states.iter().find(|(_, state)| !is_ready(state));
            let absent = pools.iter().find(|pool| states.iter().all(|(one, _)| one != *pool));
            let (pool, why) = match (waiting, absent) {
                (Some((pool, state)), _) => (pool, state.last_error.as_str()),
                (None, Some(pool)) => (pool, "no source names it"),
                (None, None) => return Ok(()),
            };
            progress.show(&format!("not ready in {pool} ({why})"));
            if Instant::now() >= deadline {
                let waited = parse::format_duration(self.timeout);
                return Err(Failure::new(format!(
                    "{address} is undrained, but not ready in pool `{pool}` after {waited} ({why}); \
                     start it"
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl ServerArgs {
    /// Drains or undrains it; the pools it is in, of those asked for.
    async fn set(&self, drain: bool, force: bool) -> Result<Vec<String>, Failure> {
        let (pool, address) = (self.pool.clone().unwrap_or_default(), self.address.clone());
        self.target.drain_server(DrainServerRequest { pool, address, drain, force }).await
    }

    /// Its state in each of these pools.
    async fn states(&self, pools: &[String]) -> Result<Vec<(String, EndpointStatus)>, Failure> {
        let status = self.target.status().await?;
        let mut states = Vec::new();
        for pool in status.pools.into_iter().filter(|pool| pools.contains(&pool.name)) {
            let mut servers = pool.endpoints.into_iter();
            let found = servers.find(|endpoint| endpoint.address == self.address);
            states.extend(found.map(|found| (pool.name, found)));
        }
        Ok(states)
    }
}

fn under_way(calls: u64) -> String {
    let plural = if calls == 1 { "" } else { "s" };
    format!("{calls} call{plural} under way")
}

/// A line on standard error that is written over on a terminal, and once elsewhere.
struct Progress<'a> {
    address: &'a str,
    is_terminal: bool,
    is_shown: bool,
}

impl<'a> Progress<'a> {
    fn new(address: &'a str) -> Self {
        Self { address, is_terminal: io::stderr().is_terminal(), is_shown: false }
    }

    fn show(&mut self, what: &str) {
        let mut out = io::stderr();
        let line = format!("{}: {what}", self.address);
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
