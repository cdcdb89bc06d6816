//! Narrower sets of scopes.

use everbearer::testkit::{AuthServer, ManualClock, Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, Event, LongTermToken, ScopePolicy, State};

use crate::support::{builder, millis, provider, provider_at, secs, settle, tasks};

#[tokio::test(start_paused = true)]
async fn f7_each_set_has_its_own_flight_and_its_own_token() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(millis(50)));
    let (provider, _) = provider(&issuer);
    let callers = tasks(40, || {
        let provider = provider.clone();
        async move {
            let scopes = ["jobs:read", "jobs:submit"][fastrand::usize(0..2)];
            let token = provider.scoped([scopes]).token().await.unwrap();
            assert_eq!(token.scopes(), [scopes]);
        }
    });
    callers.join_all().await;
    assert_eq!(issuer.exchanges(), 3, "the provider's own set, too");
    assert_eq!(issuer.most_at_once(), 3);
}

#[tokio::test(start_paused = true)]
async fn f8_scopes_in_another_order_or_twice_are_the_same_flight() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(millis(50)));
    let (provider, _) = provider(&issuer);
    let spellings = [
        vec!["a", "b"],
        vec!["b", "a"],
        vec!["a", "b", "a", "b"],
        vec!["b", "b", "a"],
    ];
    let callers: tokio::task::JoinSet<_> = spellings
        .into_iter()
        .map(|scopes| {
            let provider = provider.scoped(["z"]).scoped(scopes);
            async move { provider.token().await.unwrap().expose().to_owned() }
        })
        .collect();
    let mut names = callers.join_all().await;
    names.dedup();
    assert_eq!(names.len(), 1);
    assert_eq!(
        issuer.asked_scopes(),
        [vec![], vec!["a".to_owned(), "b".to_owned()]]
    );
}

#[tokio::test(start_paused = true)]
async fn no_scopes_are_those_of_the_provider_that_was_built() {
    let issuer = ScriptedIssuer::new();
    let provider = builder(&issuer).scopes(["b", "a"]).build().unwrap();
    let none: [&str; 0] = [];
    for scoped in [provider.scoped(none), provider.scoped(["a", "b"])] {
        assert_eq!(scoped.token().await.unwrap().expose(), "st-1");
    }
    assert_eq!(issuer.asked_scopes(), [["a", "b"]]);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_nobody_uses_is_dropped_and_revoked_and_begins_anew() {
    let issuer = ScriptedIssuer::new();
    let (provider, clock) = provider(&issuer);
    let mut events = provider.subscribe();
    let scoped = provider.scoped(["a"]);
    assert_eq!(scoped.token().await.unwrap().expose(), "st-2");
    for _ in 0..20 {
        clock.advance(secs(300)).await;
        scoped.token().await.unwrap(); // in use: kept, and refreshed
    }
    let refreshed = issuer.exchanges();
    assert!(issuer.revoked().is_empty());
    clock.advance(secs(700)).await;
    let newest = issuer.revoked().pop().unwrap();
    assert!(scoped.current().is_none());
    assert_eq!(provider.status().state, State::Fresh, "the others go on");
    assert!(issuer.exchanges() <= refreshed + 2, "no longer refreshed");
    let again = scoped.token().await.unwrap();
    assert_ne!(again.expose(), newest);
    provider.shutdown().await;
    let mut retired = 0;
    drop((provider, scoped));
    while let Some(event) = events.next().await {
        retired += usize::from(matches!(event, Event::ScopesRetired { .. }));
    }
    assert_eq!(retired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_retired_set_is_not_minted_twice_by_an_old_and_a_new_handle() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(millis(10)));
    let (provider, clock) = provider(&issuer);
    let old = provider.scoped(["a"]);
    old.token().await.unwrap();
    clock.advance(secs(700)).await;
    let before = issuer.exchanges();
    let new = provider.scoped(["a"]);
    let (a, b) = tokio::join!(old.token(), new.token());
    assert_eq!(a.unwrap().expose(), b.unwrap().expose());
    assert_eq!(issuer.exchanges(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_sets_is_bounded_with_a_clear_error_until_one_is_idle() {
    let issuer = ScriptedIssuer::new();
    let clock = ManualClock::new();
    let policy = ScopePolicy::default().max_sets(2).idle_timeout(secs(60));
    let provider = builder(&issuer).clock(clock.clone()).scope_policy(policy);
    let provider = provider.build().unwrap();
    let (a, b, c) = (
        provider.scoped(["a"]),
        provider.scoped(["b"]),
        provider.scoped(["c"]),
    );
    a.token().await.unwrap();
    b.token().await.unwrap();
    let error = c.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyScopeSets);
    assert!(
        error.to_string().contains("ScopePolicy::max_sets"),
        "{error}"
    );
    provider.token().await.unwrap();
    clock.advance(secs(100)).await;
    c.token().await.unwrap();
}

#[tokio::test]
async fn all_sets_share_the_long_term_token_and_the_shutdown() {
    let server = AuthServer::start().await.unwrap();
    let provider = provider_at(&server).build().unwrap();
    let sets = ["jobs:read", "jobs:submit", "templates:read"];
    for scope in sets {
        let token = provider.scoped([scope]).token().await.unwrap();
        let record = server.token(token.token_id().unwrap()).unwrap();
        assert_eq!(record.scopes, [scope]);
    }
    assert_eq!(server.counts().long_term_issued, 1);
    let report = provider.scoped(["jobs:read"]).shutdown().await;
    assert!(report.all_revoked());
    for scope in sets {
        let error = provider.scoped([scope]).token().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShutDown);
    }
    settle().await;
    let live: Vec<_> = server
        .tokens()
        .into_iter()
        .filter(|token| !token.revoked)
        .collect();
    assert_eq!(live.len(), 1, "the long-term token: {live:?}");
}

#[tokio::test(start_paused = true)]
async fn f15_a_set_that_has_been_idle_for_45_s_is_evicted() {
    let issuer = ScriptedIssuer::new();
    let policy = ScopePolicy::default().max_sets(1);
    let provider = builder(&issuer).scope_policy(policy).build().unwrap();
    provider.scoped(["a"]).token().await.unwrap();
    tokio::time::sleep(secs(45)).await;
    provider.scoped(["b"]).token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn f15_the_last_use_decides_which_set_is_evicted() {
    let issuer = ScriptedIssuer::new();
    let policy = ScopePolicy::default().max_sets(2);
    let provider = builder(&issuer).scope_policy(policy).build().unwrap();
    let (a, b) = (provider.scoped(["a"]), provider.scoped(["b"]));
    a.token().await.unwrap();
    b.token().await.unwrap();
    tokio::time::sleep(secs(20)).await;
    a.token().await.unwrap();
    let mut events = provider.subscribe();
    tokio::time::sleep(secs(66)).await;
    provider.scoped(["c"]).token().await.unwrap();
    loop {
        if let Some(Event::ScopesRetired { scopes, .. }) = events.next().await {
            assert_eq!(*scopes, ["b"]);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn f15_a_set_is_not_evicted_during_a_pause_that_the_server_asked_for() {
    let issuer = ScriptedIssuer::new();
    let policy = ScopePolicy::default().max_sets(1);
    let provider = builder(&issuer).scope_policy(policy).build().unwrap();
    provider.token().await.unwrap();
    let pause = Error::transient("slow").with_retry_after(secs(300));
    issuer.script([Reply::error(pause)]);
    let (a, b) = (provider.scoped(["a"]), provider.scoped(["b"]));
    a.token().await.unwrap_err();
    tokio::time::sleep(secs(100)).await;
    let error = b.token().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyScopeSets);
    tokio::time::sleep(secs(201)).await;
    b.token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn f15_a_success_ends_the_pause_that_keeps_a_set() {
    for (is_refusal, elapsed) in [(true, 0), (false, 300)] {
        let issuer = ScriptedIssuer::new();
        let policy = ScopePolicy::default().max_sets(1);
        let provider = builder(&issuer).scope_policy(policy).build().unwrap();
        provider.token().await.unwrap();
        let failure = if is_refusal {
            Error::terminal("no").with_code("access_denied")
        } else {
            Error::transient("slow")
        };
        issuer.script([Reply::error(failure.with_retry_after(secs(300)))]);
        let (a, b) = (provider.scoped(["a"]), provider.scoped(["b"]));
        a.token().await.unwrap_err();
        tokio::time::sleep(secs(elapsed)).await;
        if is_refusal {
            provider.set_long_term_token(LongTermToken::new("another").unwrap());
        }
        a.token().await.unwrap();
        tokio::time::sleep(secs(40)).await;
        b.token().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn f12_a_set_in_constant_use_is_not_retired_however_short_the_idle_time_is() {
    for idle in [millis(500), secs(1)] {
        let issuer = ScriptedIssuer::new();
        let policy = ScopePolicy::default().idle_timeout(idle);
        let provider = builder(&issuer).scope_policy(policy).build().unwrap();
        let scoped = provider.scoped(["a"]);
        for _ in 0..300 {
            scoped.token().await.unwrap();
            tokio::time::sleep(millis(100)).await;
        }
        assert_eq!(issuer.revoked(), [""; 0]);
    }
}
