//! What adapters of HTTP clients need from a provider.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::current::Published;
use super::{TokenProvider, flight};
use crate::clock::Moment;
use crate::error::Error;
use crate::machine::{Generation, Input, Outlook, Window};
use crate::observe;
use crate::observe::Event;
use crate::origin::Origin;

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
        flight::is_within(&self.shared)
    }

    /// Returns a good token, if there is one on the hot path.
    #[inline]
    pub(crate) fn token_at_once(&self) -> Option<RequestToken> {
        let take = |it: &Published| {
            Some(RequestToken {
                header: it.header().clone(),
                generation: it.window.generation,
            })
        };
        self.at_once(take, || None)
    }

    /// Waits for a good token, which is newer than this one.
    pub(crate) async fn request_token(
        &self,
        newer_than: Option<&RequestToken>,
    ) -> Result<RequestToken, Error> {
        let generation = newer_than.map_or(Generation(0), |token| token.generation);
        let take = |it: &Published| RequestToken {
            header: it.token.authorization().clone(),
            generation: it.window.generation,
        };
        self.newer_than(generation, take).await
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

    /// Notes that a resource server refused this token. Returns whether a newer one replaces it.
    pub(crate) fn deny(&self, refused: &RequestToken) -> Replacement {
        self.deny_generation(refused.generation)
    }

    pub(super) fn deny_generation(&self, generation: Generation) -> Replacement {
        let (set, now) = (self.set.id, self.shared.now());
        let (is_news, replacement) = {
            let machine = &mut self.shared.engine().machine;
            let known = machine.is_replacing(set, generation);
            machine.handle(Input::Denied { set, generation }, now);
            let is_newer = |window: Window| window.generation > generation;
            let is_open = machine.is_open(set);
            let replacement = if !is_open && machine.is_running() {
                Replacement::Soon // the next caller opens the scope set again
            } else if !machine.replaces(set, generation) {
                Replacement::None
            } else if machine.window(set).is_some_and(is_newer) {
                Replacement::Soon
            } else {
                match machine.outlook(set, generation, now) {
                    Outlook::Imminent => Replacement::Soon,
                    Outlook::At(at) => Replacement::Later(Some(at)),
                    _ => Replacement::Later(None),
                }
            };
            let is_news = is_open && !known && replacement != Replacement::None;
            (is_news, replacement)
        };
        if is_news {
            self.shared.observers.tell(Event::Denied {
                scopes: Arc::clone(&self.set.scopes),
                generation: generation.0,
            });
            self.shared.wake.notify_one();
        }
        replacement
    }
}

/// Whether a newer token replaces a refused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// No exchange begins because of the refusal.
    None,
    /// The next exchange begins after a pause: at this moment, if that is known.
    Later(Option<Moment>),
    /// A newer token is there, or an exchange for one is in flight or about to begin.
    Soon,
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
    generation: Generation,
}

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
}

impl fmt::Debug for RequestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestToken")
            .field("generation", &self.generation.0)
            .finish_non_exhaustive()
    }
}
