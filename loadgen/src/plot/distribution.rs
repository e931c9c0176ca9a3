//! Calls per server: a panel per policy, a bar per server, and where an even share would end.
//!
//! Bars are means over trials, dots the trials. Servers behind a gateway are grouped by pool. All
//! panels share one scale; a bar that would dwarf the rest is cut and its number written into it. A
//! server that the plan makes slower is marked so.

use plotters::prelude::DrawingBackend;

use super::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas, Type},
    data::{PolicyRuns, Workload},
    findings::Spread,
    frame::{Frame, fit, panels, stem},
    marks::{heading, heading_height},
    numbers::{count, list, percent, significant},
    slow::slower,
    style::{INK, LABEL, PAGE, STAMP, TARGET, TEXT, TICK},
};
use crate::results::{Machine, SummaryRow};
use pool::{Pool, pools};

mod pool;

const COLUMNS: usize = 3;
const GAP: f64 = 26.0;
const AXIS_HEIGHT: f64 = 38.0;
/// A bar longer than this many even shares is cut if the others are much shorter.
const CUT_AT_EVEN_SHARES: f64 = 2.5;
/// An axis is stretched by up to this factor rather than to cut what lies beyond it.
const STRETCH: f64 = 1.3;
/// A cut bar at least this tall holds its number.
const NUMBERED: f64 = 13.0;
/// Servers that differ less from an even share are not named.
const EVEN: f64 = 0.05;

/// `distribution-WORKLOAD`.
#[derive(Debug)]
pub(crate) struct Distribution<'a> {
    workload: &'a Workload,
    frame: Frame,
    pools: Vec<Pool>,
    row_height: f64,
}

impl<'a> Distribution<'a> {
    /// None if no run says who answered.
    pub(crate) fn new(workload: &'a Workload, machine: &Machine) -> Option<Self> {
        let pools = pools(workload);
        let rows: usize = pools.iter().map(|pool| pool.servers.len()).sum();
        if rows == 0 {
            return None;
        }
        let row_height = (300.0 / rows as f64).clamp(3.0, 19.0);
        let headings = if workload.pooled { pools.len() as f64 * 20.0 } else { 0.0 };
        let panel = heading_height(workload, 1) + rows as f64 * row_height + headings + AXIS_HEIGHT;
        let panel_rows = workload.policies.len().div_ceil(COLUMNS) as f64;
        let content = panel_rows * panel + (panel_rows - 1.0) * GAP;
        let by = if workload.pooled { "endpoint of each bank's pool" } else { "server" };
        let title = format!("{}: calls per {by}", workload.name);
        let mut figure = Self { workload, frame: Frame::default(), pools, row_height };
        let cut = match figure.cuts() {
            true if row_height >= NUMBERED => " · cut bars say their number",
            true => " · cut bars reach further",
            false => "",
        };
        let reading = format!("bars: means over trials, dots: trials, dashed: an even share{cut}");
        figure.frame = Frame::new(title, &reading, workload, machine, content);
        Some(figure)
    }

    /// Some bar is longer than its panel.
    fn cuts(&self) -> bool {
        let axis = self.axis();
        let all = self.pools.iter().flat_map(|pool| pool.calls.iter().flatten().flatten());
        all.fold(0.0_f64, |longest, calls| longest.max(axis.share(*calls))) > 1.0
    }

    /// Room for the servers' names.
    fn label_width(&self) -> f64 {
        let names = self.pools.iter().flat_map(|pool| &pool.servers);
        let headings = self.pools.iter().map(|pool| LABEL.width(&pool.name));
        let names = names.map(|name| TICK.width(&self.label(name)));
        names.chain(headings).fold(20.0, f64::max).min(150.0) + 10.0
    }

    /// `icici-3 · 3× slower`.
    fn label(&self, server: &str) -> String {
        match self.workload.slow.factor(server) {
            Some(factor) => format!("{server} · {}", slower(factor)),
            None => server.to_owned(),
        }
    }

    /// One scale for all panels.
    fn axis(&self) -> Axis {
        let policies = 0..self.workload.policies.len();
        let pools = || self.pools.iter().flat_map(|pool| policies.clone().map(move |p| (pool, p)));
        let even = pools().map(|(pool, policy)| pool.even_share(policy)).fold(0.0, f64::max);
        let cut = even * CUT_AT_EVEN_SHARES;
        let mut all: Vec<f64> = pools()
            .flat_map(|(pool, policy)| pool.calls[policy].iter().flatten())
            .copied()
            .collect();
        all.sort_by(f64::total_cmp);
        all.into_iter().fold(Axis::from_zero(even * 1.1, 3.0), |axis, calls| {
            let fits = axis.share(calls) <= 1.0;
            let near = calls <= cut || axis.share(calls) <= STRETCH;
            if near && !fits { Axis::from_zero(calls, 3.0) } else { axis }
        })
    }

    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        index: usize,
        plane: &Plane,
        names: Option<f64>,
    ) -> Result<(), PlotError> {
        plane.draw_x(canvas, true)?;
        let Area { left, right, top, bottom } = plane.area;
        let below = (f64::midpoint(left, right), bottom + 33.0);
        canvas.text("calls per trial", below, Align::Middle, TICK)?;
        let mut y = top;
        for pool in &self.pools {
            if self.workload.pooled {
                if let Some(width) = names {
                    let name = fit(&pool.name, LABEL, width);
                    canvas.text(&name, (left - width, y + 15.0), Align::Left, LABEL)?;
                }
                y += 20.0;
            }
            let first = y;
            for server in 0..pool.servers.len() {
                self.bar(canvas, index, pool, server, y, plane)?;
                if let Some(width) = names.filter(|_| self.is_named(server)) {
                    let name = fit(&self.label(&pool.servers[server]), TICK, width - 8.0);
                    let baseline = y + self.row_height / 2.0 + 3.8;
                    canvas.text(&name, (left - 8.0, baseline), Align::Right, TICK)?;
                }
                y += self.row_height;
            }
            let (x, _) = plane.at(pool.even_share(index), 0.0);
            canvas.dashed(&[(x, first - 3.0), (x, y + 3.0)], &[4.0, 3.0], TARGET, 1.3)?;
        }
        Ok(())
    }

    /// All servers are named while their names fit below each other.
    fn is_named(&self, server: usize) -> bool {
        server.is_multiple_of((12.0 / self.row_height).ceil() as usize)
    }

    fn bar<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        index: usize,
        pool: &Pool,
        server: usize,
        y: f64,
        plane: &Plane,
    ) -> Result<(), PlotError> {
        let look = self.workload.policies[index].look;
        let trials: Vec<f64> = pool.calls[index].iter().map(|calls| calls[server]).collect();
        let mean = trials.iter().sum::<f64>() / trials.len().max(1) as f64;
        let (left, right) = (plane.area.left, plane.area.right);
        let end = plane.at(mean, 0.0).0.min(right);
        let inset = (self.row_height * 0.16).max(0.4);
        let (top, bottom) = (y + inset, y + self.row_height - inset);
        canvas.fill(Area { left, top, right: end, bottom }, look.tone)?;
        let middle = f64::midpoint(top, bottom);
        if plane.x.share(mean) > 1.0 {
            let cut = [
                (right - 13.0, bottom + 1.0),
                (right - 7.0, top - 1.0),
                (right - 3.0, top - 1.0),
                (right - 9.0, bottom + 1.0),
            ];
            canvas.polygon(&cut, PAGE)?;
            let face = Type { size: TEXT.size, ..STAMP };
            if self.row_height >= NUMBERED {
                let at = (left + 8.0, middle + 3.8);
                return canvas.text(&with_range(mean, &trials), at, Align::Left, face);
            }
            return Ok(());
        }
        if self.row_height >= 8.0 {
            for calls in trials {
                let at = (plane.at(calls, 0.0).0.min(right), middle);
                canvas.disc(at, 2.7, PAGE)?;
                canvas.disc(at, 1.8, INK)?;
                // One that lies beyond the panel is a ring at its edge.
                if plane.x.share(calls) > 1.0 {
                    canvas.disc(at, 0.9, PAGE)?;
                }
            }
        }
        Ok(())
    }
}

/// What a cut bar says: the mean, and the trials' lowest and highest.
fn with_range(mean: f64, trials: &[f64]) -> String {
    match Spread::of(trials.iter().copied()) {
        Some(Spread { low, high, .. }) if low < high => {
            format!("{} ({}–{})", count(mean), count(low), count(high))
        }
        _ => count(mean),
    }
}

/// `Jain 0.93, CoV 0.27, max/mean 1.12`, medians over trials.
fn evenness(runs: &PolicyRuns) -> String {
    let median = |of: fn(&SummaryRow) -> f64| {
        Spread::of(runs.counted().map(|trial| of(&trial.summary))).map(|spread| spread.median)
    };
    let text =
        |value: Option<f64>, write: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), write);
    format!(
        "Jain {}, CoV {}, max/mean {}",
        text(median(|row| row.jain), |jain| format!("{jain:.3}")),
        text(median(|row| row.cov), significant),
        text(median(|row| row.max_over_mean), significant)
    )
}

impl Figure for Distribution<'_> {
    fn name(&self) -> String {
        stem("distribution", &self.workload.name)
    }

    fn height(&self) -> f64 {
        self.frame.height()
    }

    fn finding(&self) -> String {
        let per_policy = |(index, runs): (usize, &PolicyRuns)| {
            let busiest = self.pools.iter().filter_map(|pool| pool.extreme(index, true));
            let (top, most) = busiest.max_by(|one, other| one.1.total_cmp(&other.1))?;
            let idlest = self.pools.iter().filter_map(|pool| pool.extreme(index, false));
            let (low, least) = idlest.min_by(|one, other| one.1.total_cmp(&other.1))?;
            let off = (most - 1.0).max(1.0 - least);
            let (most, fewest) = (significant(most), significant(least));
            Some(match least {
                0.0 => format!("{} sends {top} {most}× and some servers nothing", runs.policy),
                _ if off < EVEN => format!("{} stays within {}", runs.policy, percent(off)),
                _ => format!("{} sends {top} {most}× and {low} {fewest}×", runs.policy),
            })
        };
        let policies = self.workload.policies.iter().enumerate();
        let parts: Vec<String> = policies.filter_map(per_policy).collect();
        format!("Of an even share, {}.{}", list(&parts), self.workload.slow.remark())
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let mut content = self.frame.draw(canvas)?;
        let names = self.label_width();
        content.left += names;
        let policies = &self.workload.policies;
        let areas = panels(content, policies.len(), COLUMNS, GAP);
        for (index, (runs, panel)) in policies.iter().zip(areas).enumerate() {
            heading(canvas, runs, &[evenness(runs)], panel)?;
            let top = panel.top + heading_height(self.workload, 1);
            let area = Area { top, bottom: panel.bottom - AXIS_HEIGHT, ..panel };
            let plane = Plane { area, x: self.axis(), y: Axis::from_zero(1.0, 1.0) };
            self.panel(canvas, index, &plane, (index % COLUMNS == 0).then_some(names))?;
        }
        Ok(())
    }
}
