//! What `Debug` shows of providers and of what they are made of (S11).

use std::time::SystemTime;

use async_trait::async_trait;
use everbearer::testkit::{ManualClock, ScriptedIssuer};
use everbearer::{
    AssertionSigner, Clock, Error, ExchangeResponse, Grant, LongTermToken, Moment, Record, Revoked,
    Stored, TokenIssuer, TokenProvider, TokenRef, TokenStore, Version,
};

/// A type of a user's, whose `Debug` shows a secret.
#[derive(Clone, Debug)]
struct Shows {
    _password: &'static str,
    issuer: ScriptedIssuer,
    clock: ManualClock,
}

const SECRET: &str = "hunter2";

impl Shows {
    fn new() -> Self {
        Self {
            _password: SECRET,
            issuer: ScriptedIssuer::new(),
            clock: ManualClock::new(),
        }
    }
}

#[async_trait]
impl TokenIssuer for Shows {
    async fn exchange(
        &self,
        token: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        self.issuer.exchange(token, scopes).await
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        self.issuer.revoke(token, authority).await
    }
}

#[async_trait]
impl TokenStore for Shows {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        Ok(None)
    }

    async fn store(&self, _: &Record, _: Option<&Version>) -> Result<Version, Error> {
        Err(Error::store("read-only"))
    }
}

#[async_trait]
impl AssertionSigner for Shows {
    fn algorithm(&self) -> &str {
        "ES256"
    }

    async fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Err(Error::transient("no key"))
    }
}

impl Clock for Shows {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }
}

#[tokio::test(start_paused = true)]
async fn s11_a_provider_and_what_it_is_made_of_show_nothing_of_a_users_type() {
    let long_term = LongTermToken::new("lt_0d51e9bd2f6449cf").unwrap();
    let builder = TokenProvider::builder(Shows::new(), long_term)
        .name("billing")
        .clock(Shows::new())
        .store(Shows::new())
        .rotate_with(Grant::assertion("client", Shows::new()));
    let mut shown = format!("{builder:?} {builder:#?}");
    let provider = builder.build().unwrap();
    provider.token().await.unwrap();
    shown += &format!("{provider:?} {:?}", provider.scoped(["a"]));
    shown += &format!("{:?}", Grant::assertion("client", Shows::new()));
    #[cfg(feature = "reqwest-middleware")]
    {
        shown += &format!("{:?}", provider.middleware());
    }
    shown += &format!("{:?} {:?}", provider.subscribe(), provider.status());
    assert!(shown.contains("billing"));
    assert!(!shown.contains(SECRET), "{shown}");
    assert!(!shown.contains("0d51e9bd"), "{shown}");
}

#[test]
fn s11_a_builder_shows_no_password_of_a_url() {
    let url = format!("https://user:{SECRET}@api.example.com");
    let builder = TokenProvider::builder(
        ScriptedIssuer::new(),
        LongTermToken::new("lt_0d51e9bd2f6449cf").unwrap(),
    )
    .origins([url.as_str()])
    .allow_plain_http_to(url.as_str());
    let api = everbearer::AuthApi::builder(&url).allow_plain_http_to(&url);
    let mut shown = format!("{builder:?} {api:?}");
    shown += &format!("{:?} {:?}", builder.build(), api.build());
    assert!(!shown.contains(SECRET), "{shown}");
}
