//! The origins to which a token may be sent.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use http::uri::Authority;

use crate::error::{Error, ErrorKind};

/// Identifies a server to which a token may be sent, by scheme, host and port (RFC 6454).
///
/// An origin is https, or plain http to a loopback address (`localhost`, 127.0.0.0/8, `[::1]`), since others
/// on the network can read a token that is sent over plain http.
/// [`TokenProviderBuilder::allow_plain_http_to`](crate::TokenProviderBuilder::allow_plain_http_to) and
/// [`AuthApiBuilder::allow_plain_http_to`](crate::AuthApiBuilder::allow_plain_http_to) allow other hosts.
///
/// `wss` and `ws` (RFC 6455, section 3) count as https and http, since a WebSocket begins with a request to
/// that origin.
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

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn is_of(self, scheme: &str) -> bool {
        let is = |name| scheme.eq_ignore_ascii_case(name);
        // Most are in lower case.
        scheme == self.as_str()
            || match self {
                Self::Http => is("http") || is("ws"),
                Self::Https => is("https") || is("wss"),
            }
    }
}

impl Origin {
    /// Returns the origin of a URL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the text is not a URL, if its origin is not [allowed](Self::of), or if it holds
    /// a user name or a password.
    pub(crate) fn parse(url: &str, plain_http: &PlainHttp) -> Result<Self, Error> {
        if !url.is_ascii() {
            return Err(config(
                "that URL holds a character that is not ASCII; write the host in punycode (xn--…)",
            ));
        }
        // The error does not repeat the URL, which may hold a password.
        let uri: Uri = url.parse().map_err(|error| {
            config(format!(
                "that is not a URL ({error}); it must look like https://api.example.com/v1"
            ))
        })?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(config(
                "that is not a URL with a scheme and a host; it must look like https://api.example.com/v1",
            ));
        };
        let (scheme, host) = (&scheme.to_ascii_lowercase(), normalized(authority.host()));
        if authority.as_str().contains('@') {
            return Err(refused(
                scheme,
                &host,
                "the URL holds a user name or a password; leave them out",
            ));
        }
        let port = port_of(authority)
            .map_err(|_| refused(scheme, &host, "the port is not a number from 0 to 65535"))?;
        Self::of(scheme, &host, port, plain_http)
    }

    /// Returns the origin of these parts of a URL, whose host is in lower case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the scheme is neither https nor http to a loopback address nor http to a host
    /// for which that is allowed, or if the host is not a host in full.
    pub(crate) fn of(
        scheme: &str,
        host: &str,
        port: Option<u16>,
        plain_http: &PlainHttp,
    ) -> Result<Self, Error> {
        let refuse = |why: &str| Err(refused(scheme, host, why));
        let scheme = match scheme {
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
        if host.is_empty() {
            return refuse("the URL names no host");
        }
        if host.contains('*') {
            return refuse("a host is named in full, without wildcards");
        }
        if is_odd_address(host) {
            return refuse("an IPv4 address is written as four decimal numbers");
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or(scheme.default_port()),
        })
    }

    /// Returns whether what is sent there is encrypted.
    #[cfg(any(feature = "auth-api", feature = "oauth2"))]
    pub(crate) const fn is_encrypted(&self) -> bool {
        matches!(self.scheme, Scheme::Https)
    }

    /// Returns whether a token may go there.
    pub(crate) fn is_allowed(&self, plain_http: &PlainHttp) -> bool {
        !self.is_exposed() || plain_http.allows(&self.host)
    }

    /// Returns whether others on the way can read what is sent there.
    pub(crate) fn is_exposed(&self) -> bool {
        matches!(self.scheme, Scheme::Http) && !is_loopback(&self.host)
    }

    /// Returns whether this URI has this origin: the same scheme, host and port. Hosts are compared as text,
    /// without regard to case.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Origin;
    /// use http::Uri;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let origin: Origin = "https://api.example.com".parse()?;
    /// assert!(origin.covers(&Uri::from_static("https://api.example.com:443/v1/jobs")));
    /// assert!(!origin.covers(&Uri::from_static("https://api.example.com.evil.org/")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn covers(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return false;
        };
        let port = uri.authority().map(port_of);
        matches!(port, Some(Ok(port)) if self.covers_parts(scheme, host, port))
    }

    /// Like [`covers`](Self::covers), for a URL of another type.
    #[inline]
    pub(crate) fn covers_parts(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let is_same_host = host == self.host || self.has_host(host);
        is_same_host
            && self.scheme.is_of(scheme)
            && port.unwrap_or(self.scheme.default_port()) == self.port
    }

    /// Returns whether the origin covers this authority, compared as text. It returns false for a host in another
    /// spelling.
    #[inline]
    pub(crate) fn covers_text(&self, scheme: &str, authority: &str) -> bool {
        let Some(rest) = authority.strip_prefix(self.host.as_str()) else {
            return false;
        };
        let port = match rest.strip_prefix(':') {
            _ if rest.is_empty() => Some(self.scheme.default_port()),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
            _ => None,
        };
        port == Some(self.port) && self.scheme.is_of(scheme)
    }

    /// Returns whether a host in another spelling is this one. Apart, since most requests have the same spelling.
    #[cold]
    fn has_host(&self, host: &str) -> bool {
        host.eq_ignore_ascii_case(&self.host)
            || host.starts_with('[') && normalized(host) == self.host
    }
}

impl FromStr for Origin {
    type Err = Error;

    /// Parses the origin of a URL, and ignores the path and everything after it.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if the text is not a URL, is neither https nor http to a loopback address, or
    /// contains a user name or a password.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text, &PlainHttp::default())
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
            let uri = format!("http://{host}").parse::<Uri>();
            let is_host =
                uri.is_ok_and(|uri| uri.authority().is_some_and(|it| it.as_str() == host));
            let is_in_full = normalized(host) == *host && !is_odd_address(host);
            // A port follows the closing bracket of an IPv6 address.
            let has_port = host
                .rsplit(']')
                .next()
                .is_some_and(|rest| rest.contains(':'));
            if !is_host || !is_in_full || has_port || host.contains(['*', '@']) {
                return Err(config(format!(
                    "{}: the argument is not a host; give it in full and in lower case, without a scheme, a port or a \
                     path, such as `auth.internal`",
                    self.method
                )));
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

fn config(text: impl Into<String>) -> Error {
    Error::own(ErrorKind::Config, text)
}

fn refused(scheme: &str, host: &str, why: &str) -> Error {
    config(format!("a token cannot go to {scheme}://{host}: {why}"))
}

/// What follows the host is no port.
pub(crate) struct InvalidPort;

/// Returns the port, if there is one. `Authority` does not check it.
pub(crate) fn port_of(authority: &Authority) -> Result<Option<u16>, InvalidPort> {
    let text = authority.as_str();
    let text = text.rsplit_once('@').map_or(text, |(_, after)| after);
    let rest = text.strip_prefix(authority.host()).ok_or(InvalidPort)?;
    if rest.is_empty() || rest == ":" {
        return Ok(None);
    }
    let digits = rest.strip_prefix(':').ok_or(InvalidPort)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidPort);
    }
    digits.parse().map(Some).map_err(|_| InvalidPort)
}

/// Returns the host as HTTP clients have it: in lower case, an IPv6 address in its short form.
fn normalized(host: &str) -> String {
    let address = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    match address.and_then(|it| it.parse::<Ipv6Addr>().ok()) {
        Some(address) => match address.segments() {
            // `Display` would show the last four bytes as an IPv4 address.
            [0, 0, 0, 0, 0, 0xffff, high, low] => format!("[::ffff:{high:x}:{low:x}]"),
            _ => format!("[{address}]"),
        },
        None => host.to_ascii_lowercase(),
    }
}

/// Returns whether HTTP clients take this host for an IPv4 address although it is not written as one: `127.1`,
/// `0x7f000001`.
fn is_odd_address(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    let is_number = last.is_some_and(|last| {
        let digits = last.strip_prefix("0x");
        let is_hex = digits.is_some_and(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()));
        is_hex || !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
    });
    is_number && host.parse::<Ipv4Addr>().is_err()
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
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> Result<Origin, Error> {
        text.parse()
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// What is covered by its text is covered when it is parsed.
        #[test]
        fn s1_the_text_covers_no_more_than_the_parts(
            scheme in "https?",
            authority in prop_oneof![
                "(user(:secret)?@)?(api\\.example\\.com|\\[::1\\])(:(443|80|8443|0443|\\+443|65979)?)?",
                "api\\.example\\.com[:.@a-z0-9]{0,8}",
            ],
        ) {
            let Ok(uri) = format!("{scheme}://{authority}/").parse::<http::Uri>() else {
                return Ok(());
            };
            let authority = uri.authority().unwrap();
            for text in ["https://api.example.com", "https://api.example.com:8443", "http://[::1]:80"] {
                let origin = origin(text).unwrap();
                let parsed = port_of(authority).is_ok_and(|port| {
                    origin.covers_parts(&scheme, uri.host().unwrap(), port)
                });
                let by_text = origin.covers_text(&scheme, authority.as_str());
                prop_assert!(parsed || !by_text, "{text} {uri}");
            }
        }
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
            "https://127.1",
            "https://0x7f000001",
            "https://2130706433",
            "https://bücher.example",
            "https://",
            "//api.example.com",
            "https://api.example.com:99999",
            "https://api.example.com:x",
            "https://api.example.com:+1",
            "http://[::1]x",
            "/v1",
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
            "http://[0:0::1]",
            "HTTPS://API.example.com",
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
            "[fd00:0::7]",
            "10.7",
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
        let covers = |text: &str| ours.covers(&text.parse().unwrap());
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
        assert!(!covers("https://api.example.com:+443"));
        assert!(covers("https://api.example.com:/"));
        let mapped = origin("https://[::ffff:192.0.2.1]").unwrap();
        for text in ["https://[::ffff:192.0.2.1]", "https://[::FFFF:c000:201]/"] {
            assert!(mapped.covers(&text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = origin("https://user:hunter2@api.example.com").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        let error = origin("https://user:hunter2@[bad").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
