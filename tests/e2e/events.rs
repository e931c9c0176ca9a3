//! The transaction logger beside real payments: whatever is killed, its file has every change of every
//! payment once, in order, and says of each what the gateway says.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::AtomicUsize,
    time::Duration,
};

use serde_json::Value;
use strife_proto::gateway::v1::{
    HistoryEntry, ListPaymentsRequest, PaymentState, gateway_admin_client::GatewayAdminClient,
};
use strife_runtime::{Role, connect, tls::Expected};
use strife_store::postgres::testing::Server;
use tokio::sync::RwLock;

use crate::{
    money::disturb_amid_payments,
    postgres::until_more,
    support::{Booted, PATIENCE, boot, program, refused, strife},
};

/// A logger that is killed when it is dropped, and its file.
struct Logger {
    arguments: Vec<String>,
    file: PathBuf,
    child: Child,
}

impl Logger {
    fn start(booted: &Booted, gateways: &[&str]) -> Self {
        let file = booted.fleet.spec().dir.join("payments.jsonl");
        let certs = booted.fleet.spec().certs();
        let mut arguments = vec!["admin", "events", "--follow", "--follower", "log"];
        let (out, certs) = (file.display().to_string(), certs.display().to_string());
        arguments.extend(["--out", &out, "--certs", &certs]);
        for gateway in gateways {
            arguments.extend(["--gateway", booted.fleet.address(gateway).unwrap()]);
        }
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let child = spawn(&arguments);
        Self { arguments, file, child }
    }

    /// As `kill -9`.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = spawn(&self.arguments);
    }

    /// As if it had been killed amid a write.
    fn tear(&self) {
        let mut file = OpenOptions::new().append(true).open(&self.file).unwrap();
        file.write_all(b"{\"position\":99999999999999,\"kind\":\"COMM").unwrap();
    }

    /// What stands in whole lines.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// Waits until it has so many lines.
    async fn until(&self, count: usize) {
        let there = async {
            while self.lines().len() < count {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, there).await;
        waited.unwrap_or_else(|_| panic!("{} lines of {count}", self.lines().len()));
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(arguments: &[String]) -> Child {
    Command::new(program()).args(arguments).stdin(Stdio::null()).spawn().unwrap()
}

/// Every payment that the gateway knows.
async fn payments(booted: &Booted, gateway: &str) -> Vec<HistoryEntry> {
    let security = booted.security(Role::Admin, "1");
    let address = booted.fleet.address(gateway).unwrap();
    let channel = connect::direct(address, Expected::GATEWAY, &security).unwrap();
    let mut client = GatewayAdminClient::new(channel);
    let mut stream =
        client.list_payments(ListPaymentsRequest::default()).await.unwrap().into_inner();
    let mut payments = Vec::new();
    while let Some(payment) = stream.message().await.unwrap() {
        payments.push(payment);
    }
    payments
}

/// Holds the file against the gateway's payments, all of which are over.
async fn check_log(booted: &Booted, gateway: &str, logger: &Logger) {
    let payments = payments(booted, gateway).await;
    logger.until(2 * payments.len()).await;
    let lines = logger.lines();
    let position = |line: &Value| line["position"].as_u64().unwrap();
    assert!(lines.is_sorted_by(|one, next| position(one) < position(next)), "out of order");
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in &lines {
        let transaction_id = line["transaction_id"].as_str().unwrap();
        told.entry(transaction_id).or_default().push(line["kind"].as_str().unwrap());
    }
    for payment in &payments {
        let end = match payment.state() {
            PaymentState::Committed => "COMMITTED",
            PaymentState::Aborted => "ABORTED",
            other => panic!("{} is {other:?}", payment.transaction_id),
        };
        let found = told.remove(payment.transaction_id.as_str()).unwrap_or_default();
        assert_eq!(found, ["INITIATED", end], "{}", payment.transaction_id);
    }
    assert!(told.is_empty(), "no such payments: {told:?}");
    assert!(payments.iter().any(|payment| payment.state() == PaymentState::Committed));
}

/// `gateways[0]` and the logger are killed, one after the other and together.
async fn log_amid_payments(booted: Booted, gateways: &[&str]) {
    let mut logger = Logger::start(&booted, gateways);
    let disturb = async |booted: &RwLock<Booted>, outcomes: &AtomicUsize| {
        let kill = async || booted.write().await.fleet.kill(gateways[0]).await.unwrap();
        let restart = async || booted.write().await.fleet.restart(gateways[0]).await.unwrap();
        until_more(outcomes).await;
        logger.until(20).await;
        kill().await;
        restart().await;
        until_more(outcomes).await;
        logger.kill();
        until_more(outcomes).await;
        logger.tear();
        logger.restart();
        until_more(outcomes).await;
        kill().await;
        logger.kill();
        restart().await;
        logger.restart();
    };
    let booted = disturb_amid_payments(booted, disturb).await;
    check_log(&booted, gateways[0], &logger).await;
    // Nothing is there twice, nor is anything added, when it is started once more.
    let before = fs::read(&logger.file).unwrap();
    logger.kill();
    let arguments: Vec<_> = logger.arguments.iter().filter(|word| *word != "--follow").collect();
    let ended = Command::new(program()).args(arguments).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(fs::read(&logger.file).unwrap(), before);
}

#[tokio::test]
async fn the_log_is_complete_whatever_is_killed() {
    log_amid_payments(boot(|_| {}).await, &["gateway"]).await;
}

#[tokio::test]
async fn the_log_is_complete_whatever_is_killed_on_postgresql() {
    let url = Server::shared().create_database().await;
    let booted = boot(|spec| {
        spec.database = Some(url);
        spec.gateways = 2;
    });
    log_amid_payments(booted.await, &["gateway", "gateway-2"]).await;
}

/// Runs `strife admin events` as this fleet's operator.
fn events(booted: &Booted, arguments: &[&str]) -> Output {
    let certs = booted.fleet.spec().certs().display().to_string();
    let gateway = booted.fleet.address("gateway").unwrap();
    strife(&[&["admin", "events", "--gateway", gateway, "--certs", &certs], arguments].concat())
}

#[track_caller]
fn check(output: &Output, code: i32, expected: &str) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "`{expected}` is not in: {said}");
    said
}

#[tokio::test]
async fn events_are_printed_and_followers_given_up() {
    let booted = boot(|_| {}).await;
    let (from, to) = (booted.account("icici", 0), booted.account("sbi", 0));
    booted.pay(booted.payment("p1", from, to)).await;
    let said = check(&events(&booted, &[]), 0, "\"kind\":\"COMMITTED\"");
    assert_eq!(said.lines().count(), 2, "{said}");
    check(&events(&booted, &["--followers"]), 0, "2 events are kept");
    let log = booted.fleet.spec().dir.join("log.jsonl").display().to_string();
    let to_file = ["--follower", "log", "--out", &log];
    check(&events(&booted, &to_file), 0, "");
    assert_eq!(fs::read_to_string(&log).unwrap(), said);
    check(&events(&booted, &["--followers"]), 0, "log has everything up to position 2");
    check(&events(&booted, &["--follower", "log"]), 0, "");
    check(&events(&booted, &["--forget", "log"]), 0, "nothing is kept for log any more");
    check(&events(&booted, &["--forget", "log"]), 1, "strife admin events --followers");
    check(&events(&booted, &["--follower", "a b"]), 2, "--follower: ");
    fs::write(&log, "a,b\n").unwrap();
    check(&events(&booted, &to_file), 2, "is no log of events; nothing was changed");
    fs::write(&log, "{\"position\":7,\"at_ms\":1,\"transaction_id\":\"other-1\"}\n").unwrap();
    check(&events(&booted, &to_file), 2, "is of another store");
    let ahead = said.lines().next().unwrap().replace("\"position\":1,", "\"position\":7,");
    fs::write(&log, ahead + "\n").unwrap();
    check(&events(&booted, &to_file), 1, "there is no event 7 here");
    let first = said.lines().next().unwrap();
    let at = first.find("\"at_ms\":").unwrap() + "\"at_ms\":".len();
    fs::write(&log, format!("{}9{}\n", &first[..at], &first[at + 1..])).unwrap();
    let to_another = ["--follower", "another", "--out", &log];
    check(&events(&booted, &to_another), 1, "begin a new file with a --follower of its own");
    let followers = check(&events(&booted, &["--followers"]), 0, "");
    assert!(!followers.contains("another"), "{followers}");
}

#[test]
fn what_cannot_be_logged_says_what_to_do() {
    let events = ["admin", "events", "--plaintext"];
    let check = |more: &[&str], code: i32, expected: &[&str]| {
        refused(&[&events[..], more].concat(), code, expected);
    };
    let nobody = ["--gateway", "127.0.0.1:1"];
    check(&nobody, 1, &["no gateway answers at 127.0.0.1:1", "--plaintext"]);
    let nowhere = [&nobody[..], &["--follower", "log", "--out", "/no/such/file"]].concat();
    check(&nowhere, 2, &["cannot log to /no/such/file", "name another file"]);
}
