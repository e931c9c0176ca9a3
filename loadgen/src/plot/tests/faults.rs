//! Sweeps with faults, made up: a policy that works around them, one that does not, one that fails.

use std::fs;

use super::{
    super::style::{QUEUED, hex},
    draw,
    fixture::{Fixture, workload_rows},
};
use crate::results::{
    Phase, PhaseRow, QueueRow, SummaryRow, WindowRow, queue::tests::row, write_rows,
};

const PLAN: &str = r#"
[[workloads]]
kind = "bank"
[[workloads.faults]]
kind = "slow"
factor = 3.0
[[workloads.faults]]
kind = "freeze"
name = "frozen"
"#;
const POLICIES: [&str; 9] = [
    "pick_first",
    "round_robin",
    "least_load",
    "least_request",
    "weighted_round_robin",
    "peak_ewma",
    "prequal",
    "ring_hash",
    "random",
];
const FAULT: std::ops::Range<f64> = 3.0..7.0;
const END: f64 = 12.0;

/// How much worse calls are during the fault, when that ends, and which part of them fails.
fn course(policy: &str, at_s: f64) -> (u64, f64) {
    let since = at_s - FAULT.start;
    match policy {
        "least_load" if FAULT.contains(&at_s) && since < 0.7 => (3, 0.02),
        "prequal" | "least_load" => (1, 0.0),
        "pick_first" if FAULT.contains(&at_s) => (40, 0.9),
        _ if (FAULT.start..FAULT.end + 0.5).contains(&at_s) => (8, 0.08),
        _ => (1, 0.0),
    }
}

fn summaries(faults: &[&str]) -> Vec<SummaryRow> {
    let mut rows = Vec::new();
    for fault in faults {
        for mut row in workload_rows("bank", &POLICIES, 128) {
            (row.saturated, row.p99_us, row.duration_s) = (false, Some(9_000), END);
            row.fault = (*fault).to_owned();
            rows.push(row);
        }
    }
    rows
}

fn phases(row: &SummaryRow) -> Vec<PhaseRow> {
    let phase = |phase, (from_s, until_s): (f64, f64), recovered_s| {
        let (factor, failing) = course(&row.policy, from_s);
        PhaseRow {
            workload: row.workload.clone(),
            policy: row.policy.clone(),
            fault: row.fault.clone(),
            trial: row.trial,
            phase,
            from_s,
            until_s,
            calls: 9_600,
            errors: (9_600.0 * failing) as u64,
            queued: 0,
            p50_us: Some(5_000),
            p99_us: Some(9_000 * factor + 10 * u64::from(row.trial)),
            limit_us: Some(13_500),
            recovered_s,
            happened_s: (phase != Phase::Before).then_some(from_s + 0.004),
            clients: row.clients,
            servers: row.servers,
            offered_rps: row.offered_rps,
        }
    };
    let during = match row.policy.as_str() {
        "prequal" => Some(0.0),
        "least_load" => Some(0.7),
        _ => None,
    };
    let after = if during.is_some() { 0.0 } else { 0.5 };
    vec![
        phase(Phase::Before, (0.0, FAULT.start), None),
        phase(Phase::During, (FAULT.start, FAULT.end), during),
        phase(Phase::After, (FAULT.end, END), Some(after)),
    ]
}

fn windows(row: &SummaryRow) -> Vec<WindowRow> {
    let window = |index: u32| {
        let at_s = f64::from(index) / 10.0;
        let (factor, failing) = course(&row.policy, at_s + 0.4);
        WindowRow {
            workload: row.workload.clone(),
            policy: row.policy.clone(),
            fault: row.fault.clone(),
            trial: row.trial,
            at_s,
            width_s: 0.5,
            calls: 1_000,
            errors: (1_000.0 * failing) as u64,
            queued: 0,
            p50_us: Some(5_000),
            p99_us: (failing < 0.5).then_some(9_000 * factor + u64::from(index * 37 % 800)),
            clients: row.clients,
            servers: row.servers,
            offered_rps: row.offered_rps,
        }
    };
    (0..116).map(window).collect()
}

/// Every file of a sweep with these faults, and the same without one (`""`).
fn fixture(faults: &[&str]) -> Fixture {
    let fixture = Fixture::empty();
    fs::write(fixture.dir().plan(), PLAN).unwrap();
    let rows = summaries(faults);
    fixture.write(rows.clone());
    let befallen = || rows.iter().filter(|row| !row.fault.is_empty());
    write_rows(&fixture.dir().phases(), &befallen().flat_map(phases).collect::<Vec<_>>()).unwrap();
    write_rows(&fixture.dir().windows(), &befallen().flat_map(windows).collect::<Vec<_>>())
        .unwrap();
    let mut timeline: Vec<crate::results::TimelineRow> =
        crate::results::read_rows(&fixture.dir().timeline()).unwrap();
    for slice in timeline.iter_mut().filter(|slice| !slice.fault.is_empty()) {
        slice.errors = (slice.calls as f64 * course(&slice.policy, slice.at_s).1) as u64;
    }
    write_rows(&fixture.dir().timeline(), &timeline).unwrap();
    fixture
}

#[test]
fn every_fault_has_a_chart_and_all_have_one_together() {
    let fixture = fixture(&["slow", "frozen"]);
    let drawn = draw(&fixture.dir()).unwrap();
    assert_eq!(drawn.charts.len(), 6, "{:?}", drawn.charts);
    for name in ["fault-bank-slow", "fault-bank-frozen", "faults-bank"] {
        let svg = fs::read_to_string(fixture.dir().charts().join(format!("{name}.svg"))).unwrap();
        assert!(POLICIES.iter().all(|policy| svg.contains(policy)), "{name}");
        assert!(svg.contains("failed: 32.9%") && svg.contains("not in 4 s"), "{name}");
    }
    let svg = fs::read_to_string(fixture.dir().charts().join("fault-bank-slow.svg")).unwrap();
    assert!(svg.contains("bank/slow: 1 of 12 servers 3× slower"), "the plan is told");
    assert!(
        svg.contains("9.02 → 27.0 → 9.02 ms")
            && svg.contains("back: 0.7 s; after its end: at once")
    );

    let report = fs::read_to_string(&drawn.report).unwrap();
    assert_eq!(report.matches("<figure>").count(), 3);
    let said = [
        "Not felt under prequal. Worked around by least_load after 0.7 s. Felt to its end under \
         pick_first (back 0.5 s after its end), round_robin",
        "worked around while they lasted: prequal 2 of 2, at once (at most 0% of calls failed); \
         least_load 2 of 2, after at most 0.7 s",
        "1 of 12 servers suspended: best served by",
        "href=\"phases.csv\"",
    ];
    said.iter().for_each(|said| assert!(report.contains(said), "{said}"));
}

#[test]
fn what_was_not_disturbed_is_judged_by_itself() {
    let fixture = fixture(&["", "slow"]);
    let drawn = draw(&fixture.dir()).unwrap();
    let names: Vec<_> = drawn.charts.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    for name in ["percentiles-bank", "timeline-bank", "fault-bank-slow", "faults-bank"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("percentiles-bank-")), "{names:?}");
    assert!(
        drawn.headlines[0].starts_with("bank: ") && drawn.headlines[1].starts_with("bank/slow")
    );
}

#[test]
fn a_run_too_small_for_percentiles_is_drawn() {
    let fixture = fixture(&["slow"]);
    let mut phases: Vec<PhaseRow> = crate::results::read_rows(&fixture.dir().phases()).unwrap();
    for row in &mut phases {
        (row.p99_us, row.limit_us, row.recovered_s) = (None, None, None);
        row.errors = 0;
    }
    write_rows(&fixture.dir().phases(), &phases).unwrap();
    write_rows::<WindowRow>(&fixture.dir().windows(), &[]).unwrap();
    let drawn = draw(&fixture.dir()).unwrap();
    assert!(drawn.headlines[0].contains("no policy answered enough"), "{:?}", drawn.headlines);
    let svg = fs::read_to_string(fixture.dir().charts().join("fault-bank-slow.svg")).unwrap();
    assert!(svg.contains("back: unknown"));
}

#[test]
fn whoever_fails_more_calls_than_a_p99_leaves_out_is_not_best() {
    let fixture = fixture(&["slow"]);
    let mut phases: Vec<PhaseRow> = crate::results::read_rows(&fixture.dir().phases()).unwrap();
    let quickest = phases[0].policy.clone();
    for row in &mut phases {
        let is_quickest = row.policy == quickest;
        row.p99_us = Some(if is_quickest { 1_000 } else { 50_000 });
        row.errors = if is_quickest { row.calls / 10 } else { 0 };
    }
    write_rows(&fixture.dir().phases(), &phases).unwrap();
    let headline = draw(&fixture.dir()).unwrap().headlines[0].clone();
    assert!(headline.contains(&format!("worst by {quickest} (")), "{headline}");
    assert!(headline.contains("of calls failed during it"), "{headline}");
}

#[test]
fn what_was_queued_is_told_apart_from_what_failed() {
    let fixture = fixture(&["slow"]);
    let drawn = draw(&fixture.dir()).unwrap();
    let chart = || fs::read_to_string(fixture.dir().charts().join("fault-bank-slow.svg")).unwrap();
    assert!(!drawn.headlines[0].contains("queued") && !chart().contains("queued"), "none was");

    let plan =
        PLAN.replace("kind = \"slow\"\nfactor = 3.0", "kind = \"bank_away\"\nname = \"slow\"");
    fs::write(fixture.dir().plan(), plan.replace("kind = \"bank\"", "kind = \"bank\"\nbanks = 3"))
        .unwrap();
    let mut phases: Vec<PhaseRow> = crate::results::read_rows(&fixture.dir().phases()).unwrap();
    for row in &mut phases {
        (row.errors, row.queued) = (0, if row.phase == Phase::During { row.calls } else { 0 });
    }
    write_rows(&fixture.dir().phases(), &phases).unwrap();
    let mut timeline: Vec<crate::results::TimelineRow> =
        crate::results::read_rows(&fixture.dir().timeline()).unwrap();
    timeline.iter_mut().for_each(|slice| (slice.errors, slice.queued) = (0, slice.calls));
    write_rows(&fixture.dir().timeline(), &timeline).unwrap();
    let mut windows: Vec<WindowRow> = crate::results::read_rows(&fixture.dir().windows()).unwrap();
    windows.iter_mut().for_each(|window| window.p99_us = None);
    write_rows(&fixture.dir().windows(), &windows).unwrap();
    let waited = QueueRow { workload: "bank".to_owned(), fault: "slow".to_owned(), ..row() };
    write_rows(&fixture.dir().queue(), std::slice::from_ref(&waited)).unwrap();

    let drawn = draw(&fixture.dir()).unwrap();
    let headline = &drawn.headlines[0];
    assert!(headline.contains("1 of 3 banks killed") && headline.contains("No call failed"));
    assert!(headline.contains("50.0% of calls queued during it"), "{headline}");
    let svg = chart();
    for said in ["failed: 0%, queued: 33.3%", "amber: are queued", "p50 of the half second"] {
        assert!(svg.contains(said), "{said}");
    }
    assert!(svg.contains(&hex(QUEUED.light)), "queued calls are drawn");
    let report = fs::read_to_string(&drawn.report).unwrap();
    assert!(report.contains(&waited.told()), "what became of them is told");
}
