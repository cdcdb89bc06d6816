//! How the issuer of a timeline answers.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;

use super::stated::Stated;
use super::values::{Span, True};

/// How the issuer answers one call.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    pub(crate) after: Span,
    pub(crate) times: Option<NonZeroUsize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Token {
        stated: Stated,
        /// Whether the last token is returned again.
        again: bool,
    },
    Done,
    /// With the pause that the server asks for, if it does.
    Fail(Failure, Option<Span>),
    Hang,
    Panic,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Failure {
    Transient,
    Terminal,
}

/// An answer as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    token: Option<Span>,
    token_without_end: Option<True>,
    stated: Option<Stated>,
    again: Option<True>,
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
        let again = fields.again.is_some();
        let token = |stated| Kind::Token { stated, again };
        let kinds = [
            ("token", fields.token.map(|life| token(Stated::life(life)))),
            (
                "token_without_end",
                fields
                    .token_without_end
                    .map(|True| token(Stated::default())),
            ),
            ("stated", fields.stated.map(token)),
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
        match &kind {
            Kind::Token { stated, .. } if again && stated.claims.is_some() => {
                return Err("`again` cannot stand beside `claims`".to_owned());
            }
            Kind::Token { .. } => {}
            _ if again => return Err(format!("`again` needs a token, not `{name}`")),
            _ => {}
        }
        Ok(Self {
            kind,
            after: fields.after.unwrap_or_default(),
            times: fields.times,
        })
    }
}

impl Default for Reply {
    /// A token of 15 minutes.
    fn default() -> Self {
        Self {
            kind: Kind::Token {
                stated: Stated::life(Span(Duration::from_secs(900))),
                again: false,
            },
            after: Span::default(),
            times: None,
        }
    }
}

impl Reply {
    /// Returns an error if this cannot answer an exchange.
    pub(super) fn check_exchange(&self) -> Result<(), &'static str> {
        match self.kind {
            Kind::Done => Err("`done` answers a revocation, not an exchange"),
            _ => Ok(()),
        }
    }

    /// Returns an error if this cannot answer a revocation.
    pub(super) fn check_revocation(&self) -> Result<(), &'static str> {
        match self.kind {
            Kind::Token { .. } => Err("a token answers an exchange, not a revocation"),
            _ => Ok(()),
        }
    }
}
