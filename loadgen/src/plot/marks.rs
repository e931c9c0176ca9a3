//! How a policy is marked on a figure: its name, line and marker, its stamps, the labels of lines.

use plotters::prelude::DrawingBackend;

use super::{
    PlotError,
    canvas::{Align, Area, Canvas, Point},
    data::{PolicyRuns, Workload},
    frame::fit,
    style::{INVALID, LABEL, Look, Marker, PAGE, SATURATED, STAMP, TICK, Tone},
};

/// What is stamped on a policy's panel.
pub(crate) fn stamps(runs: &PolicyRuns) -> Vec<(String, Tone)> {
    let all = runs.trials.len();
    let stamp = |count: usize, word: &str, tone: Tone| match count {
        0 => None,
        _ if count == all => Some((word.to_owned(), tone)),
        _ => Some((format!("{word} {count} of {all}"), tone)),
    };
    let invalid = runs.trials.iter().filter(|trial| !trial.summary.valid).count();
    let saturated = runs.trials.iter().filter(|trial| trial.summary.saturated).count();
    [stamp(invalid, "INVALID", INVALID), stamp(saturated, "SATURATED", SATURATED)]
        .into_iter()
        .flatten()
        .collect()
}

/// Draws a policy's stamps in a row that begins at `at`, their lower left corner.
pub(crate) fn draw_stamps<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    runs: &PolicyRuns,
    (mut left, bottom): Point,
) -> Result<(), PlotError> {
    for (text, tone) in stamps(runs) {
        let right = left + STAMP.width(&text) + 10.0;
        canvas.fill(Area { left, top: bottom - 14.0, right, bottom }, tone)?;
        canvas.text(&text, (left + 5.0, bottom - 3.8), Align::Left, STAMP)?;
        left = right + 5.0;
    }
    Ok(())
}

/// How much room a policy's heading takes.
pub(crate) fn heading_height(workload: &Workload, lines: usize) -> f64 {
    let stamped = workload.policies.iter().any(|runs| !stamps(runs).is_empty());
    18.0 + 15.0 * lines as f64 + if stamped { 19.0 } else { 0.0 } + 8.0
}

/// A panel's heading: the policy's line and name, lines of text, stamps.
pub(crate) fn heading<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    runs: &PolicyRuns,
    lines: &[String],
    panel: Area,
) -> Result<(), PlotError> {
    let Area { left, top, .. } = panel;
    sample(canvas, runs.look, (left, top + 8.0))?;
    let name = fit(&runs.policy, LABEL, panel.width() - 34.0);
    canvas.text(&name, (left + 34.0, top + 12.0), Align::Left, LABEL)?;
    let mut baseline = top + 12.0;
    for line in lines {
        baseline += 15.0;
        let line = fit(line, TICK, panel.width());
        canvas.text(&line, (left, baseline), Align::Left, TICK)?;
    }
    draw_stamps(canvas, runs, (left, baseline + 19.0))
}

/// A policy's line and marker, as in a legend.
pub(crate) fn sample<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    look: Look,
    (left, y): Point,
) -> Result<(), PlotError> {
    let middle = left + 13.5;
    for end in [left, left + 27.0] {
        canvas.dashed(&[(middle, y), (end, y)], look.dashes, look.tone, 2.4)?;
    }
    marker(canvas, look, look.tone, (middle, y), 4.0)
}

/// A policy's marker with a rim in the page's colour.
pub(crate) fn marker<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    look: Look,
    tone: Tone,
    at: Point,
    radius: f64,
) -> Result<(), PlotError> {
    shape(canvas, look.marker, PAGE, at, radius + 1.2)?;
    shape(canvas, look.marker, tone, at, radius)
}

fn shape<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    marker: Marker,
    tone: Tone,
    (x, y): Point,
    radius: f64,
) -> Result<(), PlotError> {
    let corners: &[Point] = match marker {
        Marker::Disc => return canvas.disc((x, y), radius, tone),
        Marker::Square => &[(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        Marker::Diamond => &[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)],
        Marker::Triangle => &[(0.0, -1.15), (1.1, 0.8), (-1.1, 0.8)],
    };
    let corners: Vec<Point> =
        corners.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect();
    canvas.polygon(&corners, tone)
}

/// Room to the right of a panel for its lines' names.
pub(crate) const END_LABELS: f64 = 158.0;

/// The name at the right end of a policy's line.
pub(crate) struct EndLabel<'a> {
    pub(crate) runs: &'a PolicyRuns,
    /// Where the line ends, if it was drawn.
    pub(crate) from: Option<Point>,
    /// What stands below the name.
    pub(crate) detail: String,
}

/// Names lines at their ends, to the right of `area`.
pub(crate) fn end_labels<DB: DrawingBackend>(
    canvas: &mut Canvas<'_, DB>,
    area: Area,
    labels: &[EndLabel<'_>],
) -> Result<(), PlotError> {
    let height = |label: &EndLabel<'_>| if stamps(label.runs).is_empty() { 34.0 } else { 54.0 };
    let heights: Vec<f64> = labels.iter().map(height).collect();
    let Area { top, right, bottom, .. } = area;
    let wanted: Vec<f64> =
        labels.iter().map(|label| label.from.map_or(bottom, |(_, y)| y)).collect();
    let placed = spread(&wanted, &heights, top + 4.0, bottom + 20.0);
    let left = right + 26.0;
    for (label, y) in labels.iter().zip(placed) {
        let look = label.runs.look;
        if let Some(from) = label.from {
            let leader = [from, (right + 10.0, y), (left - 4.0, y)];
            canvas.path(&leader, look.tone.tint(), 1.0)?;
            marker(canvas, look, look.tone, from, 4.2)?;
        }
        let name = fit(&label.runs.policy, LABEL, END_LABELS - 26.0);
        canvas.text(&name, (left, y + 4.0), Align::Left, LABEL)?;
        let detail = fit(&label.detail, TICK, END_LABELS - 26.0);
        canvas.text(&detail, (left, y + 18.0), Align::Left, TICK)?;
        draw_stamps(canvas, label.runs, (left, y + 37.0))?;
    }
    Ok(())
}

/// Moves labels apart, in their given order of height, so that each has the height it needs below
/// its position and all stay within `low..=high` if there is room.
pub(crate) fn spread(wanted: &[f64], heights: &[f64], low: f64, high: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&one, &other| wanted[one].total_cmp(&wanted[other]));
    let mut placed = wanted.to_vec();
    let mut ceiling = high;
    for &index in order.iter().rev() {
        placed[index] = placed[index].min(ceiling - heights[index]);
        ceiling = placed[index];
    }
    let mut floor = low;
    for &index in &order {
        placed[index] = placed[index].max(floor);
        floor = placed[index] + heights[index];
    }
    placed
}
