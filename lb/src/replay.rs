//! `strife replay`: recorded picks made again, by the same policy to see that nothing else decided,
//! or by another to see what it would have done.

mod file;
mod same;
mod what_if;

use std::{
    fs::File,
    io::{self, BufReader, Read},
};

use clap::Args;
use strife_policy::by_spec;
use strife_runtime::Failure;

use self::{file::Lines, same::Same, what_if::WhatIf};

/// Make recorded picks again, by the same policy or another
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife replay picks.jsonl                        is it the same code that decided?
  strife replay picks.jsonl --policy round_robin   what would another policy have done?
  strife admin picks --every 1 --count 1000 --json --plaintext | strife replay -

A pick log comes from `strife lb --pick-log FILE` or `strife admin picks --json`.

Exit codes: 0 every pick went where it went then, 1 some went elsewhere, 2 the file cannot be read.")]
pub struct ReplayArgs {
    /// A pick log; `-` is standard input.
    file: String,
    /// Ask what this policy, with its parameters, would have done with what was known.
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Picks shown that went elsewhere.
    #[arg(long, value_name = "N", default_value_t = 10)]
    show: usize,
}

/// `strife replay`.
pub fn run_replay(args: ReplayArgs) -> Result<(), Failure> {
    if let Some(spec) = &args.policy {
        by_spec(spec).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let lines = Lines::new(&args.file, BufReader::new(open(&args.file)?));
    match &args.policy {
        None => {
            let same = Same::of(lines, args.show)?;
            print!("{same}");
            same.verdict()
        }
        Some(spec) => {
            print!("{}", WhatIf::of(lines, spec)?);
            Ok(())
        }
    }
}

fn open(path: &str) -> Result<Box<dyn Read>, Failure> {
    if path == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).map_err(|error| {
        Failure::usage(format!(
            "cannot read {path} ({error}); name a pick log, as `strife lb --pick-log FILE` writes it"
        ))
    })?;
    Ok(Box::new(file))
}

#[cfg(test)]
mod tests;
