//! Readers of flag and plan values that several commands share.

use std::time::Duration;

/// Reads `250us`, `5ms`, `1.5s`, `2m`, `1h`. A bare number has no unit and is refused.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds_per_unit = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{text}` is not a duration (write 250us, 5ms, 1.5s, 2m or 1h)")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a duration"))?;
    Duration::try_from_secs_f64(number * seconds_per_unit)
        .map_err(|_| format!("`{text}` is out of range"))
}

/// Writes a duration so that [`duration`] reads it back: the largest unit that leaves no fraction.
pub fn format_duration(duration: Duration) -> String {
    let us = duration.as_micros();
    match us {
        0 => "0s".to_owned(),
        _ if us.is_multiple_of(3_600_000_000) => format!("{}h", us / 3_600_000_000),
        _ if us.is_multiple_of(60_000_000) => format!("{}m", us / 60_000_000),
        _ if us.is_multiple_of(1_000_000) => format!("{}s", us / 1_000_000),
        _ if us.is_multiple_of(1_000) => format!("{}ms", us / 1_000),
        _ => format!("{us}us"),
    }
}

/// Reads `65536`, `64k`, `64KiB`, `16M`, `16MiB`, `1G`, `1GiB`: powers of 1024, whole numbers only.
pub fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let malformed = || format!("`{text}` is not a size (write 65536, 64KiB, 16MiB or 1GiB)");
    let bytes_per_unit = match unit.to_ascii_lowercase().as_str() {
        "" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err(malformed()),
    };
    let number: u64 = number.parse().map_err(|_| malformed())?;
    number.checked_mul(bytes_per_unit).ok_or_else(|| format!("`{text}` is out of range"))
}

/// Writes a size so that [`bytes()`] reads it back: the largest unit that leaves no fraction.
pub fn format_bytes(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Serde for durations written as in [`duration`]: `#[serde(with = "strife_runtime::parse::duration_text")]`.
pub mod duration_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes a duration as text.
    pub fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&super::format_duration(*value))
    }

    /// Reads a duration from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(input)?;
        super::duration(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_with_units() {
        assert_eq!(duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["", "5", "ms", "-1s", "1.2.3s", "5 parsecs", "1e400h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read_back_as_written() {
        for us in [0, 1, 999, 1_000, 1_500_000, 60_000_000, 7_200_000_000] {
            let value = Duration::from_micros(us);
            assert_eq!(duration(&format_duration(value)), Ok(value));
        }
    }

    #[test]
    fn sizes_with_units() {
        let sizes = [("0", 0), ("65536", 65_536), ("64k", 65_536), ("64KiB", 65_536)];
        for (text, expected) in sizes.into_iter().chain([("16M", 1 << 24), ("2gib", 2 << 30)]) {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "k", "-1", "1.5M", "64KB", "64 lines", "99999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_back_as_written() {
        for size in [0, 1, 1023, 1024, 1025, 65_536, 1 << 20, 3 << 30, u64::MAX] {
            assert_eq!(bytes(&format_bytes(size)), Ok(size));
        }
    }
}
