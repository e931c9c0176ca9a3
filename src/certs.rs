//! `strife certs`: flags for `strife_runtime::certs`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use strife_runtime::{
    Failure,
    certs::{self, Wanted},
    identity,
};

/// Make certificates: an authority of one's own, and an identity per role.
#[derive(Args)]
pub(crate) struct CertsArgs {
    #[command(subcommand)]
    command: CertsCommand,
}

#[derive(Subcommand)]
enum CertsCommand {
    Init(InitArgs),
}

/// Make a CA and an identity per role in DIR; what is there already is kept.
#[derive(Args)]
#[command(after_help = "Examples:
  strife certs init certs
  strife certs init certs --bank icici --bank sbi --user john_doe --host lb.example.net

DIR then holds ca.pem (give it to clients), and NAME.pem with NAME-key.pem for lb-1, gateway-1, txid-1,
loadgen-1, admin-1, bank-BANK and client-USER. Keep ca-key.pem safe: it makes further identities.")]
struct InitArgs {
    /// Where to put them; made if it is not there.
    dir: PathBuf,
    /// A bank to make an identity for; repeatable.
    #[arg(long = "bank", value_name = "NAME", default_values = ["icici", "sbi"])]
    banks: Vec<String>,
    /// A user to make a client identity for; repeatable.
    #[arg(long = "user", value_name = "NAME", default_values = ["john_doe", "jane_smith"])]
    users: Vec<String>,
    /// A host name or address the servers are reached by, beside localhost; repeatable.
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
}

pub(crate) fn run(args: CertsArgs) -> Result<(), Failure> {
    let CertsCommand::Init(args) = args.command;
    let lower = |names: &[String]| -> Vec<String> {
        names.iter().map(|name| name.to_ascii_lowercase()).collect()
    };
    let (banks, users) = (lower(&args.banks), lower(&args.users));
    for name in banks.iter().chain(&users) {
        if !identity::is_name(name) {
            return Err(Failure::usage(format!(
                "`{name}` cannot stand in a certificate: a name is 1 to 64 of a-z, 0-9, _ and -"
            )));
        }
    }
    let written = certs::init(&args.dir, &Wanted::for_fleet(&banks, &users, &args.hosts))
        .map_err(|error| Failure::new(error.to_string()))?;
    for path in &written {
        println!("{}", path.display());
    }
    if written.is_empty() {
        println!("{} already holds all of them; nothing was changed", args.dir.display());
    }
    Ok(())
}
