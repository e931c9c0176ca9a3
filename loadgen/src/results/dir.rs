//! Where the files of a sweep stand.

use std::path::{Path, PathBuf};

use super::RunKey;

/// Where the files of a sweep stand.
#[derive(Debug, Clone)]
pub struct ResultDir(PathBuf);

impl ResultDir {
    /// The directory `path`, existing or not.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `plan.toml`: complete enough to run the sweep again.
    pub fn plan(&self) -> PathBuf {
        self.0.join("plan.toml")
    }

    /// `machine.json`.
    pub fn machine(&self) -> PathBuf {
        self.0.join("machine.json")
    }

    /// `summary.csv`, rows of [`super::SummaryRow`].
    pub fn summary(&self) -> PathBuf {
        self.0.join("summary.csv")
    }

    /// `servers.csv`, rows of [`super::ServerRow`].
    pub fn servers(&self) -> PathBuf {
        self.0.join("servers.csv")
    }

    /// `endpoints.csv`, rows of [`super::EndpointRow`].
    pub fn endpoints(&self) -> PathBuf {
        self.0.join("endpoints.csv")
    }

    /// `members.csv`, rows of [`super::MemberRow`].
    pub fn members(&self) -> PathBuf {
        self.0.join("members.csv")
    }

    /// `timeline.csv`, rows of [`super::TimelineRow`].
    pub fn timeline(&self) -> PathBuf {
        self.0.join("timeline.csv")
    }

    /// `phases.csv`, rows of [`super::PhaseRow`]; only where a plan has faults.
    pub fn phases(&self) -> PathBuf {
        self.0.join("phases.csv")
    }

    /// `windows.csv`, rows of [`super::WindowRow`]; only where a plan has faults.
    pub fn windows(&self) -> PathBuf {
        self.0.join("windows.csv")
    }

    /// `queue.csv`, rows of [`super::QueueRow`]; only where payments may wait.
    pub fn queue(&self) -> PathBuf {
        self.0.join("queue.csv")
    }

    /// `histograms/`, HdrHistogram's percentile text, `.hgrm`.
    pub fn histograms(&self) -> PathBuf {
        self.0.join("histograms")
    }

    /// The histogram of one kind (`response`, `service`, `send_lag`) of one run.
    pub fn histogram(&self, run: &RunKey, kind: &str) -> PathBuf {
        self.histograms().join(format!("{}.{kind}.hgrm", run.stem()))
    }

    /// `charts/`, each chart as SVG and PNG.
    pub fn charts(&self) -> PathBuf {
        self.0.join("charts")
    }

    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.0.join("report.html")
    }
}
