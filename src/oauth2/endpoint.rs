//! Where the token endpoint is.

use std::fmt;

/// Names the token endpoint of an OAuth server: its URL, or how to discover it. A `&str` or a `String` is the URL.
///
/// # Examples
///
/// ```
/// use everbearer::TokenEndpoint;
///
/// let given = TokenEndpoint::from("https://auth.example.com/token");
/// let discovered = TokenEndpoint::discover("https://auth.example.com");
/// ```
#[derive(Clone)]
pub struct TokenEndpoint(pub(super) Place);

#[derive(Clone)]
pub(super) enum Place {
    Url(String),
    Issuer(String),
}

impl TokenEndpoint {
    /// Discovers the endpoints from the metadata of this issuer, such as `https://auth.example.com/realms/prod`, at
    /// the first exchange: by RFC 8414, section 3.1, and else by `OpenID` Connect Discovery 1.0, section 4.
    ///
    /// The metadata must name the same issuer, but for one slash at the end. A failure counts as a failure of the
    /// exchange, and is retried like one.
    ///
    /// ```
    /// let endpoint = everbearer::TokenEndpoint::discover("https://auth.example.com/realms/prod");
    /// ```
    pub fn discover(issuer: impl Into<String>) -> Self {
        Self(Place::Issuer(issuer.into()))
    }
}

impl From<&str> for TokenEndpoint {
    fn from(url: &str) -> Self {
        Self::from(url.to_owned())
    }
}

impl From<String> for TokenEndpoint {
    fn from(url: String) -> Self {
        Self(Place::Url(url))
    }
}

impl From<&String> for TokenEndpoint {
    fn from(url: &String) -> Self {
        Self::from(url.clone())
    }
}

impl fmt::Debug for TokenEndpoint {
    /// Leaves out the URL, which is not validated yet and may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Place::Url(_) => "TokenEndpoint(url)",
            Place::Issuer(_) => "TokenEndpoint(discover)",
        })
    }
}
