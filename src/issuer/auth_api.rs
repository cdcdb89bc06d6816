//! The contract's auth server as an issuer.

use async_trait::async_trait;

use super::{ExchangeResponse, Grant, TokenIssuer};
use crate::api::AuthApi;
use crate::api::models::ShortTokenRequest;
use crate::error::{Error, ErrorKind};
use crate::origin::Origin;
use crate::token::{LongTermToken, ShortTermToken, TokenRef};

#[async_trait]
impl TokenIssuer for AuthApi {
    async fn exchange(
        &self,
        long_term: &LongTermToken,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let request = (!scopes.is_empty()).then(|| ShortTokenRequest::scopes(scopes));
        let response = self
            .issue_short_term_token(long_term, request.as_ref())
            .await?;
        Ok(ExchangeResponse::from(response.into_token()?))
    }

    /// A token is revoked on its own authority: the contract always allows that. That it has
    /// expired by the server's clock is as good.
    async fn revoke(&self, token: TokenRef<'_>) -> Result<(), Error> {
        let id = token.token_id().ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidToken,
                "the server gave the token no ID to revoke it by",
            )
        })?;
        match self.revoke_token(id, token).await {
            Err(error)
                if error.kind() == ErrorKind::Denied && error.code() == Some("token_expired") =>
            {
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn obtain(&self, grant: &Grant) -> Result<LongTermToken, Error> {
        let (request, authorization) = grant.request(self.base_url()).await?;
        self.issue_long_term_token(&request, authorization.as_ref())
            .await?
            .into_token()
    }

    async fn rotate(
        &self,
        grant: &Grant,
        authority: &ShortTermToken,
    ) -> Result<LongTermToken, Error> {
        self.issue_long_term_token(&grant.request_without_proof(), Some(authority))
            .await?
            .into_token()
    }

    fn origin(&self) -> Option<Origin> {
        Some(AuthApi::origin(self).clone())
    }
}
