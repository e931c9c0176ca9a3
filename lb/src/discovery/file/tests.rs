//! What a file of servers means, and when a change of it counts.

use super::*;

#[test]
fn a_line_is_a_server() {
    let servers = |text: &str| parse(text.as_bytes());
    let two = ["127.0.0.1:1".to_owned(), "bank-0.bank:2".to_owned()];
    assert_eq!(servers("127.0.0.1:1\nbank-0.bank:2\n").unwrap(), two);
    let text = "\u{feff}# ours\r\n\r\n  127.0.0.1:1 # the first\r\nbank-0.bank:2";
    assert_eq!(servers(text).unwrap(), two);
    assert_eq!(servers("[::1]:1\n[::1]:1").unwrap().len(), 2, "whoever reads it drops one");
}

#[test]
fn a_file_that_names_no_servers_is_no_answer() {
    let check = |text: &[u8], expected: &str| assert_eq!(parse(text).unwrap_err(), expected);
    check(b"", "it names no server");
    check(b"\n# none today\n", "it names no server");
    check(b"a:1\n\nb\n", "line 3: `b` is not host:port");
    check(b"a:1,b:1", "line 1: `a:1,b:1` is not host:port");
    check(b"http://a:1", "line 1: `http://a:1` is not host:port");
    check(b"a:0", "line 1: `a:0` is not host:port");
    check(b"\xff\xfea:1", "it is not UTF-8 text");
}

fn content(text: &str) -> Content {
    Ok(text.as_bytes().to_vec())
}

#[test]
fn a_change_counts_when_it_was_read_twice_alike() {
    let mut settling = Settling::default();
    let mut look = |text: &str| settling.look(content(text)).is_some();
    assert!(look("a"), "the first is used at once");
    assert!(!look("a"));
    assert!(!look(""), "half written");
    assert!(!look("ab"));
    assert!(look("ab"));
    assert!(!look("ab"));
    assert!(!look("half") && !look("ab"), "back to what is used");
    assert!(!look("x") && look("x"));
}

#[test]
fn a_file_that_never_rests_is_used_all_the_same() {
    let mut settling = Settling::default();
    settling.look(content("0"));
    let used = (1..100).filter(|number| settling.look(content(&number.to_string())).is_some());
    assert_eq!(used.count(), 33);
}

#[test]
fn a_file_that_is_gone_is_news_once() {
    let mut settling = Settling::default();
    let mut look = |content: Content| settling.look(content).is_some();
    assert!(look(content("a")));
    let gone = || Err("gone".to_owned());
    assert!(!look(gone()) && look(gone()) && !look(gone()));
    assert!(!look(content("a")) && look(content("a")));
}
