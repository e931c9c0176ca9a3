//! Specs as users write them, and what they are told.

use super::*;

fn error(spec: &str) -> String {
    by_spec(spec).err().expect("it is refused").to_string()
}

#[test]
fn parameters_are_set_by_name() {
    for spec in [
        "least_request:choices=5",
        "pick_first:failback=true",
        "peak_ewma:decay=2.5s",
        "weighted_round_robin:blackout_period=0s,weight_update_period=100ms",
        "prequal:q_rif=0.9,pool_size=8,max_age=500ms",
        "ring_hash:header=x-user,ring_size=4096",
    ] {
        assert!(by_spec(spec).is_ok(), "{spec}");
    }
    assert_eq!(by_spec("ring_hash:header=x-user").unwrap().hashed_header(), Some("x-user"));
    let refreshed = by_spec("weighted_round_robin:weight_update_period=3min").unwrap();
    assert_eq!(refreshed.refresh_every(), Some(Duration::from_secs(180)));
}

#[test]
fn an_unknown_policy_is_told_the_known_ones() {
    assert_eq!(
        error("best"),
        "there is no policy `best`; choose one of pick_first, round_robin, random, least_request, \
         least_load, weighted_round_robin, peak_ewma, prequal, ring_hash"
    );
}

#[test]
fn a_wrong_parameter_is_told_what_would_be_right() {
    assert_eq!(
        error("least_request:choices=1"),
        "least_request's parameter `choices` is `1`; it takes a whole number from 2 to 100; its \
         parameters are choices"
    );
    assert_eq!(
        error("least_request:choice=2"),
        "least_request has no parameter `choice`; its parameters are choices"
    );
    assert_eq!(error("random:seed=2"), "random has no parameter `seed`; it takes none");
    assert_eq!(
        error("peak_ewma:10s"),
        "`10s` is no parameter of peak_ewma; write peak_ewma:key=value, its parameters are decay"
    );
    assert_eq!(
        error("peak_ewma:decay=1s,decay=2s"),
        "peak_ewma's parameter `decay` stands there twice"
    );
    for spec in [
        "peak_ewma:decay=10",
        "peak_ewma:decay=-1s",
        "peak_ewma:decay=NaNs",
        "prequal:q_rif=NaN",
        "prequal:q_rif=1.1",
        "ring_hash:header=X-User",
        "ring_hash:header=",
        "pick_first:failback=yes",
    ] {
        assert!(matches!(by_spec(spec), Err(InvalidPolicy::InvalidValue { .. })), "{spec}");
    }
}

#[test]
fn every_default_is_a_value_that_is_accepted_and_the_help_says_all() {
    let help = parameters_help();
    for kind in POLICIES {
        assert!(help.contains(&format!("{}: {}", kind.name, kind.summary)), "{help}");
        for parameter in kind.parameters {
            let default = parameter.domain.default();
            let spec = format!("{}:{}={default}", kind.name, parameter.name);
            assert!(by_spec(&spec).is_ok(), "{spec}");
            assert!(help.contains(&format!("    {}={default}", parameter.name)), "{help}");
        }
    }
}
