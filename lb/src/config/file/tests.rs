//! What a configuration file may say, and what is said of the others; the ready examples.

use std::path::Path;

use super::*;
use crate::config::SourceConfig;

fn parse(text: &str) -> Result<FileConfig, String> {
    FileConfig::parse(text, "lb.toml", Path::new("/etc/strife")).map_err(|error| error.to_string())
}

#[test]
fn pools_with_sources_of_every_kind() {
    let config = parse(
        r#"
        policy = "round_robin"

        [[pool]]
        name = "Gateway"
        servers = ["10.0.0.1:8080", "dns:spare.example.com:80"]
        file = "gateways.txt"
        dns = "gateway.prod:8080"
        srv = "_grpc._tcp.gateway"
        register = true
        policy = "pick_first"

        [[pool]]
        name = "default"
        file = "/run/servers"
        "#,
    )
    .unwrap();
    assert_eq!(config.policy.as_deref(), Some("round_robin"));
    let [gateway, default] = &config.pools[..] else { panic!("two pools: {config:?}") };
    assert_eq!(gateway.name, "gateway");
    assert_eq!(gateway.policy, "pick_first");
    let written: Vec<_> = gateway.sources.iter().map(ToString::to_string).collect();
    let expected = [
        "10.0.0.1:8080",
        "dns:spare.example.com:80",
        "file:/etc/strife/gateways.txt",
        "dns:gateway.prod:8080",
        "srv:_grpc._tcp.gateway",
        "register:",
    ];
    assert_eq!(written, expected);
    assert_eq!(default.sources, [SourceConfig::File("/run/servers".into())]);
    assert_eq!(default.policy, "");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let check = |text: &str, line: usize, expected: &str| {
        let error = parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"));
        let place = format!("lb.toml, line {line}: ");
        assert!(error.starts_with(&place) && error.contains(expected), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    };
    check("pools = 1", 1, "unknown field `pools`");
    check("\n[[pool]]\nname = \"a\"\nserver = [\"h:1\"]", 4, "unknown field `server`");
    check("[[pool]]\nservers = [\"h:1\"]", 1, "missing field `name`");
    check("[[pool]]\nname = \"a\"\n\n[[pool]]\nname = \"b\"", 1, "pool `a` has no servers");
    let two = "[[pool]]\nname = \"a\"\nregister = true\n";
    check(&format!("{two}[[pool]]\nname = \"b\"\nservers = [\"h\"]"), 4, "`h` is not host:port");
    check(&format!("{two}\n{two}"), 5, "pool `a` is named twice");
    check("[[pool]]\nname = \"a/b\"\nregister = true", 1, "`a/b` cannot name a pool");
    check(&format!("{two}policy = \"best\""), 1, "there is no policy `best`");
    check(&format!("# all\npolicy = \"best\"\n{two}"), 2, "there is no policy `best`");
    check("[[pool]]\nname = \"a\"\ndns = \"h\"", 1, "write dns:HOST:PORT");
    check("[[pool]\n", 1, "");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = FileConfig::read(Path::new("/nowhere/lb.toml")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/lb.toml") && error.contains("docs/examples"), "{error}");
}

#[test]
fn the_ready_examples_are_good() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let config = FileConfig::read(&path).unwrap_or_else(|error| panic!("{error}"));
            assert!(!config.pools.is_empty(), "{path:?} has no pool");
            sources.extend(config.pools.into_iter().flat_map(|pool| pool.sources));
        }
    }
    let has =
        |is_one: fn(&SourceConfig) -> bool| assert!(sources.iter().any(is_one), "{sources:?}");
    has(|source| matches!(source, SourceConfig::Static(_)));
    has(|source| matches!(source, SourceConfig::File(_)));
    has(|source| matches!(source, SourceConfig::Dns { .. }));
    has(|source| matches!(source, SourceConfig::Srv(_)));
    has(|source| matches!(source, SourceConfig::Registration));
}
