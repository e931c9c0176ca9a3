//! How evenly calls are spread while the run goes on: Jain's index of each slice, by policy.

use std::collections::BTreeSet;

use plotters::prelude::DrawingBackend;

use super::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas, Point},
    data::{PolicyRuns, Trial, Workload},
    findings::Spread,
    frame::{Frame, stem},
    marks::{END_LABELS, EndLabel, end_labels},
    numbers::list,
    style::TICK,
};
use crate::results::{Machine, TimelineRow};

/// `fairness-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Fairness<'a> {
    workload: &'a Workload,
    frame: Frame,
    servers: usize,
}

impl<'a> Fairness<'a> {
    /// None unless the slices say how calls were spread over the servers that the policy chose from.
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Option<Self> {
        let slices = workload.trials().flat_map(|trial| &trial.timeline);
        let seen: BTreeSet<String> =
            slices.flat_map(by_server).map(|(server, _)| server.to_owned()).collect();
        if workload.pooled || seen.is_empty() {
            return None;
        }
        let servers = seen.len().max(workload.first().servers as usize);
        let title = format!("{}: how evenly calls are spread over the run", workload.name);
        let reading =
            "1 is an even share for every server of each slice · bold is the median trial";
        let frame = Frame::new(title, reading, workload, machine, 272.0);
        (servers > 1).then_some(Self { workload, frame, servers })
    }

    /// The trial's line, broken where a slice has no calls.
    fn stretches(&self, trial: &Trial, plane: &Plane) -> Vec<Vec<Point>> {
        let at = |slice: &TimelineRow| {
            let index = jain(by_server(slice).map(|(_, calls)| calls), self.servers)?;
            Some(plane.at(slice.at_s + slice.width_s / 2.0, index))
        };
        let points: Vec<Option<Point>> = trial.timeline.iter().map(at).collect();
        let stretches = points.split(Option::is_none).filter(|stretch| !stretch.is_empty());
        stretches.map(|stretch| stretch.iter().flatten().copied().collect()).collect()
    }
}

/// `server=calls` pairs; whatever else stands there is left out.
fn by_server(slice: &TimelineRow) -> impl Iterator<Item = (&str, f64)> {
    slice.by_server.split_whitespace().filter_map(|pair| {
        let (server, calls) = pair.rsplit_once('=')?;
        Some((server, calls.parse::<u64>().ok()? as f64))
    })
}

/// Jain's fairness index (Jain, Chiu and Hawe, 1984) of calls over `servers` servers.
pub(crate) fn jain(calls: impl Iterator<Item = f64>, servers: usize) -> Option<f64> {
    let (sum, squares) =
        calls.fold((0.0, 0.0), |(sum, squares), calls| (sum + calls, squares + calls * calls));
    (squares > 0.0).then(|| sum * sum / (servers as f64 * squares))
}

impl Figure for Fairness<'_> {
    fn name(&self) -> String {
        stem("fairness", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        let range = |runs: &PolicyRuns| {
            let slices = runs.median_trial()?.timeline.iter();
            let jain = |s| jain(by_server(s).map(|(_, calls)| calls), self.servers);
            let spread = Spread::of(slices.filter_map(jain))?;
            Some(format!("{:.3} under {}", spread.low, runs.policy))
        };
        let ranges: Vec<String> = self.workload.policies.iter().filter_map(range).collect();
        format!("The least even slice of the median trial has a Jain index of {}.", list(&ranges))
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let content = self.frame.draw(canvas)?;
        let slices = self.workload.trials().flat_map(|trial| &trial.timeline);
        let end = slices.map(|slice| slice.at_s + slice.width_s).fold(0.0, f64::max);
        let area = Area {
            left: content.left + 34.0,
            top: content.top + 26.0,
            right: content.right - END_LABELS,
            bottom: content.bottom - 40.0,
        };
        let plane = Plane { area, x: Axis::up_to(end, 8.0), y: Axis::from_zero(1.0, 5.0) };
        plane.draw_y(canvas, true)?;
        plane.draw_x(canvas, true)?;
        let above = (content.left, content.top + 12.0);
        canvas.text("Jain's fairness index of calls per server", above, Align::Left, TICK)?;
        let below = (f64::midpoint(area.left, area.right), area.bottom + 35.0);
        canvas.text("time (s)", below, Align::Middle, TICK)?;
        for runs in &self.workload.policies {
            for trial in &runs.trials {
                for stretch in self.stretches(trial, &plane) {
                    canvas.path(&stretch, runs.look.tone.tint(), 1.0)?;
                }
            }
        }
        let mut labels = Vec::new();
        for runs in &self.workload.policies {
            let median = runs.median_trial().map(|trial| self.stretches(trial, &plane));
            let median = median.unwrap_or_default();
            for stretch in &median {
                canvas.dashed(stretch, runs.look.dashes, runs.look.tone, 2.4)?;
            }
            let whole = Spread::of(runs.counted().map(|trial| trial.summary.jain));
            let detail = whole.map_or_else(String::new, |w| format!("whole run {:.3}", w.median));
            labels.push(EndLabel {
                runs,
                from: median.last().and_then(|line| line.last().copied()),
                detail,
            });
        }
        end_labels(canvas, area, &labels)
    }
}
