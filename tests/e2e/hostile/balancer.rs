//! The balancer as a process: its addresses, its memory, its CPU time, its own account of itself.

use std::{
    fs,
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use strife_proto::lb::v1::{
    EndpointState, EndpointStatus, StatusRequest,
    load_balancer_admin_client::LoadBalancerAdminClient,
};
use strife_runtime::{Security, connect, shutdown::LIFELINE, tls::Expected};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tonic::transport::Channel;

use super::peer::PATIENCE;
use crate::support::program;

/// The unit of the times in `/proc/PID/stat`: USER_HZ is 100 on every Linux there is.
const TICK: Duration = Duration::from_millis(10);
/// Over how long an idle process is measured, and the CPU time it may use meanwhile: health checks,
/// reports and a busy machine's noise.
const QUIET: Duration = Duration::from_millis(250);
const QUIET_CPU: Duration = Duration::from_millis(60);

/// A running balancer; ends when dropped.
pub(crate) struct Balancer {
    pub(crate) listen: SocketAddr,
    control: LoadBalancerAdminClient<Channel>,
    child: Child,
    /// Every line of standard error.
    said: Arc<Mutex<Vec<String>>>,
}

impl Balancer {
    /// In the clear, on one thread (an attacker and a bystander then share it) and any free ports.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(["lb", "--plaintext", "--threads", "1"])
            .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"])
            .args(flags)
            .env(LIFELINE, "stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = Arc::default();
        collect(child.stderr.take().unwrap(), Arc::clone(&said));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it starts").unwrap();
        let line = line.unwrap_or_else(|| panic!("it ended: {flags:?}: {:?}", said.lock()));
        let (listen, control) =
            line.strip_prefix("ready ").and_then(|rest| rest.split_once(" control=")).unwrap();
        let control = connect::direct(control, Expected::LB, &Security::Plaintext).unwrap();
        let control = LoadBalancerAdminClient::new(control);
        Self { listen: listen.parse().unwrap(), control, child, said }
    }

    /// Resident memory, bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.memory_of("VmRSS:")
    }

    /// The most resident memory since the start, bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory_of("VmHWM:")
    }

    fn memory_of(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// CPU time used since the start.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // After the name, which may hold anything: fields 14 and 15 of proc(5).
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u32 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u32>().unwrap())
            .sum();
        TICK * ticks
    }

    fn proc(&self, file: &str) -> String {
        let id = self.child.id().expect("the balancer runs");
        fs::read_to_string(format!("/proc/{id}/{file}")).expect("the balancer runs")
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        let id = self.child.id().expect("the balancer runs");
        fs::read_dir(format!("/proc/{id}/fd")).expect("the balancer runs").count()
    }

    /// Waits until it uses next to no CPU time.
    pub(crate) async fn until_idle(&self) {
        let since = Instant::now();
        loop {
            let before = self.cpu();
            sleep(QUIET).await;
            let used = self.cpu() - before;
            if used <= QUIET_CPU {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "still busy: {used:?} of CPU time in {QUIET:?}");
        }
    }

    /// The endpoints of every pool.
    pub(crate) async fn endpoints(&self) -> Vec<EndpointStatus> {
        let status = self.control.clone().get_status(StatusRequest {}).await;
        let pools = status.expect("the control listener answers").into_inner().pools;
        pools.into_iter().flat_map(|pool| pool.endpoints).collect()
    }

    /// Waits until no call is in flight and the endpoint `well` is ready.
    pub(crate) async fn until_at_rest(&self, well: SocketAddr) {
        let since = Instant::now();
        loop {
            let endpoints = self.endpoints().await;
            let is_ready = |endpoint: &EndpointStatus| {
                endpoint.address == well.to_string() && endpoint.state() == EndpointState::Ready
            };
            let is_idle = endpoints.iter().all(|endpoint| endpoint.in_flight == 0);
            if is_idle && endpoints.iter().any(is_ready) {
                return;
            }
            assert!(since.elapsed() < PATIENCE, "not at rest: {endpoints:?}");
            sleep(QUIET / 8).await;
        }
    }

    /// It runs and has not panicked anywhere.
    pub(crate) fn is_sound(&mut self) {
        let said = self.said.lock().unwrap();
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended with {ended:?}: {said:?}");
        let panicked: Vec<_> = said.iter().filter(|line| line.contains("panicked")).collect();
        assert!(panicked.is_empty(), "{panicked:?}");
    }
}

fn collect(stderr: impl AsyncRead + Unpin + Send + 'static, said: Arc<Mutex<Vec<String>>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            said.lock().unwrap().push(line);
        }
    });
}
