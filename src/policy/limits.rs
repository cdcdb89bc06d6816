//! The limits of a value in a policy.

use std::time::Duration;

/// The longest duration that a policy or a token's life may have: 100 years. It keeps all
/// arithmetic far from overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(super) fn within(name: &str, value: f64, least: f64, most: f64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!(
            "{name} is {value}; it must lie between {least} and {most}"
        ))
    }
}

pub(super) fn positive(name: &str, value: Duration) -> Result<(), String> {
    if value.is_zero() {
        return Err(format!("{name} is zero; it must be longer than zero"));
    }
    at_most(name, value)
}

pub(super) fn at_most(name: &str, value: Duration) -> Result<(), String> {
    if value > LONGEST {
        return Err(format!("{name} is {value:?}; it must be at most 100 years"));
    }
    Ok(())
}
