//! Many calls one after the other: over one channel, and each over a new one.

use crate::Target;

use super::message::{check_large, large_request};

/// Calls; none may fail.
const ITERATIONS: usize = 50;

pub(super) async fn rpc_soak(target: &Target) {
    let mut client = target.client();
    for _ in 0..ITERATIONS {
        check_large(client.unary_call(large_request()).await.unwrap().get_ref());
    }
}

pub(super) async fn channel_soak(target: &Target) {
    for _ in 0..ITERATIONS {
        check_large(target.client().unary_call(large_request()).await.unwrap().get_ref());
    }
}
