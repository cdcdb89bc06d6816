//! A refusal with a pause, a secret that is missing for a moment, a secret that is replaced.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everbearer::testkit::{AuthServer, Endpoint, Fault, ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    AuthApi, Error, ErrorKind, ExchangeResponse, Grant, LongTermToken, RetryPolicy, Revoked,
    SecretSource, ShortTermToken, State, TokenIssuer, TokenProvider, TokenRef,
};

use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::sources::TestFile;
use crate::support::{in_a_process_of_its_own, millis, secs, settle};

fn locked_out(code: &str) -> Reply {
    let error = Error::terminal("locked out").with_code(code);
    Reply::error(error.with_retry_after(secs(120)))
}

fn recovering(issuer: &ScriptedIssuer) -> TokenProvider {
    TokenProvider::builder(issuer.clone(), LongTermToken::new("long-term").unwrap())
        .clock(ManualClock::new())
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn e16_the_grant_is_not_asked_before_the_pause_beside_a_refusal_is_over() {
    let issuer = ScriptedIssuer::new();
    issuer.script(std::iter::repeat_n(locked_out("invalid_token"), 4));
    let provider = recovering(&issuer);
    provider.token().await.unwrap_err();
    // The pause also applies to another scope set and to a rotation.
    provider.scoped(["a"]).token().await.unwrap_err();
    provider.rotate().await.unwrap_err();
    tokio::time::sleep(secs(110)).await;
    provider.scoped(["b"]).token().await.unwrap_err();
    assert_eq!((issuer.obtained(), issuer.rotated()), (0, 0));
    tokio::time::sleep(secs(20)).await;
    assert_eq!(provider.token().await.unwrap().expose(), "st-1");
    assert_eq!(issuer.obtained(), 1);
}

#[tokio::test(start_paused = true)]
async fn e16_no_scope_set_uses_a_grant_that_is_locked_out() {
    for failure in [
        Error::terminal("locked out").with_code("invalid_client"),
        Error::transient("slow down"),
    ] {
        let issuer = ScriptedIssuer::new();
        let failure = failure.with_retry_after(secs(120));
        issuer.script_long_term([Reply::error(failure)]);
        let grant = Grant::client_secret("id", "secret");
        let provider = TokenProvider::builder(issuer.clone(), grant)
            .clock(ManualClock::new())
            .build()
            .unwrap();
        provider.token().await.unwrap_err();
        for scope in ["a", "b", "c"] {
            let error = provider.scoped([scope]).token().await.unwrap_err();
            let pause = error.retry_after().unwrap();
            assert!((secs(100)..=secs(120)).contains(&pause), "{error:?}");
        }
        assert_eq!((issuer.obtained(), issuer.exchanges()), (0, 0));
        tokio::time::sleep(secs(121)).await;
        provider.token().await.unwrap();
        provider.scoped(["a"]).token().await.unwrap();
        assert_eq!(issuer.obtained(), 1);
    }
}

/// Returns another long-term token with each exchange, and refuses the scope `a` with a pause.
#[derive(Clone, Debug, Default)]
struct Replacing {
    exchanges: Arc<Mutex<Vec<String>>>,
}

#[async_trait::async_trait]
impl TokenIssuer for Replacing {
    async fn exchange(
        &self,
        _: Option<&LongTermToken>,
        scopes: &[String],
    ) -> Result<ExchangeResponse, Error> {
        let number = {
            let mut exchanges = self.exchanges.lock().unwrap();
            exchanges.push(scopes.join(" "));
            exchanges.len()
        };
        if scopes == ["a"] {
            let error = Error::terminal("locked out").with_code("access_denied");
            return Err(error.with_retry_after(secs(300)));
        }
        let token = ShortTermToken::builder(&format!("st-{number}")).expires_in(secs(60));
        let long_term = LongTermToken::new(format!("lt-{number}"))?;
        Ok(ExchangeResponse::from(token.build()?).replacing(long_term))
    }

    async fn revoke(&self, _: TokenRef<'_>, _: Option<TokenRef<'_>>) -> Result<Revoked, Error> {
        Ok(Revoked::Gone)
    }

    async fn obtain(&self, _: &Grant, _: Option<&ShortTermToken>) -> Result<LongTermToken, Error> {
        Err(Error::terminal("there is no grant"))
    }
}

#[tokio::test(start_paused = true)]
async fn e16_a_replaced_long_term_token_does_not_end_a_pause_that_the_server_asked_for() {
    let issuer = Replacing::default();
    let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("long-term").unwrap())
        .clock(ManualClock::new())
        .build()
        .unwrap();
    provider.token().await.unwrap();
    let scoped = provider.scoped(["a"]);
    scoped.token().await.unwrap_err();
    let asked = || {
        let exchanges = issuer.exchanges.lock().unwrap();
        exchanges.iter().filter(|scopes| *scopes == "a").count()
    };
    for _ in 0..26 {
        tokio::time::sleep(secs(10)).await;
        scoped.token().await.unwrap_err();
    }
    assert_eq!(asked(), 1);
    assert!(issuer.exchanges.lock().unwrap().len() > 5);
    tokio::time::sleep(secs(50)).await;
    scoped.token().await.unwrap_err();
    assert_eq!(asked(), 2);
}

fn provider_with(server: &AuthServer, source: SecretSource, policy: RetryPolicy) -> TokenProvider {
    let api = AuthApi::new(server.base_url()).unwrap();
    let grant = Grant::client_secret(server.client_id(), source);
    TokenProvider::builder(api, grant)
        .clock(ManualClock::new())
        .retry_policy(policy.backoff(millis(20), millis(20)))
        .build()
        .unwrap()
}

#[tokio::test]
async fn e18_a_secret_that_is_missing_for_a_moment_is_waited_for() {
    for content in [None, Some(""), Some("\n")] {
        let server = AuthServer::start().await.unwrap();
        let file = TestFile::new(&format!("e18-{}", content.map_or(9, str::len)));
        if let Some(content) = content {
            file.write(content);
        }
        let policy = RetryPolicy::default().ready_timeout(secs(20));
        let provider = provider_with(&server, file.source(), policy);
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Secret);
        assert!(error.is_retryable());
        assert!(error.to_string().contains(file.path()), "{error}");
        let ready = tokio::spawn(async move { provider.ready().await });
        tokio::time::sleep(millis(200)).await;
        assert!(!ready.is_finished());
        file.write(server.client_secret());
        ready.await.unwrap().unwrap();
        assert_eq!(server.counts().long_term.requests, 1);
    }
}

/// The levels and the texts of what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(tracing::Level, String)>>>);

struct Text<'a>(&'a mut String);

impl tracing::field::Visit for Text<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        *self.0 += &format!("{field}={value:?} ");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "everbearer"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        self.0
            .lock()
            .unwrap()
            .push((*event.metadata().level(), text));
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn e18_a_secret_that_is_missing_is_an_error_in_the_log_that_names_the_path() {
    let name =
        "grants::refused::e18_a_secret_that_is_missing_is_an_error_in_the_log_that_names_the_path";
    in_a_process_of_its_own(name, || {
        let log = Log::default();
        tracing::subscriber::set_global_default(log.clone()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let file = TestFile::new("e18-log");
        runtime.block_on(async {
            let server = AuthServer::start().await.unwrap();
            let provider = provider_with(&server, file.source(), RetryPolicy::default());
            for _ in 0..3 {
                provider.token().await.unwrap_err();
            }
        });
        let log = log.0.lock().unwrap();
        let errors: Vec<_> = log
            .iter()
            .filter(|(level, _)| *level == tracing::Level::ERROR)
            .filter(|(_, text)| text.contains("exchange failed"))
            .collect();
        assert_eq!(errors.len(), 1, "once, and not at each attempt: {log:#?}");
        assert!(errors[0].1.contains(file.path()), "{errors:?}");
    });
}

#[tokio::test]
async fn e18_after_a_refusal_a_secret_that_was_replaced_meanwhile_is_used_at_once() {
    let server = AuthServer::start().await.unwrap();
    let file = TestFile::holding("e18-replaced", "an-older-one");
    server.script(Endpoint::LongTerm, [Fault::Latency(millis(500))]);
    let provider = provider_with(&server, file.source(), RetryPolicy::default());
    let token = tokio::spawn(async move { provider.token().await });
    while server.counts().long_term.requests == 0 {
        tokio::time::sleep(millis(5)).await;
    }
    file.write(server.client_secret());
    token.await.unwrap().unwrap();
    assert_eq!(server.counts().long_term.requests, 2);
}

#[tokio::test]
async fn e18_a_callback_is_not_asked_again_by_itself() {
    let server = AuthServer::start().await.unwrap();
    let asked = Arc::<Mutex<u32>>::default();
    let source = SecretSource::from_fn({
        let asked = Arc::clone(&asked);
        move || {
            *asked.lock().unwrap() += 1;
            let secret = format!("wrong-{}", asked.lock().unwrap());
            async move { Ok(secret.into()) }
        }
    });
    let provider = provider_with(&server, source, RetryPolicy::default());
    provider.token().await.unwrap_err();
    for _ in 0..3 {
        jump(secs(31)).await;
    }
    provider.token().await.unwrap_err();
    assert_eq!(*asked.lock().unwrap(), 2, "by the callers only");
    assert_eq!(server.counts().long_term.requests, 2);
}

/// Advances the timers by this much at once, then resumes real time, since the sockets are real.
async fn jump(duration: Duration) {
    settle().await;
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
    tokio::time::sleep(millis(50)).await;
}

#[tokio::test]
async fn e19_a_secret_that_is_replaced_after_a_refusal_is_used_without_a_caller() {
    let server = AuthServer::start().await.unwrap();
    let file = TestFile::holding("e19", "an-older-one");
    let provider = provider_with(&server, file.source(), RetryPolicy::default());
    let error = provider.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(provider.status().state, State::Refused);
    // The provider does not try the same secret again.
    for _ in 0..5 {
        jump(secs(31)).await;
        file.write("an-older-one\n");
    }
    assert_eq!(server.counts().long_term.requests, 1);
    // A missing file causes no attempt.
    std::fs::remove_file(file.path()).unwrap();
    jump(secs(31)).await;
    assert_eq!(server.counts().long_term.requests, 1);
    file.write(server.client_secret());
    jump(secs(31)).await;
    let mut waits = 0;
    while provider.current().is_none() {
        waits += 1;
        assert!(waits < 200, "nothing came of it: {:?}", provider.status());
        tokio::time::sleep(millis(50)).await;
    }
    assert_eq!(server.counts().long_term.requests, 2);
}

#[tokio::test]
async fn e19_another_secret_that_is_refused_too_is_tried_once() {
    let server = AuthServer::start().await.unwrap();
    let file = TestFile::holding("e19-again", "one");
    let policy = RetryPolicy::default();
    let api = AuthApi::new(server.base_url()).unwrap();
    let grant = Grant::client_secret(server.client_id(), file.source());
    let provider = TokenProvider::builder(api, grant)
        .clock(ManualClock::new())
        .retry_policy(policy)
        .build()
        .unwrap();
    provider.token().await.unwrap_err();
    let mut seen = BTreeSet::from(["one"]);
    for secret in ["one", "two", "two", "three", "three", "three"] {
        file.write(secret);
        seen.insert(secret);
        jump(secs(31)).await;
        requests_are(&server, seen.len() as u64).await;
    }
}

#[tokio::test]
async fn e19_a_pause_that_the_server_asked_for_is_kept_all_the_same() {
    let server = AuthServer::start().await.unwrap();
    let file = TestFile::holding("e19-locked", "one");
    let locked_out = Fault::Status {
        status: 401,
        code: Some("invalid_client".to_owned()),
        retry_after: Some("120".to_owned()),
    };
    server.script(Endpoint::LongTerm, [locked_out]);
    let provider = provider_with(&server, file.source(), RetryPolicy::default());
    provider.token().await.unwrap_err();
    file.write(server.client_secret());
    for _ in 0..3 {
        jump(secs(31)).await;
        assert_eq!(server.counts().long_term.requests, 1);
    }
    jump(secs(31)).await;
    requests_are(&server, 2).await;
    assert!(provider.token().await.is_ok());
}

#[tokio::test]
async fn e19_the_secret_of_a_grant_that_was_not_refused_is_no_change() {
    let server = AuthServer::start().await.unwrap();
    let file = TestFile::holding("e19-unread", "wrong, too");
    let api = AuthApi::new(server.base_url()).unwrap();
    let provider = TokenProvider::builder(api, Grant::client_secret(server.client_id(), "wrong"))
        .rotate_with(Grant::client_secret(server.client_id(), file.source()))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    provider.token().await.unwrap_err();
    for _ in 0..5 {
        jump(secs(31)).await;
    }
    provider.token().await.unwrap_err();
    assert_eq!(server.counts().long_term.requests, 2, "by the callers only");
}

/// Refuses each exchange with a code after which the provider obtains no other long-term token.
fn refuse_exchanges(server: &AuthServer) {
    let refusal = Fault::Status {
        status: 403,
        code: Some("access_denied".to_owned()),
        retry_after: None,
    };
    server.fault_always(Endpoint::ShortTerm, refusal);
}

#[tokio::test]
async fn e19_a_change_that_does_not_help_is_tried_once() {
    let server = AuthServer::start().await.unwrap();
    refuse_exchanges(&server);
    let file = TestFile::holding("e19-once", server.client_secret());
    let provider = provider_with(&server, file.source(), RetryPolicy::default());
    provider.token().await.unwrap_err();
    assert_eq!(server.counts().short_term.requests, 1);
    file.write("another");
    for _ in 0..5 {
        jump(secs(31)).await;
        assert_eq!(server.counts().short_term.requests, 2);
    }
    requests_are(&server, 1).await;
}

#[tokio::test]
async fn e19_a_secret_that_was_never_used_is_no_change() {
    let server = AuthServer::start().await.unwrap();
    refuse_exchanges(&server);
    let file = TestFile::holding("e19-unused", server.client_secret());
    let api = AuthApi::new(server.base_url()).unwrap();
    let long_term = LongTermToken::new("long-term").unwrap();
    let provider = TokenProvider::builder(api, long_term)
        .recover_with(Grant::client_secret(server.client_id(), file.source()))
        .clock(ManualClock::new())
        .build()
        .unwrap();
    provider.token().await.unwrap_err();
    for _ in 0..5 {
        jump(secs(31)).await;
        assert_eq!(server.counts().short_term.requests, 1);
    }
}

#[tokio::test]
async fn e19_a_secret_that_is_replaced_during_an_attempt_is_used() {
    let server = AuthServer::start().await.unwrap();
    let file = TestFile::holding("e19-meanwhile", "wrong");
    let api = AuthApi::builder(server.base_url()).timeout(secs(100));
    let grant = Grant::client_secret(server.client_id(), file.source());
    let provider = TokenProvider::builder(api.build().unwrap(), grant)
        .clock(ManualClock::new())
        .retry_policy(RetryPolicy::default().exchange_timeout(secs(100)))
        .build()
        .unwrap();
    provider.token().await.unwrap_err();
    jump(secs(31)).await;
    server.script(Endpoint::LongTerm, [Fault::Latency(secs(2))]);
    let caller = tokio::spawn({
        let provider = provider.clone();
        async move { provider.token().await }
    });
    requests_are(&server, 2).await;
    file.write(server.client_secret());
    jump(secs(31)).await;
    requests_are(&server, 2).await;
    requests_are(&server, 3).await;
    while provider.current().is_none() {
        tokio::time::sleep(millis(20)).await;
    }
    drop(caller);
}

#[tokio::test]
async fn e19_a_secret_that_is_replaced_during_an_attempt_is_used_after_the_pause_that_it_brings() {
    let server = MockServer::start().await;
    let refusal = ResponseTemplate::new(401).set_body_json(json!({"code": "invalid_client"}));
    let locked_out = refusal.clone().insert_header("retry-after", "60");
    let token = json!({"token_type": "Bearer", "access_token": "a.b.c", "expires_in": 9_000});
    let token = ResponseTemplate::new(201).set_body_json(token);
    for answer in [refusal, locked_out.set_delay(secs(2)), token.clone()] {
        Mock::given(path("/auth/tokens/long"))
            .respond_with(answer)
            .up_to_n_times(1)
            .mount(&server)
            .await;
    }
    Mock::given(path("/auth/tokens/short"))
        .respond_with(token)
        .mount(&server)
        .await;
    let file = TestFile::holding("e19-pause", "wrong");
    let api = AuthApi::builder(server.uri()).timeout(secs(100));
    let grant = Grant::client_secret("id", file.source());
    let policy = RetryPolicy::default().exchange_timeout(secs(100));
    let policy = policy.wait_timeout(secs(100));
    let provider = TokenProvider::builder(api.build().unwrap(), grant)
        .clock(ManualClock::new())
        .retry_policy(policy)
        .build()
        .unwrap();
    provider.token().await.unwrap_err();
    jump(secs(31)).await;
    let caller = tokio::spawn({
        let provider = provider.clone();
        async move { provider.token().await }
    });
    let requests = async || server.received_requests().await.unwrap().len();
    while requests().await < 2 {
        tokio::time::sleep(millis(10)).await;
    }
    file.write("right");
    jump(secs(31)).await;
    let error = caller.await.unwrap().unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(60)));
    assert_eq!(requests().await, 2);
    for _ in 0..3 {
        jump(secs(31)).await;
    }
    let mut waits = 0;
    while provider.current().is_none() {
        waits += 1;
        assert!(waits < 200, "nothing came of it: {:?}", provider.status());
        tokio::time::sleep(millis(50)).await;
    }
}

#[tokio::test]
async fn e19_each_provider_knows_which_secret_it_has_read() {
    let server = AuthServer::start().await.unwrap();
    let file = TestFile::holding("e19-shared", "wrong");
    let source = file.source();
    let refused = provider_with(&server, source.clone(), RetryPolicy::default());
    refused.token().await.unwrap_err();
    file.write(server.client_secret());
    let other = provider_with(&server, source, RetryPolicy::default());
    other.token().await.unwrap();
    jump(secs(31)).await;
    requests_are(&server, 3).await;
    while refused.current().is_none() {
        tokio::time::sleep(millis(20)).await;
    }
}

/// Waits until the server has received this many requests for a long-term token, and no more.
async fn requests_are(server: &AuthServer, count: u64) {
    for _ in 0..500 {
        if server.counts().long_term.requests >= count {
            break;
        }
        tokio::time::sleep(millis(20)).await;
    }
    tokio::time::sleep(millis(50)).await;
    assert_eq!(server.counts().long_term.requests, count);
}
