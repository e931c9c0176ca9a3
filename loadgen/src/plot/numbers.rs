//! Numbers as people read them: three significant digits, grouped thousands, units.

/// Microseconds as milliseconds or seconds, with the unit.
pub(crate) fn time(us: f64) -> String {
    if us >= 9_999_500.0 {
        format!("{} s", significant(us / 1e6))
    } else {
        format!("{} ms", significant(us / 1e3))
    }
}

/// The lowest and highest of some times in one unit, `39.1–43 ms`; one of them if they read alike.
pub(crate) fn time_range(low_us: f64, high_us: f64) -> String {
    let (low, high) = (time(low_us), time(high_us));
    if low == high {
        return low;
    }
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, low_unit)), Some((_, unit))) if low_unit == unit => {
            format!("{number}–{high}")
        }
        _ => format!("{low} – {high}"),
    }
}

/// Three significant digits, without an exponent.
pub(crate) fn significant(value: f64) -> String {
    let size = value.abs();
    if size >= 999.5 {
        count(value)
    } else if size >= 99.95 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A whole number with its thousands grouped, `12,345`.
pub(crate) fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// A quantity whose unit stands elsewhere: whole from 100 on, three digits below.
pub(crate) fn quantity(value: f64) -> String {
    if value >= 99.95 || value == 0.0 { count(value) } else { significant(value) }
}

/// A share as a percentage, `0.04%`; `0` stays `0%`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 {
        "0%".to_owned()
    } else if percent < 0.01 {
        "<0.01%".to_owned()
    } else if percent >= 99.95 {
        "100%".to_owned()
    } else {
        format!("{}%", significant(percent))
    }
}

/// `1 trial`, `3 trials`.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    format!("{} {thing}{}", count(number as f64), if number == 1 { "" } else { "s" })
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [start @ .., last] => {
            let start: Vec<&str> = start.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", start.join(", "), last.as_ref())
        }
    }
}
