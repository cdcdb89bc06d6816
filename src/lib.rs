// The README's code uses AuthApi, OAuth2 and the middleware.
#![cfg_attr(
    all(feature = "auth-api", feature = "oauth2", feature = "reqwest-middleware"),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(
        feature = "auth-api",
        feature = "oauth2",
        feature = "reqwest-middleware"
    )),
    doc = "everbearer keeps a bearer token fresh; see the README."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod assertion;
#[cfg(feature = "auth-api")]
mod auth_api;
mod calls;
mod clock;
mod engine;
mod error;
pub mod guide;
mod issuer;
mod machine;
mod middleware;
#[cfg(feature = "oauth2")]
mod oauth2;
mod observe;
mod origin;
mod policy;
mod provider;
mod providers;
mod secret;
mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
mod text;
mod token;
mod unwind;
#[cfg(any(feature = "auth-api", feature = "oauth2"))]
mod wire;

#[cfg(feature = "assertion")]
pub use assertion::SigningKey;
pub use assertion::{Assertion, AssertionSigner};
/// The macro for implementations of this crate's traits.
pub use async_trait::async_trait;
#[cfg(feature = "auth-api")]
pub use auth_api::{AuthApi, AuthApiBuilder, models};
pub use clock::{Clock, Moment, SystemClock};
pub use engine::{RevocationOutcome, ShutdownReport, TokenKind, TokenReport};
pub use error::{Error, ErrorKind};
pub use issuer::{
    Credential, ExchangeResponse, Grant, IssuerProfile, Needs, Proof, Revoked, TokenIssuer,
};
#[cfg(feature = "reqwest-middleware")]
pub use middleware::BearerMiddleware;
#[cfg(feature = "tower")]
pub use middleware::tower::{self, BearerLayer};
#[cfg(feature = "reqwest")]
pub use middleware::{RequestBuilderExt, SendError};
pub use middleware::{RequestRules, Wants};
#[cfg(feature = "oauth2")]
pub use oauth2::{ClientAuth, OAuth2, OAuth2Builder, TokenEndpoint};
pub use observe::{Event, LongTermStatus, State, Status, Subscription};
pub use origin::Origin;
pub use policy::{RefreshPolicy, RetryPolicy, RotationPolicy, ScopePolicy, ShutdownPolicy};
pub use provider::{BlockingTokenProvider, RequestToken, TokenProvider, TokenProviderBuilder};
pub use providers::{ShutdownReports, TokenProviders};
pub use secret::{Secret, SecretSource};
#[cfg(all(unix, feature = "file-store"))]
pub use store::FileStore;
#[cfg(all(unix, feature = "sealed"))]
pub use store::SealingKey;
pub use store::{Lease, MemoryStore, Record, Stored, TokenStore, Version};
pub use token::{LongTermToken, ShortTermToken, TokenBuilder, TokenRef};
