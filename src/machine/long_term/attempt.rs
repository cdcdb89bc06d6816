//! One attempt of a scope set to exchange a long-term token.

use super::task::Call;
use crate::clock::Moment;
use crate::error::Error;
use crate::token::LongTermToken;

/// How many long-term tokens an attempt tries, so that a store with bad tokens cannot keep it busy.
const MOST_REFUSED: usize = 10;

/// An attempt of a scope set. It ends with a token, with an error, or at its deadline; a later one tries all again.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) began: Moment,
    pub(super) deadline: Moment,
    /// Until when callers have a valid token without this attempt.
    pub(super) served_until: Moment,
    /// When the exchange in progress began.
    pub(super) sent: Moment,
    pub(super) state: State,
    /// The tokens that the server refused in this attempt.
    pub(super) refused: Vec<LongTermToken>,
    /// Why the last one was refused.
    pub(super) error: Option<Error>,
    /// Why a request for another token failed in this attempt.
    pub(super) search_error: Option<Error>,
    /// Whether the store was read since the last refusal.
    pub(super) has_looked: bool,
    /// Whether the next token was requested in this attempt.
    pub(super) has_asked: bool,
    /// Whether a grant was used in this attempt.
    pub(super) has_obtained: bool,
}

#[derive(Debug)]
pub(super) enum State {
    /// No token to try is here.
    Waiting,
    Exchanging(Call, Candidate),
    /// The exchange has replaced the long-term token, and the replacement is not stored yet.
    Storing,
}

/// An exchange in progress.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) with: LongTermToken,
    pub(super) role: Role,
}

/// What the token was when its exchange began. Never found out again from its text: the token may have another role
/// by now.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Current,
    Next,
    /// The token that the provider was built with, tried since this current token is refused.
    Fallback {
        current: Option<LongTermToken>,
    },
}

impl Attempt {
    pub(super) const fn new(began: Moment, deadline: Moment, served_until: Moment) -> Self {
        Self {
            began,
            deadline,
            served_until,
            sent: began,
            state: State::Waiting,
            refused: Vec::new(),
            error: None,
            search_error: None,
            has_looked: false,
            has_asked: false,
            has_obtained: false,
        }
    }

    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    /// Returns the exchange in progress.
    pub(super) const fn candidate(&self) -> Option<&Candidate> {
        match &self.state {
            State::Exchanging(_, candidate) => Some(candidate),
            State::Waiting | State::Storing => None,
        }
    }

    /// Returns whether the server has refused this token in this attempt.
    pub(super) fn has_refused(&self, token: &LongTermToken) -> bool {
        token.reads_like_any(&self.refused)
    }

    /// Notes that the server has refused the token of the exchange in progress. Returns whether the attempt goes on.
    pub(super) fn refused(&mut self, token: LongTermToken, error: Error) -> bool {
        self.state = State::Waiting;
        self.refused.push(token);
        self.error = Some(error);
        self.has_looked = false;
        self.refused.len() < MOST_REFUSED
    }
}
