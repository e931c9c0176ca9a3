//! Panels of bars, one per proxy, with whiskers and goals.

use plotters::prelude::DrawingBackend;

use crate::plot::{
    Figure, PlotError,
    axis::{Axis, Plane},
    canvas::{Align, Area, Canvas},
    frame::{Frame, fit, panels},
    marks::marker,
    numbers::significant,
    style::{INK, LABEL, Look, PAGE, TARGET, TEXT, TICK},
};

const COLUMNS: usize = 2;
const ROW_HEIGHT: f64 = 25.0;
const BAR_HEIGHT: f64 = 14.0;
/// Of a panel, for its title above, and its ticks and unit below.
const ABOVE: f64 = 28.0;
const BELOW: f64 = 40.0;
/// For the proxies' names and the values behind the bars.
const NAMES: f64 = 74.0;
const VALUES: f64 = 52.0;
const GAP: f64 = 26.0;

/// One proxy in a panel.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) look: Look,
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// A value that ours may not exceed.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    pub(super) value: f64,
    pub(super) name: String,
}

#[derive(Debug, Clone)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) bars: Vec<Bar>,
    pub(super) goals: Vec<Goal>,
}

/// A chart of panels that share a unit.
#[derive(Debug)]
pub(super) struct Bars {
    /// Stem of the file names.
    pub(super) name: String,
    pub(super) title: String,
    /// How to read it.
    pub(super) reading: String,
    pub(super) unit: &'static str,
    /// Values far apart: dots on a logarithmic axis instead of bars.
    pub(super) log: bool,
    pub(super) finding: String,
    pub(super) facts: Vec<String>,
    pub(super) panels: Vec<Panel>,
}

impl Bars {
    fn panel_height(&self) -> f64 {
        let goals = self.panels.iter().map(|panel| panel.goals.len()).max().unwrap_or(0);
        let bars = self.panels.iter().map(|panel| panel.bars.len()).max().unwrap_or(0);
        ABOVE + goals as f64 * 13.0 + bars as f64 * ROW_HEIGHT + BELOW
    }

    fn frame(&self) -> Frame {
        let rows = self.panels.len().div_ceil(COLUMNS.min(self.panels.len()).max(1));
        let gaps = GAP * rows.saturating_sub(1) as f64;
        let content = rows as f64 * self.panel_height() + gaps;
        Frame::with_facts(self.title.clone(), &self.reading, &self.facts, content)
    }

    fn axis(&self, panel: &Panel) -> Axis {
        let ends = panel.bars.iter().flat_map(|bar| [bar.low, bar.high]);
        let values = ends.chain(panel.goals.iter().map(|goal| goal.value));
        if self.log { Axis::log(values) } else { Axis::from_zero(values.fold(0.0, f64::max), 4.0) }
    }

    fn draw_panel<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        panel: &Panel,
        outer: Area,
    ) -> Result<(), PlotError> {
        let title = fit(&panel.title, LABEL, outer.width());
        canvas.text(&title, (outer.left, outer.top + 14.0), Align::Left, LABEL)?;
        let top = outer.top + ABOVE + panel.goals.len() as f64 * 13.0;
        let area = Area {
            left: outer.left + NAMES,
            top,
            right: outer.right - VALUES,
            bottom: top + panel.bars.len() as f64 * ROW_HEIGHT,
        };
        let x = with_room(self.axis(panel), area.width());
        let plane = Plane { area, x, y: Axis::from_zero(1.0, 1.0) };
        plane.draw_x(canvas, true)?;
        let below = (f64::midpoint(area.left, area.right), area.bottom + 32.0);
        canvas.text(self.unit, below, Align::Middle, TICK)?;
        let middle = |index: usize| area.top + (index as f64 + 0.5) * ROW_HEIGHT;
        for (index, bar) in panel.bars.iter().enumerate() {
            draw_bar(canvas, bar, &plane, middle(index), self.log)?;
        }
        // The name of the rightmost stands lowest, so that no line crosses another's name.
        let mut goals: Vec<&Goal> = panel.goals.iter().collect();
        goals.sort_by(|one, other| other.value.total_cmp(&one.value));
        for (index, goal) in goals.into_iter().enumerate() {
            draw_goal(canvas, goal, &plane, area.top - 5.0 - index as f64 * 13.0)?;
        }
        for (index, bar) in panel.bars.iter().enumerate() {
            draw_value(canvas, bar, &plane, middle(index))?;
        }
        Ok(())
    }
}

/// Leaves out the labels of ticks that `width` has no room for.
fn with_room(mut axis: Axis, width: f64) -> Axis {
    let shares: Vec<f64> = axis.ticks.iter().map(|(value, _)| axis.share(*value)).collect();
    let mut free = f64::MIN;
    for ((_, label), share) in axis.ticks.iter_mut().zip(shares) {
        let (at, half) = (share * width, TICK.width(label) / 2.0);
        if at - half < free {
            label.clear();
        } else if !label.is_empty() {
            free = at + half + 6.0;
        }
    }
    axis
}

fn draw_bar<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    bar: &Bar,
    plane: &Plane,
    middle: f64,
    log: bool,
) -> Result<(), PlotError> {
    let x = |value: f64| plane.at(value.max(0.0), 0.0).0;
    let Area { left, .. } = plane.area;
    canvas.text(&bar.name, (left - 8.0, middle + 3.9), Align::Right, TEXT)?;
    let (top, bottom) = (middle - BAR_HEIGHT / 2.0, middle + BAR_HEIGHT / 2.0);
    if !log {
        canvas.fill(Area { left, top, right: x(bar.median), bottom }, bar.look.tone)?;
    }
    whisker(canvas, (x(bar.low), x(bar.high)), middle)?;
    if log {
        marker(canvas, bar.look, bar.look.tone, (x(bar.median), middle), 4.5)?;
    }
    Ok(())
}

/// From the lowest to the highest, if that is far enough to be seen.
fn whisker<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    (low, high): (f64, f64),
    middle: f64,
) -> Result<(), PlotError> {
    if high - low < 1.0 {
        return Ok(());
    }
    // A rim in the page's colour keeps the whisker visible on its bar.
    for (tone, width) in [(PAGE, 3.4), (INK, 1.4)] {
        canvas.path(&[(low, middle), (high, middle)], tone, width)?;
        for end in [low, high] {
            canvas.path(&[(end, middle - 4.0), (end, middle + 4.0)], tone, width)?;
        }
    }
    Ok(())
}

/// The median, behind the bar and its whisker, on a ground that keeps it clear of goals.
fn draw_value<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    bar: &Bar,
    plane: &Plane,
    middle: f64,
) -> Result<(), PlotError> {
    let value = significant(bar.median);
    let left = plane.at(bar.high.max(bar.median).max(0.0), 0.0).0 + 9.0;
    let right = left + TEXT.width(&value);
    canvas.fill(Area { left, top: middle - 7.0, right, bottom: middle + 7.0 }, PAGE)?;
    canvas.text(&value, (left, middle + 3.9), Align::Left, TEXT)
}

/// A dashed line through the bars, named above them.
fn draw_goal<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    goal: &Goal,
    plane: &Plane,
    baseline: f64,
) -> Result<(), PlotError> {
    let x = plane.at(goal.value, 0.0).0;
    let line = [(x, baseline + 3.0), (x, plane.area.bottom)];
    canvas.dashed(&line, &[4.0, 3.0], TARGET, 1.6)?;
    let name = format!("goal: {}", goal.name);
    let room = plane.area.right + VALUES - TICK.width(&name);
    canvas.text(&name, ((x - 3.0).min(room), baseline), Align::Left, TICK)
}

impl Figure for Bars {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn height(&self) -> f64 {
        self.frame().height()
    }

    fn finding(&self) -> String {
        self.finding.clone()
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError> {
        let content = self.frame().draw(canvas)?;
        let areas = panels(content, self.panels.len(), COLUMNS, GAP);
        for (panel, area) in self.panels.iter().zip(areas) {
            self.draw_panel(canvas, panel, area)?;
        }
        Ok(())
    }
}
