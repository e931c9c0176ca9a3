//! The format, read back by a parser that is stricter than Prometheus' own.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A page read back: families by name, samples by their text up to the value.
#[derive(Debug, Default)]
pub(in crate::metrics) struct Parsed {
    pub(in crate::metrics) families: BTreeMap<String, String>,
    pub(in crate::metrics) samples: BTreeMap<String, f64>,
}

/// Reads a page and checks that every line of it is valid and in its place.
pub(in crate::metrics) fn parse(page: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let (mut helped, mut family, mut kind) = ("", "", "");
    assert!(page.ends_with('\n'), "the last line has an end");
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(text.ends_with('.') && !text.contains('\\'), "{line}");
            helped = name;
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            (family, kind) = described.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert_eq!(family, helped, "help comes before the type: {line}");
            assert!(is_name(family) && family.starts_with("strife_lb_"), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
            let known = parsed.families.insert(family.to_owned(), kind.to_owned());
            assert!(known.is_none(), "one family in two places: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            check_series(series, family, kind);
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(value.is_finite() && value >= 0.0, "{line}");
            let twice = parsed.samples.insert(series.to_owned(), value);
            assert!(twice.is_none(), "one series twice: {line}");
        }
    }
    check_histograms(&parsed);
    parsed
}

fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn check_series(series: &str, family: &str, kind: &str) {
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{series} in {family}"));
    let allowed: &[&str] = match kind {
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    assert!(allowed.contains(&suffix), "{series} is no {kind}");
    let labels = labels_of(labels.strip_suffix('}').unwrap_or_else(|| panic!("{series}")));
    let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), labels.len(), "a label twice: {series}");
    assert!(names.iter().all(|name| is_name(name)), "{series}");
}

/// Label names and values, unescaped, of the text between the braces.
fn labels_of(mut text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        let (mut value, mut characters) = (String::new(), rest.chars());
        loop {
            match characters.next().unwrap_or_else(|| panic!("a value without end: {text}")) {
                '"' => break,
                '\\' => value.push(match characters.next() {
                    Some('n') => '\n',
                    Some(escaped @ ('\\' | '"')) => escaped,
                    other => panic!("{other:?} escaped in {text}"),
                }),
                plain => value.push(plain),
            }
        }
        labels.push((name.to_owned(), value));
        text = match characters.as_str() {
            "" => "",
            rest => rest.strip_prefix(',').unwrap_or_else(|| panic!("{rest}")),
        };
    }
    labels
}

/// Bounds rise, counts never fall, and `+Inf` is the count.
fn check_histograms(parsed: &Parsed) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, count) in &parsed.samples {
        let Some((before, bound)) = series.split_once("le=\"") else { continue };
        let bound = bound.strip_suffix("\"}").unwrap_or_else(|| panic!("le is last: {series}"));
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
        let of = before.trim_end_matches([',', '{']).replacen("_bucket", "_count", 1);
        let of = if of.contains('{') { of + "}" } else { of };
        buckets.entry(of).or_default().push((bound, *count));
    }
    let is_histogram = |name: &&String| parsed.families[*name] == "histogram";
    assert_eq!(buckets.is_empty(), parsed.families.keys().filter(is_histogram).count() == 0);
    for (count, mut buckets) in buckets {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{count}: {buckets:?}");
        let last = buckets.last().copied().unwrap();
        assert_eq!(last, (f64::INFINITY, parsed.samples[&count]), "{count}");
    }
}

#[test]
fn labels_are_escaped() {
    let mut page = Exposition::default();
    page.family("strife_lb_things", Kind::Gauge, "Things.");
    let hostile = "a\"b\\c\nd,e=\"f} 1\u{e4}";
    page.sample(&[("pool", hostile), ("endpoint", "")], 1);
    let text = page.into_text();
    let expected = "strife_lb_things{pool=\"a\\\"b\\\\c\\nd,e=\\\"f} 1\u{e4}\",endpoint=\"\"} 1\n";
    assert!(text.ends_with(expected), "{text}");
    let parsed = parse(&text);
    let series = parsed.samples.keys().next().unwrap();
    let labels = series.strip_prefix("strife_lb_things{").unwrap().strip_suffix('}').unwrap();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(labels_of(labels), [pair("pool", hostile), pair("endpoint", "")]);
}

#[test]
fn a_histogram_is_in_seconds_and_cumulative() {
    let histogram = super::super::Histogram::default();
    [31, 32, 100_000, 1 << 30].into_iter().for_each(|us| histogram.record(us));
    let mut latencies = Latencies::default();
    latencies.add(&histogram);
    let mut page = Exposition::default();
    page.family("strife_lb_wait_seconds", Kind::Histogram, "Waits.");
    page.histogram(&[("pool", "default")], &latencies);
    page.family("strife_lb_plain_seconds", Kind::Histogram, "Waits without a label.");
    page.histogram(&[], &latencies);
    let parsed = parse(&page.into_text());
    let check = |series: &str, expected: f64| {
        assert_eq!(parsed.samples[&format!("strife_lb_wait_seconds_{series}")], expected);
    };
    check("bucket{pool=\"default\",le=\"0.000032\"}", 1.0);
    check("bucket{pool=\"default\",le=\"0.000064\"}", 2.0);
    check("bucket{pool=\"default\",le=\"0.131072\"}", 3.0);
    check("bucket{pool=\"default\",le=\"67.108864\"}", 3.0);
    check("bucket{pool=\"default\",le=\"+Inf\"}", 4.0);
    check("sum{pool=\"default\"}", 1073.841887);
    check("count{pool=\"default\"}", 4.0);
    assert_eq!(parsed.samples["strife_lb_plain_seconds_count"], 4.0);
}
