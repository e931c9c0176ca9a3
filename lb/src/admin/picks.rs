//! `strife admin picks`: a balancer's picks as they are made, and why.

use std::io::{self, Write};

use clap::Args;
use strife_policy::PickTrace;
use strife_proto::lb::v1::{WatchPicksRequest, watched_pick::What};
use strife_runtime::Failure;

use super::Target;
use crate::picks;

/// Which picks, and how many.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  strife admin picks --plaintext                        one call in 100, until Ctrl-C
  strife admin picks --pool bank.icici --count 5        the next five of one pool
  strife admin picks --recent 20 --count 20             what the pools remember
  strife admin picks --every 1 --json > picks.jsonl     all it may have, for `strife replay`

The balancer writes down up to 100 picks a second, thread and pool for those who watch; a reader that
is too slow misses some, and is told how many.")]
pub(super) struct PicksArgs {
    /// Only this pool; all if not given.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// End after so many.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// One pick in so many, or more of them if others watch too.
    #[arg(long, value_name = "N", default_value_t = 100)]
    every: u64,
    /// First the last picks that each pool remembers, this many at most.
    #[arg(long, value_name = "N", default_value_t = 0)]
    recent: u32,
    /// Lines of JSON, as the pick log has them.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl PicksArgs {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let pool = self.pool.clone().unwrap_or_default();
        let request = WatchPicksRequest { pool, every: self.every, recent: self.recent };
        let failed = |status| self.target.failure(&status);
        let answer = self.target.client()?.watch_picks(request).await.map_err(failed)?;
        let mut picks = answer.into_inner();
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let Some(message) = picks.message().await.map_err(failed)? else { break };
            match message.what {
                Some(What::Trace(line)) => {
                    left -= 1;
                    if self.show(&line)?.is_err() {
                        // Whoever read this has had enough.
                        break;
                    }
                }
                Some(What::Missed(missed)) => eprintln!("{missed} picks were missed"),
                None => {}
            }
        }
        Ok(())
    }

    fn show(&self, line: &str) -> Result<io::Result<()>, Failure> {
        if self.json {
            return Ok(writeln!(io::stdout(), "{line}"));
        }
        let trace: PickTrace = serde_json::from_str(line).map_err(|error| {
            Failure::new(format!(
                "the balancer's picks cannot be read ({error}); use the `strife` it was started with"
            ))
        })?;
        Ok(writeln!(io::stdout(), "{}", picks::block(&trace)))
    }
}
