//! Due against achieved calls per second, and the share of calls that failed, by policy.

use plotters::prelude::DrawingBackend;

use super::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas},
    data::{PolicyRuns, Workload},
    findings::{Spread, due_rps, error_share, on_throughput, standings},
    frame::{Frame, fit, stem},
    marks::{draw_stamps, sample, stamps},
    numbers::{percent, quantity},
    style::{INK, LABEL, PAGE, TARGET, TEXT, TICK},
};
use crate::results::{Machine, SummaryRow};

const NAMES: f64 = 150.0;
const GAP: f64 = 64.0;
/// Of the room beside the names, for the left of the two panels.
const LEFT_SHARE: f64 = 0.6;

/// `throughput-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Throughput<'a> {
    workload: &'a Workload,
    frame: Frame,
    row_height: f64,
}

impl<'a> Throughput<'a> {
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Self {
        let stamped = workload.policies.iter().any(|runs| !stamps(runs).is_empty());
        let row_height = if stamped { 58.0 } else { 46.0 };
        let content = 30.0 + workload.policies.len() as f64 * row_height + 38.0;
        let title = format!("{}: throughput due and achieved, and errors", workload.name);
        let reading = "bars are medians, dots the trials · the upright mark is what was due";
        let frame = Frame::new(title, reading, workload, machine, content);
        Self { workload, frame, row_height }
    }

    /// A panel of one bar per policy.
    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        panel: &Panel,
        area: Area,
    ) -> Result<(), PlotError> {
        let rows = self.workload.trials().map(|trial| &trial.summary);
        let highest = rows.map(|row| (panel.value)(row).max((panel.target)(row).unwrap_or(0.0)));
        let highest = highest.fold(panel.least, f64::max) * panel.unit;
        let plane = Plane { area, x: Axis::from_zero(highest, 4.0), y: Axis::from_zero(1.0, 1.0) };
        plane.draw_x(canvas, true)?;
        canvas.text(panel.title, (area.left, area.top - 9.0), Align::Left, TEXT)?;
        let below = (f64::midpoint(area.left, area.right), area.bottom + 33.0);
        canvas.text(panel.axis, below, Align::Middle, TICK)?;
        for (index, runs) in self.workload.policies.iter().enumerate() {
            let middle = area.top + (index as f64 + 0.5) * self.row_height;
            self.bar(canvas, panel, runs, middle, &plane)?;
        }
        Ok(())
    }

    fn bar<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        panel: &Panel,
        runs: &PolicyRuns,
        middle: f64,
        plane: &Plane,
    ) -> Result<(), PlotError> {
        let rows = || runs.trials.iter().map(|trial| &trial.summary);
        let x = |value: f64| plane.at(value * panel.unit, 0.0).0;
        let counted = || runs.counted().map(|trial| &trial.summary);
        let Some(spread) = Spread::of(counted().map(panel.value)) else { return Ok(()) };
        let (top, bottom) = (middle - 10.0, middle + 10.0);
        let bar = Area { left: plane.area.left, top, right: x(spread.median), bottom };
        canvas.fill(bar, runs.look.tone)?;
        let label = (panel.label)(&spread);
        let width = TEXT.width(&label);
        let mut end = x(spread.high);
        if let Some(target) = Spread::of(counted().filter_map(panel.target)) {
            let mark = x(target.median);
            canvas.path(&[(mark, top - 5.0), (mark, bottom + 5.0)], TARGET, 2.2)?;
            // Beside the bar if the label fits before the mark, else behind both.
            if end + width + 18.0 > mark {
                end = end.max(mark);
            }
        }
        for value in rows().map(panel.value).filter(|value| *value > 0.0) {
            canvas.disc((x(value), middle), 3.2, PAGE)?;
            canvas.disc((x(value), middle), 2.2, INK)?;
        }
        let room = plane.area.right + GAP - 16.0;
        let left = (end + 8.0).min(room - width);
        canvas.text(&label, (left, middle + 3.9), Align::Left, TEXT)
    }

    fn names<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        area: Area,
    ) -> Result<(), PlotError> {
        for (index, runs) in self.workload.policies.iter().enumerate() {
            let middle = area.top + (index as f64 + 0.5) * self.row_height;
            let raised = if stamps(runs).is_empty() { 0.0 } else { 9.0 };
            sample(canvas, runs.look, (area.left, middle - raised))?;
            let name = fit(&runs.policy, LABEL, NAMES - 40.0);
            let at = (area.left + 34.0, middle + 4.0 - raised);
            canvas.text(&name, at, Align::Left, LABEL)?;
            draw_stamps(canvas, runs, (area.left, middle + 16.0))?;
        }
        Ok(())
    }
}

/// What one of the two panels shows.
struct Panel {
    title: &'static str,
    axis: &'static str,
    value: fn(&SummaryRow) -> f64,
    target: fn(&SummaryRow) -> Option<f64>,
    label: fn(&Spread) -> String,
    /// The axis reaches at least this far.
    least: f64,
    /// What the axis counts, per unit of the value.
    unit: f64,
}

const ACHIEVED: Panel = Panel {
    title: "achieved",
    axis: "calls answered per second",
    value: |row| row.achieved_rps,
    target: due_rps,
    label: |spread| format!("{}/s", quantity(spread.median)),
    least: 1.0,
    unit: 1.0,
};

const ERRORS: Panel = Panel {
    title: "failed calls",
    axis: "share of calls due (%)",
    value: error_share,
    target: |_| None,
    label: |spread| percent(spread.median),
    least: 0.01,
    unit: 100.0,
};

impl Figure for Throughput<'_> {
    fn name(&self) -> String {
        stem("throughput", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        let rows: Vec<_> =
            self.workload.policies.iter().map(|r| (r.policy.as_str(), r.summaries())).collect();
        on_throughput(&standings(&rows))
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let content = self.frame.draw(canvas)?;
        let area = Area { top: content.top + 30.0, bottom: content.bottom - 38.0, ..content };
        self.names(canvas, area)?;
        let left = area.left + NAMES;
        let middle = left + (area.right - left - 2.0 * GAP) * LEFT_SHARE;
        self.panel(canvas, &ACHIEVED, Area { left, right: middle, ..area })?;
        let rest = Area { left: middle + GAP, right: area.right - GAP + 24.0, ..area };
        self.panel(canvas, &ERRORS, rest)
    }
}
