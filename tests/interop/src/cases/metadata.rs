//! Metadata in both directions, text and bytes, small and larger than a frame.

use tonic::{
    Request,
    metadata::{MetadataMap, MetadataValue},
};

use super::message::{check_large, large_request, request};
use crate::{
    Target,
    headers::{ECHO_INITIAL, ECHO_TRAILING},
    pb::SimpleRequest,
};

/// Bytes of one value. Two of them are more than one frame of 16 KiB, so that CONTINUATION frames are
/// sent, and within what servers take by default.
const LARGE_VALUE: usize = 12 << 10;

/// What a call carries and wants back.
struct Sent {
    initial: String,
    trailing: Vec<u8>,
}

impl Sent {
    fn small() -> Self {
        let initial = "test_initial_metadata_value".to_owned();
        Self { initial, trailing: vec![0xab; 3] }
    }

    fn with<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(ECHO_INITIAL, self.initial.parse().unwrap());
        metadata.insert_bin(ECHO_TRAILING, MetadataValue::from_bytes(&self.trailing));
        request
    }

    #[track_caller]
    fn check(&self, initial: &MetadataMap, trailing: &MetadataMap) {
        assert_eq!(initial.get(ECHO_INITIAL).unwrap(), &self.initial);
        assert_eq!(trailing.get_bin(ECHO_TRAILING).unwrap(), &self.trailing[..]);
    }

    async fn unary(&self, target: &Target, message: SimpleRequest) {
        let response = target.client().unary_call(self.with(message.clone())).await.unwrap();
        // Of a unary call tonic puts headers and trailers into one map.
        self.check(response.metadata(), response.metadata());
        if message.response_size > 0 {
            check_large(response.get_ref());
        }
    }

    async fn full_duplex(&self, target: &Target) {
        let requests = futures_util::stream::iter([request(271_828, &[314_159])]);
        let response = target.client().full_duplex_call(self.with(requests)).await.unwrap();
        let initial = response.metadata().clone();
        let mut responses = response.into_inner();
        let sized = responses.message().await.unwrap().expect("one response");
        assert_eq!(sized.payload.map(|payload| payload.body.len()), Some(314_159));
        assert_eq!(responses.message().await.unwrap(), None);
        let trailing = responses.trailers().await.unwrap().expect("trailers");
        self.check(&initial, &trailing);
    }
}

pub(super) async fn custom_metadata(target: &Target) {
    let sent = Sent::small();
    sent.unary(target, large_request()).await;
    sent.full_duplex(target).await;
}

pub(super) async fn large_metadata(target: &Target) {
    let initial = "m".repeat(LARGE_VALUE);
    let trailing = (0..LARGE_VALUE * 3 / 4).map(|index| index.to_le_bytes()[0]).collect();
    let sent = Sent { initial, trailing };
    sent.unary(target, SimpleRequest::default()).await;
    sent.full_duplex(target).await;
}
