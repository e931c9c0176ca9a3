//! What a sweep shows while it works: a bar with the time left, a line per run.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::cells::Run;
use crate::{results::SummaryRow, run::Progress};

/// The bar counts tenths of a second of all runs.
const STEPS_PER_SECOND: f64 = 10.0;

/// A progress bar on a terminal; without one, just a line per run.
pub(super) struct Bar {
    bar: ProgressBar,
    steps_per_run: u64,
    is_terminal: bool,
}

impl Bar {
    pub(super) fn new(runs: usize, run: Duration) -> Self {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let steps_per_run = (run.as_secs_f64() * STEPS_PER_SECOND).ceil().max(1.0) as u64;
        let bar = ProgressBar::new(runs as u64 * steps_per_run);
        if !is_terminal {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template(
            "{bar:16.cyan/blue} {percent:>3}% {eta:>4} left {wide_msg}",
        );
        bar.set_style(style.expect("the template is a constant"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, steps_per_run, is_terminal }
    }

    /// Says what is being done.
    pub(super) fn doing(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// How far a run has come.
    pub(super) fn update(&self, done: usize, run: &Run, elapsed: Duration, progress: &Progress) {
        let within = (elapsed.as_secs_f64() * STEPS_PER_SECOND) as u64;
        self.bar.set_position(done as u64 * self.steps_per_run + within.min(self.steps_per_run));
        self.bar.set_message(format!(
            "{} trial {}: {} calls, {} under way, {} errors",
            name(run),
            run.key.trial,
            progress.done(),
            progress.in_flight(),
            progress.errors()
        ));
    }

    /// A line that stays.
    pub(super) fn line(&self, line: &str) {
        if self.is_terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    /// The line of a finished run.
    pub(super) fn finished(&self, run: &Run, row: &SummaryRow) {
        let ms =
            |us: Option<u64>| us.map_or("-".to_owned(), |us| format!("{:.1}", us as f64 / 1e3));
        let mut line = format!(
            "{:<33} trial {}  {:>7.0}/s  p50 {:>6} ms  p99 {:>7} ms  {} errors",
            name(run),
            run.key.trial,
            row.achieved_rps,
            ms(row.p50_us),
            ms(row.p99_us),
            row.errors
        );
        if !row.why.is_empty() {
            let stamp = if row.valid { "SATURATED" } else { "INVALID" };
            line.push_str(&format!("  {stamp}: {}", row.why));
        }
        self.line(&line);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn name(run: &Run) -> String {
    let key = &run.key;
    format!("{} {} {}c {}s", key.of(), key.policy, key.clients, key.servers)
}
