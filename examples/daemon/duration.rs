//! Durations in the config: "30s", "15m", "30d".

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Time(pub(crate) Duration);

impl Time {
    pub(crate) const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration in quotes, such as \"30s\", \"15m\" or \"30d\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
        // Without the text and the reason, which quotes it: it may be a secret in the wrong place.
        humantime::parse_duration(text).map(Time).map_err(|_| {
            E::custom("this is not a duration; write one such as \"30s\", \"15m\" or \"30d\"")
        })
    }
}

/// Returns the duration in whole seconds, as text.
pub(crate) fn show(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}
