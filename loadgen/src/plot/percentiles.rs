//! The percentile curve: response time against percentile, the tail stretched out.
//!
//! The horizontal axis is log 1/(1−p), so that p90, p99 and p99.9 stand equally far apart. Thin lines
//! are trials, the bold one is the trial with the median p99. Where fewer than ten samples lie beyond
//! a percentile the curve ends.

use plotters::prelude::DrawingBackend;

use super::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas, Point},
    data::{PolicyRuns, Workload},
    findings::{Standing, on_latency, standings},
    frame::{Frame, stem},
    hgrm::Curve,
    marks::{END_LABELS, EndLabel, end_labels},
    numbers::time,
    style::{SUBTITLE, TICK},
};
use crate::results::Machine;

/// The percentiles written at the axis, by their place on it.
const TICKS: [(f64, &str); 7] = [
    (0.0, "0"),
    (std::f64::consts::LOG10_2, "50"),
    (1.0, "90"),
    (2.0, "99"),
    (3.0, "99.9"),
    (4.0, "99.99"),
    (5.0, "99.999"),
];

/// `percentiles-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Percentiles<'a> {
    workload: &'a Workload,
    frame: Frame,
}

impl<'a> Percentiles<'a> {
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Self {
        let title = format!("{}: response time by percentile", workload.name);
        let reading = "lower is better · thin lines are trials, the bold one has the median p99";
        Self { workload, frame: Frame::new(title, reading, workload, machine, 344.0) }
    }

    fn plane(&self, area: Area) -> Plane {
        let points = || self.workload.trials().flat_map(|trial| &trial.response.points);
        let last = points().map(|point| point.nines).fold(1.0, f64::max);
        let y = Axis::log(points().map(|point| point.value_us / 1e3));
        let shown = TICKS.iter().filter(|(nines, _)| *nines <= last + 1e-9);
        let ticks = shown.map(|(nines, label)| (*nines, (*label).to_owned())).collect();
        let area = Area {
            left: area.left + 34.0,
            top: area.top + 26.0,
            right: area.right - END_LABELS,
            bottom: area.bottom - 40.0,
        };
        Plane { area, x: Axis::with_ticks(last, ticks), y }
    }

    /// Name and p99 at the end of each bold curve.
    fn labels(&self, plane: &Plane) -> Vec<EndLabel<'a>> {
        let label = |runs: &'a PolicyRuns| {
            let standing = Standing::of(&runs.policy, &runs.summaries(), &[]);
            let detail = standing.p99_us.map(|p99| format!("p99 {}", time(p99.median)));
            let detail = detail.unwrap_or_else(|| "p99 not known".into());
            EndLabel { runs, from: end(runs, plane), detail }
        };
        self.workload.policies.iter().map(label).collect()
    }
}

fn line(curve: &Curve, plane: &Plane) -> Vec<Point> {
    curve.points.iter().map(|point| plane.at(point.nines, point.value_us / 1e3)).collect()
}

fn end(runs: &PolicyRuns, plane: &Plane) -> Option<Point> {
    runs.median_trial().and_then(|trial| line(&trial.response, plane).last().copied())
}

impl Figure for Percentiles<'_> {
    fn name(&self) -> String {
        stem("percentiles", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        let rows: Vec<_> =
            self.workload.policies.iter().map(|r| (r.policy.as_str(), r.summaries())).collect();
        on_latency(&standings(&rows))
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let content = self.frame.draw(canvas)?;
        let plane = self.plane(content);
        plane.draw_y(canvas, true)?;
        plane.draw_x(canvas, true)?;
        let Area { left, right, bottom, .. } = plane.area;
        let above = (content.left, content.top + 12.0);
        canvas.text("response time (ms, log scale)", above, Align::Left, TICK)?;
        let below = (f64::midpoint(left, right), bottom + 35.0);
        canvas.text("percentile (%), log 1/(1−p) scale", below, Align::Middle, TICK)?;
        if self.workload.trials().all(|trial| trial.response.points.is_empty()) {
            let middle = (f64::midpoint(left, right), plane.at(0.0, 1.0).1 - 60.0);
            canvas.text("too few calls for a percentile", middle, Align::Middle, SUBTITLE)?;
        }
        for runs in &self.workload.policies {
            for trial in &runs.trials {
                canvas.path(&line(&trial.response, &plane), runs.look.tone.tint(), 1.0)?;
            }
        }
        for runs in &self.workload.policies {
            if let Some(median) = runs.median_trial() {
                let points = line(&median.response, &plane);
                canvas.dashed(&points, runs.look.dashes, runs.look.tone, 2.6)?;
            }
        }
        end_labels(canvas, plane.area, &self.labels(&plane))
    }
}
