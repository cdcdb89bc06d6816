//! What a step of a timeline expects.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::values::{Between, Count, Span};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    pub(crate) calls: BTreeMap<String, Outcome>,
    pub(crate) exchanges: Option<Count>,
    pub(crate) at_once: Option<usize>,
    #[serde(deserialize_with = "scope_sets")]
    pub(crate) asked: Option<Vec<Vec<String>>>,
    pub(crate) exchanged: Option<Vec<String>>,
    #[serde(deserialize_with = "some_ascending")]
    pub(crate) revoked: Option<Vec<String>>,
    pub(crate) tasks: Option<usize>,
    /// The scope set of the fields that follow.
    pub(crate) scopes: Vec<String>,
    pub(crate) current: Option<String>,
    #[serde(deserialize_with = "state")]
    pub(crate) state: Option<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) failures: Option<Count>,
    #[serde(deserialize_with = "kind_or_none")]
    pub(crate) error: Option<String>,
    pub(crate) usable_for: Option<Between<Span>>,
    pub(crate) next_exchange_in: Option<Next>,
}

/// What all calls of one name have come to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Outcome {
    Waiting,
    Served(String),
    Ready,
    Failed(#[serde(deserialize_with = "kind")] String),
    /// A shutdown's report: what was revoked, and what may live on.
    Report {
        #[serde(deserialize_with = "ascending")]
        revoked: Vec<String>,
        #[serde(default, deserialize_with = "ascending")]
        not_revoked: Vec<String>,
    },
    /// The caller panicked with this message. It fails the timeline, and cannot be expected.
    #[serde(skip)]
    Panicked(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Next {
    Between(Between<Span>),
    None,
}

const STATES: &[&str] = &[
    "starting",
    "fresh",
    "failing",
    "unavailable",
    "refused",
    "shutting_down",
    "shut_down",
];

const KINDS: &[&str] = &[
    "issuer",
    "denied",
    "protocol",
    "timeout",
    "wait_timeout",
    "too_short_lived",
    "too_many_scope_sets",
    "unchanged",
    "shut_down",
];

impl Expect {
    /// Returns whether it expects a part of the provider's status.
    pub(crate) fn is_of_a_provider(&self) -> bool {
        self.current.is_some()
            || self.state.is_some()
            || self.generation.is_some()
            || self.failures.is_some()
            || self.error.is_some()
            || self.usable_for.is_some()
            || self.next_exchange_in.is_some()
    }
}

impl<'de> Deserialize<'de> for Next {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == "none" {
            return Ok(Self::None);
        }
        if value.is_array() {
            let range = serde_json::from_value(value).map_err(D::Error::custom)?;
            return Ok(Self::Between(range));
        }
        let problem = format!("`next_exchange_in` is [span, span] or \"none\", and not {value}");
        Err(D::Error::custom(problem))
    }
}

fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    one_of(deserializer, "a state", &[STATES]).map(Some)
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    one_of(deserializer, "a kind of error", &[KINDS])
}

fn kind_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    one_of(deserializer, "a kind of error", &[KINDS, &["none"]]).map(Some)
}

fn one_of<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    words: &[&[&str]],
) -> Result<String, D::Error> {
    let word = String::deserialize(deserializer)?;
    let words = words.concat();
    if words.contains(&word.as_str()) {
        return Ok(word);
    }
    let problem = format!("{word:?} is not {what}: {}", words.join(", "));
    Err(D::Error::custom(problem))
}

fn ascending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names.is_sorted() {
        return Ok(names);
    }
    let problem = format!("{names:?} is not in ascending order of text");
    Err(D::Error::custom(problem))
}

fn some_ascending<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    ascending(deserializer).map(Some)
}

fn scope_sets<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Vec<String>>>, D::Error> {
    let sets = Vec::<Vec<String>>::deserialize(deserializer)?;
    for set in &sets {
        if !set.is_sorted_by(|one, next| one < next) {
            let problem = format!("{set:?} is not in ascending order without repetition");
            return Err(D::Error::custom(problem));
        }
    }
    Ok(Some(sets))
}
