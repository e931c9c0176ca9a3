//! The small parts: histogram text, axes, numbers, dashes, looks, labels.

use proptest::prelude::*;

use super::super::{
    axis::Axis,
    canvas::dash,
    fairness::jain,
    frame::{fit, stem},
    hgrm::parse,
    marks::spread,
    numbers::{count, counted, list, percent, quantity, time, time_range},
    report::{date, escape},
    style::{TITLE, looks, tones},
};
use crate::samples::hgrm::percentile_text;

#[test]
fn a_histogram_is_read_as_far_as_it_is_known() {
    let text = "Value Percentile TotalCount 1/(1-Percentile)\n\n\
                1.5 0.0 1 1.00\n2.5 0.5 50 2.00\n3.5 0.9 90 10.00\n4.5 0.95 95 20.00\n\
                5.5 1.0 100 inf\n#[Max = 5.5, Total count = 100]\n";
    let curve = parse(text).unwrap();
    assert_eq!((curve.total, curve.points.len()), (100, 3), "five samples beyond p95 are too few");
    assert!((curve.points[2].nines - 1.0).abs() < 1e-9);
    assert!((curve.points[2].value_us - 3_500.0).abs() < 1e-9);
    let nothing = parse("#[Max = 0, Total count = 0]\n").unwrap();
    assert!(nothing.points.is_empty());
}

#[test]
fn ties_do_not_end_a_curve() {
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3).unwrap();
    histogram.record_n(1_000, 200).unwrap();
    histogram.record_n(2_000_000, 9_800).unwrap();
    let curve = parse(&percentile_text(&histogram)).unwrap();
    let last = curve.points.last().unwrap();
    assert!(last.nines > 2.0 && last.value_us > 1_990_000.0, "{last:?}");
}

#[test]
fn what_a_run_writes_is_read() {
    let mut histogram = hdrhistogram::Histogram::<u64>::new(3).unwrap();
    (1..=10_000).for_each(|us| histogram.record(us).unwrap());
    let curve = parse(&percentile_text(&histogram)).unwrap();
    assert_eq!(curve.total, 10_000);
    let p90 =
        curve.points.iter().min_by(|a, b| (a.nines - 1.0).abs().total_cmp(&(b.nines - 1.0).abs()));
    assert!((p90.unwrap().value_us - 9_000.0).abs() < 400.0, "{p90:?}");
    assert!(curve.points.iter().all(|point| point.nines <= 3.0 + 1e-9));
    assert_eq!(
        parse(&percentile_text(&hdrhistogram::Histogram::new(3).unwrap())).unwrap().total,
        0
    );
}

#[test]
fn a_broken_histogram_says_which_line() {
    let cases = [
        ("", 1, "holds no histogram"),
        ("Value Percentile\n1.0 0.5\n", 2, "TotalCount is missing"),
        ("1.0 0.5 10 2\nx 1.0 20 inf\n", 2, "`x` is not a number"),
        ("1.0 0.5 10 2\n", 1, "half-written"),
        ("2.0 0.5 10 2\n1.0 1.0 20 inf\n", 2, "must rise"),
        ("1.0 NaN 10 2\n", 1, "out of range"),
    ];
    for (text, line, reason) in cases {
        let (at, why) = parse(text).unwrap_err();
        assert!(at == line && why.contains(reason), "{text:?}: {at}, {why}");
    }
}

#[test]
fn numbers_as_people_read_them() {
    assert_eq!(time(41_234.0), "41.2 ms");
    assert_eq!(time(870.0), "0.87 ms");
    assert_eq!(time(12_345_678.0), "12.3 s");
    assert_eq!(time_range(39_100.0, 43_000.0), "39.1–43.0 ms");
    assert_eq!(time_range(39_100.0, 39_101.0), "39.1 ms");
    assert_eq!(time_range(900_000.0, 12_000_000.0), "900 ms – 12.0 s");
    assert_eq!(count(1_234_567.0), "1,234,567");
    assert_eq!(count(-1_234.0), "-1,234");
    assert_eq!(
        (quantity(0.0), quantity(2_000.0), quantity(7.76)),
        ("0".into(), "2,000".into(), "7.76".into())
    );
    assert_eq!(
        (percent(0.0), percent(0.000_01), percent(0.031)),
        ("0%".into(), "<0.01%".into(), "3.10%".into())
    );
    assert_eq!((counted(1, "trial"), counted(2, "trial")), ("1 trial".into(), "2 trials".into()));
    assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    assert_eq!(date(1_709_208_000), "2024-02-29 12:00 UTC");
}

#[test]
fn axes_have_round_ticks() {
    let labels = |axis: &Axis| axis.ticks.iter().map(|t| t.1.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&Axis::from_zero(1_870.0, 4.0)), ["0", "500", "1,000", "1,500", "2,000"]);
    assert_eq!(labels(&Axis::from_zero(1.0, 5.0)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(labels(&Axis::log([3.0, 40.0].into_iter())), ["2", "5", "10", "20", "50"]);
    let wide = Axis::log([0.5, 3_000.0].into_iter());
    let named: Vec<String> = labels(&wide).into_iter().filter(|l| !l.is_empty()).collect();
    assert_eq!(named, ["1", "10", "100", "1,000"]);
    assert!((wide.share(0.5)).abs() < 1e-9 && (wide.share(5_000.0) - 1.0).abs() < 1e-9);
}

#[test]
fn looks_are_stable_and_apart() {
    let few = looks(["round_robin", "mine"].into_iter());
    let many = looks(["mine", "round_robin", "least_load", "pick_first"].into_iter());
    assert_eq!(few["mine"], many["mine"]);
    assert_eq!(few["round_robin"], many["round_robin"]);
    let all = looks(["a", "b", "c", "d", "e", "round_robin"].into_iter());
    let mut tones: Vec<_> = all.values().map(|look| look.tone.light).collect();
    tones.sort_unstable();
    tones.dedup();
    assert_eq!(tones.len(), 6, "no two policies share a colour while there are enough");
}

#[test]
fn every_tone_has_one_dark_twin() {
    let mut light: Vec<_> = tones().iter().map(|tone| tone.light).collect();
    let all = light.len();
    light.sort_unstable();
    light.dedup();
    assert_eq!(light.len(), all, "the report tells tones apart by their light colour");
}

#[test]
fn text_is_shortened_to_fit_and_names_are_safe() {
    assert_eq!(fit("short", TITLE, 400.0), "short");
    let cut = fit(&"long ".repeat(40), TITLE, 200.0);
    assert!(cut.ends_with('…') && TITLE.width(&cut) <= 200.0);
    assert_eq!(stem("timeline", "../a b"), "timeline-..-a-b");
    assert_eq!(escape("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
}

#[test]
fn jain_of_known_shares() {
    assert_eq!(jain([5.0, 5.0].into_iter(), 2), Some(1.0));
    assert_eq!(jain([5.0].into_iter(), 4), Some(0.25));
    assert_eq!(jain(std::iter::empty(), 4), None);
}

proptest! {
    #[test]
    fn log_axes_hold_their_values(values in prop::collection::vec(1e-3_f64..1e6, 1..20)) {
        let axis = Axis::log(values.iter().copied());
        for value in values {
            prop_assert!((-1e-9..=1.0 + 1e-9).contains(&axis.share(value)), "{value} in {axis:?}");
        }
    }

    #[test]
    fn linear_axes_hold_their_values(highest in 1e-6_f64..1e9, steps in 1.0_f64..9.0) {
        let axis = Axis::from_zero(highest, steps);
        prop_assert!(axis.share(highest) <= 1.0 + 1e-6);
        prop_assert!(axis.ticks.len() >= 2 && axis.ticks.len() < 24, "{axis:?}");
    }

    #[test]
    fn labels_never_overlap_if_there_is_room(wanted in prop::collection::vec(0.0_f64..300.0, 1..8)) {
        let heights = vec![34.0; wanted.len()];
        let placed = spread(&wanted, &heights, 0.0, 300.0);
        let mut sorted = placed.clone();
        sorted.sort_by(f64::total_cmp);
        prop_assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 34.0 - 1e-9), "{placed:?}");
        prop_assert!(sorted[0] >= 0.0 && sorted[sorted.len() - 1] <= 300.0 - 34.0 + 1e-9);
    }

    #[test]
    fn dashes_keep_to_the_line(
        line in prop::collection::vec((0.0_f64..500.0, 0.0_f64..500.0), 2..20),
    ) {
        let length = |points: &[(f64, f64)]| -> f64 {
            points.windows(2).map(|p| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1)).sum()
        };
        let drawn: f64 = dash(&line, &[6.0, 4.0]).iter().map(|piece| length(piece)).sum();
        let whole = length(&line);
        prop_assert!(drawn <= whole + 1e-6 && drawn >= whole * 0.6 - 6.0, "{drawn} of {whole}");
    }

    #[test]
    fn no_histogram_text_panics(text in "([0-9a-zA-Z.#\\[ \\-]{0,40}\n){0,6}") {
        let _ = parse(&text);
    }
}
