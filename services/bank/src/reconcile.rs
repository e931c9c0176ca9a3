//! `strife admin reconcile`: holds the banks' books against the gateway's payments.
//!
//! Both sides tell what they have in the order of the transactions' names, so that one transaction at a
//! time is looked at, in constant memory, however many there are; what is right and wrong is [`rules`]'s.
//! What began lately may be under way and is left out, as is what other gateways' stores made.

pub mod rules;
mod source;

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use clap::Args;
use strife_runtime::{Failure, Role, Security, TlsArgs, executor, parse};

use self::{
    rules::{Counted, Finding, Said, began_ms, check, check_counted, check_said},
    source::{Bank, Gateway, Payments},
};
use crate::operator::NAME;

/// Hold the banks' books against the gateway's payments
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife admin reconcile --gateway 127.0.0.1:8080 --bank icici=127.0.0.1:8081 --bank sbi=127.0.0.1:8082
  strife admin reconcile --gateway 127.0.0.1:8080 --bank icici=127.0.0.1:8081 --settled-after 0s

Each bank's address is that of a server with the bank's own store. Prints a line for each finding and
exits with 1 if there is one: sums that differ, holds without a payment, payments with one side only.
It reads everything and writes nothing, and may run beside payments: those of the last minute are left
out (--settled-after), and a bank's sums are held against its legs only if nothing moved meanwhile.")]
pub struct ReconcileArgs {
    /// A bank and a server with its own store; repeatable.
    #[arg(long = "bank", required = true, value_name = "NAME=HOST:PORT", value_parser = bank)]
    banks: Vec<(String, String)>,
    /// The gateway whose store is held against them, itself and not the balancer.
    #[arg(long, value_name = "HOST:PORT")]
    gateway: String,
    /// Leave out what began less than this ago.
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = parse::duration)]
    settled_after: Duration,
    #[command(flatten)]
    tls: TlsArgs,
}

fn bank(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("expected NAME=HOST:PORT")?;
    Ok((name.to_ascii_lowercase(), address.to_owned()))
}

/// What was looked at.
#[derive(Debug, Default)]
struct Counts {
    transactions: u64,
    recent: u64,
    others: u64,
    one_bank: u64,
    findings: u64,
}

/// `strife admin reconcile`.
pub fn run_reconcile(args: ReconcileArgs) -> Result<(), Failure> {
    executor::block_on(1, reconcile(args))
}

async fn reconcile(args: ReconcileArgs) -> Result<(), Failure> {
    let names: Vec<String> = args.banks.iter().map(|(name, _)| name.clone()).collect();
    if names.iter().collect::<HashSet<_>>().len() < names.len() {
        return Err(Failure::usage("a bank is named twice; give each --bank once"));
    }
    let security = Security::load(&args.tls, Role::Admin, NAME)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let settled = now.saturating_sub(args.settled_after).as_millis();
    let settled_ms = u64::try_from(settled).unwrap_or(u64::MAX);
    let gateway = Gateway::connect(&args.gateway, &security).await?;
    let mut banks = Vec::new();
    for (name, address) in &args.banks {
        banks.push(Bank::connect(name, address, &gateway.store, &security).await?);
    }
    let mut payments = gateway.payments().await?;
    let mut counts = Counts::default();
    while let Some(transaction_id) = next_transaction(&payments, &banks) {
        let payment = payments.take(&transaction_id).await?;
        let mut legs = Vec::new();
        for bank in &mut banks {
            bank.take(&transaction_id, &mut legs).await?;
        }
        counts.transactions += 1;
        if legs.is_empty() && payment.as_ref().is_some_and(|p| p.from.bank == p.to.bank) {
            counts.one_bank += 1;
            continue;
        }
        if began_ms(payment.as_ref(), &legs) > settled_ms {
            counts.recent += 1;
            continue;
        }
        counts.report(check(&transaction_id, payment.as_ref(), &legs, &names));
    }
    for bank in banks {
        counts.others += bank.others;
        let (before, counted) = (bank.said, bank.counted);
        let after = bank.client.said().await?;
        counts.report(check_sums(&bank.client.name, &before, &after, &counted));
    }
    counts.conclude()
}

/// The first name that any side has yet to tell of.
fn next_transaction(payments: &Payments, banks: &[Bank]) -> Option<String> {
    let heads = banks.iter().filter_map(Bank::upcoming).chain(payments.upcoming());
    heads.min().map(str::to_owned)
}

/// One snapshot by itself, and against the legs if nothing moved while they were read.
fn check_sums(bank: &str, before: &Said, after: &Said, counted: &Counted) -> Vec<Finding> {
    let mut findings = check_said(bank, after);
    if before == after {
        findings.extend(check_counted(bank, after, counted));
    } else {
        println!("bank {bank}: money moved meanwhile; sums were not held against legs");
    }
    findings
}

impl Counts {
    fn report(&mut self, findings: Vec<Finding>) {
        for finding in findings {
            self.findings += 1;
            println!("{finding}");
        }
    }

    fn conclude(self) -> Result<(), Failure> {
        let Self { transactions, recent, others, one_bank, findings } = self;
        println!(
            "{transactions} transactions: {one_bank} within one bank, held against its sums only; \
             {recent} too recent to tell; {others} legs of other gateways left out"
        );
        match findings {
            0 => Ok(()),
            findings => Err(Failure::new(format!(
                "{findings} findings; if payments were under way run it again, then look at the \
                 logs of the banks and the gateway for the names above"
            ))),
        }
    }
}
