//! `strife admin events`: what happens to payments as lines of JSON, on standard output or in a file.
//!
//! With a file this is the transaction logger. The file itself says how far it is: it is resumed after
//! its last whole line, and only what is durable in it is acknowledged. So every event stands in it
//! exactly once, whatever is killed, the gateway or this.

mod connection;
mod file;
mod line;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use strife_proto::gateway::v1::{ForgetFollowerRequest, OutboxRequest};
use strife_runtime::{Failure, Security, Shutdown, TlsArgs, executor};
use tracing::warn;

use self::{
    connection::{Broken, Connection, refused},
    file::Output,
};

/// Between attempts to reach a gateway that was lost.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Print what happens to payments, or log it to a file
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife admin events --gateway 127.0.0.1:8080
  strife admin events --gateway 127.0.0.1:8080 --follow
  strife admin events --gateway 127.0.0.1:8080 --follow --follower log --out payments.jsonl
  strife admin events --gateway 127.0.0.1:8080 --followers
  strife admin events --gateway 127.0.0.1:8080 --forget log

A line of JSON for each change of a payment's state, in order. With --out the file is resumed
after its last whole line: stop and start this as you like, every event stands in it once. With
--follower the gateway keeps what that name has not got yet, for as long as it takes; give every
file a name of its own.")]
pub struct EventsArgs {
    /// The gateway, itself and not the balancer. Several on one database: whichever answers, by repeating it.
    #[arg(long = "gateway", required = true, value_name = "HOST:PORT")]
    gateways: Vec<String>,
    /// Wait for further events, until stopped; a gateway that is lost is looked for again.
    #[arg(long)]
    follow: bool,
    /// Who reads: the gateway remembers what this name has got, and keeps the rest.
    #[arg(long, value_name = "NAME")]
    follower: Option<String>,
    /// Append to this file instead of printing.
    #[arg(long, value_name = "FILE", requires = "follower")]
    out: Option<PathBuf>,
    /// Print who follows instead, and up to where each has everything.
    #[arg(long, conflicts_with_all = ["follow", "follower", "forget"])]
    followers: bool,
    /// Instead, give up this follower: nothing is kept for it any more.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["follow", "follower"])]
    forget: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// `strife admin events`.
pub fn run_events(args: EventsArgs) -> Result<(), Failure> {
    executor::block_on(1, async {
        let security = Security::load(&args.tls, strife_runtime::Role::Admin, "1")?;
        if args.followers {
            return args.print_followers(&security).await;
        }
        if let Some(follower) = &args.forget {
            return args.forget(follower, &security).await;
        }
        args.log(&security).await
    })
}

impl EventsArgs {
    async fn print_followers(&self, security: &Security) -> Result<(), Failure> {
        let address = &self.gateways[0];
        let mut client = connection::client(address, security)?;
        let outbox = client.get_outbox(OutboxRequest {}).await;
        let outbox = outbox.map_err(|status| refused(address, &status))?.into_inner();
        println!("{} events are kept", outbox.events);
        for follower in outbox.followers {
            println!("{} has everything up to position {}", follower.name, follower.position);
        }
        Ok(())
    }

    async fn forget(&self, follower: &str, security: &Security) -> Result<(), Failure> {
        let address = &self.gateways[0];
        let mut client = connection::client(address, security)?;
        let request = ForgetFollowerRequest { follower: follower.to_owned() };
        let forgotten = client.forget_follower(request).await;
        forgotten.map_err(|status| refused(address, &status))?;
        println!("nothing is kept for {follower} any more");
        Ok(())
    }

    async fn log(&self, security: &Security) -> Result<(), Failure> {
        let stop = Shutdown::on_signals()
            .map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))?;
        let mut output = Output::open(self.out.as_deref())?;
        let mut reached = false;
        for address in self.gateways.iter().cycle() {
            let mut connection = Connection {
                address,
                client: connection::client(address, security)?,
                follower: self.follower.as_deref().unwrap_or_default(),
                wait: self.follow,
                stop: &stop,
                reached: &mut reached,
            };
            match connection.log(&mut output, security).await {
                Ok(()) => break,
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Lost(status)) if reached && self.follow => {
                    warn!(gateway = address, why = status.message(), "lost; looking for it again");
                }
                Err(Broken::Lost(status)) => {
                    // The next one may answer; after the last one nobody does.
                    if reached || Some(address) == self.gateways.last() {
                        return Err(refused(address, &status));
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                () = stop.requested() => break,
            }
        }
        Ok(())
    }
}
