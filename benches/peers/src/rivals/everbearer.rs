//! everbearer, with its default policies.

use async_trait::async_trait;
use everbearer::{
    TokenRef, Error, ExchangeResponse, LongTermToken, ShortTermToken, TokenIssuer, TokenProvider, Revoked};
use http::HeaderValue;

use crate::rival::Rival;
use crate::source::Source;

#[derive(Clone)]
pub(crate) struct Everbearer(pub(crate) TokenProvider);

impl Rival for Everbearer {
    const NAME: &'static str = "everbearer";
    type Refused = Error;

    /// Begins its first exchange at once, in the background.
    async fn start(source: &Source) -> Self {
        let long_term = LongTermToken::new("long-term").unwrap();
        let provider = TokenProvider::builder(Issuer(source.clone()), long_term).build();
        Self(provider.unwrap())
    }

    fn header(&self) -> impl Future<Output = Result<HeaderValue, Error>> + Send {
        self.0.authorization()
    }
}

#[derive(Debug)]
struct Issuer(Source);

#[async_trait]
impl TokenIssuer for Issuer {
    async fn exchange(&self, _: Option<&LongTermToken>, _: &[String]) -> Result<ExchangeResponse, Error> {
        let minted = self.0.mint().await;
        let token = ShortTermToken::builder(&minted.token).expires_in(minted.life);
        Ok(ExchangeResponse::from(token.build()?))
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Gone)
    }
}
