//! The comparison with other proxies, small: ours and the TCP copy, which are always there.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{PATIENCE, program, refused, strife};

/// A comparison of what needs no installation, into a directory of its own.
fn arguments(out: &Path, more: &[&str]) -> Vec<String> {
    let out = out.display().to_string();
    let words = ["bench", "peers", "--quick", "--only", "strife,tcp_copy", "--out", &out];
    words.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let Ok(mut reader) = csv::Reader::from_path(path) else { return Vec::new() };
    reader.deserialize().map(|row| row.unwrap()).collect()
}

/// Whether this machine has the two cores that a comparison needs.
fn has_two_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() >= 2)
}

/// Processes that were started by the process `parent`.
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        fields.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    pids.filter(is_child).collect()
}

/// Polls until `condition` holds; fails after [`PATIENCE`].
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn start(out: &Path) -> Child {
    Command::new(program())
        .args(arguments(out, &["--rounds", "50"]))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn ours_and_a_copy_are_compared() {
    if !has_two_cores() {
        let place = tempfile::tempdir().unwrap();
        let arguments = arguments(place.path(), &[]);
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        return refused(&words, 1, &["one core"]);
    }
    let place = tempfile::tempdir().unwrap();
    let arguments = arguments(place.path(), &["--tls", "both"]);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = strife(&words);
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    // 3: a machine too busy to measure on, which is said.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");

    let runs = rows(&place.path().join("runs.csv"));
    let count = |phase: &str, proxy: &str, tls: &str| {
        let of = |row: &&BTreeMap<String, String>| {
            row["phase"] == phase && row["proxy"] == proxy && row["tls"] == tls
        };
        runs.iter().filter(of).count()
    };
    for phase in ["saturated", "paced", "idle"] {
        assert_eq!(count(phase, "strife", "false"), 2, "{phase}: {said}");
        assert_eq!(count(phase, "strife", "true"), 2, "{phase}: {said}");
    }
    assert_eq!(count("saturated", "tcp_copy", "false"), 2);
    assert_eq!(count("saturated", "tcp_copy", "true"), 0, "a copy does not speak TLS");
    for row in &runs {
        assert_eq!(row["errors"], "0", "{row:?}");
        assert!(row["calls"].parse::<u64>().unwrap() > 0, "{row:?}");
        assert!(row["memory_kib_after"].parse::<u64>().unwrap() > 0, "{row:?}");
    }

    let goals = rows(&place.path().join("goals.csv"));
    let against: Vec<&str> = goals.iter().map(|row| row["against"].as_str()).collect();
    assert_eq!(against, ["tcp_copy", ""], "peers were not asked for: {goals:?}");
    assert!(said.contains("x TCP copy") && said.contains("idle_kib_per_connection"), "{said}");
    for file in ["plan.toml", "machine.json", "summary.csv", "report.html"] {
        assert!(place.path().join(file).exists(), "{file}");
    }
    // Latencies of a machine that others use are not drawn.
    let paced = |row: &&BTreeMap<String, String>| row["phase"] == "paced" && row["valid"] == "true";
    let latency = runs
        .iter()
        .find(paced)
        .map(|row| if row["tls"] == "true" { "latency-tls-100" } else { "latency-plaintext-100" });
    for chart in ["cpu-plaintext-100", "memory"].into_iter().chain(latency) {
        for kind in ["svg", "png"] {
            let path = place.path().join("charts").join(format!("{chart}.{kind}"));
            assert!(fs::metadata(&path).is_ok_and(|file| file.len() > 1000), "{}", path.display());
        }
    }

    fs::remove_file(place.path().join("report.html")).unwrap();
    let drawn = strife(&["plot", &place.path().display().to_string()]);
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    assert!(place.path().join("report.html").exists(), "it was drawn again from the files");
}

#[test]
fn a_comparison_that_ends_early_leaves_no_process_and_keeps_its_runs() {
    if !has_two_cores() {
        return;
    }
    for signal in ["INT", "KILL"] {
        let place = tempfile::tempdir().unwrap();
        let mut running = start(place.path());
        until("a run", || (!rows(&place.path().join("runs.csv")).is_empty()).then_some(()));
        let started = until("a proxy", || {
            let children = children(running.id());
            (!children.is_empty()).then_some(children)
        });
        let pid = running.id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success()
        );
        assert!(!running.wait().unwrap().success());
        until("the end of the proxy", || {
            let is_gone = |pid: &u32| !Path::new(&format!("/proc/{pid}/exe")).exists();
            started.iter().all(is_gone).then_some(())
        });
        assert!(!rows(&place.path().join("runs.csv")).is_empty());
        assert_eq!(place.path().join("report.html").exists(), signal == "INT");
    }
}

#[test]
fn wrong_flags_and_places_are_refused() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("thesis.txt"), "years of work").unwrap();
    let out = place.path().display().to_string();
    if has_two_cores() {
        refused(&["bench", "peers", "--quick", "--out", &out], 2, &["--out"]);
        assert!(place.path().join("thesis.txt").exists());
    }
    for flags in [["--cells", "16"], ["--only", "apache"], ["--rounds", "0"]] {
        let output = strife(&[&["bench", "peers"], &flags[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
    }
}
