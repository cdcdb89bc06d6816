//! What adapters of HTTP clients need from a provider.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, StatusCode};

use super::TokenProvider;
use crate::calls::is_within;
use crate::clock::Moment;
use crate::engine::{self, Published, Replacement};
use crate::error::{Error, ErrorKind};
use crate::machine::Generation;
use crate::observe;
use crate::origin::Origin;

/// How long the refusal of a request that is not sent again is held back for the newer token.
const HOLD: Duration = Duration::from_secs(5);

impl TokenProvider {
    pub(crate) fn shared_origins(&self) -> Arc<[Origin]> {
        Arc::clone(&self.shared.settings.origins)
    }

    /// Returns the origin of this URL, and logs it if it is on plain http.
    pub(crate) fn allowed_origin(&self, url: &str) -> Result<Origin, Error> {
        let origin = Origin::parse(url, &self.shared.settings.plain_http)?;
        // Those of the provider were logged when it was built.
        if origin.is_exposed() && !self.shared.settings.origins.contains(&origin) {
            observe::log_exposed_origin(self.name(), &origin.to_string());
        }
        Ok(origin)
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.settings.name
    }

    pub(crate) fn now(&self) -> Moment {
        self.shared.now()
    }

    /// Whether this is called from within an exchange of this very provider, whose requests must
    /// not wait for a token.
    pub(crate) fn is_exchanging_here(&self) -> bool {
        is_within(self.shared.key())
    }

    /// Returns a good token, if there is one on the hot path.
    #[inline]
    pub(crate) fn token_at_once(&self) -> Option<RequestToken> {
        let take = |it: &Published| {
            Some(RequestToken {
                header: it.header().clone(),
                carried: Carried(it.window.generation),
            })
        };
        self.at_once(take, || None)
    }

    /// Waits for a good token before the deadline.
    pub(crate) async fn token_before(
        &self,
        deadline: Option<Moment>,
    ) -> Result<RequestToken, Error> {
        self.wait_until(deadline, Generation(0)).await
    }

    /// Notes that a resource server refused this token, and waits for a newer one before the deadline, unless it
    /// would come too late. It returns the same token after the settling time, if that
    /// has not passed yet. For a request that is not sent again, waits for [`HOLD`] at most.
    pub(crate) async fn newer_token(
        &self,
        refused: Carried,
        is_resent: bool,
        deadline: Option<Moment>,
    ) -> Option<RequestToken> {
        let is_too_late = |at: Moment| deadline.is_some_and(|deadline| deadline < at);
        let settles_at = engine::settles_at(&self.shared, &self.set, refused.0);
        if let Some(at) = settles_at {
            if !is_resent || is_too_late(at) || engine::current_runtime().is_err() {
                return None;
            }
            tokio::time::sleep(at.since(self.now())).await;
            let same = Generation(refused.0.0.saturating_sub(1));
            return self.wait_until(deadline, same).await.ok();
        }
        let waits = match engine::deny(&self.shared, &self.set, refused.0) {
            Replacement::None => false,
            Replacement::Later(at) => is_resent && !at.is_some_and(is_too_late),
            Replacement::Soon => true,
        };
        if !waits {
            return None;
        }
        let hold = (!is_resent).then(|| self.now() + HOLD);
        let until = [deadline, hold].into_iter().flatten().min();
        self.wait_until(until, refused.0).await.ok()
    }

    async fn wait_until(
        &self,
        deadline: Option<Moment>,
        newer_than: Generation,
    ) -> Result<RequestToken, Error> {
        let take = |it: &Published| RequestToken {
            header: it.token.authorization().clone(),
            carried: Carried(it.window.generation),
        };
        let token = self.newer_than(newer_than, take);
        // A timer needs a runtime. Without one, `newer_than` does not wait.
        let Some(deadline) = deadline.filter(|_| engine::current_runtime().is_ok()) else {
            return token.await;
        };
        let left = deadline.since(self.now());
        let outcome = tokio::time::timeout(left, token).await;
        outcome.unwrap_or_else(|_| {
            Err(Error::own(
                ErrorKind::WaitTimeout,
                "no token within the request's timeout; the provider keeps trying",
            ))
        })
    }

    /// Notes that a request is sent again with a newer token.
    pub(crate) fn note_resend(&self) {
        self.shared.observers.metrics.resent(&self.set.scopes);
    }

    pub(crate) fn shared_refusals(&self) -> Arc<[StatusCode]> {
        Arc::clone(&self.shared.settings.refusals)
    }

    /// Notes that a request to this origin goes out without a token, since no origin covers it.
    pub(crate) fn note_uncovered(&self, origin: &str) {
        self.shared.observers.uncovered(origin);
    }

    /// Notes that a request to this origin, which no origin covers, was refused.
    pub(crate) fn note_uncovered_refusal(&self, origin: &str) {
        self.shared.observers.uncovered_refusal(origin);
    }
}

/// Contains the token of one request, for [`RequestRules`](crate::RequestRules).
///
/// # Examples
///
/// ```
/// # async fn example(rules: everbearer::RequestRules) -> Result<(), everbearer::Error> {
/// let mut headers = http::HeaderMap::new();
/// let token = rules.token(None).await?;
/// headers.insert(http::header::AUTHORIZATION, token.header().clone());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RequestToken {
    header: HeaderValue,
    pub(crate) carried: Carried,
}

/// Which token a request carries.
#[derive(Clone, Copy)]
pub(crate) struct Carried(Generation);

impl RequestToken {
    /// Returns the value for an `Authorization` header, marked sensitive.
    ///
    /// # Examples
    ///
    /// ```
    /// # use everbearer::testkit::ScriptedIssuer;
    /// # use everbearer::{LongTermToken, TokenProvider};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), everbearer::Error> {
    /// # let issuer = ScriptedIssuer::new();
    /// # let provider = TokenProvider::builder(issuer, LongTermToken::new("secret")?).build()?;
    /// let token = provider.request_rules().token(None).await?;
    /// assert_eq!(token.header(), "Bearer st-1");
    /// assert!(token.header().is_sensitive());
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub const fn header(&self) -> &HeaderValue {
        &self.header
    }

    #[cfg(any(feature = "reqwest", feature = "tower"))]
    #[inline]
    pub(crate) fn into_header(self) -> HeaderValue {
        self.header
    }
}

impl fmt::Debug for RequestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestToken")
            .field("generation", &self.carried.0.0)
            .finish_non_exhaustive()
    }
}
