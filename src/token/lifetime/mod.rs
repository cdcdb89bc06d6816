//! Decides how long a token lives.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::date::UnixMillis;
use crate::policy::LONGEST;

/// A date further ahead is in milliseconds, stands for "never", or is compared with a clock that was
/// never set.
const PLAUSIBLE: Duration = Duration::from_secs(10 * 366 * 86_400);

#[doc = include_str!("../../guide/lifetimes.md")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// This long, counted from when the request was sent. Zero if the token has expired on arrival.
    For(Duration),
    /// Expired by the local clock, without another statement about the end.
    Doubtful,
    /// No statement has an end.
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

/// The result of the statements about a token's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) lifetime: Lifetime,
    /// The statements that were left out.
    pub(crate) left_out: Vec<Statement>,
    /// An upper bound of the lifetime, also if the server returns the same token again: `exp` − `iat`. For
    /// a token without `iat`, the lifetime, or what is left until `exp` by the slower clock if that is
    /// longer.
    pub(crate) at_most: Option<Duration>,
}

/// The statements about a token's end, and the time of the local clock.
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
    pub(super) fn judge(self) -> Judgement {
        let (stated, mut left_out) = self.without_implausible();
        let contradicting = stated.contradicting();
        let stated = contradicting.map_or(stated, |statement| stated.without(statement));
        left_out.extend(contradicting);
        let whole_life = match stated.exp {
            Some(_) => stated.whole_life(),
            // `exp` − `iat` needs no clock.
            None => self.whole_life().filter(|life| *life <= PLAUSIBLE),
        };
        let whole_life = whole_life.filter(|life| !life.is_zero());
        let is_doubtful = stated.is_left_to_the_local_clock() && !stated.is_past_by_both_clocks();
        let (lifetime, rest) = match stated.life() {
            None => (Lifetime::Unknown, None),
            Some(Duration::ZERO) if is_doubtful => (Lifetime::Doubtful, None),
            Some(life) => {
                let life = whole_life.map_or(life, |whole| whole.min(life));
                let now = stated.date.map_or(stated.local, |it| it.min(stated.local));
                let rest = stated.exp.map(|exp| exp.since(now).max(life));
                (Lifetime::For(life), rest)
            }
        };
        Judgement {
            lifetime,
            left_out,
            at_most: whole_life.or(rest),
        }
    }

    /// Returns the statement by which alone the token would have expired on arrival.
    fn contradicting(&self) -> Option<Statement> {
        if !self.life()?.is_zero() || self.is_past_by_both_clocks() {
            return None;
        }
        let alive = Statement::DOUBTED.into_iter().filter_map(|statement| {
            let life = self.without(statement).life()?;
            (!life.is_zero()).then_some((life, statement))
        });
        let (_, statement) = alive.min_by_key(|(life, _)| *life)?;
        Some(statement)
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

    fn without_implausible(mut self) -> (Self, Vec<Statement>) {
        let now = self.date.unwrap_or(self.local);
        let ends = [
            (Statement::Exp, self.exp),
            (Statement::ExpiresAt, self.expires_at),
        ];
        let mut left_out = Vec::new();
        for (statement, end) in ends {
            if end.is_some_and(|end| end.since(now) > PLAUSIBLE) {
                self = self.without(statement);
                left_out.push(statement);
            }
        }
        (self, left_out)
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
