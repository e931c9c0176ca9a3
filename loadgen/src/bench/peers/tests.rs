//! From flags to a plan.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: PeersArgs,
}

fn plan(flags: &[&str]) -> Plan {
    let words = ["peers"].iter().chain(flags);
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).args.plan()
}

#[test]
fn without_flags_everything_is_measured() {
    assert_eq!(plan(&[]), Plan::full(1));
    assert_eq!(plan(&["--quick", "--seed", "4"]), Plan::quick(4));
}

#[test]
fn flags_change_a_plan() {
    let plan = plan(&[
        "--only",
        "tcp_copy,strife",
        "--cells",
        "2x3,1x1",
        "--sizes",
        "100,64k",
        "--tls",
        "on",
        "--rounds",
        "2",
        "--seconds",
        "300ms",
        "--idle",
        "7",
    ]);
    assert_eq!(plan.proxies, [Proxy::Strife, Proxy::TcpCopy], "in their order");
    assert_eq!(plan.cells.iter().map(Shape::to_string).collect::<Vec<_>>(), ["2x3", "1x1"]);
    assert_eq!((plan.message_bytes, plan.tls), (vec![100, 65_536], vec![true]));
    assert_eq!((plan.rounds, plan.idle_connections), (2, 7));
    assert!((plan.seconds - 0.3).abs() < 1e-9 && (plan.warmup_seconds - 0.1).abs() < 1e-9);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    for flags in [
        ["--only", "apache"],
        ["--cells", "16"],
        ["--sizes", "2M"],
        ["--tls", "maybe"],
        ["--rounds", "0"],
    ] {
        let words = ["peers"].iter().chain(&flags);
        assert!(Cli::try_parse_from(words).is_err(), "{flags:?}");
    }
}
