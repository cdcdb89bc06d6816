//! The format of a timeline; tests/scenarios/README.md explains it.

mod answers;
mod expect;
mod policies;

use std::time::Duration;

use serde::{Deserialize, Deserializer};

pub(crate) use answers::Reply;
pub(crate) use expect::{Expect, Next, Outcome};
use policies::{Refresh, Retry, Scopes, Shutdown};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Timeline {
    pub(crate) title: String,
    pub(crate) shows: Vec<String>,
    #[serde(default)]
    pub(crate) given: Given,
    pub(crate) steps: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Given {
    pub(crate) seed: Option<u64>,
    pub(crate) refresh: Refresh,
    pub(crate) retry: Retry,
    pub(crate) shutdown: Shutdown,
    pub(crate) scopes: Scopes,
    pub(crate) exchanges: Vec<Reply>,
    pub(crate) otherwise: Option<Reply>,
    pub(crate) revocations: Vec<Reply>,
}

/// One thing that happens, and what is then to be seen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    pub(crate) at: Span,
    pub(crate) note: String,
    pub(crate) call: Option<Call>,
    pub(crate) drop: Option<String>,
    pub(crate) drop_handles: bool,
    pub(crate) suspend: Option<Span>,
    pub(crate) wall_forward: Option<Span>,
    pub(crate) wall_back: Option<Span>,
    pub(crate) renew: bool,
    pub(crate) expect: Option<Expect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) what: What,
    #[serde(rename = "as")]
    pub(crate) name: String,
    #[serde(default = "one")]
    pub(crate) times: usize,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Token,
    Authorization,
    Refresh,
    TokenWith(Span),
    Reject(String),
    Ready,
    Shutdown,
}

/// "250ms", "15m", "1h 30m".
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span: jiff::SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
        let span = Duration::try_from(span).map_err(serde::de::Error::custom)?;
        Ok(Self(span))
    }
}

fn one() -> usize {
    1
}
