//! One fault: p99 (p50 where calls are too few) over time, a panel per policy, the fault's span shaded, failed calls in red, queued ones in amber.

use plotters::prelude::DrawingBackend;

use super::{
    super::{
        Figure, PlotError,
        axis::{Axis, Plane},
        canvas::{Align, Area, Canvas, Point},
        data::{PolicyRuns, Trial, Workload},
        frame::{Frame, panels, stem},
        marks::{heading, heading_height},
        style::{INVALID, QUEUED, SPAN, TARGET, TICK},
    },
    standing::{FaultStanding, span, standings},
    wording,
};
use crate::results::{Machine, WindowRow};

const COLUMNS: usize = 3;
const GAP: f64 = 26.0;
/// Lines of text above a panel.
const LINES: usize = 3;
/// Height of a panel's data area, and of what stands below it.
const DATA: f64 = 132.0;
const BELOW: f64 = 36.0;
/// This part of a panel's height is as much as all calls failing, or being queued.
const ERRORS: f64 = 0.4;

/// Of a window, microseconds.
type Percentile = fn(&WindowRow) -> Option<u64>;

/// `fault-WORKLOAD-FAULT`.
#[derive(Debug)]
pub(crate) struct Course<'a> {
    workload: &'a Workload,
    standings: Vec<FaultStanding<'a>>,
    span: (f64, f64),
    /// What is drawn over time, and its name.
    line: (Percentile, &'static str),
    frame: Frame,
}

impl<'a> Course<'a> {
    /// None unless a fault befell the workload.
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Option<Self> {
        let span = span(workload)?;
        let rows = workload.policies.len().div_ceil(COLUMNS) as f64;
        let panel = heading_height(workload, LINES) + DATA + BELOW;
        let content = 36.0 + rows * panel + (rows - 1.0) * GAP;
        let title = format!("{}: {}", workload.name, workload.told);
        let line = line(workload);
        let reading = format!(
            "{} of the half second before each point · shaded: the fault lasts · {}",
            line.1,
            wording::over_trials(&[workload])
        );
        let frame = Frame::new(title, &reading, workload, machine, content);
        Some(Self { workload, standings: standings(workload), span, line, frame })
    }

    fn plane(&self, panel: Area) -> Plane {
        let windows = || self.workload.trials().flat_map(|trial| &trial.windows);
        let latencies = windows().filter_map(|window| Some((self.line.0)(window)? as f64 / 1e3));
        let phases = self.workload.trials().flat_map(|trial| &trial.phases);
        let end = phases.map(|phase| phase.until_s).fold(0.0, f64::max);
        let area = Area {
            top: panel.top + heading_height(self.workload, LINES),
            bottom: panel.bottom - BELOW,
            ..panel
        };
        Plane { area, x: Axis::up_to(end, 5.0), y: Axis::log(latencies) }
    }

    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        runs: &PolicyRuns,
        plane: &Plane,
        labels: bool,
    ) -> Result<(), PlotError> {
        let Area { left, right, top, bottom } = plane.area;
        let x = |seconds: f64| left + plane.x.share(seconds) * (right - left);
        canvas.fill(Area { left: x(self.span.0), right: x(self.span.1), top, bottom }, SPAN)?;
        plane.draw_y(canvas, labels)?;
        plane.draw_x(canvas, true)?;
        let below = (f64::midpoint(left, right), bottom + 31.0);
        canvas.text("time (s)", below, Align::Middle, TICK)?;
        for trial in &runs.trials {
            for stretch in stretches(trial, self.line.0, plane) {
                canvas.path(&stretch, runs.look.tone.tint(), 1.0)?;
            }
        }
        let Some(median) = runs.median_trial() else { return Ok(()) };
        for slice in &median.timeline {
            let due = slice.calls + slice.errors + slice.queued;
            let (from, to) = (x(slice.at_s), x(slice.at_s + slice.width_s));
            let mut base = bottom;
            for (calls, tone) in [(slice.errors, INVALID), (slice.queued, QUEUED)] {
                if calls > 0 {
                    let share = calls as f64 / due as f64;
                    // However few they are, they are seen.
                    let height = (share * ERRORS * (bottom - top)).max(1.5);
                    let bar = Area { left: from, right: to, top: base - height, bottom: base };
                    canvas.fill(bar, tone)?;
                    base -= height;
                }
            }
        }
        if let Some(limit) = median.phases.iter().find_map(|row| row.limit_us) {
            let ends = [0.0, plane.x.ticks.last().map_or(0.0, |(value, _)| *value)];
            let (_, y) = plane.at(ends[0], limit as f64 / 1e3);
            if y > top {
                canvas.dashed(&[(left, y), (right, y)], &[3.0, 3.0], TARGET, 1.0)?;
            }
        }
        for stretch in stretches(median, self.line.0, plane) {
            if let [alone] = stretch.as_slice() {
                canvas.disc(*alone, 2.0, runs.look.tone)?;
            }
            canvas.path(&stretch, runs.look.tone, 2.2)?;
        }
        Ok(())
    }
}

/// p99, if most windows have one; half a second of few calls a second has only a p50.
fn line(workload: &Workload) -> (Percentile, &'static str) {
    let windows = || workload.trials().flat_map(|trial| &trial.windows);
    let known = windows().filter(|window| window.p99_us.is_some()).count();
    match 2 * known < windows().count() {
        false => (|window| window.p99_us, "p99"),
        true => (|window| window.p50_us, "p50"),
    }
}

/// The line of a percentile, each window at its end, broken where it is not known.
fn stretches(trial: &Trial, percentile: Percentile, plane: &Plane) -> Vec<Vec<Point>> {
    let at = |window: &WindowRow| {
        let us = percentile(window)?;
        Some(plane.at(window.at_s + window.width_s, us as f64 / 1e3))
    };
    let points: Vec<Option<Point>> = trial.windows.iter().map(at).collect();
    let known = points.split(Option::is_none).filter(|stretch| !stretch.is_empty());
    known.map(|stretch| stretch.iter().flatten().copied().collect()).collect()
}

impl Figure for Course<'_> {
    fn name(&self) -> String {
        stem("fault", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        wording::finding(&self.standings)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let mut content = self.frame.draw(canvas)?;
        let queued = self.standings.iter().any(|standing| standing.queued_share() > 0.0);
        let amber = if queued { " · amber: are queued" } else { "" };
        let reading = [
            format!(
                "p99 before → during → after it, and {} over time (ms, log scale) · dashed: the limit to be \
                 back within · red: calls that fail{amber}",
                self.line.1
            ),
            wording::back_means(),
        ];
        for (line, y) in reading.iter().zip([4.0, 18.0]) {
            canvas.text(line, (content.left, content.top + y), Align::Left, TICK)?;
        }
        content.top += 36.0;
        content.left += 34.0;
        let policies = &self.workload.policies;
        let areas = panels(content, policies.len(), COLUMNS, GAP);
        for (index, (runs, panel)) in policies.iter().zip(areas).enumerate() {
            let standing = &self.standings[index];
            let backs = [standing.during.back.text(), standing.after.back.text()];
            let lines = [
                standing.p99s(),
                format!("back: {}; after its end: {}", backs[0], backs[1]),
                standing.failed(),
            ];
            heading(canvas, runs, &lines, panel)?;
            self.panel(canvas, runs, &self.plane(panel), index % COLUMNS == 0)?;
        }
        Ok(())
    }
}
