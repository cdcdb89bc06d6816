//! What each stack must do.

use everbearer::testkit::{Endpoint, Fault};
use everbearer::{Error, ErrorKind, TokenProvider};
use tokio::time::sleep;

use super::{BoxError, PAUSE, Site, in_time};

/// Sends a request to this URL by the stack, and returns the status of the response.
pub trait Call: AsyncFn(String) -> Result<u16, BoxError> {}

impl<F: AsyncFn(String) -> Result<u16, BoxError>> Call for F {}

impl Site {
    /// Calls the API until the token has been refreshed several times. All calls succeed.
    pub async fn refreshes(&self, call: &impl Call) {
        let mut expected = self.outcomes();
        while !self.has_refreshed(self.auth.client_id()) {
            assert_eq!(self.call(call).await.unwrap(), 200);
            expected.served += 1;
            sleep(PAUSE).await;
        }
        assert_eq!(self.outcomes(), expected);
        assert_eq!(expected.expired + expected.invalid, 0);
    }

    /// Revokes the token in use at the server. If the stack resends, the call succeeds nevertheless, and otherwise the
    /// next one does.
    pub async fn heals(&self, provider: &TokenProvider, resends: bool, call: &impl Call) {
        let before = self.outcomes();
        // Repeats it if a refresh has replaced the revoked token before the call.
        while self.outcomes().revoked == before.revoked {
            self.revoke(provider);
            let status = self.call(call).await.unwrap();
            let is_refused = self.outcomes().revoked > before.revoked;
            assert_eq!(status, if is_refused && !resends { 401 } else { 200 });
        }
        assert_eq!(self.call(call).await.unwrap(), 200);
        let after = self.outcomes();
        assert_eq!(after.revoked, before.revoked + 1);
        assert_eq!(after.expired + after.invalid, 0);
    }

    /// Calls the API that redirects. The API gets the token, and the foreign origin does not.
    pub async fn redirects(&self, follows: bool, call: &impl Call) {
        let served = self.outcomes().served;
        let status = in_time(call(format!("{}/away", self.api))).await.unwrap();
        assert_eq!(status, if follows { 200 } else { 307 });
        assert!(self.outcomes().served > served);
        let at_foreign = self.at_foreign();
        assert_eq!(at_foreign.is_empty(), !follows);
        assert!(at_foreign.iter().all(Option::is_none), "{at_foreign:?}");
    }

    /// Checks the error of a call that the API does not answer, and of a call after the shutdown.
    pub async fn fails(&self, provider: &TokenProvider, call: &impl Call) {
        (self.auth).fault_always(Endpoint::Jobs, Fault::LoseResponse);
        let error = self.call(call).await.unwrap_err();
        self.secrets.are_not_in(&*error);
        self.auth.clear_faults();
        self.ends(provider, call).await;
    }

    /// Shuts the provider down. A call after that returns the provider's error.
    pub async fn ends(&self, provider: &TokenProvider, call: &impl Call) {
        let report = in_time(provider.shutdown()).await;
        assert!(report.all_revoked(), "{report}");
        let error = self.call(call).await.unwrap_err();
        self.secrets.are_not_in(&*error);
        let cause = Error::find_in(&*error).unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(cause.kind(), ErrorKind::ShutDown);
    }

    /// Revokes the token in use at the server. A token that the provider is obtaining stays valid.
    pub fn revoke(&self, provider: &TokenProvider) {
        if let Some(token) = provider.current() {
            self.auth.revoke(token.token_id().unwrap());
        }
    }

    async fn call(&self, call: &impl Call) -> Result<u16, BoxError> {
        in_time(call(self.auth.url("/jobs"))).await
    }
}
