//! Drawing in logical pixels on any of plotters' backends.
//!
//! A figure is drawn once, by one generic function, and comes out as SVG and as PNG. Coordinates are
//! `f64` in a figure's own pixels; the medium says how many of the backend's integer units one of
//! them is, so that both keep sub-pixel positions. Text is placed by its baseline, which plotters'
//! backends each define differently; the difference is hidden here and nowhere else.

use std::sync::Once;

use plotters::{
    prelude::{DrawingBackend, FontStyle as PlottersStyle, RGBColor, ShapeStyle},
    style::{
        FontDesc, FontFamily, IntoTextStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    PlotError,
    style::{FONT_FAMILY, Tone},
};

/// Height of a line of DejaVu Sans over its em: what `ab_glyph` takes a font size to be.
const DEJAVU_LINE_EM: f64 = 2384.0 / 2048.0;

/// How logical pixels become a backend's units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Medium {
    /// Units of the backend per logical pixel.
    pub(crate) scale: f64,
    /// The font size that the backend draws as one em.
    em: f64,
    /// From the top of a text, as the backend understands it, down to the baseline, in em.
    ascent: f64,
}

impl Medium {
    /// plotters-svg divides font sizes by 1.24 and shifts top-anchored text by 0.76 em.
    pub(crate) fn svg(scale: f64) -> Self {
        Self { scale, em: 1.24, ascent: 0.76 }
    }

    /// plotters' `ab_glyph` text takes line heights and has its baseline half a line down.
    pub(crate) fn bitmap(scale: f64) -> Self {
        Self { scale, em: DEJAVU_LINE_EM, ascent: DEJAVU_LINE_EM / 2.0 }
    }
}

/// A point in logical pixels, y downwards.
pub(crate) type Point = (f64, f64);

/// An upright rectangle in logical pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    pub(crate) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// Which end of a text stands at its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Middle,
    Right,
}

/// Size, weight and tone of a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Type {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) tone: Tone,
}

impl Type {
    fn font(&self, size: f64) -> FontDesc<'static> {
        let style = if self.bold { PlottersStyle::Bold } else { PlottersStyle::Normal };
        FontDesc::new(FontFamily::Name(FONT_FAMILY), size, style)
    }

    /// The width of `text`, logical pixels.
    pub(crate) fn width(&self, text: &str) -> f64 {
        const PRECISION: f64 = 64.0;
        prepare_fonts();
        let font = self.font(self.size * DEJAVU_LINE_EM * PRECISION);
        let ((left, _), (right, _)) = font.layout_box(text).expect("the fonts are registered");
        f64::from(right - left) / PRECISION
    }
}

/// Registers the embedded fonts with plotters, once per process.
fn prepare_fonts() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        let regular: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");
        let bold: &[u8] = include_bytes!("../../assets/DejaVuSans-Bold.ttf");
        for (style, bytes) in [(PlottersStyle::Normal, regular), (PlottersStyle::Bold, bold)] {
            let registered = register_font(FONT_FAMILY, style, bytes).is_ok();
            assert!(registered, "the embedded fonts are valid");
        }
    });
}

/// What figures draw on.
pub(crate) struct Canvas<'a, DB: DrawingBackend> {
    backend: &'a mut DB,
    medium: Medium,
}

impl<'a, DB: DrawingBackend> Canvas<'a, DB> {
    pub(crate) fn new(backend: &'a mut DB, medium: Medium) -> Self {
        prepare_fonts();
        Self { backend, medium }
    }

    fn units(&self, (x, y): Point) -> (i32, i32) {
        ((x * self.medium.scale).round() as i32, (y * self.medium.scale).round() as i32)
    }

    fn stroke(&self, tone: Tone, width: f64) -> ShapeStyle {
        let stroke_width = (width * self.medium.scale).round().max(1.0) as u32;
        ShapeStyle { color: colour(tone).into(), filled: false, stroke_width }
    }

    /// A line through `points`.
    pub(crate) fn path(
        &mut self,
        points: &[Point],
        tone: Tone,
        width: f64,
    ) -> Result<(), PlotError> {
        let mut units: Vec<_> = points.iter().map(|&point| self.units(point)).collect();
        units.dedup();
        if units.len() < 2 {
            return Ok(());
        }
        let style = self.stroke(tone, width);
        self.backend.draw_path(units, &style).map_err(PlotError::drawing)
    }

    /// A line through `points` with dashes and gaps of the given lengths; solid without any.
    pub(crate) fn dashed(
        &mut self,
        points: &[Point],
        dashes: &[f64],
        tone: Tone,
        width: f64,
    ) -> Result<(), PlotError> {
        if dashes.is_empty() {
            return self.path(points, tone, width);
        }
        dash(points, dashes).iter().try_for_each(|piece| self.path(piece, tone, width))
    }

    /// A filled rectangle.
    pub(crate) fn fill(&mut self, area: Area, tone: Tone) -> Result<(), PlotError> {
        let (from, to) = (self.units((area.left, area.top)), self.units((area.right, area.bottom)));
        self.backend.draw_rect(from, to, &colour(tone), true).map_err(PlotError::drawing)
    }

    /// A filled polygon.
    pub(crate) fn polygon(&mut self, corners: &[Point], tone: Tone) -> Result<(), PlotError> {
        let units: Vec<_> = corners.iter().map(|&point| self.units(point)).collect();
        self.backend.fill_polygon(units, &colour(tone)).map_err(PlotError::drawing)
    }

    /// A filled circle.
    pub(crate) fn disc(&mut self, centre: Point, radius: f64, tone: Tone) -> Result<(), PlotError> {
        let radius = (radius * self.medium.scale).round() as u32;
        let centre = self.units(centre);
        self.backend.draw_circle(centre, radius, &colour(tone), true).map_err(PlotError::drawing)
    }

    /// A line of text whose baseline stands at `at`.
    pub(crate) fn text(
        &mut self,
        text: &str,
        at: Point,
        align: Align,
        face: Type,
    ) -> Result<(), PlotError> {
        let Medium { scale, em, ascent } = self.medium;
        let horizontal = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let style = face
            .font(face.size * em * scale)
            .color(&colour(face.tone))
            .into_text_style(&self.backend.get_size())
            .pos(Pos::new(horizontal, VPos::Top));
        let top = self.units((at.0, at.1 - ascent * face.size));
        self.backend.draw_text(text, &style, top).map_err(PlotError::drawing)
    }
}

fn colour(tone: Tone) -> RGBColor {
    let [red, green, blue] = tone.light;
    RGBColor(red, green, blue)
}

/// Cuts a line into dashes; `dashes` alternates lengths drawn and left out, and repeats.
pub(crate) fn dash(points: &[Point], dashes: &[f64]) -> Vec<Vec<Point>> {
    let mut pieces = Vec::new();
    let (mut index, mut left) = (0, dashes[0]);
    let mut piece: Vec<Point> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            if length < left {
                left -= length;
                piece.push(to);
                break;
            }
            let share = left / length;
            from = (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share);
            piece.push(from);
            if index % 2 == 0 {
                pieces.push(std::mem::take(&mut piece));
            }
            piece = vec![from];
            index += 1;
            left = dashes[index % dashes.len()];
        }
    }
    if index % 2 == 0 && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}
