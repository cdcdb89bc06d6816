//! Numbers as a reader likes them.

/// Three digits that count: `1.23`, `12.3`, `123`, `1,230`.
pub(super) fn short(value: f64) -> String {
    if value >= 99.95 {
        grouped(value)
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A whole number, or one digit after the point where it is not whole.
pub(super) fn count(value: f64) -> String {
    let tenths = (value * 10.0).round();
    if tenths % 10.0 == 0.0 {
        grouped(value)
    } else {
        format!("{value:.1}")
    }
}

/// The mark of an axis: no more digits than it needs.
pub(super) fn mark(value: f64) -> String {
    if value >= 1000.0 {
        grouped(value)
    } else {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// Microseconds in the unit that suits them.
pub(super) fn time(micros: f64, write: fn(f64) -> String) -> String {
    let (value, unit) = if micros < 0.9995 {
        (micros * 1000.0, "ns")
    } else if micros < 999.5 {
        (micros, "µs")
    } else if micros < 999_500.0 {
        (micros / 1000.0, "ms")
    } else {
        (micros / 1_000_000.0, "s")
    };
    format!("{} {unit}", write(value))
}

fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
