//! Where a token may go.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

use crate::error::{Error, ErrorKind};

/// A scheme, a host and a port (RFC 6454): the unit in which tokens are allowed to go somewhere.
///
/// Only https is accepted, and plain http to a loopback address (`localhost`, 127.0.0.0/8, `[::1]`): on plain
/// http, others on the network can read the token.
/// [`TokenProviderBuilder::allow_plain_http_to`](crate::TokenProviderBuilder::allow_plain_http_to) and
/// [`AuthApiBuilder::allow_plain_http_to`](crate::AuthApiBuilder::allow_plain_http_to) make exceptions. `wss`
/// and `ws` (RFC 6455, section 3) count as https and http, since a WebSocket begins with a request to that
/// origin.
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
    /// [`ErrorKind::Config`] if the URL is neither https nor loopback http nor http to a host for which that is
    /// allowed, carries a user name or password, or has a wildcard for a host.
    pub(crate) fn of(url: &Url, plain_http: &PlainHttp) -> Result<Self, Error> {
        let host = url.host_str().unwrap_or_default();
        let refuse = |why: &str| {
            let scheme = url.scheme();
            Err(Error::new(
                ErrorKind::Config,
                format!("a token cannot go to {scheme}://{host}: {why}"),
            ))
        };
        let scheme = match url.scheme() {
            "https" | "wss" => Scheme::Https,
            "http" | "ws" if is_loopback(host) || plain_http.allows(host) => Scheme::Http,
            "http" | "ws" => {
                return refuse(&format!(
                    "plain http is not encrypted, and allowed for loopback addresses only; use https{}",
                    plain_http.advice()
                ));
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

    /// Returns whether a token may go there.
    pub(crate) fn is_allowed(&self, plain_http: &PlainHttp) -> bool {
        !self.is_exposed() || plain_http.allows(&self.host)
    }

    /// Returns whether others on the way can read what is sent there.
    pub(crate) fn is_exposed(&self) -> bool {
        !self.is_encrypted() && !is_loopback(&self.host)
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
        Self::of(&parse_url(text)?, &PlainHttp::default())
    }
}

/// The hosts to which plain http is allowed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlainHttp {
    hosts: Vec<String>,
    /// The method that allows a host, for error texts.
    method: &'static str,
}

impl PlainHttp {
    /// Allows no host yet. This method allows one.
    pub(crate) const fn by(method: &'static str) -> Self {
        Self {
            hosts: Vec::new(),
            method,
        }
    }

    pub(crate) fn allow(&mut self, host: String) {
        self.hosts.push(host);
    }

    /// Checks that each host is a host, in full and in the form that it has in a URL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if one is not.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for host in &self.hosts {
            let url = Url::parse(&format!("http://{host}"));
            let is_host = url.is_ok_and(|url| url.host_str() == Some(host));
            if !is_host || host.contains('*') {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!(
                        "{}: the argument is not a host; give it in full and in lower case, without a scheme, a port or a \
                         path, such as `auth.internal`",
                        self.method
                    ),
                ));
            }
        }
        Ok(())
    }

    fn allows(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| allowed == host)
    }

    fn advice(&self) -> String {
        match self.method {
            "" => String::new(),
            method => format!(", or allow it for this host with `{method}`"),
        }
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

fn is_loopback(host: &str) -> bool {
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
    fn s13_only_a_host_in_full_is_allowed() {
        let validated = |host: &str| {
            let mut plain_http = PlainHttp::by("allow");
            plain_http.allow(host.to_owned());
            plain_http.validate()
        };
        for host in ["auth", "auth.internal", "10.0.0.7", "[fd00::7]"] {
            assert!(validated(host).is_ok(), "{host}");
        }
        for host in [
            "",
            "*",
            "*.internal",
            "Auth",
            "auth:80",
            "auth:8080",
            "http://auth",
            "auth/v1",
            "user@auth",
            "auth?",
            "[fd00::7]:80",
            "au th",
        ] {
            let error = validated(host).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("allow: the argument is not a host"),
                "{host}"
            );
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
