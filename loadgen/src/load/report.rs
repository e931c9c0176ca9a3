//! What `strife load` prints and writes.

use std::{
    fmt::{self, Write},
    path::Path,
    time::Duration,
};

use serde::Serialize;
use strife_runtime::{Failure, parse::format_duration};

use super::{args::Format, judge};
use crate::{
    results::{ResultDir, ResultsError, RunKey, ServerRow, SummaryRow, write_rows, write_whole},
    run::{Length, Pace, RunConfig},
    samples::{Samples, hgrm},
    summary::{Percentiles, Summary, server_rows, summary_row, timeline_rows},
};

/// One finished run.
pub(super) struct Report<'a> {
    /// The method or the workload.
    pub(super) what: String,
    pub(super) config: &'a RunConfig,
    pub(super) samples: &'a Samples,
    pub(super) summary: &'a Summary,
}

/// The report for machines.
#[derive(Serialize)]
struct Machine<'a> {
    target: &'a str,
    /// `open` or `closed`; a closed loop offers no rate, and its `offered_rps` is 0.
    #[serde(rename = "loop")]
    loop_kind: &'static str,
    summary: SummaryRow,
    refused: u64,
    queued: u64,
    errors: std::collections::BTreeMap<String, u64>,
    servers: Vec<ServerRow>,
}

/// Causes of failure with their counts, the most frequent first.
pub(super) fn errors(samples: &Samples) -> Vec<(String, u64)> {
    let counters = &samples.counters;
    let mut all: Vec<(String, u64)> =
        counters.errors.iter().map(|(kind, count)| (kind.to_string(), *count)).collect();
    all.push(("timeout".to_owned(), counters.timeouts));
    all.push(("shed".to_owned(), counters.shed));
    all.retain(|(_, count)| *count > 0);
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all
}

impl Report<'_> {
    /// The report in one of its forms.
    pub(super) fn printed(&self, format: Format) -> Result<String, Failure> {
        let failed = |error: &dyn fmt::Display| Failure::new(format!("cannot report: {error}"));
        match format {
            Format::Text => Ok(self.to_string()),
            Format::Json => {
                let report = Machine {
                    target: &self.config.target,
                    loop_kind: match self.config.pace {
                        Pace::Open { .. } => "open",
                        Pace::Closed => "closed",
                    },
                    summary: self.row(),
                    refused: self.samples.counters.refused,
                    queued: self.samples.counters.queued,
                    errors: errors(self.samples).into_iter().collect(),
                    servers: server_rows(&self.key(), self.samples, &[]),
                };
                let json = serde_json::to_string_pretty(&report);
                json.map(|json| json + "\n").map_err(|error| failed(&error))
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::new());
                writer.serialize(self.row()).map_err(|error| failed(&error))?;
                let bytes = writer.into_inner().map_err(|error| failed(&error))?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
        }
    }

    /// Writes CSV files and histograms into `dir`.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Failure> {
        self.write_all(&ResultDir::new(dir)).map_err(|error| {
            Failure::new(format!("cannot write the results: {error}; choose another --out"))
        })
    }

    fn write_all(&self, dir: &ResultDir) -> Result<(), ResultsError> {
        let key = self.key();
        write_rows(&dir.summary(), &[self.row()])?;
        write_rows(&dir.servers(), &server_rows(&key, self.samples, &[]))?;
        write_rows(&dir.timeline(), &timeline_rows(&key, self.samples))?;
        for (kind, histogram) in [
            ("response", self.samples.response()),
            ("service", self.samples.service()),
            ("send_lag", self.samples.send_lag()),
        ] {
            let text = hgrm::percentile_text(&histogram);
            write_whole(&dir.histogram(&key, kind), text.as_bytes())?;
        }
        Ok(())
    }

    fn key(&self) -> RunKey {
        RunKey {
            // It names files.
            workload: self.what.replace('/', "."),
            policy: "none".to_owned(),
            clients: self.config.clients,
            servers: self.samples.servers.len() as u32,
            rate: self.config.offered_rps().unwrap_or(0.0).round() as u64,
            fault: String::new(),
            trial: 1,
        }
    }

    fn row(&self) -> SummaryRow {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let available = self.samples.wall.as_secs_f64() * cores;
        let busy = self.samples.cpu.as_secs_f64();
        let cpu = if available > 0.0 { busy / available } else { 0.0 };
        summary_row(&self.key(), self.config.seed, cpu, self.samples, self.summary)
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunConfig { target, clients, connections, seed, .. } = self.config;
        let loop_kind = match self.config.pace {
            Pace::Open { rate, arrivals } => {
                let arrivals = format!("{arrivals:?}").to_lowercase();
                format!("open loop, {rate} calls/s ({arrivals})")
            }
            Pace::Closed => "closed loop".to_owned(),
        };
        let warmup = match self.config.length {
            Length::For(_) => format_duration(self.config.warmup),
            Length::Calls(_) => "no".to_owned(),
        };
        let wall = self.samples.wall.as_secs_f64();
        let stopped = if self.samples.stopped_early { ", stopped early" } else { "" };
        writeln!(f, "{} at {target}", self.what)?;
        writeln!(f, "{clients} clients on {connections} connections, {loop_kind}")?;
        writeln!(f, "{wall:.2} s measured after {warmup} warm-up{stopped}, seed {seed}")
    }

    fn counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = &self.samples.counters;
        let achieved = self.summary.achieved_rps;
        match self.summary.offered_rps {
            Some(offered) => writeln!(f, "\n{:<12}{offered:>12.1} calls/s", "offered")?,
            None => writeln!(f, "\n{:<12}{:>12}", "offered", "closed loop")?,
        }
        writeln!(f, "{:<12}{achieved:>12.1} calls/s", "throughput")?;
        for (name, count) in [
            ("due", counters.due),
            ("sent", counters.sent),
            ("ok", counters.ok),
            ("refused", counters.refused),
            ("queued", counters.queued),
        ] {
            if count > 0 || !["refused", "queued"].contains(&name) {
                writeln!(f, "{name:<12}{count:>12}")?;
            }
        }
        for (cause, count) in errors(self.samples) {
            writeln!(f, "{:<12}{count:>12}  {cause}", "error")?;
        }
        Ok(())
    }

    fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<12}{:>12}{:>12}{:>12}{:>12}{:>12}",
            "", "p50", "p90", "p99", "p99.9", "max"
        )?;
        let Summary { response, service, send_lag, .. } = self.summary;
        for (name, of) in [("response", response), ("service", service), ("send lag", send_lag)] {
            let Percentiles { p50, p90, p99, p999, max } = *of;
            let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(time);
            writeln!(f, "{name:<12}{p50:>12}{p90:>12}{p99:>12}{p999:>12}{max:>12}")?;
        }
        Ok(())
    }

    fn servers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = server_rows(&self.key(), self.samples, &[]);
        let width = rows.iter().map(|row| row.server.len()).max().unwrap_or(0).max(12);
        let mut table = String::new();
        let heads = ["calls", "share", "p50", "p99"];
        let [calls, share, p50, p99] = heads;
        writeln!(table, "\n{:<width$}{calls:>12}{share:>12}{p50:>12}{p99:>12}", "server")?;
        for row in &rows {
            let share = format!("{:.1}%", row.share * 100.0);
            let (p50, p99) = (time(row.p50_us), time(row.p99_us));
            writeln!(
                table,
                "{:<width$}{:>12}{share:>12}{p50:>12}{p99:>12}",
                row.server, row.calls
            )?;
        }
        if rows.len() > 1 {
            let of = &self.summary.fairness;
            let (jain, cov, peak) = (of.jain, of.cov, of.max_over_mean);
            writeln!(table, "Jain's index {jain:.4}, CoV {cov:.3}, busiest over mean {peak:.2}")?;
        }
        if rows.is_empty() { Ok(()) } else { f.write_str(&table) }
    }

    fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.summary.verdict;
        writeln!(f)?;
        if let Some(failed) = judge::failed_calls(self.samples) {
            writeln!(f, "{failed}")?;
        }
        match verdict.is_valid() {
            true => writeln!(f, "measurement valid")?,
            false => writeln!(f, "measurement INVALID: {}", verdict.invalid.join("; "))?,
        }
        if verdict.is_saturated() {
            writeln!(f, "SATURATED: {}", verdict.saturated.join("; "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.counts(f)?;
        self.times(f)?;
        self.servers(f)?;
        self.verdict(f)
    }
}

/// A time in the unit that suits it; a dash if it is not known.
fn time(us: Option<u64>) -> String {
    let Some(us) = us else { return "-".to_owned() };
    match Duration::from_micros(us).as_secs_f64() {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        _ => format!("{us} us"),
    }
}
