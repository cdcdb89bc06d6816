//! What the fields of several parts of a timeline have in common.

use std::fmt::Debug;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// "250ms", "15m", "1h 30m".
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

/// A field that is either true or left out.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "bool")]
pub(crate) struct True;

/// `[least, most]`, both included.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(
    try_from = "(T, T)",
    bound = "T: Deserialize<'de> + Copy + Debug + PartialOrd"
)]
pub(crate) struct Between<T>(pub(crate) T, pub(crate) T);

/// A whole number, or a range.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Exactly(u64),
    Between(u64, u64),
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The parser knows more units, signs and other ways to write a duration.
        let is_plain = |char: char| matches!(char, '0'..='9' | '.' | ' ' | 'h' | 'm' | 's');
        let units = text.split(|char: char| !char.is_ascii_alphabetic());
        let are_known = units
            .filter(|unit| !unit.is_empty())
            .all(|unit| matches!(unit, "h" | "m" | "s" | "ms"));
        let parsed = if are_known && text.chars().all(is_plain) {
            text.parse::<jiff::SignedDuration>().ok()
        } else {
            None
        };
        let span = parsed.and_then(|span| Duration::try_from(span).ok());
        span.map(Self)
            .ok_or_else(|| format!("{text:?} is not a span, such as \"250ms\" or \"1h 30m\""))
    }
}

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        match value {
            true => Ok(Self),
            false => Err("`false` has no meaning here; leave the field out"),
        }
    }
}

impl<T: Copy + Debug + PartialOrd> TryFrom<(T, T)> for Between<T> {
    type Error = String;

    fn try_from((least, most): (T, T)) -> Result<Self, String> {
        if least > most {
            return Err(format!(
                "the least is more than the most: [{least:?}, {most:?}]"
            ));
        }
        Ok(Self(least, most))
    }
}

impl<T: PartialOrd> Between<T> {
    pub(crate) fn holds(&self, value: &T) -> bool {
        (&self.0..=&self.1).contains(&value)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(deserializer)?;
        if let Some(number) = value.as_u64() {
            return Ok(Self::Exactly(number));
        }
        if value
            .as_array()
            .is_some_and(|it| it.len() == 2 && it.iter().all(Value::is_u64))
        {
            let Between(least, most) = serde_json::from_value(value).map_err(D::Error::custom)?;
            return Ok(Self::Between(least, most));
        }
        let problem = format!("a count is a whole number or [least, most], and not {value}");
        Err(D::Error::custom(problem))
    }
}

impl Count {
    pub(crate) fn holds(self, count: u64) -> bool {
        match self {
            Self::Exactly(expected) => count == expected,
            Self::Between(least, most) => (least..=most).contains(&count),
        }
    }
}
