//! The dashboard over a real socket, as a browser and a stranger see it.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time,
};

use super::*;
use crate::{
    config::LbArgs,
    membership::{self, Finding, Making},
    snapshot::State,
};

/// No answer takes longer unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const OWN: &str = "x-strife-dashboard: 1\r\ncontent-type: application/json\r\n";

struct Served {
    address: SocketAddr,
    balancer: Arc<Balancer>,
    writer: Writer,
    _tasks: JoinSet<()>,
}

/// A pool `default` of these servers, watched by nobody.
async fn start(servers: &[&str]) -> Served {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: LbArgs,
    }
    let pool = format!("default={}", servers.join(","));
    let command: Command =
        clap::Parser::parse_from(["lb", "--policy", "round_robin", "--pool", &pool]);
    let config = command.args.config().unwrap();
    let balancer = Arc::new(Balancer::new(&config.pools).unwrap());
    let making = Making {
        health: config.health,
        failures_told: Arc::default(),
        threads: std::num::NonZeroUsize::MIN,
        watch: Box::new(|_, _| Box::pin(std::future::pending())),
    };
    let (writer, written) = membership::writer(balancer.pools[0].clone(), balancer.clock, making);
    let mut tasks = JoinSet::new();
    tasks.spawn(written);
    let addresses = servers.iter().map(|&server| server.to_owned()).collect();
    writer.set_servers(0, addresses).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::new(listener, &Security::Plaintext).unwrap();
    let (address, writers) = (place.address(), vec![writer.clone()]);
    let shutdown = Shutdown::manual();
    tasks.spawn(serve(place, Security::Plaintext, balancer.clone(), writers, shutdown));
    Served { address, balancer, writer, _tasks: tasks }
}

impl Served {
    /// Sends a request and reads until the connection ends: headers and body.
    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> (String, String) {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let host = if headers.contains("host:") { "" } else { "host: localhost\r\n" };
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\n{host}{headers}content-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            (head.to_owned(), body.to_owned())
        };
        time::timeout(PATIENCE, exchange).await.unwrap()
    }

    async fn check(&self, request: (&str, &str, &str, &str), status: u16, expected: &str) {
        let (method, path, headers, body) = request;
        let (head, answer) = self.exchange(method, path, headers, body).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {head}\n{answer}");
        assert!(answer.contains(expected), "{request:?}: {answer}");
        for always in
            ["content-security-policy: default-src 'none'", "x-content-type-options: nosniff"]
        {
            assert!(head.contains(always), "{request:?}: {head}");
        }
    }

    async fn state(&self, query: &str) -> Value {
        let (_, body) = self.exchange("GET", &format!("/api/state?{query}"), "", "").await;
        serde_json::from_str(&body).unwrap()
    }

    async fn found(&self, server: usize, state: State, why: &str) {
        let id = self.balancer.pools[0].snapshot().members[server].endpoint.id;
        self.writer.found(Finding { id, state, why: why.to_owned() }).await;
    }
}

#[tokio::test]
async fn the_page_and_its_files_are_served_and_nothing_else() {
    let served = start(&["a:1"]).await;
    served.check(("GET", "/", "", ""), 200, "<title>Strife</title>").await;
    served.check(("GET", "/?x", "", ""), 200, "<title>").await;
    served.check(("GET", "/main.js", "", ""), 200, "import").await;
    served.check(("GET", "/style.css", "", ""), 200, ":root").await;
    served.check(("GET", "/../Cargo.toml", "", ""), 404, "no such page").await;
    served.check(("GET", "/api/policy", "", ""), 404, "no such page").await;
    served.check(("POST", "/", OWN, "{}"), 404, "no such page").await;
    served.check(("DELETE", "/", "", ""), 405, "GET and POST only").await;
}

#[tokio::test]
async fn strangers_in_the_browser_are_turned_away() {
    let served = start(&["a:1", "b:1"]).await;
    let rebound = "host: evil.example\r\n";
    served.check(("GET", "/", rebound, ""), 421, "localhost").await;
    served.check(("GET", "/api/state", rebound, ""), 421, "localhost").await;
    let across = "sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n";
    served.check(("GET", "/api/state", across, ""), 403, "own page").await;
    let body = r#"{"pool":"default","address":"a:1","drain":true,"force":true}"#;
    let simple = "content-type: text/plain\r\norigin: https://evil.example\r\n";
    served.check(("POST", "/api/drain", simple, body), 403, "own page").await;
    let other = format!("{OWN}origin: https://evil.example\r\n");
    served.check(("POST", "/api/drain", &other, body), 403, "own page").await;
    assert!(served.balancer.pools[0].snapshot().members.iter().all(|member| !member.draining));
}

#[tokio::test]
async fn a_policy_is_switched_and_a_server_drained() {
    let served = start(&["a:1", "b:1"]).await;
    let policy = r#"{"pool":"default","policy":"pick_first"}"#;
    served.check(("POST", "/api/policy", OWN, policy), 200, "pick_first").await;
    assert_eq!(served.balancer.pools[0].snapshot().policy.spec, "pick_first");
    let drain = r#"{"pool":"default","address":"a:1","drain":true,"force":false}"#;
    served.check(("POST", "/api/drain", OWN, drain), 200, r#"{"in_flight":0}"#).await;
    assert!(served.balancer.pools[0].member("a:1").unwrap().draining);
    let undrain = drain.replace("\"drain\":true", "\"drain\":false");
    served.check(("POST", "/api/drain", OWN, &undrain), 200, "{").await;
    assert!(!served.balancer.pools[0].member("a:1").unwrap().draining);
}

#[tokio::test]
async fn what_is_refused_is_refused_in_the_balancers_words() {
    let served = start(&["a:1", "b:1"]).await;
    served.found(0, State::Ready, "").await;
    let check = async |path: &str, body: &str, status: u16, expected: &str| {
        served.check(("POST", path, OWN, body), status, expected).await;
    };
    let policy = "/api/policy";
    check(policy, r#"{"pool":"default","policy":"best"}"#, 400, "there is no policy `best`").await;
    check(policy, r#"{"pool":"other","policy":"pick_first"}"#, 404, "no pool `other`").await;
    check(policy, r#"{"pool":"","policy":"pick_first"}"#, 400, "name a pool").await;
    check(policy, r#"{"pool":"default"}"#, 400, "missing field").await;
    check(policy, r#"{"pool":"default","policy":"x","more":1}"#, 400, "unknown field").await;
    check(policy, "not JSON", 400, "not what is expected").await;
    check(policy, &" ".repeat(MAX_BODY_BYTES + 1), 400, "no usable body").await;
    let drain = "/api/drain";
    let last = r#"{"pool":"default","address":"a:1","drain":true,"force":false}"#;
    check(drain, last, 409, "the last server of pool `default`").await;
    check(drain, &last.replace("a:1", "c:1"), 404, "there is no server c:1").await;
    check(drain, &last.replace("\"force\":false", "\"force\":true"), 200, "{").await;
}

#[tokio::test]
async fn the_state_has_every_server_and_samples_go_on() {
    let served = start(&["a:1", "b:1"]).await;
    served.found(0, State::Ready, "").await;
    served.found(1, State::TransientFailure, "<script>alert(1)</script>").await;
    let sampled = async {
        loop {
            let state = served.state("pool=default").await;
            if state["sampled_s"].as_u64() >= Some(2) {
                return state;
            }
        }
    };
    let state = time::timeout(PATIENCE, sampled).await.unwrap();
    let servers = &state["pool"]["servers"]["shown"];
    let row = |place: usize| {
        ["address", "state", "why"].map(|key| servers[place][key].as_str().unwrap().to_owned())
    };
    // What is down comes first.
    assert_eq!(row(0), ["b:1", "TRANSIENT_FAILURE", "<script>alert(1)</script>"]);
    assert_eq!(row(1), ["a:1", "READY", ""]);
}

#[tokio::test]
async fn strangers_are_not_served_in_the_clear() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = Place::new(listener, &Security::Plaintext).err().unwrap().to_string();
    assert!(refused.contains("--dashboard") && refused.contains("certificates"), "{refused}");
}
