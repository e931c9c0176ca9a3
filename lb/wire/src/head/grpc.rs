//! The fields that the gRPC protocol over HTTP/2 adds a meaning to.

use std::time::Duration;

/// UNKNOWN: the status of a call whose `grpc-status` says nothing.
const UNKNOWN: u32 = 2;
/// `TimeoutValue` is a positive integer of at most this many digits.
const MAX_TIMEOUT_DIGITS: usize = 8;
const CONTENT_TYPE: &[u8] = b"application/grpc";

/// Digits and nothing else, or `None`.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The value of `grpc-status`.
pub(super) fn status(value: &[u8]) -> u32 {
    number(value).and_then(|number| u32::try_from(number).ok()).unwrap_or(UNKNOWN)
}

/// The value of `grpc-timeout`: one to eight digits and a unit.
pub(super) fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > MAX_TIMEOUT_DIGITS {
        return None;
    }
    let count = number(digits)?;
    match unit {
        b'H' => Some(Duration::from_secs(count * 60 * 60)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Whether a `content-type` is gRPC's.
pub(super) fn is_content_type(value: &[u8]) -> bool {
    match value.split_at_checked(CONTENT_TYPE.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(CONTENT_TYPE)
                && matches!(rest.first(), None | Some(b'+' | b';'))
        }
        None => false,
    }
}
