//! Messages of 4 MiB, gRPC's usual limit.

use super::message::{Duplex, request, zeros};
use crate::{Target, pb::SimpleRequest};

const SIZE: i32 = 4 << 20;

pub(super) async fn four_mebibytes(target: &Target) {
    let size = usize::try_from(SIZE).unwrap();
    let message =
        SimpleRequest { response_size: SIZE, payload: zeros(size), ..SimpleRequest::default() };
    let response = target.client().unary_call(message).await.unwrap();
    assert_eq!(response.into_inner().payload, zeros(size));

    let mut call = Duplex::start(target, "four_mebibytes", request(size, &[SIZE, SIZE])).await;
    for _ in 0..2 {
        assert_eq!(call.next().await.payload, zeros(size));
    }
    drop(call.requests);
    assert_eq!(call.responses.message().await.unwrap(), None);
}
