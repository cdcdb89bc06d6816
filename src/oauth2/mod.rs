//! Any OAuth 2.0 server: an issuer for RFC 6749 and its extensions.

mod builder;
mod client;
mod client_auth;
mod clock_skew;
mod constructors;
mod discovery;
mod endpoint;
mod error;
mod grant;
mod issuer;
mod params;
mod request;
mod response;

pub use builder::OAuth2Builder;
pub use client::OAuth2;
pub use client_auth::ClientAuth;
pub use endpoint::TokenEndpoint;
