//! Whole results directories, made up and deterministic, drawn and broken.

mod faults;
mod findings;
mod fixture;
mod pieces;

use std::fs;

use fixture::{Fixture, workload_rows};

use super::{PlotArgs, PlotError, draw, run};
use crate::results::{ResultDir, RunRow};

fn error(fixture: &Fixture) -> String {
    draw(&fixture.dir()).unwrap_err().to_string()
}

#[test]
fn every_chart_is_written_twice_and_the_report_holds_them() {
    let fixture = Fixture::new();
    let drawn = draw(&fixture.dir()).unwrap();
    let names = [
        "percentiles-bank",
        "distribution-bank",
        "timeline-bank",
        "fairness-bank",
        "throughput-bank",
        "percentiles-payments",
        "distribution-payments",
        "timeline-payments",
        "throughput-payments",
    ];
    assert_eq!(drawn.charts.len(), 2 * names.len());
    for name in names {
        let svg = fs::read_to_string(fixture.dir().charts().join(format!("{name}.svg"))).unwrap();
        assert!(svg.contains("viewBox") && svg.len() > 5_000, "{name}");
        for policy in ["pick_first", "round_robin", "least_load"] {
            assert!(svg.contains(policy), "{name} does not name {policy}");
        }
        assert!(svg.contains("seeds 1, 2 and 3") && svg.contains("SATURATED"), "{name}");
        let png = fs::read(fixture.dir().charts().join(format!("{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 20_000, "{name}");
    }
    let report = fs::read_to_string(&drawn.report).unwrap();
    assert_eq!(report.matches("<figure>").count(), names.len());
    assert!(report.contains("least_load serves best"));
    let loads = ["src=", "<link", "url(", "@import"];
    assert!(!loads.iter().any(|load| report.contains(load)), "one self-contained file");
    let leftovers = fs::read_dir(fixture.dir().charts()).unwrap();
    assert_eq!(leftovers.count(), drawn.charts.len(), "staged files are renamed");
}

#[test]
fn drawing_twice_gives_the_same_bytes() {
    let fixture = Fixture::new();
    let drawn = draw(&fixture.dir()).unwrap();
    let read = || drawn.charts.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>();
    let (charts, report) = (read(), fs::read(&drawn.report).unwrap());
    draw(&fixture.dir()).unwrap();
    assert!(charts == read() && report == fs::read(&drawn.report).unwrap());
}

#[test]
fn several_client_counts_give_a_scaling_chart() {
    let fixture = Fixture::empty();
    let mut rows = workload_rows("bank", &["round_robin", "mine"], 128);
    rows.extend(workload_rows("bank", &["round_robin", "mine"], 1_000));
    fixture.write(rows);
    let drawn = draw(&fixture.dir()).unwrap();
    let has = |name: &str| drawn.charts.iter().any(|path| path.ends_with(name));
    assert!(has("charts/scaling-bank.svg") && has("charts/scaling-bank.png"));
    assert!(has("charts/timeline-bank.svg"), "rows of two cells are told apart");
    let svg = fs::read_to_string(fixture.dir().charts().join("percentiles-bank.svg")).unwrap();
    assert!(svg.contains("1,000 clients"), "the largest cell is the main one");
    assert!(drawn.headlines[0].starts_with("bank: at 1,000 clients, 12 servers, 2,000 calls/s: "));
    let report = fs::read_to_string(&drawn.report).unwrap();
    assert_eq!(report.matches("<tr class=\"cell\">").count(), 2, "the table has all cells");
}

#[test]
fn fleets_that_differ_have_panels_of_their_own() {
    let fixture = Fixture::empty();
    let cell = |(clients, servers): (u32, u32)| {
        let mut rows = workload_rows("bank", &["round_robin"], clients);
        rows.iter_mut().for_each(|row| row.servers = servers);
        rows
    };
    fixture.write([(128, 10), (1_000, 10), (128, 15), (1_000, 15)].map(cell).concat());
    draw(&fixture.dir()).unwrap();
    let svg = fs::read_to_string(fixture.dir().charts().join("scaling-bank.svg")).unwrap();
    for panel in ["10 servers: p99", "15 servers: p99"] {
        assert!(svg.contains(panel), "{panel}");
    }
}

#[test]
fn the_slow_server_is_named() {
    let fixture = Fixture::new();
    let plan = "[[workloads]]\nkind = \"bank\"\nslow = { 7 = 3.0 }\n";
    fs::write(fixture.dir().plan(), plan).unwrap();
    let drawn = draw(&fixture.dir()).unwrap();
    let said = "least_load gave icici-7, which is 3× slower, 0.48× an even share of calls.";
    assert!(drawn.headlines[0].ends_with(said), "{:?}", drawn.headlines);
    assert!(!drawn.headlines[1].contains("slower"), "another workload's");
    let svg = fs::read_to_string(fixture.dir().charts().join("distribution-bank.svg")).unwrap();
    assert!(svg.contains("icici-7 · 3× slower"));
}

#[test]
fn what_kind_of_evidence_it_is_goes_by_the_plan() {
    let (served, real) = ("seeded service times", "real servers, no service times");
    let check = |plan: &str, expected: [&str; 2]| {
        let fixture = Fixture::new();
        fs::write(fixture.dir().plan(), plan).unwrap();
        let drawn = draw(&fixture.dir()).unwrap();
        for (workload, expected) in ["bank", "payments"].into_iter().zip(expected) {
            let chart = fixture.dir().charts().join(format!("percentiles-{workload}.svg"));
            let svg = fs::read_to_string(chart).unwrap();
            for text in [served, real] {
                assert_eq!(svg.contains(text), text == expected, "{workload}, {text}: {plan}");
            }
        }
        fs::read_to_string(drawn.report).unwrap()
    };
    let (bank, payments) =
        ("[[workloads]]\nkind = \"bank\"\n", "[[workloads]]\nkind = \"payments\"\n");
    let times = "service_time = \"constant:5ms\"\n";
    check(&format!("{bank}{times}{payments}{times}"), [served, served]);
    let report = check(&format!("{bank}{payments}"), [real, real]);
    assert!(report.contains("<dd>real servers, no service times: as fast as they can</dd>"));
    let report = check(&format!("{bank}{times}{payments}"), [served, real]);
    assert!(report.contains("service times (bank); real servers"), "both are said");
}

#[test]
fn a_run_without_answers_is_drawn() {
    let fixture = Fixture::empty();
    let mut rows = workload_rows("bank", &["round_robin"], 128);
    for row in &mut rows {
        (row.p50_us, row.p90_us, row.p99_us, row.p999_us) = (None, None, None, None);
        (row.achieved_rps, row.errors) = (0.0, row.sent);
        (row.jain, row.cov, row.max_over_mean) = (f64::NAN, f64::NAN, f64::NAN);
    }
    fixture.write_summary(&rows);
    for row in &rows {
        fixture.write_histogram(row, 0);
    }
    let drawn = draw(&fixture.dir()).unwrap();
    assert!(drawn.headlines[0].contains("no policy is ranked"), "{:?}", drawn.headlines);
}

#[test]
fn invalid_runs_are_stamped_and_explained() {
    let fixture = Fixture::empty();
    let mut rows = workload_rows("bank", &["round_robin", "least_load"], 128);
    rows[0].valid = false;
    rows[0].why = "send lag p99 <4 ms>".into();
    fixture.write(rows);
    let drawn = draw(&fixture.dir()).unwrap();
    let report = fs::read_to_string(drawn.report).unwrap();
    assert!(report.contains("1 of 6 runs are INVALID"));
    assert!(report.contains("send lag p99 &lt;4 ms&gt;"));
    assert!(report.contains("INVALID 1 of 3"), "the charts are stamped");
}

#[test]
fn text_from_files_is_escaped() {
    let fixture = Fixture::empty();
    fixture.write(workload_rows("<img src=x>", &["<script>alert(1)</script>"], 128));
    fs::write(fixture.dir().plan(), "name = \"</pre><script>\"\n").unwrap();
    let drawn = draw(&fixture.dir()).unwrap();
    let report = fs::read_to_string(drawn.report).unwrap();
    assert!(!report.contains("<script") && !report.contains("<img"));
    assert!(report.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(report.contains("&lt;/pre&gt;"));
}

#[test]
fn no_directory_and_no_runs_are_said_so() {
    let nowhere = ResultDir::new("/nonexistent/results");
    assert!(matches!(draw(&nowhere), Err(PlotError::NoDirectory { .. })));
    let fixture = Fixture::empty();
    assert!(error(&fixture).contains("holds no runs: run `strife sweep"));
    fs::write(fixture.dir().summary(), "").unwrap();
    assert!(error(&fixture).contains("holds no runs"));
    let failure = run(PlotArgs { dir: fixture.dir().path().into() }).unwrap_err();
    assert!(failure.to_string().contains("holds no runs"));
}

#[test]
fn malformed_files_are_named_with_their_line() {
    type Damage = fn(&ResultDir);
    let cases: [(Damage, &[&str]); 8] = [
        (|dir| truncate(&dir.summary()), &["summary.csv", "line: "]),
        (|dir| truncate(&dir.timeline()), &["timeline.csv", "line: "]),
        (|dir| fs::remove_file(dir.servers()).unwrap(), &["servers.csv", "No such file"]),
        (|dir| fs::write(dir.machine(), "{\n\"cpu\": 1}").unwrap(), &["machine.json", "line 2"]),
        (|dir| fs::remove_file(dir.machine()).unwrap(), &["machine.json", "restore the file"]),
        (|dir| fs::write(dir.plan(), "a = 1\nb = [").unwrap(), &["plan.toml", "line 2"]),
        (|dir| truncate(&histogram(dir)), &[".response.hgrm:", "is missing"]),
        (|dir| fs::remove_file(histogram(dir)).unwrap(), &[".hgrm", "summary.csv has the run"]),
    ];
    for (damage, said) in cases {
        let fixture = Fixture::new();
        damage(&fixture.dir());
        let message = error(&fixture);
        assert!(said.iter().all(|part| message.contains(part)), "{message}");
        assert!(!message.contains('\n'), "one line: {message}");
        assert!(!fixture.dir().report().exists(), "nothing is drawn from half of the files");
    }
}

fn histogram(dir: &ResultDir) -> std::path::PathBuf {
    let rows = workload_rows("bank", &["round_robin"], 128);
    dir.histogram(&rows[0].key(), "response")
}

/// Cuts a file in the middle of a line, as a crash would.
fn truncate(path: &std::path::Path) {
    let text = fs::read_to_string(path).unwrap();
    let line = text[..text.len() / 2].rfind('\n').unwrap();
    fs::write(path, &text[..line + 8]).unwrap();
}
