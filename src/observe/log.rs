//! Events and other log messages as tracing events. `guide::observation` lists them.
//!
//! If the subscriber panics, the event is lost and the provider goes on.

use std::time::Duration;

use super::causes::Causes;
use super::event::{Event, TARGET};
use crate::error::ErrorKind;
use crate::unwind::caught;

pub(super) fn log(provider: &str, event: &Event) {
    caught(|| emit(provider, event));
}

/// Logs that the clock cannot be read, or can be read again.
pub(crate) fn log_clock(provider: &str, is_well: bool) {
    caught(|| {
        if is_well {
            tracing::info!(target: TARGET, provider, "the clock can be read again");
        } else {
            tracing::error!(
                target: TARGET,
                provider,
                "the clock cannot be read; no token is served until a reading succeeds"
            );
        }
    });
}

/// Logs that a token without a stated end is given this life.
pub(crate) fn log_assumed_life(provider: &str, life: Duration) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            provider,
            assumed_life_ms = millis(life),
            "the token's expiry is not stated; assuming a default lifetime"
        );
    });
}

/// Logs that a token has expired by the local clock, without another statement about its end.
pub(crate) fn log_doubtful_life(provider: &str, life: Duration) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            provider,
            assumed_life_ms = millis(life),
            "the token has expired by the local clock, and nothing else states its expiry; using it once"
        );
    });
}

/// Logs that a statement about a token's end was left out.
pub(crate) fn log_left_out(provider: &str, statement: &str, life: Option<Duration>) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            provider,
            statement,
            life_ms = life.map(millis),
            "ignored an implausible statement about the token's expiry"
        );
    });
}

/// Logs that the auth server is on plain http.
#[cfg(any(feature = "auth-api", feature = "oauth2"))]
pub(crate) fn log_exposed_auth_server(origin: &str) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            origin,
            "secrets go to the auth server on plain http, as allow_plain_http_to of its builder allows"
        );
    });
}

/// Logs that the token goes to an origin on plain http.
pub(crate) fn log_exposed_origin(provider: &str, origin: &str) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            provider,
            origin,
            "the token goes to this origin on plain http, as TokenProviderBuilder::allow_plain_http_to allows"
        );
    });
}

/// Logs that a middleware has no origins.
#[cfg(any(feature = "reqwest-middleware", feature = "tower"))]
pub(crate) fn log_no_origin(provider: &str) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            provider,
            "the middleware has no origins and adds the token to no request; set them with \
             TokenProviderBuilder::origins"
        );
    });
}

/// Logs that a request to this origin goes out without a token.
pub(super) fn log_left_without_token(provider: &str, origin: &str, is_first: bool) {
    const TEXT: &str = "sent a request without a token, since none of the middleware's origins covers it; if \
                        it needs the token, add its origin with TokenProviderBuilder::origins";
    caught(|| {
        if is_first {
            tracing::warn!(target: TARGET, provider, origin, "{TEXT}");
        } else {
            tracing::debug!(target: TARGET, provider, origin, "{TEXT}");
        }
    });
}

/// Logs that a request without a token was refused.
pub(super) fn log_refused_without_token(provider: &str, origin: &str) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            provider,
            origin,
            "a request without a token was answered with 401, and none of the middleware's origins covers \
             it; add its origin with TokenProviderBuilder::origins"
        );
    });
}

/// Logs that other users can read a file that holds a secret. The span names the provider.
pub(crate) fn log_exposed_file(path: &std::path::Path, mode: u32) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            path = %path.display(),
            mode = %format_args!("{mode:04o}"),
            "other users can read a file that holds a secret; set its mode so that only this process and its \
             groups can"
        );
    });
}

/// Logs that the token file is polled instead of watched.
#[cfg(all(unix, feature = "file-store"))]
pub(crate) fn log_unwatched(path: &std::path::Path, error: &(dyn std::error::Error + 'static)) {
    caught(|| {
        tracing::warn!(
            target: TARGET,
            path = %path.display(),
            error,
            "cannot watch the token file for changes; polling it every 10 s",
        );
    });
}

fn emit(provider: &str, event: &Event) {
    match event {
        Event::ExchangeBegan { scopes, failures } => {
            tracing::debug!(target: TARGET, provider, ?scopes, failures, "exchange began");
        }
        Event::Swapped {
            scopes,
            generation,
            token_id,
            life,
            took,
            previous_left,
        } => tracing::info!(
            target: TARGET,
            provider,
            ?scopes,
            generation,
            token_id,
            life_ms = millis(*life),
            took_ms = millis(*took),
            previous_left_ms = previous_left.map(millis),
            "published a new token"
        ),
        Event::Unchanged {
            scopes,
            generation,
            left,
            took,
        } => tracing::debug!(
            target: TARGET,
            provider,
            ?scopes,
            generation,
            left_ms = millis(*left),
            took_ms = millis(*took),
            "the auth server returned the token in use again"
        ),
        Event::ExchangeFailed {
            scopes,
            error,
            failures,
            repeats,
            retry_in,
        } => {
            let error_kind = error.kind().as_str();
            let retry_in_ms = retry_in.map(millis);
            // A failure that repeats warns once.
            if *repeats {
                tracing::debug!(
                    target: TARGET,
                    provider,
                    ?scopes, error_kind, error = %Causes(error), failures, retry_in_ms, "exchange failed"
                );
            } else if error.kind() == ErrorKind::Secret {
                tracing::error!(
                    target: TARGET,
                    provider,
                    ?scopes, error_kind, error = %Causes(error), failures, retry_in_ms, "exchange failed"
                );
            } else {
                tracing::warn!(
                    target: TARGET,
                    provider,
                    ?scopes, error_kind, error = %Causes(error), failures, retry_in_ms, "exchange failed"
                );
            }
        }
        Event::Denied { scopes, generation } => tracing::info!(
            target: TARGET,
            provider,
            ?scopes,
            generation,
            "a resource server refused the token"
        ),
        Event::ScopesRetired { scopes } => {
            tracing::info!(target: TARGET, provider, ?scopes, "evicted an idle scope set");
        }
        Event::OutageBegan { .. } | Event::OutageContinues { .. } | Event::OutageEnded { .. } => {
            log_outage(provider, event);
        }
        Event::LongTermObtained { .. }
        | Event::LongTermReplaced { .. }
        | Event::LongTermReloaded { .. }
        | Event::RotationBegan
        | Event::Rotated { .. }
        | Event::RotationFailed { .. }
        | Event::StoreFailed { .. } => log_long_term(provider, event),
        Event::ShutdownBegan { .. }
        | Event::Revocation { .. }
        | Event::RevocationsUnfinished { .. }
        | Event::ShutDown => log_end(provider, event),
    }
}

fn log_outage(provider: &str, event: &Event) {
    match event {
        Event::OutageBegan {
            scopes,
            error,
            failures,
        } => tracing::error!(
            target: TARGET,
            provider,
            ?scopes,
            error_kind = error.kind().as_str(),
            error = %Causes(error),
            failures,
            "no valid token: callers cannot be served"
        ),
        Event::OutageContinues {
            scope_sets,
            lasted,
            error,
        } => tracing::error!(
            target: TARGET,
            provider,
            scope_sets,
            lasted_ms = millis(*lasted),
            error_kind = error.kind().as_str(),
            error = %Causes(error),
            "still no valid token: callers cannot be served"
        ),
        Event::OutageEnded {
            scopes,
            attempts,
            lasted,
        } => tracing::info!(
            target: TARGET,
            provider,
            ?scopes,
            attempts,
            lasted_ms = millis(*lasted),
            "a valid token again: callers can be served"
        ),
        _ => {}
    }
}

fn log_end(provider: &str, event: &Event) {
    match event {
        Event::ShutdownBegan { tokens } => {
            tracing::info!(target: TARGET, provider, tokens, "shutting down");
        }
        Event::Revocation { token_id, error } => match error {
            None => tracing::info!(target: TARGET, provider, token_id, "revoked a token"),
            Some(error) => {
                let error_kind = error.kind().as_str();
                tracing::warn!(
                    target: TARGET,
                    provider,
                    token_id, error_kind, error = %Causes(error), "could not revoke a token"
                );
            }
        },
        Event::RevocationsUnfinished { tokens } => tracing::warn!(
            target: TARGET,
            provider,
            tokens,
            "further revocations timed out"
        ),
        Event::ShutDown => tracing::info!(target: TARGET, provider, "shut down"),
        _ => {}
    }
}

fn log_long_term(provider: &str, event: &Event) {
    match event {
        Event::LongTermObtained { token_id } => {
            tracing::info!(target: TARGET, provider, token_id, "obtained a long-term token");
        }
        Event::LongTermReplaced { token_id } => {
            tracing::info!(target: TARGET, provider, token_id, "replaced the long-term token with the one that was set");
        }
        Event::LongTermReloaded { token_id } => {
            tracing::info!(target: TARGET, provider, token_id, "loaded another long-term token from the store");
        }
        Event::RotationBegan => tracing::debug!(target: TARGET, provider, "rotation began"),
        Event::Rotated {
            token_id,
            previous_id,
        } => tracing::info!(
            target: TARGET,
            provider,
            token_id,
            previous_id,
            "rotated the long-term token"
        ),
        Event::RotationFailed {
            error,
            repeats,
            retry_in,
        } => {
            let error_kind = error.kind().as_str();
            let retry_in_ms = retry_in.map(millis);
            if *repeats {
                tracing::debug!(
                    target: TARGET,
                    provider,
                    error_kind, error = %Causes(error), retry_in_ms, "rotation failed"
                );
            } else if error.kind() == ErrorKind::Secret {
                tracing::error!(
                    target: TARGET,
                    provider,
                    error_kind, error = %Causes(error), retry_in_ms, "rotation failed"
                );
            } else {
                tracing::warn!(
                    target: TARGET,
                    provider,
                    error_kind, error = %Causes(error), retry_in_ms, "rotation failed"
                );
            }
        }
        Event::StoreFailed { error, repeats } => {
            if *repeats {
                tracing::debug!(target: TARGET, provider, error = %Causes(error), "the token store failed");
            } else {
                tracing::warn!(target: TARGET, provider, error = %Causes(error), "the token store failed");
            }
        }
        _ => {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
