//! Charts and the report of a sweep, made from the files of its results directory alone.
//!
//! [`draw`] reads the files (`data`), computes what they say (`findings`), draws each chart once
//! for SVG and once for PNG (a `Figure` on a `canvas`), and writes `report.html`, which holds the
//! charts, the table and the findings and needs nothing else.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use strife_runtime::Failure;
use thiserror::Error;

use crate::results::{ResultDir, ResultsError, peers::PeersDir, write_whole};
use canvas::{Canvas, Medium};
use data::{Sweep, Workload};
use distribution::Distribution;
use fairness::Fairness;
use faults::{course::Course, overview::Overview};
use percentiles::Percentiles;
use report::Section;
use scaling::Scaling;
use throughput::Throughput;
use timeline::Timeline;

mod axis;
mod canvas;
mod data;
mod distribution;
mod evidence;
mod fairness;
mod faults;
pub(crate) mod findings;
mod frame;
mod hgrm;
mod marks;
mod numbers;
pub mod peers;
mod percentiles;
mod report;
mod scaling;
mod slow;
mod style;
mod throughput;
mod timeline;

#[cfg(test)]
mod tests;

/// Every figure is this wide, logical pixels.
const WIDTH: f64 = 840.0;
/// Pixels of a PNG per logical pixel.
const PNG_SCALE: usize = 2;
/// A PNG is drawn this many times larger and averaged: plotters' own anti-aliasing is coarse.
const OVERSAMPLING: usize = 2;
/// Units of an SVG's coordinates per logical pixel: plotters' coordinates are integers.
const SVG_SCALE: f64 = 10.0;

/// Why a results directory cannot be plotted.
#[derive(Debug, Error)]
#[allow(missing_docs)] // The messages say it.
pub enum PlotError {
    #[error("{}: there is no such directory: name the one that a sweep wrote", path.display())]
    NoDirectory { path: PathBuf },
    #[error("{} holds no runs: run `strife sweep --out` into it first", path.display())]
    NoRuns { path: PathBuf },
    #[error("{0}; restore the file, or run the sweep again into another directory")]
    Results(#[from] ResultsError),
    #[error(
        "{}: {source}; summary.csv has the run but its histogram cannot be read: restore the file, \
         or remove the run's line from summary.csv and run the sweep again",
        path.display()
    )]
    Histogram { path: PathBuf, source: io::Error },
    #[error(
        "{}:{line}: {reason}; restore the file, or remove it and the run's line from summary.csv \
         and run the sweep again",
        path.display()
    )]
    HistogramLine { path: PathBuf, line: usize, reason: String },
    #[error("cannot draw: {0}")]
    Drawing(String),
    #[error("{}: {reason}; check that the directory can be written", path.display())]
    NotWritten { path: PathBuf, reason: String },
}

impl PlotError {
    /// Of a backend.
    fn drawing(error: impl std::error::Error) -> Self {
        Self::Drawing(error.to_string())
    }
}

/// What [`draw`] wrote.
#[derive(Debug)]
pub struct Drawn {
    /// Every chart, SVG and PNG.
    pub charts: Vec<PathBuf>,
    /// `report.html`.
    pub report: PathBuf,
    /// The answer in one sentence per workload, as it stands at the head of the report.
    pub headlines: Vec<String>,
}

/// Draw the charts and the report of a sweep, or of `strife bench peers`, again from its files.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  strife plot results/default\n  strife plot results/peers")]
pub struct PlotArgs {
    /// The directory that the sweep or the comparison wrote.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// `strife plot`: draws, and says where everything is.
pub fn run(args: PlotArgs) -> Result<(), Failure> {
    let peers = PeersDir::new(&args.dir);
    let drawn =
        if peers.goals().exists() { peers::draw(&peers) } else { draw(&ResultDir::new(args.dir)) };
    let drawn = drawn.map_err(|error| Failure::new(error.to_string()))?;
    for headline in &drawn.headlines {
        println!("{headline}");
    }
    println!("{} charts and {}", drawn.charts.len(), drawn.report.display());
    Ok(())
}

/// Writes `charts/NAME.svg`, `charts/NAME.png` and `report.html` from the directory's other files.
pub fn draw(dir: &ResultDir) -> Result<Drawn, PlotError> {
    let sweep = Sweep::read(dir)?;
    let mut press = Press { dir, sweep: &sweep, charts: Vec::new() };
    let sections: Vec<Section<'_>> = sweep
        .workloads
        .iter()
        .map(|workload| press.section(workload))
        .collect::<Result<_, PlotError>>()?;
    let overviews = press.overviews()?;
    let charts = press.charts;
    let report = dir.report();
    save(&report, report::page(&sweep, &overviews, &sections).as_bytes())?;
    let headlines = sections.into_iter().map(|section| section.headline).collect();
    Ok(Drawn { charts, report, headlines })
}

/// One chart, drawn alike on every backend.
trait Figure {
    /// Stem of the file names.
    fn name(&self) -> String;

    /// Logical pixels; the width is [`WIDTH`].
    fn height(&self) -> f64;

    /// What the chart says, in a sentence or two.
    fn finding(&self) -> String;

    fn draw<DB: DrawingBackend>(&self, canvas: &mut Canvas<'_, DB>) -> Result<(), PlotError>;
}

/// Writes figures, and keeps them for the report.
struct Press<'a> {
    dir: &'a ResultDir,
    sweep: &'a Sweep,
    charts: Vec<PathBuf>,
}

impl<'a> Press<'a> {
    fn section(&mut self, workload: &'a Workload) -> Result<Section<'a>, PlotError> {
        let machine = &self.sweep.machine;
        let mut section = Section::new(workload);
        if let Some(figure) = Course::new(workload, machine) {
            section.chart(self.print(&figure)?);
            return Ok(section);
        }
        section.chart(self.print(&Percentiles::new(workload, machine))?);
        if let Some(figure) = Scaling::new(workload, machine) {
            section.chart(self.print(&figure)?);
        }
        if let Some(figure) = Distribution::new(workload, machine) {
            section.chart(self.print(&figure)?);
        }
        if let Some(figure) = Timeline::new(workload, machine) {
            section.chart(self.print(&figure)?);
        }
        if let Some(figure) = Fairness::new(workload, machine) {
            section.chart(self.print(&figure)?);
        }
        section.chart(self.print(&Throughput::new(workload, machine))?);
        Ok(section)
    }

    /// Of each workload that faults befell, all of them side by side.
    fn overviews(&mut self) -> Result<Vec<report::Chart>, PlotError> {
        let Sweep { workloads, machine, .. } = self.sweep;
        let mut names: Vec<&str> =
            workloads.iter().map(|workload| workload.base.as_str()).collect();
        names.dedup();
        let figures = names.into_iter().filter_map(|name| Overview::new(name, workloads, machine));
        let figures: Vec<Overview<'_>> = figures.collect();
        figures.iter().map(|figure| self.print(figure)).collect()
    }

    fn print<F: Figure>(&mut self, figure: &F) -> Result<report::Chart, PlotError> {
        print(figure, &self.dir.charts(), &mut self.charts)
    }
}

/// Writes a figure as SVG and PNG into a directory, and adds both to the files `written`.
fn print<F: Figure>(
    figure: &F,
    dir: &Path,
    written: &mut Vec<PathBuf>,
) -> Result<report::Chart, PlotError> {
    let svg = svg(figure)?;
    let stem = dir.join(figure.name());
    let path = with_extension(&stem, "svg");
    save(&path, svg.as_bytes())?;
    written.push(path);
    let path = with_extension(&stem, "png");
    png(figure, &path)?;
    written.push(path);
    Ok(report::Chart { name: figure.name(), svg, finding: figure.finding() })
}

/// Appends, as a workload's name may hold a dot.
fn with_extension(stem: &Path, extension: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(".");
    path.push(extension);
    path.into()
}

fn save(path: &Path, bytes: &[u8]) -> Result<(), PlotError> {
    let reason = |error: ResultsError| match error {
        ResultsError::File { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    write_whole(path, bytes)
        .map_err(|error| PlotError::NotWritten { path: path.into(), reason: reason(error) })
}

fn svg<F: Figure>(figure: &F) -> Result<String, PlotError> {
    let size = ((WIDTH * SVG_SCALE) as u32, (figure.height() * SVG_SCALE) as u32);
    let mut text = String::new();
    let mut backend = SVGBackend::with_string(&mut text, size);
    figure.draw(&mut Canvas::new(&mut backend, Medium::svg(SVG_SCALE)))?;
    backend.present().map_err(PlotError::drawing)?;
    drop(backend);
    let (width, height) = (WIDTH, figure.height());
    let own = format!(r#"<svg width="{}" height="{}""#, size.0, size.1);
    let logical = format!(
        r#"<svg width="{width}" height="{height}" stroke-linejoin="round" stroke-linecap="butt""#
    );
    Ok(text.replacen(&own, &logical, 1).replace("\n</text>", "</text>").replace(">\n", ">"))
}

fn png<F: Figure>(figure: &F, path: &Path) -> Result<(), PlotError> {
    let width = WIDTH as usize * PNG_SCALE;
    let height = figure.height() as usize * PNG_SCALE;
    let large = ((width * OVERSAMPLING) as u32, (height * OVERSAMPLING) as u32);
    let mut pixels = vec![0; 3 * large.0 as usize * large.1 as usize];
    let mut backend = BitMapBackend::with_buffer(&mut pixels, large);
    let medium = Medium::bitmap((PNG_SCALE * OVERSAMPLING) as f64);
    figure.draw(&mut Canvas::new(&mut backend, medium))?;
    drop(backend);
    let pixels = shrink(&pixels, width, height);

    // plotters encodes only into a file; the name changes when it is whole.
    let staged = with_extension(path, "part.png");
    let size = (width as u32, height as u32);
    let mut file = BitMapBackend::new(&staged, size);
    let written = file.blit_bitmap((0, 0), size, &pixels).and_then(|()| file.present());
    drop(file);
    let not_written = |reason: String| PlotError::NotWritten { path: path.into(), reason };
    written.map_err(|error| not_written(error.to_string()))?;
    std::fs::rename(&staged, path).map_err(|error| not_written(error.to_string()))
}

/// Averages squares of [`OVERSAMPLING`] pixels; `width` and `height` are the result's.
fn shrink(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let stride = width * OVERSAMPLING * 3;
    let mut small = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let rows = &pixels[y * OVERSAMPLING * stride..][..OVERSAMPLING * stride];
        for x in 0..width {
            for channel in 0..3 {
                let first = x * OVERSAMPLING * 3 + channel;
                let sum: usize = (0..OVERSAMPLING * OVERSAMPLING)
                    .map(|index| (index / OVERSAMPLING, index % OVERSAMPLING))
                    .map(|(row, column)| usize::from(rows[row * stride + first + column * 3]))
                    .sum();
                small.push((sum / (OVERSAMPLING * OVERSAMPLING)) as u8);
            }
        }
    }
    small
}
