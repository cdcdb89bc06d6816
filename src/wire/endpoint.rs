//! The URLs of an auth server, checked.

use reqwest::Url;

use crate::error::{Error, ErrorKind};
use crate::origin::{Origin, PlainHttp};

/// Checks a URL to which secrets are sent, and returns it with its origin. `what` names the URL in errors, which
/// do not repeat it, since it may hold a password, and show the `example` instead.
pub(crate) fn endpoint(
    url: &str,
    (what, example): (&str, &str),
    plain_http: &PlainHttp,
) -> Result<(Url, Origin), Error> {
    let refuse = |why: &str| Error::own(ErrorKind::Config, format!("the {what} {why}"));
    let url = Url::parse(url).map_err(|error| {
        refuse(&format!(
            "is not a URL ({error}); it must look like {example}"
        ))
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("holds a user name or a password; leave them out"));
    }
    let host = url.host_str().unwrap_or_default();
    let origin = Origin::of(url.scheme(), host, url.port(), plain_http)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("is not an https URL; use https"));
    }
    if url.fragment().is_some() {
        return Err(refuse("holds a fragment; leave it out"));
    }
    Ok((url, origin))
}
