//! Thin adapters that put the token on requests.

mod challenge;
mod refusal;
mod request;
#[cfg(feature = "reqwest-middleware")]
mod reqwest;
mod rules;

#[cfg(feature = "reqwest-middleware")]
pub use self::reqwest::BearerMiddleware;
pub use request::{RequestBuilderExt, SendError};

const NOT_SENT: &str = "no token is available; the request was not sent";
