//! How long to wait for an answer that a client waits for: never longer than is of use to him, never
//! as long as he likes.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// The deadline as it travels: a number of at most eight digits and a unit (gRPC over HTTP/2,
/// "Timeout").
const HEADER: &str = "grpc-timeout";
/// The part of the client's time that is left for the answer to travel: one in so many.
const RESERVE: u32 = 10;

/// The client's own deadline, if it has a readable one.
pub(super) fn of(metadata: &MetadataMap) -> Option<Duration> {
    metadata.get(HEADER).and_then(|value| parse(value.to_str().ok()?))
}

/// How long to wait: a little less than the client does, and at most `most`.
pub(super) fn patience(deadline: Option<Duration>, most: Duration) -> Duration {
    deadline.map_or(most, |deadline| (deadline - deadline / RESERVE).min(most))
}

fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: Option<&'static str>, expected_ms: u64) {
        let mut metadata = MetadataMap::new();
        if let Some(header) = header {
            metadata.insert(HEADER, header.parse().unwrap());
        }
        let found = patience(of(&metadata), Duration::from_secs(15));
        assert_eq!(found, Duration::from_millis(expected_ms), "{header:?}");
    }

    #[test]
    fn absent_huge_and_senseless_deadlines_are_clamped() {
        for header in [None, Some("99999999H"), Some("16M"), Some(""), Some("S"), Some("1x")] {
            check(header, 15_000);
        }
        check(Some("123456789m"), 15_000);
    }

    #[test]
    fn a_short_deadline_is_kept_with_something_to_spare() {
        check(Some("1S"), 900);
        check(Some("100m"), 90);
        check(Some("10000u"), 9);
        check(Some("0n"), 0);
    }
}
