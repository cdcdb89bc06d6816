//! Looks at the secrets of the issuer and of the grants after a refusal.

use super::shared::Shared;
use crate::issuer::Grant;
use crate::machine::Input;
use crate::secret::SecretSource;

/// After a refusal, reads the secret of the issuer or of the refused grant again, unless the server requested a pause.
/// If the secret has changed, forgets the refusal and tries again. Does nothing during an exchange: that may have
/// used the old secret, and its refusal would come after the new one was reported.
pub(crate) fn look_at_secrets(shared: &Shared) {
    let now = shared.now();
    let (is_refused, is_rotation_refused, is_busy) = {
        let machine = &shared.engine().machine;
        let long_term = machine.long_term();
        let rotation_error = long_term.and_then(|it| it.rotation_failures().1);
        (
            machine.is_any_waiting_for_change(),
            rotation_error.is_some_and(|error| !error.is_retryable()),
            machine.is_any_exchanging() || long_term.is_some_and(|it| it.is_paused(now)),
        )
    };
    if !(is_refused || is_rotation_refused) || is_busy {
        return;
    }
    let is_new = |grant: &Option<Box<Grant>>| grant.as_ref().is_some_and(|it| it.is_new());
    let settings = &shared.settings;
    let recovers = is_refused && is_new(&settings.recover_with);
    let rotates = is_rotation_refused && is_new(&settings.rotate_with);
    let exchanges = is_refused
        && settings
            .profile
            .secrets
            .iter()
            .any(SecretSource::is_replaced);
    if recovers || rotates || exchanges {
        shared.signal(Input::SecretChanged);
    }
}
