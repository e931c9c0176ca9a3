//! Picks made again by the policy that made them.

use std::{fmt, io::BufRead};

use strife_policy::{InvalidTrace, Pick, PickTrace, replay};
use strife_runtime::Failure;

use super::file::Lines;
use crate::picks;

/// How many went where they went then.
#[derive(Debug, Default)]
pub(super) struct Same {
    same: u64,
    elsewhere: u64,
    /// The log has not enough of their pools.
    incomplete: u64,
    /// The first that went elsewhere.
    shown: Vec<String>,
}

impl Same {
    /// Of a whole log. `show`: how many of those that went elsewhere.
    pub(super) fn of<R: BufRead>(mut lines: Lines<R>, show: usize) -> Result<Self, Failure> {
        let mut found = Self::default();
        while let Some(trace) = lines.next()? {
            match replay(&trace) {
                Ok(again) if again == trace.pick => found.same += 1,
                Ok(again) => {
                    found.elsewhere += 1;
                    if found.shown.len() < show {
                        found.shown.push(difference(&trace, again));
                    }
                }
                Err(InvalidTrace::Incomplete { .. }) => found.incomplete += 1,
                Err(error) => return Err(lines.malformed(error)),
            }
        }
        Ok(found)
    }

    /// An error if any went elsewhere, or there was none.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.same + self.elsewhere + self.incomplete == 0 {
            return Err(Failure::usage("the file holds no pick"));
        }
        if self.elsewhere > 0 {
            return Err(Failure::new(format!(
                "{} picks went elsewhere; a few do when other threads sent calls in the same moment",
                self.elsewhere
            )));
        }
        Ok(())
    }
}

impl fmt::Display for Same {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.shown {
            writeln!(f, "{one}")?;
        }
        let Self { same, elsewhere, incomplete, .. } = self;
        writeln!(f, "picks made again:      {}", same + elsewhere)?;
        writeln!(f, "to the same server:    {same}")?;
        writeln!(f, "to another:            {elsewhere}")?;
        if *incomplete > 0 {
            writeln!(f, "not enough is known:   {incomplete}")?;
        }
        Ok(())
    }
}

fn difference(trace: &PickTrace, again: Option<Pick>) -> String {
    let now = PickTrace { pick: again, ..trace.clone() };
    format!("{}  made again: {}\n", picks::block(trace), picks::why(&now))
}
