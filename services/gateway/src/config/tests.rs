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
    ] {
        let refused = parse(flags).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
    let twice = parse("--bank a=h:1 --bank a=h:2").unwrap().routes().unwrap_err();
    assert!(twice.to_string().starts_with("--bank a is given twice"), "{twice}");
}
