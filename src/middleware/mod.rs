//! Adapters of HTTP clients, which add the token to requests.

mod challenge;
#[cfg(feature = "reqwest")]
mod refusal;
#[cfg(feature = "reqwest")]
mod request;
#[cfg(feature = "reqwest-middleware")]
mod reqwest;
mod rules;
#[cfg(feature = "reqwest")]
mod sending;

#[cfg(feature = "reqwest-middleware")]
pub use self::reqwest::BearerMiddleware;
#[cfg(feature = "reqwest")]
pub use request::{RequestBuilderExt, SendError};
pub use rules::{RequestRules, Wants};

#[cfg(feature = "reqwest")]
const NOT_SENT: &str = "no token is available; the request was not sent";
