//! Made-up sweeps: twelve servers, one of them slow, policies that treat it each in their own way.

use std::fs;

use tempfile::TempDir;

use crate::results::{
    EndpointRow, Machine, ResultDir, RunRow, ServerRow, SummaryRow, TimelineRow, write_rows,
};

const SERVERS: u32 = 12;
const SLICES: u32 = 10;
const CALLS: u64 = 20_000;

/// A results directory that goes away.
pub(super) struct Fixture(TempDir);

/// Three trials of each policy; the slow server costs `round_robin` its tail, and a single server is
/// too few for `pick_first`.
pub(super) fn workload_rows(workload: &str, policies: &[&str], clients: u32) -> Vec<SummaryRow> {
    let row = |policy: &str, trial: u32| {
        let only = policy == "pick_first";
        let factor = if only {
            40
        } else if policy == "least_load" {
            1
        } else {
            2
        };
        let p99 = 20_000 * factor + 300 * u64::from(trial);
        SummaryRow {
            workload: workload.into(),
            policy: policy.into(),
            clients,
            servers: SERVERS,
            trial,
            offered_rps: 2_000.0,
            achieved_rps: if only { 600.0 } else { 1_990.0 + f64::from(trial) },
            p50_us: Some(p99 / 4),
            p90_us: Some(p99 / 2),
            p99_us: Some(p99),
            p999_us: Some(p99 * 3 / 2),
            max_us: Some(p99 * 2),
            errors: if only { 120 } else { 0 },
            valid: true,
            saturated: only,
            jain: if only { 1.0 / 12.0 } else { 0.999 },
            cov: if only { 3.3 } else { 0.03 },
            max_over_mean: if only { 12.0 } else { 1.01 },
            duration_s: 10.0,
            seed: u64::from(trial),
            sent: CALLS,
            timeouts: 0,
            service_p50_us: Some(5_000),
            service_p99_us: Some(9_000),
            send_lag_p99_us: Some(200),
            cpu: 0.4,
            why: String::new(),
            attempts: 1,
            due: CALLS,
            errors_by_code: if only { "UNAVAILABLE=100 timeout=20".into() } else { String::new() },
            fault: String::new(),
            refused: 0,
            queued: 0,
            bank_fsync_p50_us: None,
            bank_fsync_p99_us: None,
            gateway_fsync_p50_us: None,
            gateway_fsync_p99_us: None,
        }
    };
    let trials = |policy: &&str| (1..=3).map(|trial| row(policy, trial)).collect::<Vec<_>>();
    policies.iter().flat_map(trials).collect()
}

impl Fixture {
    /// Two workloads under three policies.
    pub(super) fn new() -> Self {
        let fixture = Self::empty();
        let policies = ["round_robin", "pick_first", "least_load"];
        let mut rows = workload_rows("bank", &policies, 128);
        rows.extend(workload_rows("payments", &policies, 128));
        fixture.write(rows);
        fixture
    }

    /// A directory with a plan and a machine and no runs.
    pub(super) fn empty() -> Self {
        let fixture = Self(TempDir::new().unwrap());
        let machine = Machine {
            cpu: "Test CPU".into(),
            cores: 2,
            memory_gib: 7.8,
            kernel: "Linux 6.1".into(),
            strife_version: "0.1.0".into(),
            commit: Some("0123456789abcdef".into()),
            started_at: 1_795_217_020,
            fsync_us_p50: 300,
            fsync_us_p99: 2_000,
        };
        fs::write(fixture.dir().machine(), serde_json::to_vec(&machine).unwrap()).unwrap();
        fs::write(fixture.dir().plan(), "seed = 1\n").unwrap();
        fixture
    }

    pub(super) fn dir(&self) -> ResultDir {
        ResultDir::new(self.0.path())
    }

    /// Every file of the given runs.
    pub(super) fn write(&self, rows: Vec<SummaryRow>) {
        self.write_summary(&rows);
        let (mut servers, mut endpoints, mut timeline) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            self.write_histogram(row, CALLS);
            timeline.extend((0..SLICES).map(|slice| time_slice(row, slice)));
            if row.workload == "payments" {
                endpoints.extend((0..SERVERS).map(|server| endpoint_row(row, server)));
            } else {
                servers.extend((0..SERVERS).filter_map(|server| server_row(row, server)));
            }
        }
        write_rows(&self.dir().servers(), &servers).unwrap();
        write_rows(&self.dir().endpoints(), &endpoints).unwrap();
        write_rows(&self.dir().timeline(), &timeline).unwrap();
    }

    /// `summary.csv`, and the others without rows.
    pub(super) fn write_summary(&self, rows: &[SummaryRow]) {
        write_rows(&self.dir().summary(), rows).unwrap();
        write_rows::<ServerRow>(&self.dir().servers(), &[]).unwrap();
        write_rows::<TimelineRow>(&self.dir().timeline(), &[]).unwrap();
    }

    /// A run's response times: an exponential distribution with the row's p99.
    pub(super) fn write_histogram(&self, row: &SummaryRow, calls: u64) {
        let path = self.dir().histogram(&row.key(), "response");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mean_ms = row.p99_us.unwrap_or(0) as f64 / 1e3 / 100_f64.ln();
        let mut text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
        for step in 0..60 {
            let rest = 0.5_f64.powf(f64::from(step) / 4.0);
            let count = (calls as f64 * (1.0 - rest)) as u64;
            let (value, percentile) = (mean_ms * -rest.ln() + 1.0, 1.0 - rest);
            text += &format!("{value:12.3} {percentile:.12} {count:10} {:14.2}\n", 1.0 / rest);
        }
        text += &format!("{:12.3} {:.12} {calls:10}            inf\n", mean_ms * 12.0 + 1.0, 1.0);
        if calls == 0 {
            text.clear();
        }
        text += &format!("#[Max     = {:12.3}, Total count    = {calls:12}]\n", mean_ms * 12.0);
        fs::write(path, text).unwrap();
    }
}

/// What a policy sends a server, the seventh being the slow one.
fn share(policy: &str, server: u32) -> f64 {
    match (policy, server) {
        ("pick_first", 0) => 1.0,
        ("pick_first", _) => 0.0,
        ("least_load", 6) => 0.04,
        ("least_load", _) => 0.96 / 11.0,
        _ => 1.0 / 12.0,
    }
}

fn server_row(row: &SummaryRow, server: u32) -> Option<ServerRow> {
    let share = share(&row.policy, server);
    (share > 0.0).then(|| ServerRow {
        workload: row.workload.clone(),
        policy: row.policy.clone(),
        trial: row.trial,
        server: format!("icici-{}", server + 1),
        calls: (CALLS as f64 * share) as u64,
        share,
        p50_us: Some(5_000),
        p99_us: None,
        clients: row.clients,
        servers: row.servers,
        offered_rps: row.offered_rps,
        fault: row.fault.clone(),
    })
}

fn endpoint_row(row: &SummaryRow, server: u32) -> EndpointRow {
    let bank = ["axis", "hdfc", "icici", "sbi"][server as usize % 4];
    let of_pool = if row.policy == "pick_first" { f64::from(server / 4 == 0) } else { 1.0 / 3.0 };
    EndpointRow {
        workload: row.workload.clone(),
        policy: row.policy.clone(),
        trial: row.trial,
        pool: format!("bank.{bank}"),
        endpoint: format!("{bank}-{}", server / 4 + 1),
        calls: (CALLS as f64 / 4.0 * of_pool) as u64,
        share: of_pool,
        failed: 0,
        clients: row.clients,
        servers: row.servers,
        offered_rps: row.offered_rps,
        fault: row.fault.clone(),
    }
}

fn time_slice(row: &SummaryRow, slice: u32) -> TimelineRow {
    let by_server = (0..SERVERS).map(|server| (server, share(&row.policy, server)));
    let by_server = by_server.filter(|(_, share)| *share > 0.0);
    let calls = CALLS / u64::from(SLICES);
    let pairs: Vec<String> = by_server
        .map(|(server, share)| format!("icici-{}={}", server + 1, (calls as f64 * share) as u64))
        .collect();
    let wave = 100 - u64::from(slice % 4) * 5;
    TimelineRow {
        workload: row.workload.clone(),
        policy: row.policy.clone(),
        trial: row.trial,
        at_s: f64::from(slice),
        width_s: 1.0,
        calls,
        errors: 0,
        queued: 0,
        p50_us: row.p50_us.map(|us| us * wave / 100),
        p99_us: row.p99_us.map(|us| us * wave / 100).filter(|_| slice != 4),
        by_server: pairs.join(" "),
        clients: row.clients,
        servers: row.servers,
        offered_rps: row.offered_rps,
        fault: row.fault.clone(),
    }
}
