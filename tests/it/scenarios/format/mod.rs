//! The format of a timeline; tests/scenarios/README.md explains it.

mod answers;
mod checks;
mod expect;
mod policies;
mod stated;
mod strict;
mod values;

use std::num::NonZeroUsize;

use serde::Deserialize;
use serde_json::Value;

pub(crate) use answers::{Failure, Kind, Reply};
pub(crate) use expect::{Expect, Next, Outcome};
use policies::{Refresh, Retry, Scopes, Shutdown};
pub(crate) use stated::{Claims, Stated};
pub(crate) use values::Span;
use values::True;

/// A timeline that can be played.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The file and the title, as messages about it begin.
    pub(crate) name: String,
    pub(crate) given: Given,
    pub(crate) steps: Vec<Step>,
}

/// A timeline as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    shows: Vec<String>,
    #[serde(default)]
    given: Given,
    steps: Vec<Value>,
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
    pub(crate) otherwise: Reply,
    pub(crate) revocations: Vec<Reply>,
}

/// One thing that happens, and what is then to be seen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// The file, the number of the step and its text, as messages about it begin.
    #[serde(skip)]
    pub(crate) place: String,
    pub(crate) at: Span,
    pub(crate) note: String,
    pub(crate) call: Option<Call>,
    pub(crate) drop: Option<String>,
    pub(crate) drop_handles: Option<True>,
    pub(crate) suspend: Option<Span>,
    pub(crate) wall_forward: Option<Span>,
    pub(crate) wall_back: Option<Span>,
    pub(crate) renew: Option<True>,
    pub(crate) expect: Option<Expect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) what: What,
    #[serde(rename = "as")]
    pub(crate) name: String,
    pub(crate) times: Option<NonZeroUsize>,
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

impl Timeline {
    /// Reads a whole timeline, and refuses it if anything in it is unknown or contradictory.
    pub(crate) fn read(name: &str, text: &str) -> Result<Self, String> {
        let unreadable = |error| format!("{name} is no timeline: {error}");
        strict::check(text).map_err(unreadable)?;
        let file: File = serde_json::from_str(text).map_err(unreadable)?;
        let name = format!("{name} ({})", file.title);
        file.check()
            .map_err(|problem| format!("{name}: {problem}"))?;
        let mut steps = Vec::new();
        for (index, raw) in file.steps.into_iter().enumerate() {
            let place = format!("{name}, step {}:\n  {raw}\n", index + 1);
            let step: Step =
                serde_json::from_value(raw).map_err(|error| format!("{place}  {error}"))?;
            steps.push(Step { place, ..step });
        }
        let mut story = checks::Story::default();
        for step in &steps {
            let checked = story.check(step);
            checked.map_err(|problem| format!("{}  {problem}", step.place))?;
        }
        Ok(Self {
            name,
            given: file.given,
            steps,
        })
    }
}
