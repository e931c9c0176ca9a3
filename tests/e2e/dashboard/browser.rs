//! Chromium without a window, driven by its DevTools protocol over two pipes (`--remote-debugging-pipe`:
//! it reads commands from descriptor 3 and answers on 4, each message ended by a zero byte).

use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{foreign::missing, support::PATIENCE};

/// Names under which Chromium is installed.
const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// The shell hands its own pipes on. No sandbox: tests may run as root, and only our own page is opened.
const START: &str = "exec \"$0\" --headless=new --remote-debugging-pipe --no-sandbox --disable-gpu \
     --disable-dev-shm-usage --disable-background-networking --disable-component-update \
     --no-first-run --user-data-dir=\"$1\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null";
/// Between two looks at a page.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// One browser with one page. Ends when dropped.
pub(super) struct Browser {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: String,
    commands: u64,
    /// What the page did wrong: exceptions, and what its Content-Security-Policy stopped.
    complaints: Vec<String>,
    /// Every address that was asked for.
    requested: Vec<String>,
    _child: Child,
    _profile: TempDir,
}

/// A screen.
#[derive(Clone, Copy)]
pub(super) struct Screen {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) is_dark: bool,
}

impl Browser {
    /// `None` where there is no Chromium, which only a newcomer's machine may lack: with `CI` set it fails
    /// instead.
    pub(super) async fn start() -> Option<Self> {
        let installed = |program: &&&str| {
            let version = std::process::Command::new(program).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        let Some(program) = PROGRAMS.iter().find(installed) else { return missing("chromium") };
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", START, program])
            .arg(profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut browser = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            session: String::new(),
            commands: 0,
            complaints: Vec::new(),
            requested: Vec::new(),
            _child: child,
            _profile: profile,
        };
        let page = browser.tell("Target.createTarget", json!({"url": "about:blank"})).await;
        let target = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.tell("Target.attachToTarget", target).await;
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.tell(&format!("{domain}.enable"), json!({})).await;
        }
        Some(browser)
    }

    /// A command and its answer.
    async fn tell(&mut self, method: &str, params: Value) -> Value {
        let exchange = tokio::time::timeout(PATIENCE, self.exchange(method, params)).await;
        exchange.unwrap_or_else(|_| panic!("chromium does not answer {method}"))
    }

    async fn exchange(&mut self, method: &str, params: Value) -> Value {
        self.commands += 1;
        let mut command = json!({"id": self.commands, "method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = self.session.as_str().into();
        }
        self.input.write_all(format!("{command}\0").as_bytes()).await.unwrap();
        loop {
            let mut message = Vec::new();
            self.output.read_until(0, &mut message).await.unwrap();
            assert_eq!(message.pop(), Some(0), "chromium ended");
            let mut message: Value = serde_json::from_slice(&message).unwrap();
            if message["id"] == self.commands {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(params.to_string()),
            Some("Log.entryAdded") => {
                // That the balancer refused something is no fault of the page.
                let entry = &params["entry"];
                if entry["level"] == "error" && entry["source"] != "network" {
                    self.complaints.push(entry.to_string());
                }
            }
            Some("Network.requestWillBeSent") => {
                self.requested.push(params["request"]["url"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }

    pub(super) async fn set_screen(&mut self, screen: Screen) {
        let Screen { width, height, is_dark } = screen;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500
        });
        self.tell("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", features).await;
    }

    pub(super) async fn open(&mut self, url: &str) {
        self.tell("Page.navigate", json!({"url": url})).await;
    }

    /// The value of an expression in the page.
    pub(super) async fn evaluate(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.tell("Runtime.evaluate", params).await;
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(super) fn until<'a>(&'a mut self, expression: &'a str) -> impl Future<Output = ()> + 'a {
        let place = std::panic::Location::caller();
        async move {
            // What it asks about may not be there yet.
            let asked = format!("(() => {{ try {{ return {expression} }} catch {{}} }})()");
            let wait = async {
                while self.evaluate(&asked).await != true {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            };
            if tokio::time::timeout(PATIENCE, wait).await.is_err() {
                let text = self.evaluate("document.body?.innerText").await;
                panic!("{place}: `{expression}` does not come true on: {text}");
            }
        }
    }

    /// Presses what a selector finds with the mouse, where it is seen.
    pub(super) async fn click(&mut self, selector: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(&format!("{found} !== null")).await;
        let seen = format!(
            "(() => {{ const one = {found}; one.scrollIntoView({{block: 'center'}}); \
             const box = one.getBoundingClientRect(); \
             const at = [box.x + box.width / 2, box.y + box.height / 2]; \
             return one.contains(document.elementFromPoint(...at)) ? at : null; }})()"
        );
        // Covered by nothing, and on the screen.
        self.until(&format!("{seen} !== null")).await;
        let at = self.evaluate(&seen).await;
        assert!(at.is_array(), "{selector} is gone");
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.tell("Input.dispatchMouseEvent", event).await;
        }
    }

    /// What is on the screen, as a PNG, kept under the target directory for whoever wants to look.
    pub(super) async fn picture(&mut self, name: &str) -> Vec<u8> {
        let answer = self.tell("Page.captureScreenshot", json!({"format": "png"})).await;
        let picture = from_base64(answer["data"].as_str().unwrap());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), &picture).unwrap();
        picture
    }

    /// Fails if the page did anything wrong, or asked anybody but `origin`.
    #[track_caller]
    pub(super) fn check_behaved(&self, origin: &str) {
        assert!(self.complaints.is_empty(), "{:#?}", self.complaints);
        let elsewhere = self.requested.iter().find(|url| !url.starts_with(origin));
        assert_eq!(elsewhere, None);
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter(|&byte| byte != b'=');
    let digits = digits.map(|byte| DIGITS.iter().position(|&digit| digit == byte).unwrap() as u32);
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() * 3 / 4), 0_u32, 0);
    for digit in digits {
        bits = (bits << 6 | digit) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
