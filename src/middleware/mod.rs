//! Adapters of HTTP clients, which add the token to requests. A new adapter begins with `request_rules.rs`, which is
//! not bound to a client.

#[cfg(feature = "reqwest-middleware")]
mod bearer_middleware;
#[cfg(feature = "reqwest")]
mod buffered_response;
mod refusal;
#[cfg(feature = "reqwest")]
mod request_builder;
mod request_rules;
#[cfg(feature = "reqwest")]
mod send;
#[cfg(feature = "google-cloud-token")]
mod token_source;
#[cfg(feature = "tower")]
pub mod tower;

#[cfg(feature = "reqwest-middleware")]
pub use bearer_middleware::BearerMiddleware;
#[cfg(feature = "reqwest")]
pub use request_builder::{RequestBuilderExt, SendError};
pub use request_rules::{RequestRules, Wants};

#[cfg(feature = "reqwest")]
const NOT_SENT: &str = "no token is available; the request was not sent";
