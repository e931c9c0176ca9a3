//! The invariants of ARCHITECTURE.md that a machine can hold, read off the sources themselves.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every Rust source of the workspace, by its path from the root.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut rooms: Vec<PathBuf> =
        ["src", "proto", "runtime", "lb", "services", "fleet", "loadgen", "tests", "benches"]
            .iter()
            .map(|room| root.join(room))
            .collect();
    while let Some(room) = rooms.pop() {
        for entry in fs::read_dir(&room).expect("the room is there").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                rooms.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                found.insert(name, fs::read_to_string(&path).expect("readable"));
            }
        }
    }
    assert!(found.len() > 50, "the sources were found: {}", found.len());
    found
}

/// The lines of a source that are neither comments nor in a `mod tests` at its end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test(name: &str) -> bool {
    name.starts_with("tests/") || name.contains("/tests") || name.starts_with("benches/")
}

/// Fails with every place where one of `words` stands in a source that `scope` admits.
fn forbid(words: &[&str], why: &str, scope: impl Fn(&str) -> bool) {
    let mut places = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| scope(name)) {
        for (line, content) in code(text) {
            if words.iter().any(|word| content.contains(word)) {
                places.push(format!("{name}:{line}: {}", content.trim()));
            }
        }
    }
    assert!(places.is_empty(), "{why}:\n{}", places.join("\n"));
}

/// The files that must stay pure: the HTTP/2 core and the switch, policies, ledger, payment state
/// machine, schedule, statistics.
fn is_pure(name: &str) -> bool {
    const PURE: [&str; 13] = [
        "lb/wire/src/",
        "lb/src/switch",
        "lb/policy/src/",
        "services/bank/src/ledger",
        "services/gateway/src/payment",
        "services/gateway/src/queue",
        "services/gateway/src/standing",
        "services/gateway/src/store/events",
        "services/gateway/src/store/rules",
        "services/txid/src/blocks",
        "loadgen/src/schedule",
        "loadgen/src/summary",
        "loadgen/src/sweep/cells",
    ];
    PURE.iter().any(|room| name.starts_with(room)) && !is_test(name)
}

#[test]
fn the_balancer_reads_no_message_and_knows_nothing_of_money() {
    let words = ["strife_proto::bank", "strife_proto::gateway", "Money", "prost::Message"];
    forbid(&words, "the balancer is for any gRPC service", |name| {
        // What servers say of their load is for the balancer; the channel is a client's.
        let is_theirs = name == "lb/src/reports.rs" || name.starts_with("lb/channel/");
        name.starts_with("lb/") && !is_theirs && !is_test(name)
    });
}

#[test]
fn pure_rooms_have_no_clock_no_runtime_and_no_chance_of_their_own() {
    let words = [
        "tokio::",
        "tonic::",
        "Instant::now",
        "SystemTime::now",
        "rand::rng()",
        "from_os_rng",
        "thread::sleep",
        "std::fs",
        "std::net",
    ];
    forbid(&words, "time and a seeded generator come in as arguments", is_pure);
}

#[test]
fn generated_types_stop_at_the_service() {
    forbid(&["strife_proto"], "convert in service.rs (or the client side of it)", |name| {
        is_pure(name) || name.starts_with("src/")
    });
}

#[test]
fn only_the_runtime_knows_certificates_and_the_subscriber() {
    let words = ["rustls::", "rcgen::", "tracing_subscriber::", "x509_parser::"];
    forbid(&words, "ask strife_runtime", |name| !name.starts_with("runtime/") && !is_test(name));
}

#[test]
fn charts_are_made_from_files_alone() {
    let words = ["crate::run", "crate::samples", "crate::sweep", "strife_fleet", "tokio::"];
    forbid(&words, "a chart can be drawn again tomorrow", |name| {
        name.starts_with("loadgen/src/plot") && !is_test(name)
    });
}

#[test]
fn channels_have_a_bound() {
    forbid(&["unbounded"], "every queue has a named bound", |name| !is_test(name));
}

#[test]
fn the_crates_in_the_middle_do_not_know_each_other() {
    let middle = [
        ("lb/", &["strife_bank", "strife_gateway", "strife_loadgen", "strife_fleet"][..]),
        ("lb/channel/", &["strife_lb", "strife_runtime", "strife_wire"]),
        ("services/bank", &["strife_lb", "strife_gateway", "strife_loadgen", "strife_fleet"]),
        ("services/gateway", &["strife_lb", "strife_bank", "strife_loadgen", "strife_fleet"]),
        ("services/txid", &["strife_lb", "strife_bank", "strife_gateway", "strife_fleet"]),
        ("services/store", &["strife_lb", "strife_bank", "strife_gateway"]),
        ("fleet/", &["strife_lb", "strife_bank", "strife_gateway", "strife_loadgen"]),
        ("loadgen/", &["strife_lb", "strife_bank", "strife_gateway"]),
    ];
    for (room, strangers) in middle {
        forbid(strangers, "they meet on the wire", |name| name.starts_with(room) && !is_test(name));
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(n, _)| n)
        .collect();
    assert!(silent.is_empty(), "no //! head: {silent:?}");
}

#[test]
fn no_file_named_mod() {
    let named: Vec<_> = sources().into_keys().filter(|name| name.ends_with("/mod.rs")).collect();
    assert!(named.is_empty(), "foo.rs + foo/, never mod.rs: {named:?}");
}

#[test]
fn files_stay_readable() {
    const MOST_LINES: usize = 420;
    let long: Vec<_> = sources()
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .collect();
    assert!(long.is_empty(), "longer than {MOST_LINES} lines, split by concern: {long:?}");
}
