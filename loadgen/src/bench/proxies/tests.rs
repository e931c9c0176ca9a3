//! What the proxies are told.

use super::*;

fn launch(proxy: Proxy, tls: Option<&Certificates>) -> Launch {
    let backends = ["127.0.0.1:9101".to_owned(), "127.0.0.1:9102".to_owned()];
    let (listen, dir) = ("127.0.0.1:7000", Path::new("/run/bench"));
    proxy.launch(&Setup { listen, backends: &backends, dir, tls, as_root: true })
}

fn certificates() -> Certificates {
    let file = |name: &str| format!("/c/{name}");
    Certificates {
        dir: "/c".to_owned(),
        authority: file("ca.pem"),
        certificate: file("lb-1.pem"),
        key: file("lb-1-key.pem"),
        combined: file("both.pem"),
    }
}

/// All that a proxy is told, as one text.
fn told(proxy: Proxy, tls: Option<&Certificates>) -> String {
    let Launch { arguments, file } = launch(proxy, tls);
    arguments.join(" ") + "\n" + &file.map(|(_, text)| text).unwrap_or_default()
}

#[test]
fn everyone_knows_where_to_listen_and_all_servers() {
    for proxy in Proxy::ALL {
        let text = told(proxy, None);
        for port in ["7000", "9101", "9102"] {
            assert!(text.contains(port), "{proxy}: no {port} in {text}");
        }
        let left: Vec<_> = text
            .split('@')
            .skip(1)
            .filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase()))
            .collect();
        assert!(left.is_empty(), "{proxy}: not filled: {left:?}");
        assert!(!text.contains("ca.pem"), "{proxy} in the clear: {text}");
    }
}

#[test]
fn with_tls_everyone_has_a_certificate_and_checks_the_others() {
    let tls = certificates();
    for (proxy, words) in [
        (Proxy::Strife, &["--certs /c"][..]),
        (Proxy::Envoy, &["require_client_certificate: true", "trusted_ca", "TLSv1_3", "sni"]),
        (Proxy::Haproxy, &["verify required", "alpn h2", "/c/both.pem", "TLSv1.3"]),
        (Proxy::Nginx, &["ssl_verify_client on", "grpc_ssl_verify on", "grpcs://", "TLSv1.3"]),
    ] {
        let text = told(proxy, Some(&tls));
        for word in words {
            assert!(text.contains(word), "{proxy}: no `{word}` in {text}");
        }
    }
}

#[test]
fn everyone_has_one_thread_and_takes_turns() {
    for (proxy, words) in [
        (Proxy::Strife, &["--threads 1", "--policy round_robin"][..]),
        (Proxy::Envoy, &["--concurrency 1", "ROUND_ROBIN"]),
        (Proxy::Haproxy, &["nbthread 1", "balance roundrobin"]),
        (Proxy::Nginx, &["worker_processes 1", "keepalive 2048"]),
    ] {
        let text = told(proxy, None);
        for word in words {
            assert!(text.contains(word), "{proxy}: no `{word}` in {text}");
        }
    }
}

#[test]
fn names_are_those_of_flags_and_files() {
    use clap::ValueEnum;

    for proxy in Proxy::ALL {
        assert_eq!(Proxy::from_str(proxy.name(), false), Ok(proxy));
        assert_eq!(serde_json::to_string(&proxy).unwrap(), format!("\"{proxy}\""));
    }
}
