//! The main job, small: what it writes, what it survives, what it leaves behind.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use crate::support::{PATIENCE, boot, program, strife, validate};

mod queue;

const PLAN: &str = r#"
name = "small"
seed = 7
trials = 1
policies = ["pick_first", "round_robin"]
clients = [100]
duration = "1s"
warmup = "200ms"
timeout = "10s"

[[workloads]]
kind = "bank"
rates = [400]
banks = 1
servers = [3]
accounts = 100
slots = 4
service_time = "constant:2ms"
slow = { 2 = 2.0 }
"#;

/// A plan in a directory of its own, with a place for its results.
struct Sweep {
    dir: tempfile::TempDir,
}

impl Sweep {
    fn new(plan: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("plan.toml"), plan).unwrap();
        Self { dir }
    }

    fn plan(&self) -> String {
        self.dir.path().join("plan.toml").display().to_string()
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("results")
    }

    fn arguments(&self) -> Vec<String> {
        vec!["sweep".to_owned(), self.plan(), "--out".to_owned(), self.out().display().to_string()]
    }

    fn run(&self) -> std::process::Output {
        let arguments = self.arguments();
        strife(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start(&self) -> Child {
        Command::new(program())
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn rows(&self, file: &str) -> Vec<BTreeMap<String, String>> {
        let Ok(mut reader) = csv::Reader::from_path(self.out().join(file)) else {
            return Vec::new();
        };
        reader.deserialize().map(|row| row.unwrap()).collect()
    }

    /// Processes whose command line names this sweep's directory, but for the sweep itself.
    fn fleet_processes(&self) -> Vec<(i32, String)> {
        let marker = self.out().display().to_string();
        let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            (line.contains(&marker) && !line.contains(" sweep ")).then_some((pid, line))
        });
        processes.collect()
    }
}

/// A sweep that was carried out: measured well, or, on a machine too busy to measure on (other tests run
/// beside this one), said to be INVALID by its exit code.
#[track_caller]
fn assert_carried_out(output: &std::process::Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {}
        Some(3) => assert!(said.contains("INVALID"), "{said}"),
        code => panic!("exit code {code:?}: {said}"),
    }
}

/// Polls until `condition` holds; fails after [`PATIENCE`].
fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

fn signal(pid: u32, name: &str) {
    let status =
        Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

fn shares(rows: &[BTreeMap<String, String>], policy: &str) -> Vec<f64> {
    let rows = rows.iter().filter(|row| row["policy"] == policy);
    rows.map(|row| row["share"].parse().unwrap()).collect()
}

#[test]
fn a_sweep_writes_everything_and_a_second_one_resumes() {
    let sweep = Sweep::new(PLAN);
    let output = sweep.run();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_carried_out(&output);
    assert!(said.contains("as before"), "the money was counted: {said}");

    let summary = sweep.rows("summary.csv");
    assert_eq!(summary.len(), 2);
    for row in &summary {
        assert_eq!((row["clients"].as_str(), row["servers"].as_str()), ("100", "3"));
        assert!(row["p50_us"].parse::<u64>().unwrap() > 0);
        assert!(["true", "false"].contains(&row["valid"].as_str()));
    }
    let header = fs::read_to_string(sweep.out().join("summary.csv")).unwrap();
    let columns = "workload,policy,clients,servers,trial,offered_rps,achieved_rps,p50_us,p90_us,p99_us,\
                   p999_us,max_us,errors,valid,saturated,jain,cov,max_over_mean";
    assert!(header.starts_with(columns), "{header}");

    let servers = sweep.rows("servers.csv");
    let even = shares(&servers, "round_robin");
    let jain = even.iter().sum::<f64>().powi(2)
        / (even.len() as f64 * even.iter().map(|share| share * share).sum::<f64>());
    // On a machine too busy to measure on some answers come too late to be counted.
    let is_valid = |row: &BTreeMap<String, String>| row["valid"] == "true";
    let least = if summary.iter().all(is_valid) { 0.99 } else { 0.9 };
    assert!(even.len() == 3 && jain >= least, "{even:?}");
    let first = shares(&servers, "pick_first");
    assert_eq!(first.iter().filter(|share| **share > 0.0).count(), 1, "{first:?}");

    for chart in ["percentiles-bank", "timeline-bank", "distribution-bank", "throughput-bank"] {
        for kind in ["svg", "png"] {
            let path = sweep.out().join("charts").join(format!("{chart}.{kind}"));
            assert!(fs::metadata(&path).is_ok_and(|file| file.len() > 1000), "{}", path.display());
        }
    }
    let report = fs::read_to_string(sweep.out().join("report.html")).unwrap();
    assert!(report.contains("<svg") && report.contains("round_robin"));
    let histograms = fs::read_dir(sweep.out().join("histograms")).unwrap().flatten();
    assert!(histograms.count() >= 6);
    assert_eq!(sweep.fleet_processes(), []);

    let before = fs::read(sweep.out().join("summary.csv")).unwrap();
    fs::remove_file(sweep.out().join("report.html")).unwrap();
    assert_carried_out(&sweep.run());
    assert_eq!(fs::read(sweep.out().join("summary.csv")).unwrap(), before, "nothing was run again");
    assert!(sweep.out().join("report.html").exists(), "the charts were drawn again");

    fs::write(sweep.plan(), PLAN.replace("seed = 7", "seed = 8")).unwrap();
    let other = sweep.run();
    let said = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(2), "{said}");
    assert!(said.contains("--out") && said.contains("--fresh"), "{said}");
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_leaves_no_process() {
    let sweep = Sweep::new(&PLAN.replace("trials = 1", "trials = 3"));
    let mut running = sweep.start();
    until("the first run", || (!sweep.rows("summary.csv").is_empty()).then_some(()));
    signal(running.id(), "INT");
    assert!(!running.wait().unwrap().success());
    assert_eq!(sweep.fleet_processes(), []);
    let kept = sweep.rows("summary.csv");
    assert!(!kept.is_empty() && kept.len() < 6);
    assert!(sweep.out().join("report.html").exists());
    assert_carried_out(&sweep.run());
    let all = sweep.rows("summary.csv");
    assert_eq!(all.len(), 6);
    assert!(kept.iter().all(|row| all.contains(row)), "what was measured is kept");
}

#[test]
fn kill_9_of_the_sweep_leaves_no_process() {
    let sweep = Sweep::new(PLAN);
    let mut running = sweep.start();
    until("the fleet", || (sweep.fleet_processes().len() >= 5).then_some(()));
    running.kill().unwrap();
    running.wait().unwrap();
    until("the end of the fleet", || sweep.fleet_processes().is_empty().then_some(()));
}

#[test]
fn a_server_that_dies_ends_the_sweep_with_its_name() {
    let sweep = Sweep::new(&PLAN.replace("duration = \"1s\"", "duration = \"20s\""));
    let running = sweep.start();
    // The balancer's client connections come last: load flows once the sweep says so, but the death of a
    // server must be noticed at any moment after boot.
    let victim = until("the balancer", || {
        let processes = sweep.fleet_processes();
        let booted = processes.iter().any(|(_, line)| line.contains(" lb "));
        let server = processes.into_iter().find(|(_, line)| line.contains("--store"));
        server.filter(|_| booted)
    });
    until("the sweep to be under way", || sweep.out().join("machine.json").exists().then_some(()));
    signal(victim.0.unsigned_abs(), "KILL");
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("icici-") && last.contains("log"), "{said}");
    assert_eq!(sweep.fleet_processes(), []);
}

#[test]
fn a_payments_sweep_moves_real_money() {
    let plan = PLAN
        .replace("kind = \"bank\"", "kind = \"payments\"")
        .replace("rates = [400]", "rates = [40]")
        .replace("banks = 1", "banks = 2")
        .replace("policies = [\"pick_first\", \"round_robin\"]", "policies = [\"round_robin\"]");
    let sweep = Sweep::new(&plan);
    let output = sweep.run();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_carried_out(&output);
    assert!(said.contains("as before") && said.contains("nothing in doubt"), "{said}");
    let endpoints = sweep.rows("endpoints.csv");
    let pools: std::collections::BTreeSet<_> =
        endpoints.iter().map(|row| row["pool"].as_str()).collect();
    assert_eq!(pools, ["bank.icici", "bank.sbi", "gateway"].into());
    assert!(Path::new(&sweep.out().join("charts/distribution-payments.png")).exists());
}

#[test]
fn a_sweep_with_faults_tells_what_they_did() {
    let faults = r#"
[[workloads.faults]]
kind = "none"
[[workloads.faults]]
kind = "freeze"
server = 2
at = "1s"
for = "600ms"
[[workloads.faults]]
kind = "fail_fast"
name = "failing"
server = 2
at = "1s"
for = "600ms"
[[workloads.faults]]
kind = "kill"
server = 2
at = "1s"
for = "600ms"
[[workloads.faults]]
kind = "add"
at = "1s"
for = "1500ms"
"#;
    let plan = PLAN
        .replace("duration = \"1s\"", "duration = \"3s\"")
        .replace("policies = [\"pick_first\", \"round_robin\"]", "policies = [\"round_robin\"]");
    let sweep = Sweep::new(&format!("{plan}{faults}"));
    let output = sweep.run();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_carried_out(&output);
    assert!(said.contains("as before"), "the money was counted: {said}");
    assert_eq!(sweep.fleet_processes(), []);

    let summary = sweep.rows("summary.csv");
    let befallen: std::collections::BTreeSet<_> =
        summary.iter().map(|row| row["fault"].as_str()).collect();
    assert_eq!(befallen, ["", "add", "failing", "freeze", "kill"].into());
    let phases = sweep.rows("phases.csv");
    assert_eq!(phases.len(), 12, "three phases of four faults");
    let errors = |fault: &str, phase: &str| -> u64 {
        let row = phases.iter().find(|row| row["fault"] == fault && row["phase"] == phase).unwrap();
        assert!(row["calls"].parse::<u64>().is_ok(), "{row:?}");
        assert_eq!(row["happened_s"].is_empty(), phase == "before", "{row:?}");
        row["errors"].parse().unwrap()
    };
    for fault in ["failing", "freeze", "kill", "add"] {
        let phases = ["before", "during", "after"].map(|phase| errors(fault, phase));
        let all = summary.iter().find(|row| row["fault"] == fault).unwrap()["errors"].clone();
        assert_eq!(phases.iter().sum::<u64>().to_string(), all, "{fault}: {phases:?}");
    }
    assert!(errors("failing", "during") > 0, "a server that fails every call fails some");
    assert_eq!(sweep.rows("windows.csv").len(), 4 * 26);
    for chart in ["fault-bank-kill", "fault-bank-failing", "faults-bank", "percentiles-bank"] {
        let path = sweep.out().join("charts").join(format!("{chart}.png"));
        assert!(fs::metadata(&path).is_ok_and(|file| file.len() > 1000), "{}", path.display());
    }
    let before = fs::read(sweep.out().join("phases.csv")).unwrap();
    assert_carried_out(&sweep.run());
    assert_eq!(fs::read(sweep.out().join("phases.csv")).unwrap(), before, "nothing was run again");
}

#[tokio::test]
async fn what_befalls_a_fleet_is_felt_and_undone() {
    let booted = boot(|spec| {
        spec.allow_faults = true;
        spec.gateway = false;
    });
    let mut booted = booted.await;
    let limit = PATIENCE;
    assert_eq!(booted.fleet.add_server("icici").await.unwrap(), "icici-3");
    let joined = |pools: &[strife_fleet::PoolCalls]| {
        let pool = pools.iter().find(|pool| pool.pool == "bank.icici").unwrap();
        pool.endpoints.iter().filter(|endpoint| endpoint.ready).count() == 3
    };
    booted.fleet.until("let it join", limit, joined).await.unwrap();
    booted.fleet.remove_server("icici-3").await.unwrap();
    let left =
        |pools: &[strife_fleet::PoolCalls]| pools.iter().all(|pool| pool.endpoints.len() == 2);
    booted.fleet.until("let it leave", limit, left).await.unwrap();
    booted.fleet.check_alive().unwrap();

    let account = booted.account("icici", 0).clone();
    for server in ["icici-1", "icici-2"] {
        booted.fleet.fail_fast(server).await.unwrap();
    }
    let failed = booted.bank("icici").validate_account(validate(&account)).await.unwrap_err();
    assert_eq!(failed.code(), tonic::Code::Unavailable, "{failed}");
    for server in ["icici-1", "icici-2"] {
        booted.fleet.slow_down(server, 2.0).await.unwrap();
    }
    booted.bank("icici").validate_account(validate(&account)).await.unwrap();
    booted.fleet.heal("icici-1").await.unwrap();
    let nobody = booted.fleet.heal("icici-9").await.unwrap_err().to_string();
    assert!(nobody.contains("no member `icici-9`"), "{nobody}");
    booted.fleet.kill("icici-2").await.unwrap();
    booted.fleet.check_alive().unwrap();
    booted.fleet.restart("icici-2").await.unwrap();
    booted.fleet.until_ready(limit).await.unwrap();

    for server in ["icici-1", "icici-2"] {
        booted.fleet.fail_fast(server).await.unwrap();
    }
    let addresses =
        ["icici-1", "icici-2"].map(|name| booted.fleet.address(name).unwrap().to_owned());
    booted.fleet.renew().await.unwrap();
    booted.fleet.until_ready(limit).await.unwrap();
    for pool in booted.fleet.pools().await.unwrap() {
        let calls: u64 = pool.endpoints.iter().map(|endpoint| endpoint.calls).sum();
        assert_eq!(calls, 0, "the balancer is another one: {pool:?}");
    }
    let kept = ["icici-1", "icici-2"].map(|name| booted.fleet.address(name).unwrap().to_owned());
    assert_eq!(kept, addresses);
    // Those that had been told to fail are gone.
    booted.bank("icici").validate_account(validate(&account)).await.unwrap();
    booted.fleet.check_alive().unwrap();
    booted.fleet.stop().await;
}

#[test]
fn a_suspended_server_ends_with_a_sweep_that_is_killed() {
    let faults = "[[workloads.faults]]\nkind = \"freeze\"\nat = \"500ms\"\nfor = \"60s\"\n";
    let plan = PLAN.replace("duration = \"1s\"", "duration = \"65s\"");
    let sweep = Sweep::new(&format!("{plan}{faults}"));
    let mut running = sweep.start();
    let is_stopped = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    };
    until("the fault", || {
        sweep.fleet_processes().into_iter().any(|(pid, _)| is_stopped(pid)).then_some(())
    });
    running.kill().unwrap();
    running.wait().unwrap();
    until("the end of the fleet", || sweep.fleet_processes().is_empty().then_some(()));
}
