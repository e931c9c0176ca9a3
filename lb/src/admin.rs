//! `strife admin`: asks a running balancer, tells it another policy, drains its servers.

mod drain;
mod picks;
mod table;

use clap::{ArgMatches, Args, Command as Line, FromArgMatches, Subcommand, error};
use strife_proto::lb::v1::{
    DrainServerRequest, SetPolicyRequest, StatusRequest, StatusResponse,
    load_balancer_admin_client::LoadBalancerAdminClient,
};
use strife_runtime::{Failure, Role, Security, TlsArgs, connect, executor, tls::Expected};
use tonic::{Code, Status, transport::Channel};

use self::{
    drain::{DrainArgs, UndrainArgs},
    picks::PicksArgs,
};

/// The name in the operator's certificate.
const NAME: &str = "1";

/// What an operator may ask of a running balancer: some of the commands of `strife admin`.
#[derive(Debug, Clone)]
pub struct AdminCommand(Command);

impl FromArgMatches for AdminCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, error::Error> {
        Command::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), error::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Subcommand for AdminCommand {
    fn augment_subcommands(line: Line) -> Line {
        Command::augment_subcommands(line)
    }

    fn augment_subcommands_for_update(line: Line) -> Line {
        Command::augment_subcommands_for_update(line)
    }

    fn has_subcommand(name: &str) -> bool {
        Command::has_subcommand(name)
    }
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Switch the policy of a running balancer, or print it.
    Policy {
        /// As `strife lb --help` has it under --policy; printed if not given.
        policy: Option<String>,
        /// Only this pool; all if not given.
        #[arg(long, value_name = "NAME")]
        pool: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Print every pool and its servers.
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// Keep new calls from a server and wait until those under way are done.
    Drain(DrainArgs),
    /// Let a drained server have calls again.
    Undrain(UndrainArgs),
    /// Watch where calls go, and why.
    Picks(PicksArgs),
}

#[derive(Debug, Clone, Args)]
struct Target {
    /// The balancer's control address.
    #[arg(long, default_value = "127.0.0.1:7001", value_name = "ADDR")]
    control: String,
    #[command(flatten)]
    tls: TlsArgs,
}

/// Those commands of `strife admin` that concern a balancer.
pub fn run_admin(command: AdminCommand) -> Result<(), Failure> {
    executor::block_on(1, async {
        match command.0 {
            Command::Status { target } => {
                print!("{}", table::status(&target.status().await?));
                Ok(())
            }
            Command::Policy { policy: Some(policy), pool, target } => {
                let pools = target.set_policy(pool.unwrap_or_default(), policy.clone()).await?;
                for pool in pools {
                    println!("{pool}: {policy}");
                }
                Ok(())
            }
            Command::Policy { policy: None, pool, target } => {
                print_policies(&target.status().await?, pool.as_deref())
            }
            Command::Drain(args) => args.run().await,
            Command::Undrain(args) => args.run().await,
            Command::Picks(args) => args.run().await,
        }
    })
}

impl Target {
    fn client(&self) -> Result<LoadBalancerAdminClient<Channel>, Failure> {
        let security = Security::load(&self.tls, Role::Admin, NAME)?;
        Ok(LoadBalancerAdminClient::new(connect::direct(&self.control, Expected::LB, &security)?))
    }

    async fn status(&self) -> Result<StatusResponse, Failure> {
        let answer = self.client()?.get_status(StatusRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    async fn set_policy(&self, pool: String, policy: String) -> Result<Vec<String>, Failure> {
        let answer = self.client()?.set_policy(SetPolicyRequest { pool, policy }).await;
        answer.map(|answer| answer.into_inner().pools).map_err(|status| self.failure(&status))
    }

    /// The pools the server is in, of those asked for.
    async fn drain_server(&self, request: DrainServerRequest) -> Result<Vec<String>, Failure> {
        let answer = self.client()?.drain_server(request).await;
        answer.map(|answer| answer.into_inner().pools).map_err(|status| self.failure(&status))
    }

    fn failure(&self, status: &Status) -> Failure {
        let control = &self.control;
        match status.code() {
            Code::Unavailable | Code::Unknown | Code::Internal => Failure::new(format!(
                "no balancer answers at {control} ({}); name its control address with --control, \
                 and use --plaintext if and only if it does",
                status.message()
            )),
            _ => Failure::new(status.message().to_owned()),
        }
    }
}

fn print_policies(status: &StatusResponse, pool: Option<&str>) -> Result<(), Failure> {
    let wanted = |name: &str| pool.is_none_or(|pool| pool == name);
    let pools: Vec<_> = status.pools.iter().filter(|pool| wanted(&pool.name)).collect();
    if pools.is_empty() {
        let known: Vec<_> = status.pools.iter().map(|pool| pool.name.as_str()).collect();
        let pool = pool.unwrap_or_default();
        return Err(Failure::usage(format!(
            "there is no pool `{pool}`; the pools are {}",
            known.join(", ")
        )));
    }
    for pool in pools {
        println!("{}: {}", pool.name, pool.policy);
    }
    Ok(())
}
