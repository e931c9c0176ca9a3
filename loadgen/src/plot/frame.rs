//! What surrounds the data of every figure: title, footer with what one must know to judge it, panels.

use plotters::prelude::DrawingBackend;

use super::{
    PlotError, WIDTH,
    canvas::{Align, Area, Canvas, Type},
    data::{Cell, Workload},
    evidence::evidence,
    numbers::{count, counted, list, quantity},
    style::{FOOTER, PAGE, SUBTITLE, TITLE},
};
use crate::results::{Machine, SummaryRow};

const MARGIN: f64 = 30.0;
/// Where the content begins.
const HEAD: f64 = 76.0;
const FOOTER_LINE: f64 = 14.0;

/// The words around a figure.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    title: String,
    subtitle: String,
    footer: Vec<String>,
    content: f64,
}

impl Frame {
    /// `content` is the height between head and footer, logical pixels.
    pub(crate) fn new(
        title: String,
        reading: &str,
        workload: &Workload,
        machine: &Machine,
        content: f64,
    ) -> Self {
        let setting = Cell::of(workload.first()).described();
        let subtitle = format!("{setting} · {reading}");
        let rows: Vec<&SummaryRow> = workload.trials().map(|trial| &trial.summary).collect();
        Self {
            title,
            subtitle,
            footer: wrap(&facts(&rows, machine, evidence([workload]))),
            content,
        }
    }

    /// For a figure that shows all of a sweep's cells rather than the main one.
    pub(crate) fn of_all_cells(
        title: String,
        reading: &str,
        workload: &Workload,
        machine: &Machine,
        content: f64,
    ) -> Self {
        let rows: Vec<&SummaryRow> = workload.cells.iter().flat_map(|(_, _, rows)| rows).collect();
        let footer = wrap(&facts(&rows, machine, evidence([workload])));
        Self { title, subtitle: reading.to_owned(), footer, content }
    }

    /// For a figure that sets workloads beside each other; the setting is the first one's.
    pub(crate) fn of_workloads(
        title: String,
        reading: &str,
        workloads: &[&Workload],
        machine: &Machine,
        content: f64,
    ) -> Self {
        let trials = workloads.iter().flat_map(|workload| workload.trials());
        let rows: Vec<&SummaryRow> = trials.map(|trial| &trial.summary).collect();
        let setting = workloads.first().map(|workload| Cell::of(workload.first()).described());
        let subtitle = format!("{} · {reading}", setting.unwrap_or_default());
        let footer = wrap(&facts(&rows, machine, evidence(workloads.iter().copied())));
        Self { title, subtitle, footer, content }
    }

    /// Around anything, with the facts that one must know to judge it.
    pub(crate) fn with_facts(title: String, reading: &str, facts: &[String], content: f64) -> Self {
        Self { title, subtitle: reading.to_owned(), footer: wrap(facts), content }
    }

    pub(crate) fn height(&self) -> f64 {
        (HEAD + self.content + 22.0 + self.footer.len() as f64 * FOOTER_LINE + 12.0).ceil()
    }

    /// Draws the frame and says where the content goes.
    pub(crate) fn draw<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
    ) -> Result<Area, PlotError> {
        let page = Area { left: 0.0, top: 0.0, right: WIDTH, bottom: self.height() };
        canvas.fill(page, PAGE)?;
        let width = WIDTH - 2.0 * MARGIN;
        let title = fit(&self.title, TITLE, width);
        canvas.text(&title, (MARGIN, 36.0), Align::Left, TITLE)?;
        let subtitle = fit(&self.subtitle, SUBTITLE, width);
        canvas.text(&subtitle, (MARGIN, 57.0), Align::Left, SUBTITLE)?;
        for (index, line) in self.footer.iter().enumerate() {
            let y = HEAD + self.content + 32.0 + index as f64 * FOOTER_LINE;
            canvas.text(line, (MARGIN, y), Align::Left, FOOTER)?;
        }
        let bottom = HEAD + self.content;
        Ok(Area { left: MARGIN, top: HEAD, right: WIDTH - MARGIN, bottom })
    }
}

/// What the footer says: rate, n, trials, seed, commit, machine, evidence, validity.
fn facts(rows: &[&SummaryRow], machine: &Machine, evidence: String) -> Vec<String> {
    let mut seeds: Vec<u64> = rows.iter().map(|row| row.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let seed = match seeds.as_slice() {
        [only] => format!("seed {only}"),
        [first, .., last] if seeds.len() > 4 => format!("seeds {first} … {last}"),
        _ => format!("seeds {}", list(&seeds.iter().map(u64::to_string).collect::<Vec<_>>())),
    };
    let sent: u64 = rows.iter().map(|row| row.sent).sum();
    let mut trials: Vec<u32> = rows.iter().map(|row| row.trial).collect();
    trials.sort_unstable();
    trials.dedup();
    vec![
        offered(rows),
        format!("n = {} calls", count(sent as f64)),
        format!("{} per policy", counted(trials.len(), "trial")),
        seed,
        commit(machine),
        described(machine),
        format!("evidence: {evidence}"),
        validity(rows),
    ]
}

/// Which program was measured.
pub(crate) fn commit(machine: &Machine) -> String {
    machine.commit.as_deref().map_or_else(
        || format!("strife {}", machine.strife_version),
        |commit| format!("commit {}", short(commit)),
    )
}

/// What it was measured on.
pub(crate) fn described(machine: &Machine) -> String {
    let Machine { cpu, cores, memory_gib, kernel, .. } = machine;
    let cores = counted(*cores, "core");
    format!("{cpu}, {cores}, {} GiB, {kernel}", quantity(*memory_gib))
}

/// The first ten characters, and what follows a dash: `0123456789-dirty`.
fn short(commit: &str) -> String {
    let (hash, rest) = commit.split_at(commit.find('-').unwrap_or(commit.len()));
    hash.chars().take(10).collect::<String>() + rest
}

fn offered(rows: &[&SummaryRow]) -> String {
    let rates = rows.iter().map(|row| row.offered_rps);
    let (low, high) = rates.fold((f64::MAX, 0.0_f64), |(low, high), r| (low.min(r), high.max(r)));
    if high == 0.0 {
        "closed loop".to_owned()
    } else if high - low <= 0.01 * high {
        format!("planned {} calls/s", quantity(high))
    } else {
        format!("planned {}–{} calls/s", quantity(low), quantity(high))
    }
}

fn validity(rows: &[&SummaryRow]) -> String {
    let invalid = rows.iter().filter(|row| !row.valid).count();
    let saturated = rows.iter().filter(|row| row.saturated).count();
    let of = counted(rows.len(), "run");
    match (invalid, saturated) {
        (0, 0) => format!("all {of} valid, none saturated"),
        (0, _) => format!("all {of} valid, {saturated} saturated"),
        _ => format!("{invalid} of {of} invalid, {saturated} saturated"),
    }
}

/// Puts as many facts on a line as fit.
fn wrap(facts: &[String]) -> Vec<String> {
    let width = WIDTH - 2.0 * MARGIN;
    let mut lines: Vec<String> = Vec::new();
    for fact in facts {
        let joined = lines.last().map(|line| format!("{line} · {fact}"));
        match joined.filter(|joined| FOOTER.width(joined) <= width) {
            Some(joined) => *lines.last_mut().expect("there is a line to join") = joined,
            None => lines.push(fit(fact, FOOTER, width)),
        }
    }
    lines
}

/// `text`, shortened until it fits.
pub(crate) fn fit(text: &str, face: Type, width: f64) -> String {
    let mut fitting = text.to_owned();
    let mut kept: Vec<char> = text.chars().collect();
    while face.width(&fitting) > width && kept.pop().is_some() {
        fitting = kept.iter().collect::<String>().trim_end().to_owned() + "…";
    }
    fitting
}

/// A file name for a chart of a workload.
pub(crate) fn stem(chart: &str, workload: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    format!("{chart}-{}", workload.chars().map(safe).collect::<String>())
}

/// `count` panels in rows of at most `columns`, each `height` tall.
pub(crate) fn panels(area: Area, count: usize, columns: usize, gap: f64) -> Vec<Area> {
    let columns = columns.min(count).max(1);
    let rows = count.div_ceil(columns);
    let width = (area.width() - gap * (columns - 1) as f64) / columns as f64;
    let height = (area.height() - gap * (rows.max(1) - 1) as f64) / rows.max(1) as f64;
    let panel = |index: usize| {
        let left = area.left + (index % columns) as f64 * (width + gap);
        let top = area.top + (index / columns) as f64 * (height + gap);
        Area { left, top, right: left + width, bottom: top + height }
    };
    (0..count).map(panel).collect()
}
