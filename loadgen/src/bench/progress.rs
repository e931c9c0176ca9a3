//! What a comparison shows while it works: a bar with the time left, a line per run.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::plan::Due;
use crate::results::peers::{PeerRunRow, Phase};

/// A progress bar on a terminal; without one, just a line per run.
pub(super) struct Bar {
    bar: ProgressBar,
    is_terminal: bool,
}

impl Bar {
    pub(super) fn new(runs: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::new(runs as u64);
        if !is_terminal {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template(
            "{bar:16.cyan/blue} {pos}/{len} runs, {eta:>4} left  {wide_msg}",
        );
        bar.set_style(style.expect("the template is a constant"));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, is_terminal }
    }

    /// Says which run is being made.
    pub(super) fn doing(&self, phase: Phase, due: &Due) {
        let (what, cell) = (phase_name(phase), due.cell);
        self.bar.set_message(format!("round {}: {}, {what}, {cell}", due.round, due.proxy));
    }

    /// A run that is not made, or was.
    pub(super) fn advance(&self) {
        self.bar.inc(1);
    }

    /// A line that stays.
    pub(super) fn line(&self, line: &str) {
        if self.is_terminal {
            self.bar.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    /// The line of a run that was made.
    pub(super) fn made(&self, due: &Due, row: &PeerRunRow) {
        self.advance();
        let mut line = format!(
            "round {} {:<9} {:<28} {:<8}",
            due.round,
            phase_name(row.phase),
            due.cell.to_string(),
            due.proxy.name()
        );
        line.push_str(&match row.phase {
            Phase::Idle => format!(
                "  {:>7} KiB for {} connections",
                row.memory_kib_after.saturating_sub(row.memory_kib_before),
                row.connections
            ),
            Phase::Saturated | Phase::Paced => format!(
                "  {:>7} us/call  {:>8.0}/s  p50 {:>8} us  p99 {:>8} us",
                known(row.cpu_us_per_call, 2),
                row.calls_per_s,
                known(row.p50_us, 0),
                known(row.p99_us, 0)
            ),
        });
        match (row.valid, row.why.as_str()) {
            (true, "") => {}
            (true, why) => line.push_str(&format!("  ({why})")),
            (false, why) => line.push_str(&format!("  INVALID: {why}")),
        }
        self.line(&line);
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn known(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Saturated => "saturated",
        Phase::Paced => "paced",
        Phase::Idle => "idle",
    }
}
