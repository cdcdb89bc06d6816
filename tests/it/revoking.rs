//! How a token is revoked, and what becomes of one that cannot be.

use everbearer::testkit::{AuthServer, ManualClock, Reply, ScriptedIssuer, TokenKind};
use everbearer::{
    Error, Event, Grant, IssuerProfile, LongTermToken, RevocationOutcome, Revoked, ShutdownPolicy,
    TokenProvider,
};

use crate::support::{provider, provider_at, secs};

/// The server lets no token without `tokens:revoke` revoke itself, so the long-term token does it.
#[tokio::test]
async fn d13_a_token_that_may_not_revoke_itself_is_revoked_by_the_long_term_token() {
    let builder = AuthServer::builder().demand_revoke_scope(true);
    let server = builder.start().await.unwrap();
    let provider = provider_at(&server).scopes(["jobs:read"]).build().unwrap();
    for _ in 0..4 {
        provider.refresh().await.unwrap();
    }
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report}");
    let tokens = server.tokens();
    let short_term = tokens.iter().filter(|it| it.kind == TokenKind::ShortTerm);
    assert!(short_term.clone().count() >= 4);
    assert!(short_term.clone().all(|it| it.revoked), "{tokens:?}");
}

#[tokio::test(start_paused = true)]
async fn d13_after_one_refusal_the_long_term_token_is_the_first_authority() {
    let issuer = Demanding::default();
    let long_term = LongTermToken::new("lt").unwrap();
    let provider = TokenProvider::builder(issuer.clone(), long_term)
        .clock(ManualClock::new())
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap();
    let mut idle = provider.scoped(["a"]);
    idle.token().await.unwrap();
    provider.token().await.unwrap();
    tokio::time::sleep(secs(4_000)).await;
    assert_eq!(issuer.calls(), [("st-a", None), ("st-a", Some("lt"))]);
    idle = provider.scoped(["b"]);
    idle.token().await.unwrap();
    assert!(provider.shutdown().await.all_revoked());
    let calls = issuer.calls();
    assert!(calls.contains(&("st-b", Some("lt"))), "{calls:?}");
    assert!(!calls.contains(&("st-b", None)), "{calls:?}");
    assert_eq!(calls.last(), Some(&("lt", None)), "on its own authority");
}

#[tokio::test(start_paused = true)]
async fn d13_where_both_authorities_are_refused_the_token_is_reported() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::error(Error::terminal("no"))]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    assert_eq!(report.not_revoked().count(), 1);
    let authorities = issuer.authorities();
    assert_eq!(authorities.len(), 2, "{authorities:?}");
    assert!(authorities[0].is_none() && authorities[1].is_some());
}

#[tokio::test(start_paused = true)]
async fn d12_what_cannot_be_revoked_is_said_once_and_not_tried_again() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::revoked(Revoked::Unsupported)]);
    issuer.default_reply(Reply::token(secs(86_400)));
    let (provider, _) = provider(&issuer);
    for _ in 0..3 {
        provider.refresh().await.unwrap();
    }
    let mut events = provider.subscribe();
    let report = provider.shutdown().await;
    assert_eq!(issuer.authorities().len(), 1, "one call for three tokens");
    assert!(issuer.revoked().is_empty());
    assert!(!report.all_revoked());
    let unsupported =
        |outcome: &RevocationOutcome| matches!(outcome, RevocationOutcome::Unsupported);
    let tokens = report.tokens.iter();
    assert_eq!(tokens.filter(|it| unsupported(&it.outcome)).count(), 3);
    let shown = report.to_string();
    assert!(
        shown.contains("; cannot be revoked: short-term token st-"),
        "{shown}"
    );
    assert!(shown.contains(", valid until 2"), "{shown}");
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Revocation { error, .. } => told.push(error.unwrap().to_string()),
            Event::ShutDown => break,
            _ => {}
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(
            "the auth server cannot revoke short-term tokens; this one is valid until 2"
        ),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn d12_a_revocation_of_unknown_outcome_is_reported_and_not_tried_again() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::revoked(Revoked::Unknown)]);
    let (provider, _) = provider(&issuer);
    provider.token().await.unwrap();
    let report = provider.shutdown().await;
    assert_eq!(issuer.authorities().len(), 1);
    assert!(!report.all_revoked());
    let outcome = &report.tokens[0].outcome;
    assert!(
        matches!(outcome, RevocationOutcome::Unknown(_)),
        "{report:?}"
    );
}

/// The server lets neither the superseded token nor the one in use revoke the former.
#[tokio::test(start_paused = true)]
async fn d13_a_superseded_token_that_may_not_be_revoked_is_reported() {
    let issuer = ScriptedIssuer::new();
    issuer.script_revocations([Reply::error(Error::terminal("may not revoke"))]);
    let provider = rotating(&issuer);
    provider.ready().await.unwrap();
    let mut events = provider.subscribe();
    provider.rotate().await.unwrap();
    let error = loop {
        if let Event::Revocation { error, .. } = events.next().await.unwrap() {
            break error;
        }
    };
    assert_eq!(error.unwrap().kind(), everbearer::ErrorKind::Denied);
    assert_eq!(issuer.authorities().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn d13_the_long_term_token_in_use_is_revoked_last() {
    let issuer = ScriptedIssuer::new();
    let provider = rotating(&issuer);
    provider.ready().await.unwrap();
    provider.rotate().await.unwrap();
    provider.token().await.unwrap();
    assert!(provider.shutdown().await.all_revoked());
    let revoked = issuer.revoked();
    assert_eq!(
        revoked.last().map(String::as_str),
        Some("lt-2"),
        "{revoked:?}"
    );
    assert!(revoked.contains(&"lt-1".to_owned()), "{revoked:?}");
}

fn rotating(issuer: &ScriptedIssuer) -> TokenProvider {
    TokenProvider::builder(issuer.clone(), Grant::client_secret("id", "secret"))
        .clock(ManualClock::new())
        .shutdown_policy(ShutdownPolicy::default().revoke_long_term(true))
        .build()
        .unwrap()
}

/// A token that the server hands to all clients is not one client's to revoke.
#[tokio::test(start_paused = true)]
async fn d2_a_token_that_other_clients_share_is_kept() {
    let issuer = ScriptedIssuer::new();
    issuer.set_profile(IssuerProfile::new("shared").shares_tokens(true));
    let (provider, _) = provider(&issuer);
    provider.scoped(["a"]).token().await.unwrap();
    provider.token().await.unwrap();
    tokio::time::sleep(secs(4_000)).await;
    let report = provider.shutdown().await;
    assert!(report.all_revoked());
    assert!(issuer.authorities().is_empty(), "no call at all");
    let kept = |outcome: &RevocationOutcome| matches!(outcome, RevocationOutcome::Kept);
    assert!(
        report.tokens.iter().all(|it| kept(&it.outcome)),
        "{report:?}"
    );
}

/// Revokes a short-term token on the authority of the long-term one only.
#[derive(Clone, Default)]
struct Demanding(std::sync::Arc<std::sync::Mutex<Calls>>);

/// Tokens, each with its authority.
type Calls = Vec<(String, Option<String>)>;

impl Demanding {
    fn calls(&self) -> Vec<(&'static str, Option<&'static str>)> {
        let known = |text: &str| {
            ["st-", "st-a", "st-b", "lt"]
                .into_iter()
                .find(|it| *it == text)
        };
        let calls = self.0.lock().unwrap();
        let call = |(token, authority): &(String, Option<String>)| {
            (known(token).unwrap(), authority.as_deref().and_then(known))
        };
        calls.iter().map(call).collect()
    }
}

#[everbearer::async_trait]
impl everbearer::TokenIssuer for Demanding {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<everbearer::ExchangeResponse, Error> {
        let name = format!("st-{}", scopes.join(" "));
        let token = everbearer::ShortTermToken::builder(&name).expires_in(secs(86_400));
        token.build().map(Into::into)
    }

    async fn revoke(
        &self,
        token: everbearer::TokenRef<'_>,
        authority: Option<everbearer::TokenRef<'_>>,
    ) -> Result<Revoked, Error> {
        let authority = authority.map(|it| it.expose().to_owned());
        let is_refused = token.expose() != "lt" && authority.is_none();
        let call = (token.expose().to_owned(), authority);
        self.0.lock().unwrap().push(call);
        if is_refused {
            return Err(Error::terminal("a token may not revoke itself"));
        }
        Ok(Revoked::Gone)
    }
}
