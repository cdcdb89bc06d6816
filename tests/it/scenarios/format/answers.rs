//! How the issuer of a timeline answers.

use std::num::NonZeroUsize;

use everbearer::Error;
use everbearer::testkit::Answer;
use serde::Deserialize;

use super::values::{Span, True};

/// How the issuer answers one call.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(crate) struct Reply {
    kind: Kind,
    after: Span,
    times: Option<NonZeroUsize>,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A token that lives this long, or of which nothing is stated.
    Token(Option<Span>),
    Done,
    Fail(Failure, Option<Span>),
    Hang,
    Panic,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failure {
    Transient,
    Terminal,
}

/// An answer as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    token: Option<Span>,
    token_without_end: Option<True>,
    done: Option<True>,
    fail: Option<Failure>,
    retry_after: Option<Span>,
    hang: Option<True>,
    panic: Option<True>,
    after: Option<Span>,
    times: Option<NonZeroUsize>,
}

impl TryFrom<Fields> for Reply {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let retry_after = fields.retry_after;
        let kinds = [
            ("token", fields.token.map(|life| Kind::Token(Some(life)))),
            (
                "token_without_end",
                fields.token_without_end.map(|True| Kind::Token(None)),
            ),
            ("done", fields.done.map(|True| Kind::Done)),
            ("fail", fields.fail.map(|it| Kind::Fail(it, retry_after))),
            ("hang", fields.hang.map(|True| Kind::Hang)),
            ("panic", fields.panic.map(|True| Kind::Panic)),
        ];
        let names = kinds.each_ref().map(|(name, _)| format!("`{name}`"));
        let mut stated = kinds
            .into_iter()
            .filter_map(|(name, kind)| Some((name, kind?)));
        let Some((name, kind)) = stated.next() else {
            return Err(format!("an answer needs one of {}", names.join(", ")));
        };
        if let Some((other, _)) = stated.next() {
            return Err(format!("an answer cannot have both `{name}` and `{other}`"));
        }
        if retry_after.is_some() && !matches!(kind, Kind::Fail(..)) {
            return Err(format!("`retry_after` needs `fail`, not `{name}`"));
        }
        if fields.after.is_some() && matches!(kind, Kind::Hang) {
            return Err("`after` cannot stand beside `hang`".to_owned());
        }
        Ok(Self {
            kind,
            after: fields.after.unwrap_or_default(),
            times: fields.times,
        })
    }
}

impl Reply {
    /// Why this cannot answer an exchange, if it cannot.
    pub(super) fn check_exchange(&self) -> Result<(), &'static str> {
        match self.kind {
            Kind::Done => Err("`done` answers a revocation, not an exchange"),
            _ => Ok(()),
        }
    }

    /// Why this cannot answer a revocation, if it cannot.
    pub(super) fn check_revocation(&self) -> Result<(), &'static str> {
        match self.kind {
            Kind::Token(_) => Err("a token answers an exchange, not a revocation"),
            _ => Ok(()),
        }
    }

    /// Why this cannot be the answer to all further calls, if it cannot.
    pub(super) fn check_otherwise(&self) -> Result<(), &'static str> {
        match self.times {
            Some(_) => Err("`times` has no meaning here"),
            None => self.check_exchange(),
        }
    }

    pub(crate) fn answers(&self) -> impl Iterator<Item = Answer> + use<> {
        std::iter::repeat_n(self.answer(), self.times.map_or(1, NonZeroUsize::get))
    }

    pub(crate) fn answer(&self) -> Answer {
        let answer = match self.kind {
            Kind::Token(Some(Span(life))) => Answer::token(life),
            Kind::Token(None) => Answer::token_without_end(),
            Kind::Done => Answer::done(),
            Kind::Fail(failure, retry_after) => {
                let error = match failure {
                    Failure::Transient => Error::transient("the timeline says so"),
                    Failure::Terminal => Error::terminal("the timeline says so"),
                };
                Answer::error(match retry_after {
                    Some(Span(pause)) => error.with_retry_after(pause),
                    None => error,
                })
            }
            Kind::Hang => Answer::hang(),
            Kind::Panic => Answer::panic(),
        };
        answer.after(self.after.0)
    }
}
