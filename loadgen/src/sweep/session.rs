//! A results directory while a sweep writes it: what is already there, what is added, what is kept.

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    path::PathBuf,
};

use strife_runtime::Failure;

use super::plan::Plan;
use crate::results::{
    EndpointRow, Machine, MemberRow, PhaseRow, QueueRow, ResultDir, ResultsError, RunKey, RunRow,
    ServerRow, SummaryRow, TimelineRow, WindowRow, read_rows, write_rows, write_whole,
};

/// Stands in the directory while a sweep writes to it.
const LOCK_FILE: &str = ".sweep.lock";

/// Everything measured so far, on disk and in memory alike.
pub(super) struct Session {
    dir: ResultDir,
    summary: Vec<SummaryRow>,
    servers: Vec<ServerRow>,
    endpoints: Vec<EndpointRow>,
    members: Vec<MemberRow>,
    timeline: Vec<TimelineRow>,
    phases: Vec<PhaseRow>,
    windows: Vec<WindowRow>,
    queue: Vec<QueueRow>,
    books: Vec<String>,
    /// Held while we write, so that a second sweep into the same place is refused.
    _lock: File,
}

/// What one run adds.
pub(super) struct Measured {
    pub(super) summary: SummaryRow,
    pub(super) servers: Vec<ServerRow>,
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) members: Vec<MemberRow>,
    pub(super) timeline: Vec<TimelineRow>,
    /// Empty unless a fault befell the fleet.
    pub(super) phases: Vec<PhaseRow>,
    /// Empty unless a fault befell the fleet.
    pub(super) windows: Vec<WindowRow>,
    /// `None` unless payments may wait.
    pub(super) queue: Option<QueueRow>,
    /// By kind (`response`, `service`, `send_lag`), HdrHistogram's percentile text.
    pub(super) histograms: Vec<(&'static str, String)>,
}

impl Session {
    /// Opens `dir` for `plan`: empty, or holding earlier runs of the very same plan.
    pub(super) fn open(dir: ResultDir, plan: &Plan, fresh: bool) -> Result<Self, Failure> {
        let text = plan.to_toml()?;
        let shown = dir.path().display().to_string();
        let lock = lock(&dir)?;
        let is_ours = dir.plan().exists();
        if fresh && is_ours {
            remove_results(&dir).map_err(|error| Failure::new(format!("{shown}: {error}")))?;
        }
        match fs::read_to_string(dir.plan()) {
            Ok(found) if found != text => {
                return Err(Failure::usage(format!(
                    "{shown} holds the results of another plan; choose another place with --out, or \
                     --fresh to measure anew in this one"
                )));
            }
            Ok(_) => {}
            Err(_) if !is_ours && !is_empty(&dir) => {
                return Err(Failure::usage(format!(
                    "{shown} is not empty and holds no plan.toml; choose an empty directory with --out"
                )));
            }
            Err(_) => write_whole(&dir.plan(), text.as_bytes()).map_err(unwritable)?,
        }
        let unreadable = |error: ResultsError| {
            Failure::usage(format!("{error}; mend the file, or measure anew with --fresh"))
        };
        let mut session = Self {
            summary: read_rows(&dir.summary()).map_err(unreadable)?,
            servers: read_rows(&dir.servers()).map_err(unreadable)?,
            endpoints: read_rows(&dir.endpoints()).map_err(unreadable)?,
            members: read_rows(&dir.members()).map_err(unreadable)?,
            timeline: read_rows(&dir.timeline()).map_err(unreadable)?,
            phases: read_rows(&dir.phases()).map_err(unreadable)?,
            windows: read_rows(&dir.windows()).map_err(unreadable)?,
            queue: read_rows(&dir.queue()).map_err(unreadable)?,
            books: Vec::new(),
            _lock: lock,
            dir,
        };
        session.keep_whole_runs();
        Ok(session)
    }

    /// `summary.csv` is written last, so a run is whole if it stands there; what an interrupted
    /// write left elsewhere is dropped.
    fn keep_whole_runs(&mut self) {
        let whole: HashSet<RunKey> = self.summary.iter().map(RunRow::key).collect();
        self.servers.retain(|row| whole.contains(&row.key()));
        self.endpoints.retain(|row| whole.contains(&row.key()));
        self.members.retain(|row| whole.contains(&row.key()));
        self.timeline.retain(|row| whole.contains(&row.key()));
        self.phases.retain(|row| whole.contains(&row.key()));
        self.windows.retain(|row| whole.contains(&row.key()));
        self.queue.retain(|row| whole.contains(&row.key()));
    }

    /// Whether a run is already measured.
    pub(super) fn has(&self, run: &RunKey) -> bool {
        self.summary.iter().any(|row| row.key() == *run)
    }

    pub(super) fn dir(&self) -> &ResultDir {
        &self.dir
    }

    pub(super) fn summary(&self) -> &[SummaryRow] {
        &self.summary
    }

    /// CPU time by process of all runs.
    pub(super) fn members(&self) -> &[MemberRow] {
        &self.members
    }

    /// What became of payments that waited, by run.
    pub(super) fn queue(&self) -> &[QueueRow] {
        &self.queue
    }

    /// What the counts of money said, a line per fleet.
    pub(super) fn books(&self) -> &[String] {
        &self.books
    }

    pub(super) fn add_books(&mut self, line: String) {
        self.books.push(line);
    }

    /// Where a fleet keeps its certificates, accounts, stores and logs while it runs.
    pub(super) fn fleet_dir(&self, index: usize) -> PathBuf {
        self.dir.path().join("fleet").join((index + 1).to_string())
    }

    /// Writes `machine.json`, once.
    pub(super) fn describe_machine(&self) -> Result<(), Failure> {
        let path = self.dir.machine();
        if path.exists() {
            return Ok(());
        }
        let machine: Machine = super::machine::describe(self.dir.path())
            .map_err(|error| Failure::new(format!("{}: {error}", self.dir.path().display())))?;
        let text = serde_json::to_vec_pretty(&machine)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        write_whole(&path, &text).map_err(unwritable)
    }

    /// Adds a run and writes everything; `summary.csv` last, so that it never names half a run.
    pub(super) fn add(&mut self, run: &RunKey, measured: Measured) -> Result<(), Failure> {
        for (kind, text) in &measured.histograms {
            write_whole(&self.dir.histogram(run, kind), text.as_bytes()).map_err(unwritable)?;
        }
        self.servers.extend(measured.servers);
        self.endpoints.extend(measured.endpoints);
        self.members.extend(measured.members);
        self.timeline.extend(measured.timeline);
        self.phases.extend(measured.phases);
        self.windows.extend(measured.windows);
        self.queue.extend(measured.queue);
        self.summary.push(measured.summary);
        write_rows(&self.dir.servers(), &self.servers).map_err(unwritable)?;
        write_rows(&self.dir.endpoints(), &self.endpoints).map_err(unwritable)?;
        write_rows(&self.dir.members(), &self.members).map_err(unwritable)?;
        write_rows(&self.dir.timeline(), &self.timeline).map_err(unwritable)?;
        if !self.phases.is_empty() {
            write_rows(&self.dir.phases(), &self.phases).map_err(unwritable)?;
            write_rows(&self.dir.windows(), &self.windows).map_err(unwritable)?;
        }
        if !self.queue.is_empty() {
            write_rows(&self.dir.queue(), &self.queue).map_err(unwritable)?;
        }
        write_rows(&self.dir.summary(), &self.summary).map_err(unwritable)
    }

    /// Removes the fleets' files. Kept after a failure, for their logs.
    pub(super) fn clean_up(&self) {
        // A leftover is only untidy.
        let _ = fs::remove_dir_all(self.dir.path().join("fleet"));
        let _ = fs::remove_file(self.dir.path().join(LOCK_FILE));
    }
}

fn unwritable(error: ResultsError) -> Failure {
    Failure::new(format!("{error}; choose a writable place with --out"))
}

/// Makes the directory and takes it for this process; the kernel lets go when the process ends.
fn lock(dir: &ResultDir) -> Result<File, Failure> {
    let shown = dir.path().display();
    let unwritable = |error: std::io::Error| {
        Failure::new(format!("{shown}: {error}; choose a writable place with --out"))
    };
    fs::create_dir_all(dir.path()).map_err(unwritable)?;
    let file = File::create(dir.path().join(LOCK_FILE)).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::new(format!(
            "another sweep is writing to {shown}; wait for it, or choose another place with --out"
        ))),
        Err(TryLockError::Error(error)) => Err(unwritable(error)),
    }
}

fn is_empty(dir: &ResultDir) -> bool {
    let entries = fs::read_dir(dir.path()).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name() != LOCK_FILE).count() == 0
}

/// Removes what a sweep writes, and nothing else: the directory may be anybody's.
fn remove_results(dir: &ResultDir) -> std::io::Result<()> {
    let files = [
        dir.plan(),
        dir.machine(),
        dir.summary(),
        dir.servers(),
        dir.endpoints(),
        dir.members(),
        dir.timeline(),
        dir.phases(),
        dir.windows(),
        dir.queue(),
        dir.report(),
    ];
    for file in files.iter().filter(|file| file.exists()) {
        fs::remove_file(file)?;
    }
    for part in [dir.histograms(), dir.charts(), dir.path().join("fleet")] {
        if part.exists() {
            fs::remove_dir_all(part)?;
        }
    }
    Ok(())
}
