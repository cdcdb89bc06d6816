//! An OAuth server as an issuer.

use async_trait::async_trait;
use reqwest::Url;

use super::client::OAuth2;
use super::discovery::Metadata;
use super::grant::OAuthGrant;
use super::request::Request;
use super::{error, response};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::issuer::{ExchangeResponse, IssuerProfile, Needs, Revoked, TokenIssuer};
use crate::token::{LongTermToken, TokenRef};
use crate::wire::{JsonObject, readable};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

#[async_trait]
impl TokenIssuer for OAuth2 {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let inner = &*self.0;
        let endpoints = inner.endpoints.get(&inner.connection).await;
        let endpoints = endpoints.map_err(Error::unsent)?;
        let request = self.token_request(&endpoints, long_term, scopes).await;
        let request = request.map_err(Error::unsent)?;
        let mut call = request.call("token request", &endpoints.token);
        // A refresh token and an assertion may be valid once, and the server may have received them.
        if !self.is_used_once() {
            call = call.repeatable();
        }
        let outcome = call.send(&inner.connection).await;
        if outcome
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Unreachable)
        {
            inner.endpoints.forget().await;
        }
        let answer = outcome?;
        if matches!(answer.status.as_u16(), 404 | 405 | 410) {
            inner.endpoints.forget().await;
        }
        let is_refresh = matches!(inner.grant, OAuthGrant::RefreshToken { .. });
        let read = response::read(&answer, &inner.transient, scopes, is_refresh);
        read.map_err(|error| match answer.date() {
            Some(date) if self.signs() && error.kind() == ErrorKind::Denied => {
                let skew = inner.skew.compare(date, SystemClock.wall());
                skew.into_iter().fold(error, Error::at)
            }
            _ => error,
        })
    }

    /// Revokes the token at the revocation endpoint (RFC 7009), where the client authenticates as at the token endpoint.
    async fn revoke(
        &self,
        token: TokenRef<'_>,
        _authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let inner = &*self.0;
        let endpoints = inner.endpoints.get(&inner.connection).await?;
        let Some(url) = &endpoints.revocation else {
            return Ok(Revoked::Unsupported);
        };
        let mut request = Request::default();
        request.form.secret("token", token.expose());
        let hint = match token {
            TokenRef::ShortTerm(_) => "access_token",
            TokenRef::LongTerm(_) => "refresh_token",
        };
        request.form.text("token_type_hint", hint);
        self.authenticate(&mut request, &endpoints, url).await?;
        let mut call = request.call("revocation", url);
        if !inner.client.is_used_once() {
            call = call.repeatable();
        }
        let answer = call.send(&inner.connection).await?;
        let body = readable(&answer.body);
        let members = JsonObject::of(&body);
        let is_error = members.as_ref().is_some_and(error::is_error);
        if answer.status.is_success() && !is_error {
            return answer.check_revoked().map(|()| Revoked::Gone);
        }
        if matches!(answer.status.as_u16(), 404 | 405 | 501) {
            return Ok(Revoked::Unsupported);
        }
        let error = error::refusal(&answer, &body, &inner.transient);
        match error.code().filter(|_| !answer.status.is_server_error()) {
            Some("unsupported_token_type") => Ok(Revoked::Unsupported),
            Some("invalid_token") => Ok(Revoked::Gone),
            _ => Err(error),
        }
    }

    fn profile(&self) -> IssuerProfile {
        let inner = &*self.0;
        let needs = match inner.grant {
            OAuthGrant::RefreshToken { is_replaced: true } => Needs::Replacing,
            OAuthGrant::RefreshToken { is_replaced: false } => Needs::LongTerm,
            _ => Needs::Nothing,
        };
        let mut profile = IssuerProfile::new("OAuth2")
            .needs(needs)
            .shares_tokens(inner.shares_tokens)
            .client_revokes(true)
            .revocation_ends_long_term(inner.keeps_access_tokens)
            .reuse_grace(inner.reuse_grace);
        let client = inner.client.source();
        let grant = match &inner.grant {
            OAuthGrant::JwtBearer(assertion) => assertion.secret(),
            OAuthGrant::TokenExchange { subject, .. } => Some(subject),
            OAuthGrant::ClientCredentials | OAuthGrant::RefreshToken { .. } => None,
        };
        for source in client
            .into_iter()
            .chain(grant)
            .chain(inner.params.secrets())
        {
            profile = profile.secret(source.clone());
        }
        profile
    }
}

impl OAuth2 {
    async fn token_request(
        &self,
        endpoints: &Metadata,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<Request, Error> {
        let inner = &*self.0;
        let mut request = Request::default();
        let form = &mut request.form;
        form.text("grant_type", inner.grant.as_str());
        let scope = (!scopes.is_empty()).then(|| scopes.join(" "));
        match &inner.grant {
            OAuthGrant::ClientCredentials => {}
            OAuthGrant::RefreshToken { .. } => {
                let token = long_term.ok_or_else(|| {
                    let text = "the grant refresh_token needs a refresh token, and there is none";
                    Error::own(ErrorKind::Config, text)
                })?;
                form.secret("refresh_token", token.expose());
            }
            OAuthGrant::JwtBearer(assertion) => {
                let claims: Vec<_> = scope.iter().map(|it| ("scope", it.clone())).collect();
                let now = inner.skew.correct(SystemClock.wall());
                let jwt = assertion.sign_at(&endpoints.audience, now, &claims).await?;
                form.secret("assertion", jwt);
            }
            OAuthGrant::TokenExchange {
                subject,
                subject_type,
            } => {
                form.secret("subject_token", subject.read().await?);
                form.text("subject_token_type", subject_type.as_str());
                if !inner.params.has("requested_token_type") {
                    form.text("requested_token_type", ACCESS_TOKEN);
                }
            }
        }
        if let Some(scope) = scope {
            form.text("scope", scope);
        }
        inner.params.add_to(form).await?;
        self.authenticate(&mut request, endpoints, &endpoints.token)
            .await?;
        Ok(request)
    }

    async fn authenticate(
        &self,
        request: &mut Request,
        endpoints: &Metadata,
        called: &Url,
    ) -> Result<(), Error> {
        let inner = &*self.0;
        let now = inner.skew.correct(SystemClock.wall());
        let audience = if inner.audience_is_endpoint {
            called.as_str()
        } else {
            &endpoints.audience
        };
        (inner.client)
            .authenticate(request, audience, endpoints.posts_secret, now)
            .await
    }

    /// Returns whether the token request has an assertion that this crate dates.
    fn signs(&self) -> bool {
        self.0.client.is_used_once() || matches!(self.0.grant, OAuthGrant::JwtBearer(_))
    }

    /// Returns whether the server may refuse the token request the second time.
    fn is_used_once(&self) -> bool {
        let is_replaced = matches!(self.0.grant, OAuthGrant::RefreshToken { is_replaced: true });
        self.signs() || is_replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth2::ClientAuth;

    #[test]
    fn o6_what_is_valid_once_is_sent_once() {
        let url = "https://auth.example.com/token";
        let secret = OAuth2::client_credentials(url, "id", "secret").build();
        assert!(!secret.unwrap().is_used_once());
        let refresh = || OAuth2::refresh_token(url, ClientAuth::public("id"));
        assert!(refresh().build().unwrap().is_used_once());
        let reusable = refresh().rotates_refresh_tokens(false).build();
        assert!(!reusable.unwrap().is_used_once());
    }
}
