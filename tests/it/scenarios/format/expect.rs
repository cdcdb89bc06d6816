//! What a step of a timeline expects.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Span;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expect {
    pub(crate) calls: BTreeMap<String, Outcome>,
    pub(crate) exchanges: Option<Count>,
    pub(crate) at_once: Option<usize>,
    pub(crate) asked: Option<Vec<Vec<String>>>,
    pub(crate) revoked: Option<Vec<String>>,
    pub(crate) tasks: Option<usize>,
    /// Of which set of scopes the rest is.
    pub(crate) scopes: Vec<String>,
    pub(crate) current: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) failures: Option<Count>,
    pub(crate) error: Option<String>,
    pub(crate) usable_for: Option<(Span, Span)>,
    pub(crate) next_exchange_in: Option<Next>,
}

/// What all calls of one name have come to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Waiting,
    Served(String),
    Ready,
    Failed(String),
    /// A shutdown's report: what was revoked, and what may live on.
    Report {
        revoked: Vec<String>,
        #[serde(default)]
        not_revoked: Vec<String>,
    },
    /// The caller panicked with this message. It fails the timeline, and cannot be expected.
    #[serde(skip)]
    Panicked(String),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Count {
    Exactly(u64),
    Between(u64, u64),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Next {
    Between(Span, Span),
    Never(String),
}

impl Count {
    pub(crate) fn holds(self, count: u64) -> bool {
        match self {
            Self::Exactly(expected) => count == expected,
            Self::Between(least, most) => (least..=most).contains(&count),
        }
    }
}

impl Expect {
    /// Whether it expects anything that a provider alone can tell.
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
