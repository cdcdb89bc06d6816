//! The format of a timeline; tests/scenarios/README.md explains it.

use std::collections::BTreeMap;
use std::time::Duration;

use everbearer::testkit::Answer;
use everbearer::{Error, RefreshPolicy, RetryPolicy, ScopePolicy, ShutdownPolicy};
use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeline {
    pub(super) title: String,
    pub(super) shows: Vec<String>,
    #[serde(default)]
    pub(super) given: Given,
    pub(super) steps: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Given {
    pub(super) seed: Option<u64>,
    pub(super) refresh: Refresh,
    pub(super) retry: Retry,
    pub(super) shutdown: Shutdown,
    pub(super) scopes: Scopes,
    pub(super) exchanges: Vec<Reply>,
    pub(super) otherwise: Option<Reply>,
    pub(super) revocations: Vec<Reply>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Refresh {
    fraction: Option<f64>,
    jitter: Option<f64>,
    before_end: Option<Span>,
    margin: Option<Span>,
    life_if_unknown: Option<Span>,
    between_denials: Option<Span>,
    lazy: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    first_delay: Option<Span>,
    longest_delay: Option<Span>,
    longest_retry_after: Option<Span>,
    terminal_pause: Option<Span>,
    exchange_timeout: Option<Span>,
    wait_timeout: Option<Span>,
    start_timeout: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shutdown {
    deadline: Option<Span>,
    keep_short_term: bool,
    revoke_long_term: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scopes {
    most: Option<usize>,
    idle: Option<Span>,
}

/// How the issuer answers one call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reply {
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

/// One thing that happens, and what is then to be seen.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Step {
    pub(super) at: Span,
    pub(super) note: String,
    pub(super) call: Option<Call>,
    pub(super) drop: Option<String>,
    pub(super) drop_handles: bool,
    pub(super) suspend: Option<Span>,
    pub(super) wall_forward: Option<Span>,
    pub(super) wall_back: Option<Span>,
    pub(super) renew: bool,
    pub(super) expect: Option<Expect>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) what: What,
    #[serde(rename = "as")]
    pub(super) name: String,
    #[serde(default = "one")]
    pub(super) times: usize,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    Token,
    Authorization,
    Refresh,
    TokenWith(Span),
    Reject(String),
    Ready,
    Shutdown,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub(super) calls: BTreeMap<String, Outcome>,
    pub(super) exchanges: Option<Count>,
    pub(super) at_once: Option<usize>,
    pub(super) asked: Option<Vec<Vec<String>>>,
    pub(super) revoked: Option<Vec<String>>,
    pub(super) tasks: Option<usize>,
    /// Of which set of scopes the rest is.
    pub(super) scopes: Vec<String>,
    pub(super) current: Option<String>,
    pub(super) state: Option<String>,
    pub(super) generation: Option<u64>,
    pub(super) failures: Option<Count>,
    pub(super) error: Option<String>,
    pub(super) usable_for: Option<(Span, Span)>,
    pub(super) next_exchange_in: Option<Next>,
}

/// What all calls of one name have come to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
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
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Count {
    Exactly(u64),
    Between(u64, u64),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Next {
    Between(Span, Span),
    Never(String),
}

/// "250ms", "15m", "1h 30m".
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span: jiff::SignedDuration = text.parse().map_err(serde::de::Error::custom)?;
        let span = Duration::try_from(span).map_err(serde::de::Error::custom)?;
        Ok(Self(span))
    }
}

impl Count {
    pub(super) fn holds(self, count: u64) -> bool {
        match self {
            Self::Exactly(expected) => count == expected,
            Self::Between(least, most) => (least..=most).contains(&count),
        }
    }
}

impl Expect {
    /// Whether it expects anything that a provider alone can tell.
    pub(super) fn is_of_a_provider(&self) -> bool {
        self.current.is_some()
            || self.state.is_some()
            || self.generation.is_some()
            || self.failures.is_some()
            || self.error.is_some()
            || self.usable_for.is_some()
            || self.next_exchange_in.is_some()
    }
}

impl Refresh {
    pub(super) fn policy(&self) -> RefreshPolicy {
        let mut policy = RefreshPolicy::default().lazy(self.lazy);
        // A timeline is exact unless it says otherwise.
        policy = policy.jitter(self.jitter.unwrap_or(0.0));
        if let Some(fraction) = self.fraction {
            policy = policy.fraction(fraction);
        }
        if let Some(Span(lead)) = self.before_end {
            policy = policy.before_end(lead);
        }
        if let Some(Span(margin)) = self.margin {
            policy = policy.margin(margin);
        }
        if let Some(Span(life)) = self.life_if_unknown {
            policy = policy.life_if_unknown(life);
        }
        if let Some(Span(pause)) = self.between_denials {
            policy = policy.between_denials(pause);
        }
        policy
    }
}

impl Retry {
    pub(super) fn policy(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        if self.first_delay.is_some() || self.longest_delay.is_some() {
            let first = self.first_delay.map_or(Duration::from_secs(1), |it| it.0);
            let longest = self
                .longest_delay
                .map_or(Duration::from_secs(60), |it| it.0);
            policy = policy.delays(first, longest);
        }
        if let Some(Span(longest)) = self.longest_retry_after {
            policy = policy.longest_retry_after(longest);
        }
        if let Some(Span(pause)) = self.terminal_pause {
            policy = policy.terminal_pause(pause);
        }
        if let Some(Span(timeout)) = self.exchange_timeout {
            policy = policy.exchange_timeout(timeout);
        }
        if let Some(Span(timeout)) = self.wait_timeout {
            policy = policy.wait_timeout(timeout);
        }
        if let Some(Span(timeout)) = self.start_timeout {
            policy = policy.start_timeout(timeout);
        }
        policy
    }
}

impl Shutdown {
    pub(super) fn policy(&self) -> ShutdownPolicy {
        let mut policy = ShutdownPolicy::default()
            .revoke_short_term(!self.keep_short_term)
            .revoke_long_term(self.revoke_long_term);
        if let Some(Span(deadline)) = self.deadline {
            policy = policy.deadline(deadline);
        }
        policy
    }
}

impl Scopes {
    pub(super) fn policy(&self) -> ScopePolicy {
        let mut policy = ScopePolicy::default();
        if let Some(most) = self.most {
            policy = policy.most(most);
        }
        if let Some(Span(idle)) = self.idle {
            policy = policy.idle(idle);
        }
        policy
    }
}

impl Reply {
    pub(super) fn answers(&self) -> impl Iterator<Item = Answer> + use<> {
        std::iter::repeat_n(self.answer(), self.times.unwrap_or(1))
    }

    pub(super) fn answer(&self) -> Answer {
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

fn one() -> usize {
    1
}
