//! The endpoints of the server: given, or discovered from its metadata (RFC 8414, `OpenID` Connect Discovery 1.0).

use std::fmt;
use std::sync::Arc;

use reqwest::Url;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::error::{Error, ErrorKind};
use crate::origin::PlainHttp;
use crate::wire::{Answer, Call, Connection, JsonObject, endpoint, readable};

const RFC_8414: &str = "/.well-known/oauth-authorization-server";
const OPENID_CONNECT: &str = "/.well-known/openid-configuration";

/// The URLs to which requests go, and what assertions call the server.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) token: Url,
    pub(super) revocation: Option<Url>,
    /// The `aud` of assertions.
    pub(super) audience: String,
    /// Whether the server takes a client secret in the body only.
    pub(super) posts_secret: bool,
}

pub(super) enum Endpoints {
    Given(Arc<Metadata>),
    Discovered(Box<Discovery>),
}

pub(super) struct Discovery {
    pub(super) issuer: Url,
    /// The issuer as it was given.
    pub(super) name: String,
    /// The revocation endpoint that was given, which goes before that of the metadata.
    pub(super) revocation: Option<Url>,
    pub(super) uses_mtls_aliases: bool,
    pub(super) plain_http: PlainHttp,
    pub(super) found: Mutex<Option<Arc<Metadata>>>,
}

impl Endpoints {
    /// Returns the endpoints, which are discovered by the first call that succeeds.
    pub(super) async fn get(&self, connection: &Connection) -> Result<Arc<Metadata>, Error> {
        let discovery = match self {
            Self::Given(metadata) => return Ok(Arc::clone(metadata)),
            Self::Discovered(discovery) => discovery,
        };
        let mut found = discovery.found.lock().await;
        if let Some(metadata) = &*found {
            return Ok(Arc::clone(metadata));
        }
        let metadata = Arc::new(discovery.discover(connection).await?);
        *found = Some(Arc::clone(&metadata));
        Ok(metadata)
    }

    /// Discovers the endpoints again with the next request: they may have moved.
    pub(super) async fn forget(&self) {
        if let Self::Discovered(discovery) = self {
            *discovery.found.lock().await = None;
        }
    }
}

impl Discovery {
    async fn discover(&self, connection: &Connection) -> Result<Metadata, Error> {
        let path = self.issuer.path().trim_end_matches('/');
        let inserted = format!("{RFC_8414}{path}");
        let appended = format!("{path}{OPENID_CONNECT}");
        let mut failed: Vec<Answer<'_>> = Vec::new();
        let mut invalid = None;
        for path in [inserted, appended] {
            let mut url = self.issuer.clone();
            url.set_path(&path);
            let call = Call::get("discovery", url).repeatable();
            let answer = call.send(connection).await?;
            let body = readable(&answer.body);
            let members = JsonObject::of(&body).filter(|_| answer.status.is_success());
            match members.map(|members| self.read(&answer, &members)) {
                Some(Ok(metadata)) => return Ok(metadata),
                // The metadata may be that of a gateway, or of another issuer of this host.
                Some(Err(error)) => invalid = invalid.or(Some(error)),
                None => failed.push(answer),
            }
        }
        if let Some(error) = invalid {
            return Err(error);
        }
        let statuses: Vec<String> = failed
            .iter()
            .map(|it| it.status.as_u16().to_string())
            .collect();
        let text = format!(
            "there is no metadata at {RFC_8414} (RFC 8414) and {OPENID_CONNECT} of the issuer {}: the answers are {}; \
             check the issuer, or pass the URL of the token endpoint",
            self.name,
            statuses.join(" and "),
        );
        // A server that fails may have the metadata.
        let failing = failed.iter().find(|it| it.status.is_server_error());
        let Some(last) = failing.or(failed.last()) else {
            return Err(Error::own(ErrorKind::Protocol, text));
        };
        let kind = ErrorKind::of_status(last.status.as_u16(), None);
        let kind = if last.status.is_success() {
            ErrorKind::Protocol
        } else {
            kind
        };
        Err(last.error(kind, &text, None))
    }

    fn read(&self, answer: &Answer<'_>, members: &JsonObject<'_>) -> Result<Metadata, Error> {
        let text = |name: &str| match members.get(name) {
            Value::String(text) => Some(text),
            _ => None,
        };
        let issuer = text("issuer").unwrap_or_default();
        let without_slash = |url: &str| url.strip_suffix('/').unwrap_or(url).to_owned();
        if without_slash(&issuer) != without_slash(&self.name) {
            let why = "the metadata is that of another issuer (RFC 8414, section 3.3); pass the `issuer` of the metadata to \
                       TokenEndpoint::discover";
            return Err(answer.error(ErrorKind::Config, why, None));
        }
        let aliases = match members.get("mtls_endpoint_aliases") {
            Value::Object(aliases) if self.uses_mtls_aliases => aliases,
            _ => serde_json::Map::new(),
        };
        let url = |name: &str| {
            let alias = aliases.get(name).and_then(Value::as_str).map(str::to_owned);
            let url = alias.or_else(|| text(name));
            let url = url.map(|url| {
                let what = format!("{name} of the metadata");
                endpoint(
                    &url,
                    (&what, "https://auth.example.com/token"),
                    &self.plain_http,
                )
            });
            url.transpose().map(|found| found.map(|(url, _)| url))
        };
        let token = url("token_endpoint")?.ok_or_else(|| {
            answer.error(
                ErrorKind::Config,
                "the metadata names no token_endpoint; pass the URL of the token endpoint",
                None,
            )
        })?;
        let revocation = match &self.revocation {
            Some(url) => Some(url.clone()),
            None => url("revocation_endpoint")?,
        };
        let methods = match members.get("token_endpoint_auth_methods_supported") {
            Value::Array(methods) => methods,
            _ => Vec::new(),
        };
        let takes = |method: &str| methods.iter().any(|it| it == method);
        Ok(Metadata {
            token,
            revocation,
            audience: issuer,
            posts_secret: takes("client_secret_post") && !takes("client_secret_basic"),
        })
    }
}

impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(metadata) => {
                let mut url = metadata.token.clone();
                url.set_query(None);
                f.write_str(url.as_str())
            }
            Self::Discovered(discovery) => write!(f, "discovered at {}", discovery.name),
        }
    }
}
