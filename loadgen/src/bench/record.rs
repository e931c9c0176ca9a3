//! The results directory of a comparison while it is written.

use std::{fs, path::Path};

use strife_runtime::Failure;

use super::{judge, plan::Plan};
use crate::{
    results::{
        Machine, ResultsError,
        peers::{GoalRow, PeerRunRow, PeerSummaryRow, PeersDir, ProxyRow},
        write_rows, write_whole,
    },
    sweep::machine,
};

/// What was measured so far, on disk and in memory alike.
pub(super) struct Record {
    pub(super) dir: PeersDir,
    pub(super) runs: Vec<PeerRunRow>,
    pub(super) proxies: Vec<ProxyRow>,
}

impl Record {
    /// Takes a directory: a new one, or one of an earlier comparison, which is replaced.
    pub(super) fn open(
        dir: PeersDir,
        plan: &Plan,
        proxies: Vec<ProxyRow>,
    ) -> Result<Self, Failure> {
        let shown = dir.path().display().to_string();
        let unwritable = |error: std::io::Error| {
            Failure::new(format!("{shown}: {error}; choose a writable place with --out"))
        };
        if !is_empty(dir.path()) && !is_ours(&dir) {
            return Err(Failure::usage(format!(
                "{shown} holds something else than the results of `strife bench peers`; choose an empty \
                 directory with --out"
            )));
        }
        fs::create_dir_all(dir.path()).map_err(unwritable)?;
        remove_results(&dir).map_err(unwritable)?;
        let machine: Machine = machine::describe(dir.path()).map_err(unwritable)?;
        let malformed = |error: &dyn std::fmt::Display| Failure::new(error.to_string());
        let plan = toml::to_string(plan).map_err(|error| malformed(&error))?;
        let machine = serde_json::to_vec_pretty(&machine).map_err(|error| malformed(&error))?;
        write_whole(&dir.plan(), plan.as_bytes()).map_err(failure)?;
        write_whole(&dir.machine(), &machine).map_err(failure)?;
        write_rows(&dir.proxies(), &proxies).map_err(failure)?;
        Ok(Self { dir, runs: Vec::new(), proxies })
    }

    /// Adds a run.
    pub(super) fn add(&mut self, row: PeerRunRow) -> Result<(), Failure> {
        self.runs.push(row);
        write_rows(&self.dir.runs(), &self.runs).map_err(failure)
    }

    /// A proxy is not measured any more.
    pub(super) fn give_up(&mut self, proxy: &str, why: &str) -> Result<(), Failure> {
        let row = self.proxies.iter_mut().find(|row| row.proxy == proxy);
        if let Some(row) = row {
            row.status = format!("not measured: {why}");
        }
        write_rows(&self.dir.proxies(), &self.proxies).map_err(failure)
    }

    /// Writes what the runs come to.
    pub(super) fn conclude(&self) -> Result<(Vec<PeerSummaryRow>, Vec<GoalRow>), Failure> {
        let summary = judge::summary(&self.runs);
        let goals = judge::goals(&summary);
        write_rows(&self.dir.summary(), &summary).map_err(failure)?;
        write_rows(&self.dir.goals(), &goals).map_err(failure)?;
        Ok((summary, goals))
    }
}

fn failure(error: ResultsError) -> Failure {
    Failure::new(format!("{error}; choose a writable place with --out"))
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

fn is_ours(dir: &PeersDir) -> bool {
    let text = fs::read_to_string(dir.plan()).unwrap_or_default();
    toml::from_str::<Plan>(&text).is_ok()
}

/// Removes what a comparison writes, and nothing else.
fn remove_results(dir: &PeersDir) -> std::io::Result<()> {
    let files = [dir.runs(), dir.summary(), dir.goals(), dir.report()];
    for file in files.iter().filter(|file| file.exists()) {
        fs::remove_file(file)?;
    }
    if dir.charts().exists() {
        fs::remove_dir_all(dir.charts())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_results_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let plan = Plan::quick(1);
        let open = || Record::open(PeersDir::new(dir.path()), &plan, Vec::new());
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(open().is_err(), "somebody else's directory");
        fs::remove_file(dir.path().join("thesis.txt")).unwrap();
        drop(open().unwrap());
        fs::write(dir.path().join("runs.csv"), "old").unwrap();
        fs::write(dir.path().join("notes.txt"), "kept").unwrap();
        drop(open().unwrap());
        assert!(!dir.path().join("runs.csv").exists() && dir.path().join("notes.txt").exists());
    }
}
