//! One process of the fleet: started, known to serve, killed, started again.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use strife_runtime::shutdown::LIFELINE;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{FleetError, Output};

/// How long a member may take until it serves. Generous: an account file of a million rows is loaded
/// within it on a slow disk.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a member may take to drain once asked to stop; beyond the drain timeout it was killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);
/// What waits beside a suspended member.
const SHELL: &str = "sh";

/// How a member is started.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) log: PathBuf,
    pub(crate) output: Output,
    pub(crate) niceness: i32,
    /// Added to the environment.
    pub(crate) environment: Vec<(String, String)>,
}

impl Recipe {
    /// Gives a flag this value, whether it has one or not.
    pub(crate) fn set_flag(&mut self, flag: &str, value: &str) {
        match self.value_of(flag) {
            Some(old) => value.clone_into(old),
            None => self.arguments.extend([flag.to_owned(), value.to_owned()]),
        }
    }

    fn value_of(&mut self, flag: &str) -> Option<&mut String> {
        let found = self.arguments.iter().position(|argument| argument == flag)?;
        self.arguments.get_mut(found + 1)
    }
}

/// A running process and where it serves.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) recipe: Recipe,
    /// `host:port`, from its `ready` line.
    pub(crate) address: String,
    child: Child,
    /// Its end was our doing.
    killed: bool,
    /// While it is suspended: lets it go on when we end, however we do.
    waker: Option<Child>,
}

impl Member {
    /// Starts it and waits until it serves.
    pub(crate) async fn start(recipe: Recipe) -> Result<Self, FleetError> {
        let mut child = spawn(&recipe)?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(addresses) = line.strip_prefix("ready ") {
                    return Some(addresses.to_owned());
                }
            }
            None
        };
        let addresses = match tokio::time::timeout(START_TIMEOUT, ready).await {
            Ok(Some(addresses)) => addresses,
            Ok(None) => {
                let _ = child.wait().await;
                let reason = last_word(&recipe);
                return Err(FleetError::NotStarted { member: recipe.name, reason });
            }
            Err(_) => {
                let (what, seconds) = ("begin to serve", START_TIMEOUT.as_secs());
                return Err(FleetError::TooSlow {
                    member: recipe.name,
                    what,
                    seconds,
                    log: recipe.log,
                });
            }
        };
        // Whatever else it prints is read, so that it never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = addresses.split_whitespace().next().unwrap_or_default().to_owned();
        Ok(Self { recipe, address, child, killed: false, waker: None })
    }

    /// The process id; `None` once it has ended and was waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// How it ended, if it has and we did not kill it.
    pub(crate) fn died(&mut self) -> Option<ExitStatus> {
        self.ended().filter(|_| !self.killed)
    }

    /// Suspends it (SIGSTOP). A suspended process does not see its lifeline's end, so a shell with a
    /// lifeline of its own lets it go on should we not live to do so.
    pub(crate) fn freeze(&mut self) -> Result<(), FleetError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let waker = Command::new(SHELL)
            .args(["-c", "read -r line; kill -CONT \"$0\"", &pid.to_string()])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .map_err(|source| FleetError::Spawn { program: SHELL.into(), source })?;
        self.waker = Some(waker);
        self.signal(Signal::STOP);
        Ok(())
    }

    /// Lets it go on if it is suspended.
    pub(crate) fn thaw(&mut self) {
        if self.waker.take().is_some() {
            self.signal(Signal::CONT);
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.killed = true;
        // Fails only if it has ended already.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            // Fails only if it has just ended.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Asks it to drain and waits for its end; kills it if it takes too long.
    pub(crate) async fn stop(&mut self) {
        self.thaw();
        self.signal(Signal::TERM);
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// The recipe that starts it again where it was, so that everyone who knows its address finds it.
    pub(crate) fn recipe_at_same_address(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        if let Some((_, port)) = self.address.rsplit_once(':')
            && let Some(value) = recipe.value_of("--port")
        {
            port.clone_into(value);
        }
        recipe
    }
}

fn spawn(recipe: &Recipe) -> Result<Child, FleetError> {
    let mut command = Command::new(&recipe.program);
    command
        .args(&recipe.arguments)
        .env(LIFELINE, "stdin")
        .envs(recipe.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        // Ctrl-C reaches only us; we decide when members stop.
        .process_group(0);
    match recipe.output {
        Output::Inherit => command.stderr(Stdio::inherit()),
        Output::Files => command.stderr(open_log(&recipe.log)?),
    };
    let child = command
        .spawn()
        .map_err(|source| FleetError::Spawn { program: recipe.program.clone(), source })?;
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if recipe.niceness != 0 && pid.is_some() {
        // Raising one's niceness needs no privilege; if it fails the fleet works all the same.
        let _ = rustix::process::setpriority_process(pid, recipe.niceness);
    }
    Ok(child)
}

fn open_log(path: &Path) -> Result<File, FleetError> {
    let file = |source: io::Error| FleetError::File { path: path.into(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(file)?;
    }
    OpenOptions::new().create(true).append(true).open(path).map_err(file)
}

/// The last line of a member's log: what it said before it ended.
fn last_word(recipe: &Recipe) -> String {
    if recipe.output == Output::Inherit {
        return "its own words stand above".to_owned();
    }
    let text = fs::read_to_string(&recipe.log).unwrap_or_default();
    let said = |line: &&str| line.starts_with("strife: ") || line.starts_with("error: ");
    let any = |line: &&str| !line.trim().is_empty();
    let line = text.lines().rev().find(said).or_else(|| text.lines().rev().find(any));
    line.map_or_else(
        || "it said nothing".to_owned(),
        |line| line.trim_start_matches("strife: ").trim_start_matches("error: ").to_owned(),
    )
}
