//! Faults that the state of the long-term token excludes. Each has occurred.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use everbearer::testkit::{
    AuthServer, Endpoint, Fault, ManualClock, OldLongTermToken, Reply, ScriptedIssuer,
};
use everbearer::{
    AuthApi, Error, ErrorKind, Event, Grant, Lease, LongTermToken, Record, RefreshPolicy,
    RotationPolicy, Stored, TokenProvider, TokenStore, Version, async_trait,
};

use super::at_the_server::{bootstrapped, comes_to_rest, live, quickly};
use crate::shared_memory_store::SharedMemoryStore;
use crate::support::{millis, secs, settle};

fn given(text: &str) -> LongTermToken {
    LongTermToken::builder(text).token_id(text).build().unwrap()
}

fn refused() -> Reply {
    Reply::error(Error::terminal("no").with_code("invalid_token"))
}

/// As gateways answer it: a 401 without a code.
fn gateway() -> Reply {
    Reply::error(Error::from_status(401, None, "unauthorized"))
}

#[tokio::test(start_paused = true)]
async fn l12_what_was_handed_in_before_the_first_use_is_neither_replaced_nor_revoked() {
    let (store, issuer) = (SharedMemoryStore::default(), ScriptedIssuer::new());
    let clock = ManualClock::new();
    let provider = TokenProvider::builder(issuer.clone(), given("configured"))
        .clock(clock.clone())
        .store(store.clone())
        .build()
        .unwrap();
    provider.set_long_term_token(given("handed-in"));
    provider.token().await.unwrap();
    issuer.script([refused()]);
    provider.refresh().await.unwrap_err();
    // Longer than a superseded token stays valid.
    for _ in 0..60 {
        clock.advance(secs(60)).await;
        settle().await;
    }
    let _ = provider.refresh().await;
    assert!(!issuer.exchanged().contains(&"configured".to_owned()));
    let long_term = ["configured", "handed-in"].map(str::to_owned);
    assert!(!issuer.revoked().iter().any(|it| long_term.contains(it)));
}

#[tokio::test]
async fn l13_a_file_that_is_removed_and_reloaded_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let provider = TokenProvider::builder(ScriptedIssuer::new(), given("lt-a"))
        .store(everbearer::FileStore::new(&path))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    while !path.exists() {
        tokio::time::sleep(millis(10)).await;
    }
    std::fs::remove_file(&path).unwrap();
    // As at each SIGHUP: the second one finds what the first one has found.
    for _ in 0..2 {
        provider.reload().await.unwrap();
    }
    let began = tokio::time::Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < secs(30), "it is not written");
        tokio::time::sleep(millis(50)).await;
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("lt-a"));
}

#[tokio::test(start_paused = true)]
async fn l14_the_pause_begins_anew_after_each_success() {
    let issuer = ScriptedIssuer::new();
    let down = || Reply::error(Error::transient("down"));
    let policy = RotationPolicy::default().backoff(secs(10), secs(1_000));
    let provider = TokenProvider::builder(issuer.clone(), given("lt-a"))
        .clock(ManualClock::new())
        .rotate_with(Grant::client_secret("id", "secret"))
        .rotation_policy(policy)
        .build()
        .unwrap();
    let mut events = provider.subscribe();
    provider.ready().await.unwrap();
    for _ in 0..6 {
        issuer.script_long_term([down()]);
        provider.rotate().await.unwrap_err();
        provider.rotate().await.unwrap();
    }
    let mut failures = 0;
    while failures < 6 {
        if let Event::RotationFailed { retry_in, .. } = events.next().await.unwrap() {
            failures += 1;
            assert!(retry_in.unwrap() <= secs(10), "{retry_in:?}");
        }
    }
}

#[tokio::test]
async fn l15_no_request_fails_where_a_revocation_ends_what_was_minted() {
    let server = AuthServer::builder()
        .cascade_revocations(true)
        .short_term_lifetime(secs(5))
        .start()
        .await
        .unwrap();
    let store = SharedMemoryStore::default();
    store.put(&Record::from(bootstrapped(&server).await)).await;
    let api = AuthApi::new(server.base_url()).unwrap();
    let provider = TokenProvider::builder(api, everbearer::Credential::Stored)
        .store(store.clone())
        .rotate_with(Grant::self_rotation(server.client_id()))
        .rotation_policy(quickly())
        .build()
        .unwrap();
    let other = provider.scoped(["jobs:read"]);
    other.token().await.unwrap();
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
    let client = client.with(other.middleware().resend(false)).build();
    provider.rotate().await.unwrap();
    let began = tokio::time::Instant::now();
    while began.elapsed() < secs(7) {
        let response = client.get(server.url("/jobs")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        tokio::time::sleep(millis(5)).await;
    }
    comes_to_rest(&server, &store).await;
    assert_eq!(live(&server).len(), 1);
}

/// Another process holds the lease, and is stopped.
#[derive(Clone, Debug, Default)]
struct Stuck(SharedMemoryStore, Arc<AtomicBool>);

#[async_trait]
impl TokenStore for Stuck {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        self.0.load().await
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        self.0.store(record, expected).await
    }

    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        if self.1.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.0.lease(at_most).await
    }
}

#[tokio::test(start_paused = true)]
async fn l16_a_holder_of_the_lease_that_is_stopped_blocks_recovery_for_a_while_only() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    let store = Stuck::default();
    store.1.store(true, Ordering::SeqCst);
    store.0.hand_in("lt-dead").await;
    issuer.script([
        refused(),
        refused(),
        refused(),
        refused(),
        refused(),
        refused(),
    ]);
    let provider = TokenProvider::builder(issuer.clone(), everbearer::Credential::Stored)
        .clock(clock.clone())
        .store(store.clone())
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    let mut named = 0;
    for second in 0..400 {
        clock.advance(secs(1)).await;
        tokio::time::sleep(millis(250)).await;
        let outcome = tokio::time::timeout(millis(100), provider.token()).await;
        if let Ok(Ok(_)) = outcome {
            assert!((110..=260).contains(&second), "{second}");
            assert!(named > 0, "no error has named the lease");
            return;
        }
        let last = provider.status().last_error;
        named += u32::from(last.is_some_and(|error| error.to_string().contains("lease")));
    }
    panic!("there is no token after 400 s");
}

#[tokio::test(start_paused = true)]
async fn l17_other_words_for_a_refusal_count_as_one() {
    for refusal in [
        Error::from_status(401, Some("TOKEN_REVOKED"), "no"),
        Error::from_status(401, Some("session_ended"), "no"),
        Error::from_status(403, Some("Token_Revoked"), "no"),
        Error::from_status(400, Some("INVALID_GRANT"), "no"),
    ] {
        let issuer = ScriptedIssuer::new();
        issuer.script([Reply::error(refusal.clone())]);
        let provider = TokenProvider::builder(issuer.clone(), given("lt-a"))
            .clock(ManualClock::new())
            .recover_with(Grant::client_secret("id", "secret"))
            .build()
            .unwrap();
        provider.token().await.unwrap();
        assert_eq!(issuer.obtained(), 1, "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn l17_a_refusal_without_a_code_counts_at_the_third_time() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    issuer.script([gateway(), gateway(), gateway()]);
    let provider = TokenProvider::builder(issuer.clone(), given("lt-a"))
        .clock(clock.clone())
        .refresh_policy(RefreshPolicy::default().lazy(true))
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    for _ in 0..2 {
        let error = provider.token().await.unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(issuer.obtained(), 0);
        clock.advance(secs(60)).await;
    }
    provider.token().await.unwrap();
    assert_eq!(issuer.obtained(), 1);
}

#[tokio::test(start_paused = true)]
async fn l17_a_gateway_that_says_no_or_not_here_is_never_a_refusal() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    for status in [403, 404, 405, 411] {
        issuer.script((0..4).map(|_| Reply::error(Error::from_status(status, None, "no"))));
    }
    // Nor is a server that is down, whatever it says.
    let down = || Error::from_status(503, Some("invalid_token"), "down");
    issuer.script((0..4).map(|_| Reply::error(down())));
    let provider = TokenProvider::builder(issuer.clone(), given("lt-a"))
        .clock(clock.clone())
        .refresh_policy(RefreshPolicy::default().lazy(true))
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    for _ in 0..20 {
        provider.token().await.unwrap_err();
        clock.advance(secs(60)).await;
    }
    assert_eq!(issuer.obtained(), 0);
}

#[tokio::test(start_paused = true)]
async fn l17_without_a_grant_attempts_go_on_with_pauses_that_grow() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    issuer.default_reply(gateway());
    let provider = TokenProvider::builder(issuer.clone(), given("lt-a"))
        .clock(clock.clone())
        .build()
        .unwrap();
    provider.ready().await.unwrap_err();
    let mut attempts = Vec::new();
    for _ in 0..40 {
        for _ in 0..90 {
            clock.advance(secs(10)).await;
            settle().await;
        }
        attempts.push(issuer.exchanges());
    }
    // 10 hours, without a caller.
    let last_hour = attempts[39] - attempts[35];
    assert!(attempts[39] < 40, "{attempts:?}");
    assert!((1..=2).contains(&last_hour), "{attempts:?}");
}

#[tokio::test]
async fn l19_what_asked_asks_again_after_a_restart_with_a_token_of_long_ago() {
    let server = AuthServer::builder()
        .rotation(OldLongTermToken::DiesAtOnce)
        .short_term_lifetime(secs(60))
        .start()
        .await
        .unwrap();
    let (store, configured) = (SharedMemoryStore::default(), bootstrapped(&server).await);
    let start = || {
        let api = AuthApi::new(server.base_url()).unwrap();
        TokenProvider::builder(api, configured.clone())
            .store(store.clone())
            .rotate_with(Grant::self_rotation(server.client_id()))
            .rotation_policy(quickly())
            .build()
            .unwrap()
    };
    let provider = start();
    provider.rotate().await.unwrap();
    server.script(Endpoint::LongTerm, [Fault::LoseResponse]);
    server.fault_always(Endpoint::LongTerm, Fault::status(503));
    provider.rotate().await.unwrap_err();
    drop(provider);
    tokio::time::sleep(millis(50)).await;
    server.clear_faults();
    server.script(Endpoint::LongTerm, [Fault::status(503), Fault::status(503)]);
    let provider = start();
    for _ in 0..100 {
        if provider.token().await.is_ok() {
            return;
        }
        tokio::time::sleep(millis(50)).await;
    }
    panic!("there is no token: {}", store.text().await);
}

#[tokio::test(start_paused = true)]
async fn l20_a_grant_whose_tokens_are_refused_is_asked_with_pauses_that_grow() {
    for refusal in [gateway as fn() -> Reply, refused] {
        let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
        issuer.default_reply(refusal());
        let provider = TokenProvider::builder(issuer.clone(), given("handed-in"))
            .clock(clock.clone())
            .store(SharedMemoryStore::default())
            .recover_with(Grant::client_secret("id", "secret"))
            .build()
            .unwrap();
        for _ in 0..1_200 {
            clock.advance(secs(1)).await;
            let _ = tokio::time::timeout(millis(100), provider.token()).await;
            settle().await;
        }
        // 20 minutes: after 0, 30, 60, 120, 240, 480 s and so on, and no more than one lives.
        assert!(
            (2..=8).contains(&issuer.obtained()),
            "{}",
            issuer.obtained()
        );
        let revoked = issuer.revoked();
        assert!(revoked.len() + 1 >= issuer.obtained(), "{revoked:?}");
        assert!(!revoked.contains(&"handed-in".to_owned()));
        assert!(
            issuer
                .exchanged()
                .iter()
                .filter(|it| *it == "handed-in")
                .count()
                > 2
        );
        issuer.default_reply(Reply::token(secs(900)));
        for _ in 0..4_000 {
            clock.advance(secs(1)).await;
            if let Ok(Ok(_)) = tokio::time::timeout(millis(100), provider.token()).await {
                break;
            }
        }
        assert!(provider.current().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn l20_the_shutdown_keeps_a_handed_in_token_that_a_grant_has_replaced() {
    let issuer = ScriptedIssuer::new();
    issuer.script([refused()]);
    let provider = TokenProvider::builder(issuer.clone(), given("handed-in"))
        .clock(ManualClock::new())
        .recover_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    provider.token().await.unwrap();
    assert_eq!(issuer.exchanged(), ["handed-in", "lt-1"]);
    provider.shutdown().await;
    assert!(!issuer.revoked().contains(&"handed-in".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn l20_a_one_time_code_is_not_asked_for_again() {
    let (issuer, clock) = (ScriptedIssuer::new(), ManualClock::new());
    issuer.default_reply(refused());
    let provider = TokenProvider::builder(
        issuer.clone(),
        Grant::otp("id", || async { Ok("code".into()) }),
    )
    .clock(clock.clone())
    .build()
    .unwrap();
    for _ in 0..600 {
        clock.advance(secs(10)).await;
        let error = provider.token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
    assert_eq!(issuer.obtained(), 1);
}

#[tokio::test(start_paused = true)]
async fn l8_a_lease_is_taken_for_three_exchanges() {
    let asked = Arc::new(std::sync::Mutex::new(None));
    #[derive(Clone)]
    struct Noting(SharedMemoryStore, Arc<std::sync::Mutex<Option<Duration>>>);
    #[async_trait]
    impl TokenStore for Noting {
        async fn load(&self) -> Result<Option<Stored>, Error> {
            self.0.load().await
        }
        async fn store(
            &self,
            record: &Record,
            expected: Option<&Version>,
        ) -> Result<Version, Error> {
            self.0.store(record, expected).await
        }
        async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
            *self.1.lock().unwrap() = Some(at_most);
            self.0.lease(at_most).await
        }
    }
    let store = Noting(SharedMemoryStore::default(), Arc::clone(&asked));
    let provider = TokenProvider::builder(ScriptedIssuer::new(), given("lt-a"))
        .clock(ManualClock::new())
        .store(store)
        .rotate_with(Grant::client_secret("id", "secret"))
        .build()
        .unwrap();
    provider.rotate().await.unwrap();
    assert_eq!(*asked.lock().unwrap(), Some(secs(90)));
}
