//! Latency over time: p50 and p99 of each slice, a panel per policy, one scale for all.

use plotters::prelude::DrawingBackend;

use super::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas, Point},
    data::{PolicyRuns, Trial, Workload},
    findings::Spread,
    frame::{Frame, fit, panels, stem},
    marks::{heading, heading_height},
    numbers::{list, time_range},
    style::{SUBTITLE, TICK},
};
use crate::results::{Machine, TimelineRow};

const COLUMNS: usize = 3;
const GAP: f64 = 30.0;

/// `timeline-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Timeline<'a> {
    workload: &'a Workload,
    frame: Frame,
}

/// A percentile of a slice.
type Percentile = fn(&TimelineRow) -> Option<u64>;

impl<'a> Timeline<'a> {
    /// None if no slice has a latency.
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Option<Self> {
        let known = |trial: &Trial| trial.timeline.iter().any(|slice| slice.p50_us.is_some());
        if !workload.trials().any(known) {
            return None;
        }
        let rows = workload.policies.len().div_ceil(COLUMNS) as f64;
        let panel = heading_height(workload, 0) + 236.0;
        let content = 22.0 + rows * panel + (rows - 1.0) * GAP;
        let title = format!("{}: response time over the run", workload.name);
        let reading = "upper line p99, lower line p50 of each slice, where it has calls enough · bold: median trial";
        let frame = Frame::new(title, reading, workload, machine, content);
        Some(Self { workload, frame })
    }

    fn plane(&self, panel: Area) -> Plane {
        let slices = || self.workload.trials().flat_map(|trial| &trial.timeline);
        let latencies = slices().flat_map(|slice| [slice.p50_us, slice.p99_us]).flatten();
        let y = Axis::log(latencies.map(|us| us as f64 / 1e3));
        let end = slices().map(|slice| slice.at_s + slice.width_s).fold(0.0, f64::max);
        let area = Area {
            top: panel.top + heading_height(self.workload, 0),
            bottom: panel.bottom - 36.0,
            ..panel
        };
        Plane { area, x: Axis::up_to(end, 4.0), y }
    }

    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        runs: &PolicyRuns,
        plane: &Plane,
        labels: bool,
    ) -> Result<(), PlotError> {
        plane.draw_y(canvas, labels)?;
        plane.draw_x(canvas, true)?;
        let Area { left, right, top, bottom } = plane.area;
        let below = (f64::midpoint(left, right), bottom + 32.0);
        canvas.text("time (s)", below, Align::Middle, TICK)?;
        let percentiles: [(Percentile, f64); 2] =
            [(|slice| slice.p50_us, 1.4), (|slice| slice.p99_us, 2.4)];
        for trial in &runs.trials {
            for (percentile, _) in percentiles {
                for stretch in stretches(trial, percentile, plane) {
                    canvas.path(&stretch, runs.look.tone.tint(), 1.0)?;
                }
            }
        }
        let Some(median) = runs.median_trial() else { return Ok(()) };
        for (percentile, width) in percentiles {
            for stretch in stretches(median, percentile, plane) {
                if let [alone] = stretch.as_slice() {
                    canvas.disc(*alone, width, runs.look.tone)?;
                }
                canvas.path(&stretch, runs.look.tone, width)?;
            }
        }
        if !median.timeline.iter().any(|slice| slice.p99_us.is_some()) {
            let text = fit("p99: too few calls per slice", SUBTITLE, plane.area.width() - 8.0);
            canvas.text(&text, (left + 6.0, top + 16.0), Align::Left, SUBTITLE)?;
        }
        Ok(())
    }
}

/// A percentile's line through the middles of the slices, broken where it is not known.
fn stretches(trial: &Trial, percentile: Percentile, plane: &Plane) -> Vec<Vec<Point>> {
    let mut stretches = vec![Vec::new()];
    for slice in &trial.timeline {
        match (percentile(slice), stretches.last_mut()) {
            (Some(us), Some(stretch)) => {
                stretch.push(plane.at(slice.at_s + slice.width_s / 2.0, us as f64 / 1e3));
            }
            _ => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

impl Figure for Timeline<'_> {
    fn name(&self) -> String {
        stem("timeline", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        let range = |runs: &PolicyRuns| {
            let slices = &runs.median_trial()?.timeline;
            let p99 = Spread::of(slices.iter().filter_map(|slice| Some(slice.p99_us? as f64)))?;
            Some(format!("{} under {}", time_range(p99.low, p99.high), runs.policy))
        };
        let ranges: Vec<String> = self.workload.policies.iter().filter_map(range).collect();
        if ranges.is_empty() {
            return "The slices hold too few calls for a p99; their p50 is shown.".into();
        }
        format!("In the median trial the p99 of a slice lay within {}.", list(&ranges))
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let mut content = self.frame.draw(canvas)?;
        let above = (content.left, content.top + 8.0);
        canvas.text("response time (ms, log scale)", above, Align::Left, TICK)?;
        content.top += 22.0;
        content.left += 34.0;
        let policies = &self.workload.policies;
        let areas = panels(content, policies.len(), COLUMNS, GAP);
        for (index, (runs, panel)) in policies.iter().zip(areas).enumerate() {
            let first_column = index % COLUMNS == 0;
            heading(canvas, runs, &[], panel)?;
            self.panel(canvas, runs, &self.plane(panel), first_column)?;
        }
        Ok(())
    }
}
