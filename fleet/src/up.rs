//! `strife up`: the whole system in the foreground until Ctrl-C.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use clap::Args;
use strife_runtime::{
    Failure, Shutdown, executor, identity, service_time::ServiceTime, telemetry::LogArgs,
};

use crate::{BankSpec, Fleet, FleetSpec, Output};

/// How often the foreground looks whether every process still lives.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How many processes may end by themselves before `up` gives up.
const MAX_RESTARTS: u32 = 100;

/// Boot banks, gateway and balancer on this machine, and keep them until Ctrl-C.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife up
  strife up --banks 4 --servers 3 --policy round_robin
  strife up --slots 4 --service-time lognormal:5ms:0.5 --logs")]
pub struct UpArgs {
    /// Where certificates, accounts, stores and logs are kept; a second `up` finds its money there.
    #[arg(long, default_value = "strife-data", value_name = "DIR")]
    dir: PathBuf,
    /// How many banks.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    banks: u32,
    /// Servers of each bank; 0: only the one that owns the store.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=64))]
    servers: u32,
    /// Accounts of each bank, made at first start.
    #[arg(long, default_value_t = 1000)]
    accounts: u32,
    /// Every pool's policy: pick_first, round_robin or least_load.
    #[arg(long, default_value = "least_load", value_parser = known_policy)]
    policy: String,
    /// Calls a bank server serves at once; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    slots: u32,
    /// Service time of the bank servers, such as lognormal:5ms:0.5.
    #[arg(long, value_name = "DISTRIBUTION", value_parser = known_service_time)]
    service_time: Option<String>,
    /// The balancer's port; its control port is the next one.
    #[arg(long, default_value_t = 7000, value_parser = clap::value_parser!(u16).range(1..65535))]
    port: u16,
    /// Users to make certificates for.
    #[arg(long = "user", value_name = "NAME", default_values = ["john_doe", "jane_smith"])]
    users: Vec<String>,
    /// No TLS and no identities.
    #[arg(long)]
    plaintext: bool,
    /// Show every process's log here instead of writing DIR/logs.
    #[arg(long)]
    logs: bool,
}

/// Boots, prints what to type next, and waits for Ctrl-C or the end of a process.
pub fn run_up(args: UpArgs, log: &LogArgs) -> Result<(), Failure> {
    if let Some(user) = args.users.iter().find(|user| !identity::is_name(user)) {
        return Err(Failure::usage(format!(
            "--user `{user}`: a username is 1 to 64 of a-z, 0-9, _ and -"
        )));
    }
    executor::block_on(1, async {
        let shutdown = Shutdown::on_signals().map_err(|error| Failure::new(error.to_string()))?;
        check_ports(args.port)?;
        eprintln!("booting {} bank(s) of {} server(s) each ...", args.banks, args.servers);
        let mut fleet = tokio::select! {
            fleet = Fleet::boot(spec(&args, log)?) => fleet?,
            () = shutdown.requested() => return Ok(()),
        };
        print!("{}", next_steps(&fleet, &args));
        let outcome = watch(&mut fleet, &shutdown).await;
        eprintln!("stopping ...");
        fleet.stop().await;
        outcome
    })
}

fn known_policy(name: &str) -> Result<String, String> {
    strife_policy::by_spec(name).map(|_| name.to_owned()).map_err(|unknown| unknown.to_string())
}

fn known_service_time(text: &str) -> Result<String, String> {
    text.parse::<ServiceTime>().map(|_| text.to_owned())
}

/// Says which port is taken before anything is started.
fn check_ports(port: u16) -> Result<(), Failure> {
    for port in [port, port + 1] {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            Failure::new(format!(
                "127.0.0.1:{port} cannot be listened on ({error}); stop what uses it, or choose other ports with --port"
            ))
        })?;
    }
    Ok(())
}

fn spec(args: &UpArgs, log: &LogArgs) -> Result<FleetSpec, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find the strife program: {error}")))?;
    let mut spec = FleetSpec::new(program, &args.dir);
    spec.banks = (0..args.banks as usize)
        .map(|index| {
            let name = identity::default_bank_name(index);
            BankSpec {
                slots: args.slots,
                service_time: args.service_time.clone(),
                ..BankSpec::new(&name, args.servers)
            }
        })
        .collect();
    spec.accounts_per_bank = args.accounts;
    spec.users = args.users.clone();
    spec.policy = args.policy.clone();
    spec.plaintext = args.plaintext;
    spec.balancer_ports = Some((args.port, args.port + 1));
    spec.log = log.clone();
    spec.output = if args.logs { Output::Inherit } else { Output::Files };
    Ok(spec)
}

/// Keeps every process alive until shutdown: one that is killed is started again where it was.
async fn watch(fleet: &mut Fleet, shutdown: &Shutdown) -> Result<(), Failure> {
    let mut restarts = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = shutdown.requested() => return Ok(()),
        }
        for name in fleet.restart_ended().await? {
            restarts += 1;
            eprintln!("{name} ended by itself and was started again");
            if restarts > MAX_RESTARTS {
                return Err(Failure::new(format!(
                    "processes ended {restarts} times; look into {}/logs",
                    fleet.spec().dir.display()
                )));
            }
        }
    }
}

fn next_steps(fleet: &Fleet, args: &UpArgs) -> String {
    let (balancer, control) = (fleet.balancer(), fleet.control());
    let dir = args.dir.display();
    let tls =
        if args.plaintext { "--plaintext".to_owned() } else { format!("--certs {dir}/certs") };
    let pools = fleet.spec().banks.iter().map(BankSpec::pool);
    let pools = pools.chain(["gateway".to_owned()]).collect::<Vec<_>>().join(", ");
    let strife = std::env::args().next().unwrap_or_else(|| "strife".to_owned());
    let pay = match args.users.first().filter(|_| !args.plaintext) {
        Some(user) => format!(
            "\n  python3 docs/examples/pay.py {balancer} {dir}/certs {user} 250   (pip install grpcio grpcio-reflection)"
        ),
        None => String::new(),
    };
    let logs = if args.logs { "here".to_owned() } else { format!("{dir}/logs") };
    format!(
        "
  balancer   {balancer}   (any gRPC client; pools by :authority)
  control    {control}   (look-aside picks, load reports, administration)
  pools      {pools}
  files      {dir}   (certs, accounts, data)
  logs       {logs}

Type next, in another terminal:
  {strife} admin status --control {control} {tls}
  {strife} admin policy round_robin --control {control} {tls}
  {strife} load {balancer} --workload payments --accounts {dir}/accounts {tls} -c 128 -r 100 -z 10s
  {strife} load {balancer} --workload bank --accounts {dir}/accounts {tls} -c 128 -r 1000 -z 10s{pay}

kill -9 any of the processes: it is started again, and no money is lost.
Ctrl-C stops everything; the money stays in {dir}/data.
"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use strife_runtime::telemetry::LogFormat;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        up: UpArgs,
    }

    #[test]
    fn a_fleet_of_as_many_banks_as_asked_for() {
        let command = Command::try_parse_from(["up", "--banks", "5", "--port", "0"]);
        assert!(command.is_err(), "port 0 has no next port");
        let command = Command::parse_from(["up", "--banks", "5", "--servers", "2"]);
        let log = LogArgs { log: LogFormat::Text, log_level: "info".to_owned() };
        let spec = spec(&command.up, &log).expect("the flags are sound");
        let names: Vec<_> = spec.banks.iter().map(|bank| bank.name.as_str()).collect();
        assert_eq!(names, ["icici", "sbi", "hdfc", "axis", "bank5"]);
        assert!(spec.banks.iter().all(|bank| bank.servers == 2));
    }
}
