//! p99 and throughput against what the sweep varied: clients, offered rate or servers.

use plotters::prelude::DrawingBackend;

use super::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas, Point},
    data::Workload,
    findings::Spread,
    frame::{Frame, panels, stem},
    marks::{marker, sample},
    numbers::{list, quantity, time},
    style::{INVALID, LABEL, Look, PAGE, SATURATED, TICK, Tone},
};
use crate::results::{Machine, SummaryRow};

/// `scaling-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Scaling<'a> {
    workload: &'a Workload,
    frame: Frame,
    varied: &'static Varied,
}

/// Something that a plan may vary.
#[derive(Debug)]
struct Varied {
    name: &'static str,
    axis: &'static str,
    of: fn(&SummaryRow) -> f64,
}

/// In the order in which they are looked for.
const VARIED: [Varied; 3] = [
    Varied { name: "clients", axis: "clients (log scale)", of: |row| f64::from(row.clients) },
    Varied { name: "servers", axis: "servers (log scale)", of: |row| f64::from(row.servers) },
    Varied {
        name: "offered rate",
        axis: "offered calls per second (log scale)",
        of: |row| row.offered_rps,
    },
];
/// Rates closer together than this are one rate.
const SAME: f64 = 1.05;

impl<'a> Scaling<'a> {
    /// None if nothing was varied within a policy.
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Option<Self> {
        let rows = || workload.cells.iter().map(|(_, _, rows)| rows.as_slice());
        let varies = |varied: &&Varied| rows().any(|rows| steps(rows, varied).len() > 1);
        let varied = VARIED.iter().find(varies)?;
        let title = format!("{}: p99 and throughput against {}", workload.name, varied.name);
        let reading =
            "lines join medians, small marks are trials · ring: saturated or invalid runs";
        let frame = Frame::of_all_cells(title, reading, workload, machine, 330.0);
        Some(Self { workload, frame, varied })
    }

    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        title: &str,
        value: fn(&SummaryRow) -> Option<f64>,
        log: bool,
        panel: Area,
    ) -> Result<(), PlotError> {
        let rows = || self.workload.cells.iter().flat_map(|(_, _, rows)| rows);
        let values = rows().filter_map(value);
        let y =
            if log { Axis::log(values) } else { Axis::from_zero(values.fold(0.0, f64::max), 5.0) };
        let area = Area {
            left: panel.left + 44.0,
            top: panel.top + 26.0,
            right: panel.right - 10.0,
            bottom: panel.bottom - 40.0,
        };
        let all: Vec<SummaryRow> = rows().cloned().collect();
        let at: Vec<f64> = steps(&all, self.varied).into_iter().map(|(x, _)| x).collect();
        let plane = Plane { area, x: Axis::log_at(&at, area.width()), y };
        plane.draw_y(canvas, true)?;
        plane.draw_x(canvas, true)?;
        canvas.text(title, (panel.left, panel.top + 12.0), Align::Left, TICK)?;
        let below = (f64::midpoint(area.left, area.right), area.bottom + 35.0);
        canvas.text(self.varied.axis, below, Align::Middle, TICK)?;
        self.workload
            .cells
            .iter()
            .try_for_each(|(_, look, rows)| self.line(canvas, *look, rows, value, &plane))
    }

    fn line<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        look: Look,
        rows: &[SummaryRow],
        value: fn(&SummaryRow) -> Option<f64>,
        plane: &Plane,
    ) -> Result<(), PlotError> {
        let mut medians: Vec<(Point, Option<Tone>)> = Vec::new();
        for (x, rows) in steps(rows, self.varied) {
            let Some(spread) = Spread::of(rows.iter().filter_map(|row| value(row))) else {
                continue;
            };
            for y in rows.iter().filter_map(|row| value(row)) {
                marker(canvas, look, look.tone.tint(), plane.at(x, y), 2.2)?;
            }
            let flag = if rows.iter().any(|row| !row.valid) {
                Some(INVALID)
            } else {
                rows.iter().any(|row| row.saturated).then_some(SATURATED)
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
}

/// Rows by what was varied, rising; the value of a step is its first row's.
fn steps<'r>(rows: &'r [SummaryRow], varied: &Varied) -> Vec<(f64, Vec<&'r SummaryRow>)> {
    let mut sorted: Vec<&SummaryRow> = rows.iter().filter(|row| (varied.of)(row) > 0.0).collect();
    sorted.sort_by(|one, other| (varied.of)(one).total_cmp(&(varied.of)(other)));
    let mut steps: Vec<(f64, Vec<&SummaryRow>)> = Vec::new();
    for row in sorted {
        let value = (varied.of)(row);
        match steps.last_mut() {
            Some((first, rows)) if value <= *first * SAME => rows.push(row),
            _ => steps.push((value, vec![row])),
        }
    }
    steps
}

impl Figure for Scaling<'_> {
    fn name(&self) -> String {
        stem("scaling", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        let growth = |(policy, _, rows): &(String, Look, Vec<SummaryRow>)| {
            let steps = steps(rows, self.varied);
            let p99 = |rows: &[&SummaryRow]| {
                let valid = rows.iter().filter(|row| row.valid);
                Spread::of(valid.filter_map(|row| Some(row.p99_us? as f64))).map(|s| s.median)
            };
            let (first, last) = (steps.first()?, steps.last()?);
            Some(format!(
                "{policy} from {} at {} to {} at {}",
                time(p99(&first.1)?),
                quantity(first.0),
                time(p99(&last.1)?),
                quantity(last.0)
            ))
        };
        let parts: Vec<String> = self.workload.cells.iter().filter_map(growth).collect();
        format!("Median p99 against {}: {}.", self.varied.name, list(&parts))
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let mut content = self.frame.draw(canvas)?;
        let mut left = content.left;
        for (policy, look, _) in &self.workload.cells {
            sample(canvas, *look, (left, content.top + 8.0))?;
            canvas.text(policy, (left + 34.0, content.top + 12.0), Align::Left, LABEL)?;
            left += 34.0 + LABEL.width(policy) + 26.0;
        }
        content.top += 28.0;
        let areas = panels(content, 2, 2, 30.0);
        let p99: fn(&SummaryRow) -> Option<f64> = |row| Some(row.p99_us? as f64 / 1e3);
        self.panel(canvas, "p99 response time (ms, log scale)", p99, true, areas[0])?;
        self.panel(canvas, "calls answered per second", |r| Some(r.achieved_rps), false, areas[1])
    }
}
