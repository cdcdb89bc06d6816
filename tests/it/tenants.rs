//! A provider for each of many keys.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{
    Error, ErrorKind, LongTermToken, ShutdownPolicy, TokenKind, TokenProvider, TokenProviders,
};
use futures_util::future::join_all;

use crate::support::{millis, secs};

/// Creates the providers of tests, with an issuer for each key.
#[derive(Clone, Default)]
struct Site {
    issuers: Arc<Mutex<HashMap<u32, ScriptedIssuer>>>,
    builds: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
}

impl Site {
    fn issuer(&self, key: u32) -> ScriptedIssuer {
        let mut issuers = self.issuers.lock().unwrap();
        let new = || {
            let issuer = ScriptedIssuer::new();
            issuer.default_reply(Reply::token(secs(900)));
            issuer
        };
        issuers.entry(key).or_insert_with(new).clone()
    }

    fn tenants(&self) -> TokenProviders<u32> {
        TokenProviders::new(self.clone(), |site: Self, key| async move {
            site.builds.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(millis(100)).await;
            let fails = |left: usize| left.checked_sub(1);
            if site
                .failures
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails)
                .is_ok()
            {
                return Err(Error::new(ErrorKind::Issuer, "the database is down"));
            }
            let long_term = LongTermToken::new(format!("long-term-{key}"))?;
            Ok(TokenProvider::builder(site.issuer(key), long_term).name(key.to_string()))
        })
    }

    fn builds(&self) -> usize {
        self.builds.load(Ordering::SeqCst)
    }

    fn revoked(&self, key: u32) -> usize {
        self.issuer(key).revoked().len()
    }
}

async fn use_once(tenants: &TokenProviders<u32>, key: u32) {
    tenants.get(&key).await.unwrap().token().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_built_once_for_each_key() {
    let site = Site::default();
    let tenants = site.tenants();
    let callers = (0..300).map(|caller| {
        let tenants = tenants.clone();
        async move {
            tenants
                .get(&(caller % 3))
                .await
                .unwrap()
                .token()
                .await
                .unwrap()
        }
    });
    join_all(callers).await;
    assert_eq!(site.builds(), 3);
    for key in 0..3 {
        assert_eq!(site.issuer(key).exchanges(), 1);
        assert_eq!(site.issuer(key).exchanged(), [format!("long-term-{key}")]);
    }
    assert_eq!(tenants.statuses().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_build_is_returned_and_made_again_by_the_next_call() {
    let site = Site::default();
    let tenants = site.tenants();
    site.failures.store(1, Ordering::SeqCst);
    let error = tenants.get(&7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Issuer);
    assert!(tenants.statuses().is_empty());
    use_once(&tenants, 7).await;
    assert_eq!(site.builds(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_caller_leaves_the_build_to_the_others() {
    let site = Site::default();
    let tenants = site.tenants();
    let dropped = tokio::time::timeout(millis(50), tenants.get(&7));
    let (dropped, other) = tokio::join!(dropped, tenants.get(&7));
    dropped.unwrap_err();
    other.unwrap().token().await.unwrap();
    assert_eq!(tenants.statuses().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_provider_is_shut_down_unless_it_is_in_use() {
    let site = Site::default();
    let tenants = site.tenants().idle_timeout(secs(600));
    use_once(&tenants, 1).await;
    let in_use = tenants.get(&2).await.unwrap().scoped(["jobs:read"]);
    in_use.token().await.unwrap();
    use_once(&tenants, 3).await;
    for _ in 0..14 {
        tokio::time::sleep(secs(50)).await;
        use_once(&tenants, 3).await;
    }
    let open: Vec<u32> = tenants.statuses().into_iter().map(|(key, _)| key).collect();
    assert!(
        !open.contains(&1) && open.contains(&2) && open.contains(&3),
        "{open:?}"
    );
    assert_eq!((site.revoked(1), site.revoked(2)), (1, 0));
    in_use.token().await.unwrap();
    drop(in_use);
    tokio::time::sleep(secs(700)).await;
    assert!(site.revoked(2) >= 1);
    use_once(&tenants, 1).await;
    assert_eq!(site.builds(), 4, "it is built again");
}

#[tokio::test(start_paused = true)]
async fn for_a_further_key_the_least_recently_used_provider_is_shut_down() {
    let site = Site::default();
    let tenants = site.tenants().max_providers(2);
    use_once(&tenants, 1).await;
    use_once(&tenants, 2).await;
    use_once(&tenants, 1).await;
    use_once(&tenants, 3).await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(
        [site.revoked(1), site.revoked(2), site.revoked(3)],
        [0, 1, 0]
    );
    let _one = tenants.get(&1).await.unwrap();
    let three = tenants.get(&3).await.unwrap();
    let error = tenants.get(&4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooManyProviders);
    assert!(error.is_retryable());
    drop(three);
    use_once(&tenants, 4).await;
    assert_eq!(tenants.statuses().len(), 2);
}

/// Both may use one store.
#[tokio::test(start_paused = true)]
async fn a_provider_is_built_again_after_the_shutdown_of_the_earlier_one_for_its_key() {
    let site = Site::default();
    let tenants = site.tenants().max_providers(1);
    use_once(&tenants, 1).await;
    site.issuer(1)
        .script_revocations([Reply::done().after(secs(3))]);
    use_once(&tenants, 2).await;
    let began = tokio::time::Instant::now();
    use_once(&tenants, 1).await;
    assert!(began.elapsed() >= secs(2), "{:?}", began.elapsed());
    assert_eq!(site.revoked(1), 1);
    assert_eq!(site.issuer(1).exchanges(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_revokes_the_tokens_of_all_providers_and_is_final() {
    let site = Site::default();
    let tenants = site.tenants();
    for key in 0..200 {
        use_once(&tenants, key).await;
    }
    assert!(tenants.remove(&0).await.unwrap().all_revoked());
    assert!(tenants.remove(&0).await.is_none());
    let in_use = tenants.get(&5).await.unwrap();
    let reports = tenants.shutdown().await;
    assert!(reports.all_revoked(), "{reports}");
    let text = reports.to_string();
    assert!(text.ends_with("tokens, all tokens revoked: true"), "{text}");
    for key in 0..200 {
        assert_eq!(site.revoked(key), 1, "{key}");
    }
    assert_eq!(
        in_use.token().await.unwrap_err().kind(),
        ErrorKind::ShutDown
    );
    let error = tenants.get(&300).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    assert!(tenants.shutdown().await.all_revoked());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_although_no_revocation_does() {
    let site = Site::default();
    let tenants = TokenProviders::new(site, |site, key: u32| async move {
        let issuer = site.issuer(key);
        issuer.script_revocations(std::iter::repeat_with(Reply::hang).take(9));
        let policy = ShutdownPolicy::default().deadline(secs(10));
        let builder = TokenProvider::builder(issuer, LongTermToken::new("long-term")?);
        Ok(builder.shutdown_policy(policy))
    });
    let tenants = tenants.shutdown_deadline(secs(15));
    for key in 0..500 {
        use_once(&tenants, key).await;
    }
    let began = tokio::time::Instant::now();
    let reports = tenants.shutdown().await;
    assert!(began.elapsed() <= secs(26), "{:?}", began.elapsed());
    assert_eq!(reports.reports.len(), 500);
    for (key, report) in &reports.reports {
        let kinds: Vec<TokenKind> = report.not_revoked().map(|token| token.kind).collect();
        assert_eq!(kinds, [TokenKind::ShortTerm], "{key}");
    }
    assert!(!reports.all_revoked());
}

#[tokio::test(start_paused = true)]
async fn without_handles_the_providers_end() {
    let site = Site::default();
    let tenants = site.tenants();
    use_once(&tenants, 1).await;
    drop(tenants);
    tokio::time::sleep(secs(3_600)).await;
    assert_eq!(site.issuer(1).exchanges(), 1);
}

/// The place of a provider that no caller builds any more is free.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_during_the_build_leaves_its_place_to_others() {
    let site = Site::default();
    let tenants = site.tenants().max_providers(1);
    let dropped = tokio::time::timeout(millis(50), tenants.get(&1));
    dropped.await.unwrap_err();
    use_once(&tenants, 2).await;
    assert_eq!(tenants.statuses().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_built_during_the_shutdown_is_shut_down() {
    let site = Site::default();
    let tenants = site.tenants();
    let shutdown = async {
        tokio::time::sleep(millis(50)).await;
        tenants.shutdown().await
    };
    let (got, reports) = tokio::join!(tenants.get(&1), shutdown);
    assert_eq!(got.unwrap_err().kind(), ErrorKind::ShutDown);
    assert!(reports.reports.is_empty());
    assert!(tenants.statuses().is_empty(), "no provider is left");
    tokio::time::sleep(secs(3_600)).await;
    let issuer = site.issuer(1);
    assert_eq!(issuer.exchanges(), issuer.revoked().len());
}

/// The callers that wait for the failed build make the next one, in the same place.
#[tokio::test(start_paused = true)]
async fn after_a_failed_build_the_other_callers_share_the_next_one() {
    let site = Site::default();
    let tenants = site.tenants();
    site.failures.store(1, Ordering::SeqCst);
    let callers = (0..5).map(|_| tenants.get(&1));
    let outcomes = join_all(callers).await;
    let failed = outcomes.iter().filter(|it| it.is_err());
    assert_eq!(failed.count(), 1);
    for provider in outcomes.into_iter().flatten() {
        provider.token().await.unwrap();
    }
    assert_eq!(site.builds(), 2);
    assert_eq!(site.issuer(1).exchanges(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_build_that_fails_evicts_no_provider() {
    let site = Site::default();
    let tenants = site.tenants().max_providers(1);
    use_once(&tenants, 1).await;
    site.failures.store(1, Ordering::SeqCst);
    tenants.get(&2).await.unwrap_err();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(site.revoked(1), 0);
    use_once(&tenants, 2).await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(site.revoked(1), 1);
    assert_eq!(tenants.statuses().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_shut_down_by_a_handle_is_built_again() {
    let site = Site::default();
    let tenants = site.tenants();
    let provider = tenants.get(&1).await.unwrap();
    provider.token().await.unwrap();
    assert!(provider.shutdown().await.all_revoked());
    use_once(&tenants, 1).await;
    assert_eq!(site.builds(), 2);
}

#[tokio::test(start_paused = true)]
async fn remove_waits_for_a_build_in_flight() {
    let site = Site::default();
    let tenants = site.tenants();
    let removal = async {
        tokio::time::sleep(millis(50)).await;
        tenants.remove(&1).await
    };
    let (_, removed) = tokio::join!(tenants.get(&1), removal);
    assert!(removed.is_some());
    assert!(tenants.remove(&2).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn reading_the_statuses_does_not_count_as_a_use() {
    let site = Site::default();
    let tenants = site.tenants().idle_timeout(secs(600));
    use_once(&tenants, 1).await;
    let mut seen = 0;
    while tenants.statuses().iter().any(|(key, _)| *key == 1) {
        tokio::time::sleep(secs(50)).await;
        seen += 1;
        assert!(seen < 20, "it is still there");
    }
    assert!(seen >= 10, "{seen}");
    tokio::time::sleep(secs(1)).await;
    assert_eq!(site.revoked(1), 1);
}
