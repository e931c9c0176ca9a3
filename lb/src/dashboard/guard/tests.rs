//! Who is let in, and who is not.

use http::Request;

use super::*;

/// A request with these headers, one a line.
fn request(uri: &str, headers: &str) -> Request<()> {
    let mut request = Request::builder().uri(uri);
    for line in headers.lines() {
        let (name, value) = line.trim().split_once(": ").unwrap();
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

fn reads(headers: &str) -> bool {
    let request = request("/", headers);
    check_reader(Audience::ThisMachine, request.uri(), request.headers(), None).is_ok()
}

fn writes(headers: &str) -> bool {
    let request = request("/api/drain", headers);
    reads(headers) && check_writer(Audience::ThisMachine, request.uri(), request.headers()).is_ok()
}

#[test]
fn only_loopback_names_are_answered_to() {
    for host in ["localhost", "LocalHost:7003", "127.0.0.1:9", "127.8.9.1", "[::1]:7003", "[::1]"] {
        assert!(reads(&format!("host: {host}")), "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.example:7003",
        "10.0.0.1:7003",
        "0.0.0.0:7003",
        "localhost@evil.example",
        "evil@localhost",
        "[::]",
        "2130706433",
    ] {
        assert!(!reads(&format!("host: {host}")), "{host}");
    }
    assert!(!reads(""), "no host at all");
    assert!(!reads("host: localhost\nhost: evil.example"), "two hosts");
}

#[test]
fn other_pages_may_link_here_and_nothing_else() {
    let site = |site: &str, more: &str| {
        reads(&format!("host: localhost\nsec-fetch-site: {site}\nsec-fetch-mode: {more}"))
    };
    assert!(site("same-origin", "cors") && site("none", "navigate"));
    assert!(!site("cross-site", "no-cors") && !site("same-site", "cors"));
    assert!(site("cross-site", "navigate\nsec-fetch-dest: document"));
    assert!(!site("cross-site", "navigate\nsec-fetch-dest: iframe"));
}

#[test]
fn only_this_page_changes_anything() {
    let own = "host: localhost:1\nx-strife-dashboard: 1\ncontent-type: application/json";
    assert!(writes(own), "a program that says so");
    let from_the_page = format!("{own}\norigin: http://localhost:1\nsec-fetch-site: same-origin");
    assert!(writes(&from_the_page));
    assert!(writes(&from_the_page.replace("json", "json; charset=utf-8")));
    for (from, to) in [
        ("x-strife-dashboard: 1\n", ""),
        ("application/json", "text/plain"),
        ("application/json", "application/jsonp"),
        ("content-type: application/json\n", ""),
        ("origin: http://localhost:1", "origin: http://localhost:2"),
        ("origin: http://localhost:1", "origin: https://localhost:1"),
        ("origin: http://localhost:1", "origin: http://evil.example"),
        ("origin: http://localhost:1", "origin: null"),
        ("same-origin", "cross-site"),
        ("same-origin", "same-site"),
        ("same-origin", "none"),
        ("host: localhost:1", "host: evil.example"),
    ] {
        let other = from_the_page.replace(from, to);
        assert_ne!(other, from_the_page);
        assert!(!writes(&other), "{other}");
    }
}

#[test]
fn elsewhere_only_operators_are_let_in() {
    let check = |identity: Option<&Identity>| {
        let request = request("https://lb.example.net:7003/", "sec-fetch-site: none");
        check_reader(Audience::Operators, request.uri(), request.headers(), identity).is_ok()
    };
    assert!(check(Some(&Identity::new(Role::Admin, "1"))));
    for role in [Role::Lb, Role::Bank, Role::Gateway, Role::Client, Role::Loadgen] {
        assert!(!check(Some(&Identity::new(role, "admin"))), "{role:?}");
    }
    assert!(!check(None));
}

#[test]
fn an_operators_browser_is_no_tool_of_other_pages_either() {
    let check = |origin: &str| {
        let headers = format!(
            "x-strife-dashboard: 1\ncontent-type: application/json\nsec-fetch-site: same-origin\n\
             origin: {origin}"
        );
        let request = request("https://lb.example.net:7003/api/drain", &headers);
        check_writer(Audience::Operators, request.uri(), request.headers()).is_ok()
    };
    assert!(check("https://lb.example.net:7003"));
    assert!(!check("https://evil.example") && !check("http://lb.example.net:7003"));
}
