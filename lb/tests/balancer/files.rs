//! Servers from a watched file, and a configuration file that changes.

use std::{fs, path::PathBuf};

use rustix::process::{Signal, getpid, kill_process};
use strife_runtime::Security;
use tokio::signal::unix::{SignalKind, signal};
use tonic::Code;

use crate::{
    fleet::{Fleet, call},
    load::Load,
    stub::{Stub, plain_stubs},
};

/// A directory with a file in it.
struct Watched {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Watched {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        Self { path: dir.path().join("servers.txt"), _dir: dir }
    }

    fn write(&self, text: &str) {
        fs::write(&self.path, text).expect("written");
    }

    fn rename_over(&self, text: &str) {
        let new = self.path.with_extension("new");
        fs::write(&new, text).expect("written");
        fs::rename(&new, &self.path).expect("renamed");
    }

    async fn fleet(&self) -> Fleet {
        let flags = "--policy round_robin --pool default=file:";
        Fleet::start(&format!("{flags}{}", self.path.display())).await
    }
}

fn addresses(stubs: &[Stub]) -> Vec<String> {
    stubs.iter().map(|stub| stub.address.to_string()).collect()
}

#[tokio::test]
async fn a_file_that_changes_under_load_fails_no_call() {
    let (stubs, watched) = (plain_stubs(3), Watched::new());
    let [a, b, c] = &addresses(&stubs)[..] else { panic!("three") };
    watched.write(&format!("{a}\n"));
    let fleet = watched.fleet().await;
    let load = Load::start((0..4).map(|_| fleet.bank()));
    fleet.wait_for_servers(&[a]).await;
    watched.write(&format!("# ours\n{a}\n{b} # new\n"));
    fleet.wait_for_servers(&[a, b]).await;
    load.go_on(20).await;
    watched.rename_over(&format!("{b}\n{c}\n"));
    fleet.wait_for_servers(&[b, c]).await;
    load.go_on(20).await;
    watched.rename_over(&format!("{c}\n{c}\n"));
    fleet.wait_for_servers(&[c]).await;
    let said = &fleet.pool().await.sources[0].problem;
    assert!(said.contains(&format!("{c} twice")), "{said}");
    load.stop().await;
}

#[tokio::test]
async fn a_file_that_names_no_servers_takes_none_away() {
    let (stubs, watched) = (plain_stubs(2), Watched::new());
    let [a, b] = &addresses(&stubs)[..] else { panic!("two") };
    watched.write(&format!("{a}\n{b}\n"));
    let fleet = watched.fleet().await;
    let load = Load::start((0..2).map(|_| fleet.bank()));
    let keeps = async |why: &str| {
        fleet.wait_until(|pool| pool.sources[0].problem.contains(why)).await;
        fleet.wait_for_servers(&[a, b]).await;
        assert_eq!(fleet.pool().await.sources[0].servers, 2);
        load.go_on(10).await;
    };
    watched.write("");
    keeps("it names no server").await;
    watched.rename_over(&format!("{a}\n{b},\n"));
    keeps("line 2: `").await;
    fs::remove_file(&watched.path).unwrap();
    keeps("cannot be read").await;
    fs::create_dir(&watched.path).unwrap();
    keeps("it is no file").await;
    fs::remove_dir(&watched.path).unwrap();
    watched.write(&format!("{b}\n"));
    fleet.wait_for_servers(&[b]).await;
    assert_eq!(fleet.pool().await.sources[0].problem, "");
    load.stop().await;
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_waited_for() {
    let (stub, watched) = (Stub::start(&Security::Plaintext), Watched::new());
    let fleet = watched.fleet().await;
    let status = call(&mut fleet.bank()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let why = format!("pool `default` has no servers (file:{}", watched.path.display());
    assert!(status.message().starts_with(&why), "{status}");
    assert!(status.message().contains("cannot be read"), "{status}");
    watched.write(&stub.address.to_string());
    fleet.wait_for_servers(&[&stub.address.to_string()]).await;
    call(&mut fleet.bank()).await.unwrap();
}

#[tokio::test]
async fn a_hangup_applies_what_can_change_while_calls_run() {
    // Ours: the balancer's own may come later than the first signal.
    let _not_fatal = signal(SignalKind::hangup()).unwrap();
    let (stubs, watched) = (plain_stubs(3), Watched::new());
    let [a, b, c] = &addresses(&stubs)[..] else { panic!("three") };
    let config = watched.path.with_file_name("lb.toml");
    let pool = |lines: &str| format!("[[pool]]\nname = \"default\"\n{lines}\n");
    fs::write(&config, pool(&format!("servers = [\"{a}\", \"{b}\"]"))).unwrap();
    let fleet = Fleet::start(&format!("--config {}", config.display())).await;
    fleet.wait_for_servers(&[a, b]).await;
    let load = Load::start((0..4).map(|_| fleet.bank()));
    load.go_on(20).await;
    watched.write(&format!("{b}\n{c}\n"));
    let lines = format!("servers = [\"{c}\"]\nfile = \"servers.txt\"\npolicy = \"round_robin\"");
    let other = "[[pool]]\nname = \"other\"\nregister = true\n";
    fs::write(&config, pool(&lines) + other).unwrap();
    fleet
        .wait_until(|pool| {
            kill_process(getpid(), Signal::HUP).unwrap();
            pool.endpoints.len() == 2 && pool.policy == "round_robin"
        })
        .await;
    fleet.wait_for_servers(&[c, b]).await;
    assert_eq!(fleet.pool().await.endpoints[0].address, *c, "in the order of the new sources");
    load.go_on(20).await;
    fs::write(&config, "[[pool]]\nname = \"default\"\n").unwrap();
    kill_process(getpid(), Signal::HUP).unwrap();
    load.go_on(20).await;
    fleet.wait_for_servers(&[c, b]).await;
    load.stop().await;
}
