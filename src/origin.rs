//! Where a token may go.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::error::{Error, ErrorKind};

/// A scheme, a host and a port (RFC 6454): the unit in which tokens are allowed to go somewhere.
///
/// Only https is accepted, and plain http to this machine itself (`localhost`, 127.0.0.0/8,
/// `[::1]`): a token on plain http is a token for everyone on the way. `wss` and `ws` (RFC 6455, section 3)
/// count as https and http, since a WebSocket begins with a request to that origin.
///
/// # Examples
///
/// ```
/// use everbearer::Origin;
///
/// let origin: Origin = "https://api.example.com/any/path".parse()?;
/// assert_eq!(origin.to_string(), "https://api.example.com:443");
/// assert_eq!("wss://api.example.com".parse::<Origin>()?, origin);
/// assert!("http://api.example.com".parse::<Origin>().is_err());
/// assert!("http://127.0.0.1:8080".parse::<Origin>().is_ok());
/// # Ok::<(), everbearer::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn is_of(self, scheme: &str) -> bool {
        match self {
            Self::Http => matches!(scheme, "http" | "ws"),
            Self::Https => matches!(scheme, "https" | "wss"),
        }
    }
}

impl Origin {
    /// The origin of a URL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the URL is neither https nor loopback http, carries a user name or
    /// password, or has a wildcard for a host.
    pub(crate) fn of(url: &Url) -> Result<Self, Error> {
        let refuse = |why: &str| {
            let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
            Err(Error::new(
                ErrorKind::Config,
                format!("a token cannot go to {scheme}://{host}: {why}"),
            ))
        };
        let scheme = match url.scheme() {
            "https" | "wss" => Scheme::Https,
            "http" | "ws" if is_loopback(url) => Scheme::Http,
            "http" | "ws" => {
                return refuse(
                    "plain http is open to everyone on the way, and allowed for loopback \
                     addresses only; use https",
                );
            }
            _ => return refuse("use an https URL"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("the URL holds a user name or a password; leave them out");
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return refuse("the URL names no host");
        };
        if host.contains('*') {
            return refuse("a host is named in full, without wildcards");
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port,
        })
    }

    /// Whether what is sent there is https.
    pub(crate) const fn is_encrypted(&self) -> bool {
        matches!(self.scheme, Scheme::Https)
    }

    /// Whether the URL is of this origin.
    pub(crate) fn covers(&self, url: &Url) -> bool {
        self.scheme.is_of(url.scheme())
            && url.host_str() == Some(&self.host)
            && url.port_or_known_default() == Some(self.port)
    }
}

impl FromStr for Origin {
    type Err = Error;

    /// Reads the origin of any URL; what follows the port is ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::of(&parse_url(text)?)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

/// The URL, or an error that does not repeat it: it may hold a password.
pub(crate) fn parse_url(text: &str) -> Result<Url, Error> {
    Url::parse(text).map_err(|error| {
        Error::new(
            ErrorKind::Config,
            format!("that is not a URL ({error}); it must look like https://api.example.com/v1"),
        )
    })
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Result<Origin, Error> {
        text.parse()
    }

    #[test]
    fn s2_plain_http_is_refused_but_for_loopback() {
        for refused in [
            "http://api.example.com",
            "http://10.0.0.1",
            "ws://api.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://[2001:db8::1]",
            "ftp://localhost",
            "https://*.example.com",
            "file:///etc/passwd",
        ] {
            assert_eq!(
                origin(refused).unwrap_err().kind(),
                ErrorKind::Config,
                "{refused}"
            );
        }
        for accepted in [
            "https://api.example.com",
            "http://localhost:1",
            "http://127.0.0.1",
            "http://127.9.9.9:80",
            "http://[::1]:8080",
            "wss://api.example.com",
            "ws://127.0.0.1:1",
        ] {
            assert!(origin(accepted).is_ok(), "{accepted}");
        }
    }

    #[test]
    fn s3_scheme_host_and_port_must_all_be_the_same() {
        let ours = origin("https://api.example.com/v1").unwrap();
        let covers = |text: &str| ours.covers(&Url::parse(text).unwrap());
        assert!(covers("https://api.example.com/other?x=1"));
        assert!(covers("https://API.example.com:443"));
        assert!(covers("wss://api.example.com/socket"));
        assert!(!covers("ws://api.example.com:443"));
        assert!(!covers("http://api.example.com:443"));
        assert!(!covers("https://api.example.com:8443"));
        assert!(!covers("https://example.com"));
        assert!(!covers("https://evil-api.example.com"));
        assert!(!covers("https://api.example.com.evil.org"));
        assert!(!covers("https://evil.org/https://api.example.com"));
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = origin("https://user:hunter2@api.example.com").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let error = origin("https://user:hunter2@[bad").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
