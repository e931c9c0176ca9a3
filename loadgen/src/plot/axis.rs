//! Axes: which values get a tick, where a value stands, and the grid behind the data.

use plotters::prelude::DrawingBackend;

use super::{
    PlotError,
    canvas::{Align, Area, Canvas, Point},
    numbers::count,
    style::{AXIS, GRID, TICK},
};

/// One direction of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// Values with a grid line, and what is written there; nothing between labelled ones.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero to just above `highest`, with about `steps` ticks.
    pub(crate) fn from_zero(highest: f64, steps: f64) -> Self {
        let highest = if highest.is_finite() && highest > 0.0 { highest } else { 1.0 };
        let step = step(highest / steps);
        let last = (highest / step - 1e-6).ceil();
        let ticks = (0..=last as u32).map(|index| f64::from(index) * step);
        let ticks = ticks.map(|value| (value, tick(value, step))).collect();
        Self { low: 0.0, high: last * step, log: false, ticks }
    }

    /// From zero to exactly `high`.
    pub(crate) fn up_to(high: f64, steps: f64) -> Self {
        let mut axis = Self::from_zero(high, steps);
        axis.ticks.retain(|(value, _)| *value <= high * (1.0 + 1e-9));
        axis.high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        axis
    }

    /// From zero to `high` with the given ticks.
    pub(crate) fn with_ticks(high: f64, ticks: Vec<(f64, String)>) -> Self {
        Self { low: 0.0, high, log: false, ticks }
    }

    /// Logarithmic, around the positive ones of `values`, at 1, 2 and 5 times powers of ten.
    pub(crate) fn log(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite() && *value > 0.0)
            .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        let first = (low.log10() * 3.0 + 1e-9).floor() as i32 - 1;
        let grid: Vec<f64> = (first..first + 60).map(one_two_five).collect();
        let below = grid.iter().rposition(|&value| value <= low).unwrap_or(0);
        let above = grid.iter().position(|&value| value >= high).unwrap_or(grid.len() - 1);
        let above = above.max(below + 1);
        let wide = above - below > 7;
        let label = |value: f64| {
            let power = (value.log10() - value.log10().round()).abs() < 1e-6;
            if wide && !power { String::new() } else { plain(value) }
        };
        let ticks = grid[below..=above].iter().map(|&value| (value, label(value))).collect();
        Self { low: grid[below], high: grid[above], log: true, ticks }
    }

    /// Logarithmic with ticks at the given rising values, those left out that `width` has no room for.
    pub(crate) fn log_at(values: &[f64], width: f64) -> Self {
        let (low, high) = (values.first().copied().unwrap_or(1.0), values.last().copied());
        let high = high.unwrap_or(1.0).max(low * 1.01);
        let pad = (high / low).powf(0.06);
        let mut axis = Self { low: low / pad, high: high * pad, log: true, ticks: Vec::new() };
        let mut free = f64::MIN;
        for &value in values {
            let label = plain(value);
            let (at, half) = (axis.share(value) * width, TICK.width(&label) / 2.0);
            if at - half >= free {
                free = at + half + 6.0;
                axis.ticks.push((value, label));
            }
        }
        axis
    }

    /// 0 at the low end, 1 at the high end.
    pub(crate) fn share(&self, value: f64) -> f64 {
        if self.log {
            let value = value.max(self.low);
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

/// `index` / 3 powers of ten times 1, 2 or 5.
fn one_two_five(index: i32) -> f64 {
    [1.0, 2.0, 5.0][index.rem_euclid(3) as usize] * 10_f64.powi(index.div_euclid(3))
}

/// The next 1, 2 or 5 times a power of ten.
fn step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

fn tick(value: f64, step: f64) -> String {
    if step >= 1.0 {
        return count(value);
    }
    let decimals = (-step.log10()).ceil().clamp(1.0, 6.0) as usize;
    format!("{value:.decimals$}")
}

/// Without trailing zeros.
fn plain(value: f64) -> String {
    if value >= 1.0 { count(value) } else { format!("{}", (value * 1e6).round() / 1e6) }
}

/// A panel's data area and its axes.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    pub(crate) area: Area,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
}

impl Plane {
    /// Where a value pair stands.
    pub(crate) fn at(&self, x: f64, y: f64) -> Point {
        let Area { left, bottom, .. } = self.area;
        let right = left + self.x.share(x) * self.area.width();
        (right, bottom - self.y.share(y) * self.area.height())
    }

    /// Grid lines at the ticks of y and what they mean, and the line that the data stands on.
    pub(crate) fn draw_y<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        labels: bool,
    ) -> Result<(), PlotError> {
        let Area { left, right, .. } = self.area;
        for (value, label) in &self.y.ticks {
            let (_, y) = self.at(0.0, *value);
            canvas.path(&[(left, y), (right, y)], GRID, 1.0)?;
            if labels {
                canvas.text(label, (left - 7.0, y + 3.8), Align::Right, TICK)?;
            }
        }
        Ok(())
    }

    /// Grid lines at the ticks of x, the axis, and the ticks' labels below it.
    pub(crate) fn draw_x<DB: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, DB>,
        labels: bool,
    ) -> Result<(), PlotError> {
        let Area { left, top, right, bottom } = self.area;
        for (value, label) in &self.x.ticks {
            let x = left + self.x.share(*value) * self.area.width();
            canvas.path(&[(x, top), (x, bottom)], GRID, 1.0)?;
            if labels {
                canvas.path(&[(x, bottom), (x, bottom + 4.0)], AXIS, 1.0)?;
                canvas.text(label, (x, bottom + 16.0), Align::Middle, TICK)?;
            }
        }
        canvas.path(&[(left, bottom), (right, bottom)], AXIS, 1.0)
    }
}
