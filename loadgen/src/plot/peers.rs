//! Charts and the report of `strife bench peers`, made from the files of its results directory alone.
//!
//! For plaintext and TLS and each message size there is a chart of CPU per call with the goals drawn
//! in, and one of latency at the common pace; and one chart of memory. A bar is the median of the
//! rounds, its whisker reaches from the lowest to the highest.

use std::path::PathBuf;

use super::{
    Drawn, PlotError, data,
    frame::{commit, described},
    numbers::counted,
    print, save,
    style::{Look, looks},
};
use crate::results::{
    Machine,
    peers::{
        GoalRow, PeerRunRow, PeerSummaryRow, PeersDir, ProxyRow,
        measure::{CPU, IDLE_MEMORY, MEMORY, PACED_P50, PACED_P99},
    },
    read_rows,
};
use bars::{Bar, Bars, Goal, Panel};

mod bars;
mod report;
#[cfg(test)]
mod tests;

/// The proxies in the order of charts and tables, as people write them.
const PROXIES: [(&str, &str); 5] = [
    ("strife", "Strife"),
    ("envoy", "Envoy"),
    ("haproxy", "HAProxy"),
    ("nginx", "nginx"),
    ("tcp_copy", "TCP copy"),
];
/// Ours.
const OURS: &str = "strife";

/// All of a results directory.
#[derive(Debug)]
struct Comparison {
    machine: Machine,
    plan: String,
    proxies: Vec<ProxyRow>,
    runs: Vec<PeerRunRow>,
    summary: Vec<PeerSummaryRow>,
    goals: Vec<GoalRow>,
}

/// Writes `charts/NAME.svg`, `charts/NAME.png` and `report.html` from the directory's other files.
pub fn draw(dir: &PeersDir) -> Result<Drawn, PlotError> {
    let comparison = Comparison::read(dir)?;
    let mut files: Vec<PathBuf> = Vec::new();
    let charts = comparison
        .figures()
        .iter()
        .map(|figure| print(figure, &dir.charts(), &mut files))
        .collect::<Result<Vec<_>, PlotError>>()?;
    let report = dir.report();
    save(&report, report::page(&comparison, &charts).as_bytes())?;
    Ok(Drawn { charts: files, report, headlines: comparison.headlines() })
}

impl Comparison {
    fn read(dir: &PeersDir) -> Result<Self, PlotError> {
        let runs: Vec<PeerRunRow> = read_rows(&dir.runs())?;
        if runs.is_empty() {
            return Err(PlotError::NoRuns { path: dir.path().into() });
        }
        Ok(Self {
            machine: data::machine(&dir.machine())?,
            plan: data::text(&dir.plan())?,
            proxies: read_rows(&dir.proxies())?,
            runs,
            summary: read_rows(&dir.summary())?,
            goals: read_rows(&dir.goals())?,
        })
    }

    /// How many goals are met, and which are not.
    fn headlines(&self) -> Vec<String> {
        let met = self.goals.iter().filter(|goal| goal.met).count();
        let mut lines = vec![format!("{met} of {} met", counted(self.goals.len(), "goal"))];
        let missed = self.goals.iter().filter(|goal| !goal.met);
        lines.extend(missed.map(|goal| format!("missed: {}", report::described(goal))));
        lines
    }

    fn figures(&self) -> Vec<Bars> {
        let mut kinds: Vec<(bool, u32)> =
            self.summary.iter().map(|row| (row.tls, row.message_bytes)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut figures = Vec::new();
        for &(tls, message_bytes) in &kinds {
            figures.extend(self.cpu(tls, message_bytes));
            figures.extend(self.latency(tls, message_bytes));
        }
        figures.extend(self.memory());
        figures
    }

    /// What one must know to judge a chart.
    fn facts(&self) -> Vec<String> {
        let versions = self.proxies.iter().filter(|row| !row.version.is_empty());
        let versions: Vec<String> = versions
            .filter(|row| row.proxy != "tcp_copy")
            .map(|row| format!("{} {}", shown(&row.proxy), row.version))
            .collect();
        let rounds = self.runs.iter().map(|row| row.round).max().unwrap_or(0);
        let invalid = self.runs.iter().filter(|row| !row.valid).count();
        vec![
            versions.join(", "),
            counted(rounds as usize, "interleaved round"),
            "each proxy on a core of its own, one thread".to_owned(),
            commit(&self.machine),
            described(&self.machine),
            "evidence: overhead, CPU from /proc".to_owned(),
            format!("{}, {invalid} invalid", counted(self.runs.len(), "run")),
        ]
    }

    /// The cells of a measure in order of size.
    fn cells(&self, measures: &[&str], tls: bool, message_bytes: u32) -> Vec<(u32, u32)> {
        let rows = self.summary.iter().filter(|row| {
            measures.contains(&row.measure.as_str())
                && (row.tls, row.message_bytes) == (tls, message_bytes)
        });
        let mut cells: Vec<_> = rows.map(|row| (row.connections, row.streams)).collect();
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// A panel of one measure in one cell.
    fn panel(&self, measure: &str, tls: bool, message_bytes: u32, cell: (u32, u32)) -> Panel {
        let is_here = |row: &&PeerSummaryRow| {
            row.measure == measure
                && (row.tls, row.message_bytes) == (tls, message_bytes)
                && (row.connections, row.streams) == cell
        };
        let rows: Vec<&PeerSummaryRow> = self.summary.iter().filter(is_here).collect();
        let looks = proxy_looks();
        let bars = PROXIES.iter().zip(looks).filter_map(|((name, shown), look)| {
            let row = rows.iter().find(|row| row.proxy == *name)?;
            let (median, low, high) = (row.median, row.min, row.max);
            Some(Bar { name: (*shown).to_owned(), look, median, low, high })
        });
        let is_here = |goal: &&GoalRow| {
            goal.measure == measure
                && (goal.tls, goal.message_bytes) == (tls, message_bytes)
                && (goal.connections, goal.streams) == cell
        };
        let goals = self.goals.iter().filter(is_here).filter_map(|goal| {
            let row = rows.iter().find(|row| row.proxy == goal.against);
            let value = if goal.against.is_empty() { goal.limit } else { row?.median * goal.limit };
            let name = match goal.against.as_str() {
                "" => format!("{}", goal.limit),
                against => format!("{} × {}", goal.limit, shown(against)),
            };
            Some(Goal { value, name })
        });
        Panel { title: String::new(), bars: bars.collect(), goals: goals.collect() }
    }

    fn cpu(&self, tls: bool, message_bytes: u32) -> Option<Bars> {
        let cells = self.cells(&[CPU], tls, message_bytes);
        let panels: Vec<Panel> = cells
            .iter()
            .map(|&cell| Panel {
                title: cell_name(cell),
                ..self.panel(CPU, tls, message_bytes, cell)
            })
            .collect();
        let what = kind(tls, message_bytes);
        (!panels.is_empty()).then(|| Bars {
            name: stem("cpu", tls, message_bytes),
            title: format!("CPU per call, {what}"),
            reading:
                "closed loop · bars are medians, whiskers lowest to highest · dashed: the goals"
                    .to_owned(),
            unit: "µs of CPU per call",
            log: false,
            finding: self.finding(CPU, tls, message_bytes),
            facts: self.facts(),
            panels,
        })
    }

    fn latency(&self, tls: bool, message_bytes: u32) -> Option<Bars> {
        let cells = self.cells(&[PACED_P50, PACED_P99], tls, message_bytes);
        let mut panels = Vec::new();
        for &cell in &cells {
            for (measure, name) in [(PACED_P50, "p50"), (PACED_P99, "p99")] {
                let title = format!("{name}, {}", self.pace(tls, message_bytes, cell));
                panels.push(Panel { title, ..self.panel(measure, tls, message_bytes, cell) });
            }
        }
        let what = kind(tls, message_bytes);
        (!panels.is_empty()).then(|| Bars {
            name: stem("latency", tls, message_bytes),
            title: format!("Latency at half of what the best peer carries, {what}"),
            reading:
                "open loop, from when a call was due · medians, whiskers lowest to highest · dashed: the goal"
                    .to_owned(),
            unit: "µs, logarithmic",
            log: true,
            finding: self.finding(PACED_P99, tls, message_bytes),
            facts: self.facts(),
            panels,
        })
    }

    /// `16×8, 40,000 calls/s`.
    fn pace(&self, tls: bool, message_bytes: u32, cell: (u32, u32)) -> String {
        let run = self.runs.iter().find(|row| {
            row.offered_per_s > 0.0
                && (row.tls, row.message_bytes) == (tls, message_bytes)
                && (row.connections, row.streams) == cell
        });
        let rate = run.map_or(0.0, |row| row.offered_per_s);
        format!("{}, {} calls/s", cell_name(cell), super::numbers::count(rate))
    }

    /// Idle connections, and those of the largest cell of the smallest messages.
    fn memory(&self) -> Option<Bars> {
        let mut panels = Vec::new();
        for tls in [false, true] {
            for (measure, what) in [(IDLE_MEMORY, "idle"), (MEMORY, "under load")] {
                let of_measure =
                    self.summary.iter().filter(|row| row.measure == measure && row.tls == tls);
                let Some(message_bytes) = of_measure.map(|row| row.message_bytes).min() else {
                    continue;
                };
                let Some(&cell) = self.cells(&[measure], tls, message_bytes).last() else {
                    continue;
                };
                let panel = self.panel(measure, tls, message_bytes, cell);
                let side = if tls { "TLS" } else { "plaintext" };
                let title = format!("{what}, {}, {side}", cell_name(cell));
                panels.push(Panel { title, ..panel });
            }
        }
        (!panels.is_empty()).then(|| Bars {
            name: "memory".to_owned(),
            title: "Memory per connection".to_owned(),
            reading: "what the proxy's processes grew by, over the clients' connections · dashed: the goals"
                .to_owned(),
            unit: "KiB per connection",
            log: false,
            finding: self.finding(IDLE_MEMORY, false, 0),
            facts: self.facts(),
            panels,
        })
    }

    /// What a chart says of ours, cell by cell. Idle connections have no message size.
    fn finding(&self, measure: &str, tls: bool, message_bytes: u32) -> String {
        let rows = self.summary.iter().filter(|row| {
            row.measure == measure
                && row.proxy == OURS
                && row.tls == tls
                && (row.message_bytes == message_bytes || measure == IDLE_MEMORY)
        });
        let mut rows: Vec<&PeerSummaryRow> = rows.collect();
        rows.sort_by_key(|row| (row.connections, row.streams));
        let said: Vec<String> = rows.into_iter().map(report::standing).collect();
        if said.is_empty() { String::new() } else { said.join("; ") + "." }
    }
}

/// A proxy's name as people write it.
fn shown(proxy: &str) -> &str {
    PROXIES.iter().find(|(name, _)| *name == proxy).map_or(proxy, |(_, shown)| shown)
}

/// In the order of [`PROXIES`].
fn proxy_looks() -> Vec<Look> {
    let looks = looks(PROXIES.iter().map(|(name, _)| *name));
    PROXIES.iter().map(|(name, _)| looks[*name]).collect()
}

fn cell_name((connections, streams): (u32, u32)) -> String {
    format!("{connections}×{streams}")
}

/// `plaintext, 100 B`.
fn kind(tls: bool, message_bytes: u32) -> String {
    let side = if tls { "TLS" } else { "plaintext" };
    format!("{side}, {}", size(message_bytes))
}

fn size(bytes: u32) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

fn stem(chart: &str, tls: bool, message_bytes: u32) -> String {
    let side = if tls { "tls" } else { "plaintext" };
    format!("{chart}-{side}-{message_bytes}")
}
