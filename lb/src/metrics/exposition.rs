//! Prometheus' text format, version 0.0.4: families of samples with their help and type.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>

use std::fmt::{Display, Write};

use super::histogram::{BOUND_BITS, Latencies};

/// What a family's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Label names and values, in the order they are written.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// The page, as far as it is written.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
    /// The family that samples belong to.
    family: &'static str,
}

impl Exposition {
    /// Begins a family. Its samples follow, and no other's until then. `help` is one line.
    pub(super) fn family(&mut self, family: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.family = family;
        self.line(format_args!("# HELP {family} {help}"));
        self.line(format_args!("# TYPE {family} {kind}"));
    }

    /// A family of one sample without labels.
    pub(super) fn single(
        &mut self,
        family: &'static str,
        kind: Kind,
        help: &str,
        value: impl Display,
    ) {
        self.family(family, kind, help);
        self.sample(&[], value);
    }

    /// A sample of the family that was begun last.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.suffixed("", labels, None, value);
    }

    /// A histogram of the family that was begun last, in seconds.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, latencies: &Latencies) {
        for bit in BOUND_BITS {
            let bound = seconds(1 << bit);
            self.suffixed("_bucket", labels, Some(&bound), latencies.below(bit));
        }
        self.suffixed("_bucket", labels, Some(&"+Inf"), latencies.count());
        self.suffixed("_sum", labels, None, seconds(latencies.sum_us()));
        self.suffixed("_count", labels, None, latencies.count());
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn suffixed(
        &mut self,
        suffix: &str,
        labels: Labels<'_>,
        bound: Option<&dyn Display>,
        value: impl Display,
    ) {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        let mut separator = '{';
        for (name, value) in labels {
            self.text.push(separator);
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(value, &mut self.text);
            self.text.push('"');
            separator = ',';
        }
        if let Some(bound) = bound {
            self.write(format_args!("{separator}le=\"{bound}\""));
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        self.line(format_args!(" {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.write(line);
        self.text.push('\n');
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.text.write_fmt(text).expect("a string takes all that is written to it");
    }
}

/// Of microseconds.
pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
