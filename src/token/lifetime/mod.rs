//! Decides how long a token lives.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::date::UnixMillis;
use crate::policy::LONGEST;

#[doc = include_str!("../../guide/lifetimes.md")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// This long, counted from when the request was sent. Zero if the token has expired on arrival.
    For(Duration),
    /// Expired by the local clock, without another statement about the end. `at_most` is `exp` − `iat`, if
    /// both are stated.
    Doubtful { at_most: Option<Duration> },
    /// Nothing states an end.
    Unknown,
}

/// A statement about a token's end, by the name that it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    ExpiresIn,
    ExpiresAt,
    Date,
    Exp,
    Iat,
}

/// What is stated about a token's end, and what the local clock shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stated {
    pub(super) expires_in: Option<Duration>,
    pub(super) expires_at: Option<UnixMillis>,
    /// The `Date` of the answer.
    pub(super) date: Option<UnixMillis>,
    pub(super) exp: Option<UnixMillis>,
    pub(super) iat: Option<UnixMillis>,
    pub(super) local: UnixMillis,
}

impl Statement {
    /// The statements of which one may be left out because it contradicts the others. `exp` is missing
    /// here, since the resource server enforces it.
    const DOUBTED: [Self; 4] = [Self::ExpiresIn, Self::ExpiresAt, Self::Date, Self::Iat];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ExpiresIn => "expires_in",
            Self::ExpiresAt => "expires_at",
            Self::Date => "Date",
            Self::Exp => "exp",
            Self::Iat => "iat",
        }
    }
}

impl Stated {
    /// Returns the lifetime, and the statement that was left out, if any.
    pub(super) fn judge(self) -> (Lifetime, Option<Statement>) {
        let (stated, implausible) = self.without_implausible();
        let Some(life) = stated.life() else {
            return (Lifetime::Unknown, implausible);
        };
        if !life.is_zero() {
            return (Lifetime::For(life), implausible);
        }
        if stated.is_past_by_both_clocks() {
            return (Lifetime::For(Duration::ZERO), implausible);
        }
        let alive = Statement::DOUBTED.into_iter().filter_map(|statement| {
            let life = stated.without(statement).life()?;
            (!life.is_zero()).then_some((life, statement))
        });
        if let Some((life, left_out)) = alive.min_by_key(|(life, _)| *life) {
            return (Lifetime::For(life), Some(left_out));
        }
        if stated.is_left_to_the_local_clock() {
            let at_most = stated.whole_life().filter(|life| !life.is_zero());
            return (Lifetime::Doubtful { at_most }, implausible);
        }
        (Lifetime::For(Duration::ZERO), implausible)
    }

    /// Returns the life up to the earliest end; `None` if no end is stated.
    fn life(&self) -> Option<Duration> {
        let now = if self.is_left_to_the_local_clock() {
            Some(self.local)
        } else {
            self.date
        };
        let rest = |end: Option<UnixMillis>| Some(end?.since(now?));
        let ends = [self.expires_in, rest(self.exp), rest(self.expires_at)];
        let earliest = ends.into_iter().flatten().min()?;
        let life = self.whole_life().map_or(earliest, |it| it.min(earliest));
        Some(life.min(LONGEST))
    }

    /// Returns `exp` − `iat`: the whole life, of which a part may be over.
    fn whole_life(&self) -> Option<Duration> {
        Some(self.exp?.since(self.iat?))
    }

    const fn is_left_to_the_local_clock(&self) -> bool {
        self.expires_in.is_none() && self.date.is_none()
    }

    fn is_past_by_both_clocks(&self) -> bool {
        let dates = self.exp.zip(self.date);
        dates.is_some_and(|(exp, date)| exp <= date.min(self.local))
    }

    fn without_implausible(self) -> (Self, Option<Statement>) {
        let now = self.date.unwrap_or(self.local);
        let is_implausible =
            |end: Option<UnixMillis>| end.is_some_and(|it| it.since(now) > LONGEST);
        let mut judged = (self, None);
        for (statement, end) in [
            (Statement::Exp, self.exp),
            (Statement::ExpiresAt, self.expires_at),
        ] {
            if is_implausible(end) {
                judged = (judged.0.without(statement), Some(statement));
            }
        }
        judged
    }

    const fn without(mut self, statement: Statement) -> Self {
        match statement {
            Statement::ExpiresIn => self.expires_in = None,
            Statement::ExpiresAt => self.expires_at = None,
            Statement::Date => self.date = None,
            Statement::Exp => self.exp = None,
            Statement::Iat => self.iat = None,
        }
        self
    }
}
