//! The contract's auth server as an issuer.

use async_trait::async_trait;

use super::client::AuthApi;
use super::models::{GrantType, JWT_BEARER, LongTokenRequest, ShortTokenRequest};
use crate::error::{Error, ErrorKind};
use crate::issuer::{ExchangeResponse, Grant, IssuerProfile, Proof, Revoked, TokenIssuer};
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

#[async_trait]
impl TokenIssuer for AuthApi {
    async fn exchange(
        &self,
        long_term: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let long_term = long_term.ok_or_else(|| {
            let text = "the auth server exchanges a long-term token, and there is none";
            Error::own(ErrorKind::Config, text)
        })?;
        let request = (!scopes.is_empty()).then(|| ShortTokenRequest::scopes(scopes));
        let response = self
            .issue_short_term_token(long_term, request.as_ref())
            .await?;
        Ok(ExchangeResponse::from(response.into_token()?))
    }

    /// Revokes the token by its ID. If the token itself is the authority, and the server responds that it has
    /// expired, the revocation has succeeded.
    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let id = token.token_id().ok_or_else(|| {
            Error::own(
                ErrorKind::InvalidToken,
                "the token has no ID to revoke it by",
            )
        })?;
        match self.revoke_token(id, authority.unwrap_or(token)).await {
            Err(error)
                if authority.is_none()
                    && error.kind() == ErrorKind::Denied
                    && error.code() == Some("token_expired") =>
            {
                Ok(Revoked::Gone)
            }
            // A 404 with an empty body: not the server's own answer about this ID.
            Err(error)
                if error.kind() == ErrorKind::InvalidRequest
                    && error.status() == Some(404)
                    && error.code().is_none() =>
            {
                Ok(Revoked::Unknown)
            }
            outcome => outcome.map(|()| Revoked::Gone),
        }
    }

    async fn obtain(
        &self,
        grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        let mut request = LongTokenRequest::new(GrantType::ClientCredentials, grant.client_id());
        request.scopes = grant.requested_scopes().map(<[String]>::to_vec);
        request.ttl_seconds = grant.requested_ttl().map(|ttl| ttl.as_secs());
        let mut lent = None;
        match grant.proof(self.base_url()).await? {
            Proof::ClientSecret(secret) => request.client_secret = Some(secret),
            Proof::OneTimeCode(code) => request.otp_code = Some(code),
            Proof::Assertion(jwt) => {
                request.grant_type = GrantType::Assertion;
                request.assertion_type = Some(JWT_BEARER.to_owned());
                request.assertion = Some(jwt);
            }
            Proof::Authority(None) if authority.is_none() => {
                return Err(Error::own(
                    ErrorKind::Config,
                    "the provider's own token obtains the next long-term token, not the first \
                     one; start from a long-term token or from another grant",
                ));
            }
            Proof::Authority(token) => lent = token,
        }
        self.issue_long_term_token(&request, authority.or(lent.as_ref()))
            .await?
            .into_token()
    }

    fn profile(&self) -> IssuerProfile {
        IssuerProfile::new("AuthApi").origin(self.origin().clone())
    }
}
