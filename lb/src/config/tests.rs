//! Which flags make a configuration, and what is said of the others.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: LbArgs,
}

fn config(flags: &str) -> Result<Config, String> {
    let words = std::iter::once("lb").chain(flags.split_whitespace());
    let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
    command.args.config().map_err(|error| error.to_string())
}

#[test]
fn pools_with_their_servers_and_policies() {
    let config = config(
        "--pool default=127.0.0.1:1,localhost:2 --pool Bank.ICICI=[::1]:3 \
         --policy round_robin --pool-policy bank.icici=pick_first --threads 3",
    )
    .unwrap();
    let expected = [
        PoolConfig::of("default", &["127.0.0.1:1", "localhost:2"], "round_robin"),
        PoolConfig::of("bank.icici", &["[::1]:3"], "pick_first"),
    ];
    assert_eq!(config.pools, expected);
    assert_eq!(config.threads.get(), 3);
}

#[test]
fn what_cannot_be_balanced_is_refused_with_one_line() {
    let check = |flags: &str, expected: &str| {
        let error = config(flags).err().unwrap_or_else(|| panic!("{flags} was accepted"));
        assert!(error.contains(expected) && !error.contains('\n'), "{flags}: {error}");
    };
    check("", "no pool to balance");
    check("--pool default", "is not a pool");
    check("--pool =127.0.0.1:1", "is not a pool");
    check("--pool a/b=127.0.0.1:1", "is not a pool");
    check("--pool default=", "pool `default` has no servers");
    check("--pool default=,", "pool `default` has no servers");
    check("--pool default=nowhere", "`nowhere` is not host:port");
    check("--pool default=:80", "`:80` is not host:port");
    check("--pool default=h:0", "`h:0` is not host:port");
    check("--pool default=h:99999", "`h:99999` is not host:port");
    check("--pool default=u@h:1", "`u@h:1` is not host:port");
    check("--pool default=h:1,h:1", "names h:1 twice");
    check("--pool a=h:1 --pool A=h:2", "pool `a` is named twice");
    check("--pool a=h:1 --policy best", "choose one of pick_first, round_robin, random");
    check("--pool a=h:1 --pool-policy a=best", "there is no policy `best`");
    check("--pool a=h:1 --pool-policy b=pick_first", "there is no pool `b`; the pools are a");
    check("--pool a=h:1 --pool-policy b", "write --pool-policy NAME=POLICY");
    check("--pool a=h:1 --max-streams 0", "--max-streams must be between 1 and 100000");
}

#[test]
fn flags_win_over_the_file_and_add_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.toml");
    let text = r#"
        policy = "round_robin"
        [[pool]]
        name = "a"
        servers = ["h:1"]
        [[pool]]
        name = "b"
        servers = ["h:2"]
        policy = "least_load"
    "#;
    std::fs::write(&path, text).unwrap();
    let check = |flags: &str, expected: &[(&str, &str, &str)]| {
        let config = config(&format!("--config {} {flags}", path.display())).unwrap();
        let pool =
            |&(name, server, policy): &(&str, &str, &str)| PoolConfig::of(name, &[server], policy);
        assert_eq!(config.pools, expected.iter().map(pool).collect::<Vec<_>>(), "{flags}");
        assert_eq!(config.again().unwrap().pools, config.pools);
    };
    check("", &[("a", "h:1", "round_robin"), ("b", "h:2", "least_load")]);
    check("--policy pick_first", &[("a", "h:1", "pick_first"), ("b", "h:2", "least_load")]);
    check(
        "--pool b=h:3 --pool c=h:4 --pool-policy a=pick_first",
        &[("a", "h:1", "pick_first"), ("b", "h:3", "least_load"), ("c", "h:4", "round_robin")],
    );
    let twice = config(&format!("--config {} --pool c=h:1 --pool c=h:2", path.display()));
    assert!(twice.unwrap_err().contains("pool `c` is named twice"));
}

#[test]
fn times_of_membership_have_a_range() {
    let check = |flags: &str, expected: &str| {
        let error = config(&format!("--pool a=h:1 {flags}")).unwrap_err();
        assert!(error.contains(expected), "{flags}: {error}");
    };
    check("--dns-interval 1ms", "--dns-interval must be between 50ms and 720h");
    check("--registration-lease 1ms", "--registration-lease must be between 100ms and 720h");
    check("--dns-server dns.example.com", "invalid value 'dns.example.com'");
    let membership = config("--pool a=h:1 --dns-server 127.0.0.1:53").unwrap().membership;
    assert_eq!(membership.registration_lease, std::time::Duration::from_secs(3));
    assert_eq!(membership.dns_interval, std::time::Duration::from_secs(30));
    assert_eq!(membership.dns_server, Some("127.0.0.1:53".parse().unwrap()));
}

#[test]
fn help_names_every_policy_and_its_parameters() {
    let help = <Command as clap::CommandFactory>::command().render_long_help().to_string();
    for policy in strife_policy::POLICIES {
        assert!(help.contains(policy.name), "{} is not in {help}", policy.name);
        for parameter in policy.parameters {
            let named = format!("{}=", parameter.name);
            assert!(help.contains(&named), "{named} of {} is not in {help}", policy.name);
        }
    }
}
