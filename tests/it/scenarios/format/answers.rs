//! How the issuer of a timeline answers.

use everbearer::Error;
use everbearer::testkit::Answer;
use serde::Deserialize;

use super::Span;

/// How the issuer answers one call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reply {
    token: Option<Span>,
    token_without_end: bool,
    done: bool,
    fail: Option<Failure>,
    retry_after: Option<Span>,
    hang: bool,
    panic: bool,
    after: Option<Span>,
    times: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Failure {
    Transient,
    Terminal,
}

impl Reply {
    pub(crate) fn answers(&self) -> impl Iterator<Item = Answer> + use<> {
        std::iter::repeat_n(self.answer(), self.times.unwrap_or(1))
    }

    pub(crate) fn answer(&self) -> Answer {
        let answer = if let Some(Span(life)) = self.token {
            Answer::token(life)
        } else if self.token_without_end {
            Answer::token_without_end()
        } else if self.done {
            Answer::done()
        } else if let Some(failure) = self.fail {
            let mut error = match failure {
                Failure::Transient => Error::transient("the timeline says so"),
                Failure::Terminal => Error::terminal("the timeline says so"),
            };
            if let Some(Span(pause)) = self.retry_after {
                error = error.with_retry_after(pause);
            }
            Answer::error(error)
        } else if self.panic {
            Answer::panic()
        } else if self.hang {
            Answer::hang()
        } else {
            panic!("an answer must say what it is: {self:?}");
        };
        answer.after(self.after.unwrap_or_default().0)
    }
}
