//! Obtaining a long-term token with a grant: after a pause that the server requested, and again when the secret was
//! replaced.

use std::time::Duration;

use super::grant_pause::GrantPause;
use super::shared::Shared;
use crate::error::Error;
use crate::issuer::Grant;
use crate::machine::Input;
use crate::token::LongTermToken;

/// Obtains a long-term token with this grant, unless the server requested a pause.
pub(crate) async fn obtain(shared: &Shared, grant: &Grant) -> Result<LongTermToken, Error> {
    check_pause(shared)?;
    let outcome = shared.user_code.obtain(grant).await;
    let outcome = shared.checked(outcome, &[]);
    outcome
        .inspect(|token| shared.check_id(token, &[]))
        .inspect_err(|error| note_pause(shared, error, None))
}

/// Returns the error that began the present pause, if there is one.
pub(crate) fn check_pause(shared: &Shared) -> Result<(), Error> {
    let now = shared.now();
    let engine = shared.engine();
    match &engine.grant_pause {
        Some(pause) if !pause.is_over(now) => {
            let error = pause.error.clone();
            Err(error.with_retry_after(pause.until.since(now)))
        }
        _ => Ok(()),
    }
}

/// Notes the pause that the server requests with this error. Refusals of one long-term token start one
/// pause only: if each of them started another pause, the grant would never be used.
pub(crate) fn note_pause(shared: &Shared, error: &Error, refused: Option<&LongTermToken>) {
    let longest = shared.settings.policies.retry.max_retry_after;
    let Some(asked) = error.retry_after().filter(|asked| *asked > Duration::ZERO) else {
        return;
    };
    let until = shared.now() + asked.min(longest);
    let present = &mut shared.engine().grant_pause;
    let is_noted = |token: &LongTermToken| {
        let noted = present.as_ref().and_then(|pause| pause.refused.as_ref());
        noted.is_some_and(|noted| noted.reads_like(token))
    };
    if !refused.is_some_and(is_noted) {
        *present = Some(GrantPause {
            until,
            error: error.clone(),
            refused: refused.cloned(),
        });
    }
}

/// After a refusal, reads the secret of the refused grant again, unless the server requested a pause. If the
/// secret has changed, forgets the refusal and tries again. Does nothing during an exchange: that may have
/// used the old secret, and its refusal would come after the new one was reported.
pub(crate) fn look_at_secrets(shared: &Shared) {
    let (is_refused, is_rotation_refused, is_exchanging) = {
        let engine = shared.engine();
        (
            engine.machine.is_any_refused(),
            engine.is_rotation_refused(),
            engine.machine.is_any_exchanging(),
        )
    };
    if !(is_refused || is_rotation_refused) || is_exchanging || check_pause(shared).is_err() {
        return;
    }
    let is_new = |grant: &Option<Grant>| grant.as_ref().is_some_and(Grant::is_new);
    let settings = &shared.settings;
    let recovers = is_refused && is_new(&settings.recover_with);
    let rotates = is_rotation_refused && is_new(&settings.rotate_with);
    if recovers || rotates {
        shared.signal(Input::Renewed { keeps_pauses: true });
        shared.signal(Input::Urgent);
    }
}
