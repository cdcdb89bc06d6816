//! A server that returns the same token again, or for several scope sets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    Clock, Error, ErrorKind, Event, ExchangeResponse, Grant, LongTermToken, MemoryStore,
    RefreshPolicy, Revoked, ScopePolicy, ShortTermToken, TokenIssuer, TokenProvider,
    TokenProviderBuilder, TokenRef,
};
use serde_json::{Value, json};

use crate::support::{builder, secs};

fn jwt(claims: &Value) -> String {
    let header = BASE64.encode(json!({"alg": "ES256K"}).to_string());
    format!("{header}.{}.c2ln", BASE64.encode(claims.to_string()))
}

fn unix(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Asks for a token once a minute, and returns the minutes without one.
async fn minutes_without_a_token(provider: &TokenProvider, minutes: u64) -> Vec<u64> {
    let mut without = Vec::new();
    for minute in 0..minutes {
        if provider.token().await.is_err() {
            without.push(minute);
        }
        tokio::time::sleep(secs(60)).await;
    }
    without
}

#[tokio::test(start_paused = true)]
async fn w21_an_earlier_clone_of_a_repeated_token_is_the_token_in_use() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::from_fn(|_| {
        let token = ShortTermToken::builder("shared");
        token.expires_in(secs(900)).build()
    }));
    let provider = builder(&issuer).build().unwrap();
    let first = provider.token().await.unwrap();
    tokio::time::sleep(secs(800)).await;
    assert!(issuer.exchanges() >= 2);
    let error = provider.invalidate(&first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unchanged);
}

#[tokio::test(start_paused = true)]
async fn w21_a_repeated_jwt_that_outlives_its_stated_life_is_used_until_its_exp() {
    for has_iat in [true, false] {
        for expires_in in [900, 3_600] {
            let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
            let now = unix(clock.wall());
            let iat = has_iat.then_some(now);
            let token = jwt(&json!({"iat": iat, "exp": now + 3_600}));
            issuer.default_reply(Reply::from_fn(move |_| {
                let token = ShortTermToken::builder(&token);
                token.expires_in(secs(expires_in)).build()
            }));
            let provider = builder(&issuer).clock(clock).build().unwrap();
            assert_eq!(minutes_without_a_token(&provider, 59).await, [0; 0]);
            assert_eq!(provider.status().generation, 1);
            assert!(provider.status().usable_for <= secs(60));
            tokio::time::sleep(secs(60)).await;
            provider.token().await.unwrap_err();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn w21_a_date_that_was_ahead_once_does_not_end_a_repeated_jwt() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    let now = unix(clock.wall());
    for claims in [
        json!({"iat": now, "exp": now + 3_600}),
        json!({"exp": now + 3_600}),
    ] {
        let (token, clock) = (jwt(&claims), ManualClock::new());
        let (is_first, server) = (AtomicBool::new(true), clock.clone());
        issuer.default_reply(Reply::from_fn(move |_| {
            let ahead = if is_first.swap(false, Ordering::SeqCst) {
                secs(3_000)
            } else {
                Duration::ZERO
            };
            let token = ShortTermToken::builder(&token);
            token.server_time(server.wall() + ahead).build()
        }));
        let provider = builder(&issuer).clock(clock).build().unwrap();
        assert_eq!(minutes_without_a_token(&provider, 59).await, [0; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn w21_an_exp_that_is_left_out_does_not_end_a_repeated_jwt() {
    for exp in [json!(253_402_300_799_u64), json!(1e300), json!(1_u64 << 63)] {
        for expires_in in [None, Some(secs(900))] {
            let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
            let (token, server) = (jwt(&json!({"exp": exp})), clock.clone());
            issuer.default_reply(Reply::from_fn(move |_| {
                let token = ShortTermToken::builder(&token).server_time(server.wall());
                match expires_in {
                    Some(life) => token.expires_in(life).build(),
                    None => token.build(),
                }
            }));
            let provider = builder(&issuer).clock(clock).build().unwrap();
            assert_eq!(minutes_without_a_token(&provider, 60).await, [0; 0]);
        }
    }
}

/// Returns a token that lives for a day: one for each scope set, or one for all of them but `own`.
#[derive(Clone, Debug)]
struct Caching {
    issuer: ScriptedIssuer,
    ignores_scopes: bool,
}

#[async_trait::async_trait]
impl TokenIssuer for Caching {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let name = if self.ignores_scopes && scopes != ["own"] {
            "cached".to_owned()
        } else {
            format!("cached-{}", scopes.join("-"))
        };
        let token = ShortTermToken::builder(&name).token_id(&name);
        token.expires_in(secs(86_400)).build().map(Into::into)
    }

    async fn revoke(
        &self,
        token: TokenRef<'_>,
        authority: Option<TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        self.issuer.revoke(token, authority).await
    }

    async fn obtain(
        &self,
        grant: &Grant,
        authority: Option<&ShortTermToken>,
    ) -> Result<LongTermToken, Error> {
        self.issuer.obtain(grant, authority).await
    }
}

fn caching(ignores_scopes: bool) -> (ScriptedIssuer, TokenProvider) {
    let (issuer, builder) = caching_builder(ignores_scopes);
    (issuer, builder.build().unwrap())
}

fn caching_builder(ignores_scopes: bool) -> (ScriptedIssuer, TokenProviderBuilder) {
    let issuer = ScriptedIssuer::new();
    let caching = Caching {
        issuer: issuer.clone(),
        ignores_scopes,
    };
    let builder = TokenProvider::builder(caching, LongTermToken::new("long-term").unwrap())
        .clock(ManualClock::new())
        .scope_policy(ScopePolicy::default().max_sets(2));
    (issuer, builder)
}

#[tokio::test(start_paused = true)]
async fn f14_a_token_that_another_set_uses_is_revoked_with_the_last_set() {
    let (issuer, provider) = caching(true);
    provider.token().await.unwrap();
    let (a, b) = (provider.scoped(["a"]), provider.scoped(["b"]));
    a.token().await.unwrap();
    tokio::time::sleep(secs(300)).await;
    b.token().await.unwrap();
    tokio::time::sleep(secs(1_200)).await;
    assert_eq!(issuer.revoked(), [""; 0]);
    assert_eq!(provider.current().unwrap().expose(), "cached");
    assert!(provider.shutdown().await.all_revoked());
    assert_eq!(issuer.revoked(), ["cached"]);
}

#[tokio::test(start_paused = true)]
async fn f14_a_token_that_is_in_use_again_is_not_revoked_after_the_grace() {
    let (issuer, provider) = caching(false);
    let [a, b, c] = ["a", "b", "c"].map(|scope| provider.scoped([scope]));
    a.token().await.unwrap();
    b.token().await.unwrap();
    tokio::time::sleep(secs(100)).await;
    c.token().await.unwrap(); // evicts a
    tokio::time::sleep(secs(5)).await;
    for _ in 0..8 {
        a.token().await.unwrap(); // evicts b, and gets the same token again
        tokio::time::sleep(secs(5)).await;
    }
    assert_eq!(issuer.revoked(), ["cached-b"]);
}

#[tokio::test(start_paused = true)]
async fn f14_a_token_of_an_evicted_set_is_revoked_once_and_after_the_grace() {
    let (issuer, builder) = caching_builder(true);
    let policy = ScopePolicy::default().max_sets(2).idle_timeout(secs(115));
    let lazy = RefreshPolicy::default().lazy(true); // so that the set without scopes gets no token
    let provider = builder.scope_policy(policy).refresh_policy(lazy);
    let provider = provider.build().unwrap();
    let [a, b, own] = ["a", "b", "own"].map(|scope| provider.scoped([scope]));
    a.token().await.unwrap();
    tokio::time::sleep(secs(2)).await;
    b.token().await.unwrap();
    tokio::time::sleep(secs(108)).await;
    own.token().await.unwrap(); // evicts a
    tokio::time::sleep(secs(20)).await; // b retires meanwhile
    assert_eq!(issuer.revoked(), [""; 0]);
    tokio::time::sleep(secs(20)).await;
    assert_eq!(issuer.revoked(), ["cached"]);
}

#[tokio::test(start_paused = true)]
async fn f14_a_rotation_does_not_revoke_the_token_in_use() {
    let (issuer, builder) = caching_builder(true);
    let provider = builder
        .rotate_with(Grant::self_rotation("id"))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    provider.rotate().await.unwrap();
    tokio::time::sleep(secs(60)).await;
    assert_eq!(provider.current().unwrap().expose(), "cached");
    assert!(!issuer.revoked().contains(&"cached".to_owned()));
    assert!(provider.shutdown().await.all_revoked());
    assert!(issuer.revoked().contains(&"cached".to_owned()));
}

/// What a set leaves may be the token that asks for the next long-term token.
#[tokio::test(start_paused = true)]
async fn f14_a_token_that_can_ask_again_is_not_revoked_with_a_set() {
    let (issuer, builder) = caching_builder(true);
    issuer.script_long_term((0..1_000).map(|_| Reply::error(Error::transient("503"))));
    let provider = builder
        .refresh_policy(RefreshPolicy::default().lazy(true))
        .scope_policy(ScopePolicy::default().idle_timeout(secs(115)))
        .store(MemoryStore::new())
        .rotate_with(Grant::self_rotation("id"))
        .build()
        .unwrap();
    provider.scoped(["a"]).token().await.unwrap();
    provider.rotate().await.unwrap_err();
    let mut events = provider.subscribe();
    while !matches!(events.next().await, Some(Event::ScopesRetired { .. })) {}
    tokio::time::sleep(secs(10)).await;
    assert_eq!(issuer.revoked(), [""; 0]);
}

/// The server states lifetimes in whole seconds, rounded down: zero in the last second.
#[tokio::test(start_paused = true)]
async fn o16_no_caller_gets_an_error_in_the_last_second_of_a_repeated_token() {
    for seed in 0..100 {
        let issuer = ScriptedIssuer::new();
        let began = tokio::time::Instant::now();
        issuer.default_reply(Reply::from_fn(move |_| {
            let passed = began.elapsed().as_millis();
            let token = ShortTermToken::builder(&format!("shared-{}", passed / 12_000));
            let left = Duration::from_millis(12_000 - u64::try_from(passed % 12_000).unwrap());
            token.expires_in(secs(left.as_secs())).build()
        }));
        let provider = builder(&issuer).jitter_seed(seed).build().unwrap();
        while began.elapsed() < secs(30) {
            let token = provider.token().await;
            assert!(
                token.is_ok(),
                "{seed}: {token:?} after {:?}",
                began.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        provider.shutdown().await;
    }
}

/// The next exchange is not likely to return another token, so the caller gets the error.
#[tokio::test(start_paused = true)]
async fn o16_a_repeated_token_that_is_far_from_its_end_and_has_expired_is_an_error() {
    let issuer = ScriptedIssuer::new();
    let shared =
        |life| Reply::from_fn(move |_| ShortTermToken::builder("shared").expires_in(life).build());
    issuer.script([shared(secs(900))]);
    issuer.default_reply(shared(Duration::ZERO));
    let provider = builder(&issuer).build().unwrap();
    provider.token().await.unwrap();
    tokio::time::sleep(secs(100)).await;
    let began = tokio::time::Instant::now();
    let error = provider.refresh().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!((issuer.exchanges(), began.elapsed()), (2, Duration::ZERO));
}
