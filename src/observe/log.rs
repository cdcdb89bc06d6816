//! Happenings as tracing events. `guide::observation` lists them.

use std::time::Duration;

use super::{Happening, TARGET};

pub(super) fn log(happening: &Happening) {
    match happening {
        Happening::ExchangeBegan { scopes, failures } => {
            tracing::debug!(target: TARGET, ?scopes, failures, "exchange began");
        }
        Happening::Swapped {
            scopes,
            generation,
            token_id,
            life,
            took,
            previous_left,
        } => tracing::info!(
            target: TARGET,
            ?scopes,
            generation,
            token_id,
            life_ms = millis(*life),
            took_ms = millis(*took),
            previous_left_ms = previous_left.map(millis),
            "swapped in a new token"
        ),
        Happening::ExchangeFailed {
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
                    ?scopes, error_kind, %error, failures, retry_in_ms, "exchange failed"
                );
            } else {
                tracing::warn!(
                    target: TARGET,
                    ?scopes, error_kind, %error, failures, retry_in_ms, "exchange failed"
                );
            }
        }
        Happening::Denied { scopes, generation } => tracing::info!(
            target: TARGET,
            ?scopes,
            generation,
            "a resource server refused the token"
        ),
        Happening::ScopesRetired { scopes } => {
            tracing::info!(target: TARGET, ?scopes, "retired a set of scopes");
        }
        Happening::ShutdownBegan { tokens } => {
            tracing::info!(target: TARGET, tokens, "shutting down");
        }
        Happening::Revocation { token_id, error } => match error {
            None => tracing::info!(target: TARGET, token_id, "revoked a token"),
            Some(error) => {
                let error_kind = error.kind().as_str();
                tracing::warn!(
                    target: TARGET,
                    token_id, error_kind, %error, "could not revoke a token"
                );
            }
        },
        Happening::ShutDown => tracing::info!(target: TARGET, "shut down"),
        long_term => log_long_term(long_term),
    }
}

fn log_long_term(happening: &Happening) {
    match happening {
        Happening::LongTermObtained { token_id } => {
            tracing::info!(target: TARGET, token_id, "obtained a long-term token");
        }
        Happening::LongTermRenewed { token_id } => {
            tracing::info!(target: TARGET, token_id, "took another long-term token");
        }
        Happening::LongTermReloaded { token_id } => {
            tracing::info!(target: TARGET, token_id, "took up another long-term token from the store");
        }
        Happening::RotationBegan => tracing::debug!(target: TARGET, "rotation began"),
        Happening::Rotated {
            token_id,
            previous_id,
        } => tracing::info!(
            target: TARGET,
            token_id,
            previous_id,
            "rotated the long-term token"
        ),
        Happening::RotationFailed {
            error,
            repeats,
            retry_in,
        } => {
            let error_kind = error.kind().as_str();
            let retry_in_ms = retry_in.map(millis);
            if *repeats {
                tracing::debug!(
                    target: TARGET,
                    error_kind, %error, retry_in_ms, "rotation failed"
                );
            } else {
                tracing::warn!(
                    target: TARGET,
                    error_kind, %error, retry_in_ms, "rotation failed"
                );
            }
        }
        Happening::StoreFailed { error, repeats } => {
            if *repeats {
                tracing::debug!(target: TARGET, %error, "the token store failed");
            } else {
                tracing::warn!(target: TARGET, %error, "the token store failed");
            }
        }
        _ => {}
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
