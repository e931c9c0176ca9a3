//! p99 and throughput against what the sweep varied: clients, servers or offered rate.
//!
//! What varied most is the horizontal axis. If more varied, every combination of the rest has a row
//! of panels of its own: runs of different cells are never pooled.

use plotters::prelude::DrawingBackend;

use super::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas, Point},
    data::{Cell, Workload},
    findings::Spread,
    frame::{Frame, panels, stem},
    marks::{marker, sample},
    numbers::{count, list, time},
    style::{INVALID, LABEL, Look, PAGE, SATURATED, TICK, Tone},
};
use crate::results::{Machine, SummaryRow};

/// At most so many rows of panels, the largest cells'; the report's table has the rest.
const MAX_ROWS: usize = 8;
const ROW: f64 = 302.0;
const LEGEND: f64 = 28.0;
const GAP: f64 = 30.0;

/// `scaling-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Scaling<'a> {
    workload: &'a Workload,
    frame: Frame,
    varied: &'static Varied,
    /// Whatever else varied; only named ones that did.
    others: Vec<&'static Varied>,
    /// Combinations of the others' values, one row of panels each.
    rows: Vec<Vec<u64>>,
}

/// Something that a plan may vary.
#[derive(Debug)]
struct Varied {
    name: &'static str,
    axis: &'static str,
    /// After a value, `128 clients`.
    unit: &'static str,
    of: fn(Cell) -> u64,
}

/// The earlier wins where two varied alike.
const VARIED: [Varied; 3] = [
    Varied {
        name: "clients",
        axis: "clients (log scale)",
        unit: "clients",
        of: |cell| u64::from(cell.clients),
    },
    Varied {
        name: "servers",
        axis: "servers (log scale)",
        unit: "servers",
        of: |cell| u64::from(cell.servers),
    },
    Varied {
        name: "planned rate",
        axis: "planned calls per second (log scale)",
        unit: "calls/s",
        of: |cell| cell.rate,
    },
];

/// What a panel shows of a run.
type Value = fn(&SummaryRow) -> Option<f64>;

impl<'a> Scaling<'a> {
    /// None if nothing was varied.
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Option<Self> {
        let cells = workload.all_cells();
        let values = |varied: &Varied| distinct(cells.iter().map(|cell| (varied.of)(*cell)));
        let positive = |varied: &Varied| values(varied).into_iter().filter(|it| *it > 0).count();
        let varied = VARIED.iter().rev().max_by_key(|varied| positive(varied))?;
        if positive(varied) < 2 {
            return None;
        }
        let others: Vec<&Varied> = VARIED
            .iter()
            .filter(|other| other.name != varied.name && values(other).len() > 1)
            .collect();
        let of = |cell: &Cell| others.iter().map(|other| (other.of)(*cell)).collect::<Vec<_>>();
        let mut rows = distinct(cells.iter().map(of));
        let left_out = rows.len().saturating_sub(MAX_ROWS);
        rows.drain(..left_out);
        let title = format!("{}: p99 and throughput against {}", workload.name, varied.name);
        let mut reading =
            "lines join medians, small marks are trials · ring: saturated or invalid runs"
                .to_owned();
        if left_out > 0 {
            reading += &format!(" · {left_out} smaller ones are in the table only");
        }
        let content = LEGEND + rows.len() as f64 * (ROW + GAP) - GAP;
        let frame = Frame::of_all_cells(title, &reading, workload, machine, content);
        Some(Self { workload, frame, varied, others, rows })
    }

    /// Whether a run belongs to a row of panels.
    fn is_in(&self, row: &[u64], run: &SummaryRow) -> bool {
        let cell = Cell::of(run);
        self.others.iter().zip(row).all(|(other, value)| (other.of)(cell) == *value)
            && (self.varied.of)(cell) > 0
    }

    /// `15 servers, 2,000 calls/s`; nothing where only one thing varied.
    fn described(&self, row: &[u64]) -> String {
        let value = |(other, value): (&&Varied, &u64)| match *value {
            0 => "closed loop".to_owned(),
            value => format!("{} {}", count(value as f64), other.unit),
        };
        self.others.iter().zip(row).map(value).collect::<Vec<_>>().join(", ")
    }

    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        row: &[u64],
        (title, value, log): (&str, Value, bool),
        panel: Area,
    ) -> Result<(), PlotError> {
        let runs = || self.workload.cells.iter().flat_map(|(_, _, runs)| runs);
        let values = runs().filter_map(value);
        let y =
            if log { Axis::log(values) } else { Axis::from_zero(values.fold(0.0, f64::max), 5.0) };
        let area = Area {
            left: panel.left + 44.0,
            top: panel.top + 26.0,
            right: panel.right - 10.0,
            bottom: panel.bottom - 40.0,
        };
        let at = distinct(runs().map(|run| (self.varied.of)(Cell::of(run))));
        let at: Vec<f64> = at.into_iter().filter(|at| *at > 0).map(|at| at as f64).collect();
        let plane = Plane { area, x: Axis::log_at(&at, area.width()), y };
        plane.draw_y(canvas, true)?;
        plane.draw_x(canvas, true)?;
        let title = match self.described(row) {
            which if which.is_empty() => title.to_owned(),
            which => format!("{which}: {title}"),
        };
        canvas.text(&title, (panel.left, panel.top + 12.0), Align::Left, TICK)?;
        let below = (f64::midpoint(area.left, area.right), area.bottom + 35.0);
        canvas.text(self.varied.axis, below, Align::Middle, TICK)?;
        self.workload.cells.iter().try_for_each(|(_, look, runs)| {
            let runs: Vec<&SummaryRow> = runs.iter().filter(|run| self.is_in(row, run)).collect();
            self.line(canvas, *look, &runs, value, &plane)
        })
    }

    fn line<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        look: Look,
        runs: &[&SummaryRow],
        value: Value,
        plane: &Plane,
    ) -> Result<(), PlotError> {
        let mut medians: Vec<(Point, Option<Tone>)> = Vec::new();
        for (x, runs) in self.steps(runs) {
            let Some(spread) = Spread::of(runs.iter().filter_map(|row| value(row))) else {
                continue;
            };
            for y in runs.iter().filter_map(|row| value(row)) {
                marker(canvas, look, look.tone.tint(), plane.at(x, y), 2.2)?;
            }
            let flag = if runs.iter().any(|row| !row.valid) {
                Some(INVALID)
            } else {
                runs.iter().any(|row| row.saturated).then_some(SATURATED)
            };
            medians.push((plane.at(x, spread.median), flag));
        }
        let points: Vec<Point> = medians.iter().map(|(point, _)| *point).collect();
        canvas.dashed(&points, look.dashes, look.tone, 2.4)?;
        for (point, flag) in medians {
            if let Some(tone) = flag {
                canvas.disc(point, 8.6, tone)?;
                canvas.disc(point, 6.4, PAGE)?;
            }
            marker(canvas, look, look.tone, point, 4.2)?;
        }
        Ok(())
    }

    /// Runs by what was varied, rising.
    fn steps<'r>(&self, runs: &[&'r SummaryRow]) -> Vec<(f64, Vec<&'r SummaryRow>)> {
        let at = |run: &SummaryRow| (self.varied.of)(Cell::of(run));
        let step = |value: u64| {
            (value as f64, runs.iter().copied().filter(|run| at(run) == value).collect())
        };
        distinct(runs.iter().map(|run| at(run))).into_iter().map(step).collect()
    }

    /// The row of panels that holds the main cell.
    fn main_row(&self) -> Vec<u64> {
        let main = Cell::of(self.workload.first());
        self.others.iter().map(|other| (other.of)(main)).collect()
    }
}

/// Sorted, each once.
fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

impl Figure for Scaling<'_> {
    fn name(&self) -> String {
        stem("scaling", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        let row = self.main_row();
        let growth = |(policy, _, runs): &(String, Look, Vec<SummaryRow>)| {
            let runs: Vec<&SummaryRow> = runs.iter().filter(|run| self.is_in(&row, run)).collect();
            let steps = self.steps(&runs);
            let p99 = |runs: &[&SummaryRow]| {
                let valid = runs.iter().filter(|run| run.valid);
                Spread::of(valid.filter_map(|run| Some(run.p99_us? as f64))).map(|s| s.median)
            };
            let (first, last) = (steps.first()?, steps.last()?);
            Some(format!(
                "{policy} from {} at {} to {} at {}",
                time(p99(&first.1)?),
                count(first.0),
                time(p99(&last.1)?),
                count(last.0)
            ))
        };
        let parts: Vec<String> = self.workload.cells.iter().filter_map(growth).collect();
        let which = match self.described(&row) {
            which if which.is_empty() => which,
            which => format!(", at {which}"),
        };
        if parts.is_empty() {
            return format!("No valid runs say how p99 grows with {}{which}.", self.varied.name);
        }
        format!("Median p99 against {}{which}: {}.", self.varied.name, list(&parts))
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let mut content = self.frame.draw(canvas)?;
        let mut left = content.left;
        for (policy, look, _) in &self.workload.cells {
            sample(canvas, *look, (left, content.top + 8.0))?;
            canvas.text(policy, (left + 34.0, content.top + 12.0), Align::Left, LABEL)?;
            left += 34.0 + LABEL.width(policy) + 26.0;
        }
        content.top += LEGEND;
        let areas = panels(content, 2 * self.rows.len(), 2, GAP);
        for (row, areas) in self.rows.iter().zip(areas.chunks(2)) {
            let p99: Value = |run| Some(run.p99_us? as f64 / 1e3);
            let achieved: Value = |run| Some(run.achieved_rps);
            self.panel(canvas, row, ("p99 (ms, log scale)", p99, true), areas[0])?;
            self.panel(canvas, row, ("calls answered per second", achieved, false), areas[1])?;
        }
        Ok(())
    }
}
