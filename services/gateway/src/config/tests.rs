//! The command line means what its help says.

use clap::{CommandFactory, Parser};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    gateway: GatewayArgs,
}

fn parse(flags: &str) -> Result<GatewayArgs, String> {
    let words = ["gateway", "--users", "users.csv"].into_iter().chain(flags.split_whitespace());
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    Ok(line.gateway)
}

#[test]
fn flags_and_their_defaults() {
    Line::command().debug_assert();
    let args = parse("").unwrap();
    assert_eq!((args.host.as_str(), args.port), ("127.0.0.1", 8080));
    assert_eq!(args.settings().payment_timeout, Duration::from_secs(10));
    let args = parse("--bank ICICI=h:1 --bank sbi=h:2 --max-payments 7 --payment-timeout 250ms");
    let args = args.unwrap();
    let direct = [("icici", "h:1"), ("sbi", "h:2")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(args.routes().unwrap().direct, direct.into());
    assert_eq!(args.settings().payments_max, 7);
    assert_eq!(args.settings().payments_per_bank_max, 4, "half, if it is not said");
    assert_eq!(args.settings().payment_timeout, Duration::from_millis(250));
    assert!(args.database().unwrap().is_none());
    assert_eq!(args.settings().lease, Duration::from_secs(3));
    let args = parse("--store postgres://u@h/d --lease 1s").unwrap();
    assert_eq!(args.database().unwrap().unwrap().place(), "h:5432/d");
    assert_eq!(args.settings().lease, Duration::from_secs(1));
    let args = parse("--max-payments-per-bank 3").unwrap();
    assert_eq!(args.settings().payments_per_bank_max, 3);
}

#[test]
fn wrong_flags_are_refused() {
    for (flags, expected) in [
        ("--bank icici", "`icici` is not NAME=HOST:PORT"),
        ("--bank =h:1", "`=h:1` is not NAME=HOST:PORT"),
        ("--payment-timeout 10", "not a duration"),
        ("--max-payments 0", "0 is not in"),
        ("--max-payments-per-bank 0", "0 is not in"),
        ("--lease 1ms", "at least 300ms"),
        ("--store postgres://u@h/d --data d", "cannot be used with"),
    ] {
        let refused = parse(flags).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
    for (store, expected) in [
        ("h:1", "--store h:1 is no database; write postgres://"),
        ("postgres://u@h", "names no database"),
    ] {
        let args = parse(&format!("--store {store}")).unwrap();
        let refused = args.database().map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    let twice = parse("--bank a=h:1 --bank a=h:2").unwrap().routes().unwrap_err();
    assert!(twice.to_string().starts_with("--bank a is given twice"), "{twice}");
}
