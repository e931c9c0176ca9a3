//! Whose word about a caller is believed, and what a denied call gets.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tower::{ServiceExt, service_fn};

use super::*;
use crate::{Role, Rule};

const TABLE: AccessTable = &[Rule { path: "/a.S/", roles: &[Role::Client] }];

fn request(peer: Option<&str>, forwarded: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri("http://gateway/a.S/Get");
    for (name, value) in forwarded {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let identity = peer.map(|uri| uri.parse().unwrap());
    request.extensions_mut().insert(Peer { identity, address: "127.0.0.1:4711".parse().unwrap() });
    request
}

fn check(peer: Option<&str>, forwarded: &[(&str, &str)], identity: Option<&str>, address: &str) {
    let caller = caller_of(&request(peer, forwarded));
    assert_eq!(caller.identity.map(|found| found.to_string()).as_deref(), identity);
    assert_eq!(caller.address, address);
}

#[test]
fn only_the_balancer_speaks_for_others() {
    let john = "spiffe://strife/client/john_doe";
    let jane_forwarded = [
        (FORWARDED_IDENTITY, "URI=spiffe://strife/client/jane"),
        (FORWARDED_ADDRESS, "10.0.0.9:1"),
    ];
    check(Some(john), &[], Some(john), "127.0.0.1:4711");
    check(Some(john), &jane_forwarded, Some(john), "127.0.0.1:4711");
    let lb = "spiffe://strife/lb/1";
    check(Some(lb), &jane_forwarded, Some("spiffe://strife/client/jane"), "10.0.0.9:1");
    check(Some(lb), &[(FORWARDED_IDENTITY, "URI=garbage")], Some(lb), "127.0.0.1:4711");
    check(None, &jane_forwarded, None, "10.0.0.9:1");
}

/// What else is OUT_OF_RANGE stays so.
#[tokio::test]
async fn nothing_but_a_message_that_is_too_large_is_answered_otherwise() {
    let said = "Error, decoded message length too large: found ";
    for message in ["these events were removed", "", said, &format!("{said}5 bytes")] {
        let status = Status::out_of_range(message);
        let handler = service_fn(move |_: Request<Body>| {
            let response = status.clone().into_http();
            async { Ok::<_, Infallible>(response) }
        });
        let layer = CallLayer { table: TABLE, tracked: None, piggyback: None, logged: &[] };
        let response = layer.layer(handler).oneshot(request(None, &[])).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!((status.code(), status.message()), (Code::OutOfRange, message));
        assert!(!response.headers().contains_key(AT_FAULT));
    }
}

async fn call(peer: Option<&str>) -> (Response<Body>, bool) {
    let reached = Arc::new(AtomicBool::new(false));
    let seen = reached.clone();
    let handler = service_fn(move |_: Request<Body>| {
        seen.store(true, Relaxed);
        async { Ok::<_, Infallible>(Response::new(Body::empty())) }
    });
    let layer = CallLayer { table: TABLE, tracked: None, piggyback: None, logged: &[] };
    let response = layer.layer(handler).oneshot(request(peer, &[])).await.unwrap();
    (response, reached.load(Relaxed))
}

#[tokio::test]
async fn a_denied_call_never_reaches_the_handler() {
    let (response, reached) = call(Some("spiffe://strife/bank/icici")).await;
    assert_eq!(unary_code(&response), Code::PermissionDenied);
    assert!(!reached);
    for allowed in [Some("spiffe://strife/client/john_doe"), None] {
        let (response, reached) = call(allowed).await;
        assert_eq!(unary_code(&response), Code::Ok);
        assert!(reached);
    }
}
