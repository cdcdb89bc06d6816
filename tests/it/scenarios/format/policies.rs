//! The policies that a timeline gives the engine.

use std::time::Duration;

use everbearer::{RefreshPolicy, RetryPolicy, ScopePolicy, ShutdownPolicy};
use serde::Deserialize;

use super::values::Span;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Refresh {
    fraction: Option<f64>,
    jitter: Option<f64>,
    before_end: Option<Span>,
    margin: Option<Span>,
    life_if_unknown: Option<Span>,
    between_denials: Option<Span>,
    settling_time: Option<Span>,
    lazy: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Retry {
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
pub(crate) struct Shutdown {
    deadline: Option<Span>,
    keep_short_term: bool,
    revoke_long_term: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scopes {
    most: Option<usize>,
    idle: Option<Span>,
}

impl Refresh {
    pub(crate) fn policy(&self) -> RefreshPolicy {
        let mut policy = RefreshPolicy::default().lazy(self.lazy);
        // A timeline is exact unless it says otherwise.
        policy = policy.jitter(self.jitter.unwrap_or(0.0));
        if let Some(fraction) = self.fraction {
            policy = policy.fraction(fraction);
        }
        if let Some(Span(lead)) = self.before_end {
            policy = policy.refresh_before(lead);
        }
        if let Some(Span(margin)) = self.margin {
            policy = policy.expiry_margin(margin);
        }
        if let Some(Span(life)) = self.life_if_unknown {
            policy = policy.default_lifetime(life);
        }
        if let Some(Span(pause)) = self.between_denials {
            policy = policy.min_reject_interval(pause);
        }
        if let Some(Span(time)) = self.settling_time {
            policy = policy.settling_time(time);
        }
        policy
    }
}

impl Retry {
    pub(crate) fn policy(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        if self.first_delay.is_some() || self.longest_delay.is_some() {
            let first = self.first_delay.map_or(Duration::from_secs(1), |it| it.0);
            let longest = self
                .longest_delay
                .map_or(Duration::from_secs(60), |it| it.0);
            policy = policy.backoff(first, longest);
        }
        if let Some(Span(longest)) = self.longest_retry_after {
            policy = policy.max_retry_after(longest);
        }
        if let Some(Span(pause)) = self.terminal_pause {
            policy = policy.terminal_backoff(pause);
        }
        if let Some(Span(timeout)) = self.exchange_timeout {
            policy = policy.exchange_timeout(timeout);
        }
        if let Some(Span(timeout)) = self.wait_timeout {
            policy = policy.wait_timeout(timeout);
        }
        if let Some(Span(timeout)) = self.start_timeout {
            policy = policy.ready_timeout(timeout);
        }
        policy
    }
}

impl Shutdown {
    pub(crate) fn policy(&self) -> ShutdownPolicy {
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
    pub(crate) fn policy(&self) -> ScopePolicy {
        let mut policy = ScopePolicy::default();
        if let Some(most) = self.most {
            policy = policy.max_sets(most);
        }
        if let Some(Span(idle)) = self.idle {
            policy = policy.idle_timeout(idle);
        }
        policy
    }
}
