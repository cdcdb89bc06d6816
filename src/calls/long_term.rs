//! Obtaining a long-term token.

use super::unchecked_error::Unchecked;
use super::user_code::UserCode;
use crate::error::ErrorKind;
use crate::issuer::Grant;
use crate::token::{LongTermToken, ShortTermToken};

impl UserCode {
    /// Obtains a long-term token with this grant. After a refusal, it tries again at once if the secret was replaced
    /// since it was read.
    pub(crate) async fn obtain(&self, grant: &Grant) -> Result<LongTermToken, Unchecked> {
        let outcome = self.ask(grant, None).await;
        if outcome.as_ref().is_err_and(is_plain_refusal) && grant.is_replaced() {
            return self.ask(grant, None).await;
        }
        outcome
    }

    /// Makes one call, on the authority of this short-term token if there is one.
    pub(crate) async fn ask(
        &self,
        grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Unchecked> {
        let call = async { Ok(self.issuer.obtain(grant, authority).await?) };
        self.bounded(call).await
    }
}

fn is_plain_refusal(error: &Unchecked) -> bool {
    error.kind() == ErrorKind::Denied && !error.asks_for_a_pause()
}
