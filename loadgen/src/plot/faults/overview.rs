//! All faults of a workload side by side: a row per policy, a column per fault.

use plotters::prelude::DrawingBackend;

use super::{
    super::{
        Figure, PlotError,
        axis::{Axis, Plane},
        canvas::{Align, Area, Canvas},
        data::Workload,
        frame::{Frame, fit, stem},
        marks::marker,
        style::{FOOTER, LABEL, PAGE, TARGET, TEXT, TICK},
    },
    standing::{FaultStanding, standings},
    wording,
};
use crate::results::Machine;

/// Room for the policies' names, between columns, for the heads and the axis.
const NAMES: f64 = 158.0;
const GAP: f64 = 16.0;
const HEADS: f64 = 66.0;
const BELOW: f64 = 36.0;
/// A policy's row: p99 on a scale, then lines of text.
const ROW: f64 = 66.0;
const SCALE: f64 = 10.0;
const TICK_LENGTH: f64 = 8.0;
const LINE: f64 = 13.0;

/// `faults-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Overview<'a> {
    /// The workload's name without a fault's.
    name: &'a str,
    /// By fault: its name, and the policies under it.
    faults: Vec<(String, Vec<FaultStanding<'a>>)>,
    frame: Frame,
}

impl<'a> Overview<'a> {
    /// Of the workloads that are `name` under a fault; none without any.
    pub(crate) fn new(name: &'a str, all: &'a [Workload], machine: &Machine) -> Option<Self> {
        let befallen = |w: &&Workload| w.base == name && !w.fault.is_empty();
        let workloads: Vec<&Workload> = all.iter().filter(befallen).collect();
        workloads.first()?;
        let rows = workloads.iter().map(|w| w.policies.len()).max().unwrap_or(0) as f64;
        let title = format!("{name}: p99 and time to recover, by policy and fault");
        let reading = wording::over_trials(&workloads);
        let content = HEADS + rows * ROW + BELOW;
        let frame = Frame::of_workloads(title, &reading, &workloads, machine, content);
        let faults = workloads.iter().map(|w| (w.fault.clone(), standings(w))).collect();
        Some(Self { name, faults, frame })
    }

    /// Every policy once, in the order of the fault that has most.
    fn policies(&self) -> Vec<&FaultStanding<'a>> {
        let most = self.faults.iter().max_by_key(|(_, standings)| standings.len());
        most.map_or_else(Vec::new, |(_, standings)| standings.iter().collect())
    }

    /// One scale for all columns: 1, 2 and 5 times powers of ten around all of p99.
    fn axis(&self, width: f64) -> Axis {
        let phases = |s: &FaultStanding<'_>| [&s.before, &s.during, &s.after].map(|p| p.p99_us);
        let known = self.faults.iter().flat_map(|(_, standings)| standings).flat_map(phases);
        let known = known.flatten().map(|p99| p99.median / 1e3);
        let ticks: Vec<f64> = Axis::log(known).ticks.into_iter().map(|(value, _)| value).collect();
        Axis::log_at(&ticks, width)
    }

    fn column<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        (fault, standings): &(String, Vec<FaultStanding<'_>>),
        area: Area,
    ) -> Result<(), PlotError> {
        let x = self.axis(area.width());
        let plane = Plane { area, x, y: Axis::up_to(1.0, 1.0) };
        plane.draw_x(canvas, true)?;
        let head = fit(fault, LABEL, area.width());
        canvas.text(&head, (area.left, area.top - 10.0), Align::Left, LABEL)?;
        let below = (f64::midpoint(area.left, area.right), area.bottom + 31.0);
        canvas.text("p99 (ms)", below, Align::Middle, TICK)?;
        for (index, policy) in self.policies().iter().enumerate() {
            let top = area.top + index as f64 * ROW;
            if let Some(standing) = standings.iter().find(|s| s.policy == policy.policy) {
                cell(canvas, standing, &plane, top)?;
            }
        }
        Ok(())
    }
}

/// p99 before, during and after on the scale, and in words below.
fn cell<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    standing: &FaultStanding<'_>,
    plane: &Plane,
    top: f64,
) -> Result<(), PlotError> {
    let Area { left, right, .. } = plane.area;
    let y = top + SCALE;
    let at = |us: f64| left + plane.x.share(us / 1e3) * (right - left);
    let before = standing.before.p99_us.map(|p99| at(p99.median));
    let during = standing.during.p99_us.map(|p99| at(p99.median));
    if let (Some(from), Some(to)) = (before, during) {
        canvas.path(&[(from, y), (to, y)], standing.look.tone.tint(), 3.0)?;
    }
    if let Some(x) = before {
        canvas.path(&[(x, y - TICK_LENGTH), (x, y)], TARGET, 2.0)?;
    }
    if let Some(after) = standing.after.p99_us {
        let x = at(after.median);
        canvas.path(&[(x, y), (x, y + TICK_LENGTH)], TARGET, 2.0)?;
    }
    if let Some(x) = during {
        marker(canvas, standing.look, standing.look.tone, (x, y), 4.2)?;
    }
    let backs = [standing.during.back.text(), standing.after.back.text()];
    let lines = [standing.p99s(), format!("back: {}; {}", backs[0], backs[1]), standing.failed()];
    for (index, line) in lines.iter().enumerate() {
        let baseline = y + TICK_LENGTH + LINE * (index as f64 + 0.9);
        let line = fit(line, FOOTER, right - left + GAP - 2.0);
        let edge = left + FOOTER.width(&line) + 3.0;
        let behind = Area { left, top: baseline - 10.0, right: edge, bottom: baseline + 3.0 };
        canvas.fill(behind, PAGE)?;
        canvas.text(&line, (left, baseline), Align::Left, FOOTER)?;
    }
    Ok(())
}

impl Figure for Overview<'_> {
    fn name(&self) -> String {
        stem("faults", self.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        wording::overall(&self.faults)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let content = self.frame.draw(canvas)?;
        let reading = [
            "p99 on a log scale: tick above the line before the fault, mark during it, tick below after \
             it"
            .to_owned(),
            wording::back_means(),
            "(first while the fault lasts, then after its end) · failed: calls from its beginning on"
                .to_owned(),
        ];
        for (line, y) in reading.iter().zip([4.0, 18.0, 32.0]) {
            canvas.text(line, (content.left, content.top + y), Align::Left, TICK)?;
        }
        let top = content.top + HEADS;
        let policies = self.policies();
        for (index, standing) in policies.iter().enumerate() {
            let y = top + index as f64 * ROW + SCALE;
            marker(canvas, standing.look, standing.look.tone, (content.left + 6.0, y), 4.6)?;
            let name = fit(standing.policy, TEXT, NAMES - 24.0);
            canvas.text(&name, (content.left + 17.0, y + 4.0), Align::Left, TEXT)?;
        }
        let count = self.faults.len() as f64;
        let width = (content.width() - NAMES - GAP * (count - 1.0)) / count;
        for (index, fault) in self.faults.iter().enumerate() {
            let left = content.left + NAMES + index as f64 * (width + GAP);
            let bottom = top + policies.len() as f64 * ROW;
            self.column(canvas, fault, Area { left, top, right: left + width, bottom })?;
        }
        Ok(())
    }
}
