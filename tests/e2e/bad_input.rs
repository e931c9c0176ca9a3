//! Each wrong flag, file or peer gets one line that says what to do, and harms nothing.

use std::{fs, net::TcpListener, path::Path};

use crate::support::{boot, refused, strife};

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn the_balancer_refuses_what_it_cannot_balance() {
    let lb = |more: &[&str]| -> Vec<String> {
        ["lb", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--plaintext"]
            .iter()
            .chain(more)
            .map(|word| (*word).to_owned())
            .collect()
    };
    let check = |more: &[&str], expected: &[&str]| {
        let arguments = lb(more);
        refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 2, expected);
    };
    let pool = ["--pool", "default=127.0.0.1:9101"];
    check(
        &[&pool[..], &["--policy", "fastest"]].concat(),
        &["fastest", "round_robin", "least_load"],
    );
    check(&["--pool", "default="], &["default"]);
    check(&["--pool", "default"], &["--pool", "NAME=ADDR"]);
    check(&[], &["--pool"]);
    check(&[&pool[..], &pool[..]].concat(), &["default"]);
    check(&["--pool", "default=127.0.0.1"], &["127.0.0.1"]);
}

#[test]
fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [
        "lb",
        "--listen",
        &address,
        "--control",
        "127.0.0.1:0",
        "--pool",
        "default=127.0.0.1:9101",
        "--plaintext",
    ];
    refused(&arguments, 1, &[&address, "in use", "--listen"]);
}

#[test]
fn missing_certificates_say_how_to_make_them() {
    let dir = tempfile::tempdir().unwrap();
    let certs = text(dir.path());
    let arguments = ["lb", "--pool", "default=127.0.0.1:9101", "--certs", &certs];
    refused(&arguments, 2, &["strife certs init", "--plaintext"]);
}

#[tokio::test]
async fn a_foreign_authority_is_turned_away() {
    let booted = boot(|spec| spec.gateway = false).await;
    let foreign = tempfile::tempdir().unwrap();
    let certs = text(foreign.path());
    assert!(strife(&["certs", "init", &certs]).status.success());
    let arguments = ["admin", "status", "--control", booted.fleet.control(), "--certs", &certs];
    refused(&arguments, 1, &[booted.fleet.control()]);
}

#[test]
fn malformed_plans_start_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let plan = dir.path().join("plan.toml");
    let out = text(&dir.path().join("out"));
    fs::write(&plan, "name = \"x\"\npolicies = [\"fastest\"]\nworkloads = []\n").unwrap();
    refused(&["sweep", &text(&plan), "--out", &out], 2, &["plan.toml", "fastest", "least_load"]);
    fs::write(&plan, "name = \"x\"\npolicies = [\n").unwrap();
    refused(&["sweep", &text(&plan), "--out", &out], 2, &["plan.toml, line"]);
    refused(&["sweep", &text(&dir.path().join("none.toml"))], 2, &["none.toml", "loadgen/plans"]);
    assert!(!Path::new(&out).exists(), "nothing was begun");
}

#[test]
fn malformed_accounts_are_refused_with_file_and_line_and_leave_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let check = |name: &str, content: &[u8], expected: &[&str]| {
        let file = dir.path().join(name);
        fs::write(&file, content).unwrap();
        let arguments = [
            "bank",
            "--bank-name",
            "icici",
            "--port",
            "0",
            "--plaintext",
            "--data",
            &text(&data),
            "--accounts",
            &text(&file),
        ];
        refused(&arguments, 2, &[&[name], expected].concat());
        let left = fs::read_dir(&data).map_or(0, |entries| {
            entries.flatten().filter(|entry| entry.file_name() == "ledger.redb").count()
        });
        assert_eq!(left, 0, "nothing is half-loaded");
    };
    check("a.csv", b"account_id,currency,balance\na,INR,1\nb,INR,lots\n", &["line 3"]);
    check("b.csv", b"account_id,currency,balance\na,INR,1\na,INR,1\n", &["line 3"]);
    check("c.csv", b"account_id,balance\na,1\n", &["currency"]);
    check("d.csv", b"account_id,currency,balance\na,INR,-1\n", &["line 2"]);
    check("e.json", b"[{\"account_id\": \"a\", \"currency\": \"INR\"}]", &["balance"]);
    check("g.csv", b"account_id,currency,balance\na,INR,1\n\xff,INR,1\n", &["line 3", "UTF-8"]);
    check("f.json", b"[{\"account_id\": \"a\"", &["line 1"]);
}

#[tokio::test]
async fn a_store_that_is_cut_short_corrupt_or_foreign_is_refused_and_left_as_it_is() {
    let mut booted = boot(|spec| spec.txids = 1).await;
    let users = text(&booted.fleet.spec().accounts().join("users.csv"));
    let bank = ["bank", "--bank-name", "icici"];
    let gateway =
        ["gateway", "--users", &users, "--bank", "icici=127.0.0.1:1", "--bank", "sbi=127.0.0.1:1"];
    let txid = ["txid", "--server", "1"];
    let stores: [(&str, &str, &[&str]); 3] = [
        ("icici", "ledger.redb", &bank),
        ("gateway", "gateway.redb", &gateway),
        ("txid-1", "txid.redb", &txid),
    ];
    let data = booted.fleet.spec().dir.join("data");
    for (member, _, _) in stores {
        booted.fleet.kill(member).await.unwrap();
    }
    let whole = stores.map(|(member, name, _)| fs::read(data.join(member).join(name)).unwrap());
    for (number, (member, name, command)) in stores.into_iter().enumerate() {
        let (whole, others) = (&whole[number], &whole[(number + 1) % whole.len()]);
        let store = data.join(member).join(name);
        let cases: [(&[u8], &str); 4] = [
            (&whole[..whole.len() / 3], "put a backup in its place"),
            (&[0x42; 8192], "put a backup in its place"),
            (&[], "put a backup in its place"),
            (others, "give each a directory of its own"),
        ];
        for (broken, way_out) in cases {
            fs::write(&store, broken).unwrap();
            let directory = text(store.parent().unwrap());
            let flags = ["--port", "0", "--plaintext", "--data", &directory];
            for _ in 0..2 {
                refused(&[command, &flags].concat(), 1, &[name, way_out]);
            }
            // A sound one is checked, and told as closed, before it can be asked whose it is.
            let is_kept = broken == *others || fs::read(&store).unwrap() == broken;
            assert!(is_kept, "{name} is evidence, and was changed");
        }
    }
}

#[test]
fn plot_and_load_say_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    refused(&["plot", &text(dir.path())], 1, &["holds no runs", "strife sweep"]);
    let unreachable =
        ["load", "127.0.0.1:1", "--call", "a.B/C", "-d", "{}", "--plaintext", "-z", "1s"];
    refused(&unreachable, 1, &["127.0.0.1:1"]);
}
