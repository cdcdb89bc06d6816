//! A tracing subscriber, a metrics recorder, a clock, an issuer, a store or a destructor panics, and
//! refreshing goes on.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    Clock, Error, ErrorKind, ExchangeResponse, Grant, Lease, LongTermToken, MemoryStore, Moment,
    Record, Revoked, ScopePolicy, ShortTermToken, Stored, SystemClock, TokenIssuer, TokenProvider,
    TokenProviderBuilder, TokenRef, TokenStore, Version,
};
use futures_util::future::BoxFuture;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::{Event, Subscriber, span};

use crate::support::{BreakableClock, in_a_process_of_its_own, secs, settle};

/// Panics at the calls that it is told to.
#[derive(Clone, Debug, Default)]
struct Fuse {
    calls: Arc<AtomicUsize>,
    /// The first call that panics; `count` calls in a row do.
    from: usize,
    count: usize,
}

impl Fuse {
    fn at(call: usize) -> Self {
        Self::from(call, 1)
    }

    fn from(from: usize, count: usize) -> Self {
        Self {
            calls: Arc::default(),
            from,
            count,
        }
    }

    fn call(&self) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if (self.from..self.from.saturating_add(self.count)).contains(&call) {
            panic!("call {call} panics");
        }
    }

    fn has_blown(&self) -> bool {
        self.calls.load(Ordering::SeqCst) >= self.from
    }
}

impl Subscriber for Fuse {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "everbearer"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        self.call();
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {
        self.call();
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {
        self.call();
    }

    fn event(&self, _: &Event<'_>) {
        self.call();
    }

    fn enter(&self, _: &span::Id) {
        self.call();
    }

    fn exit(&self, _: &span::Id) {
        self.call();
    }

    fn try_close(&self, _: span::Id) -> bool {
        self.call();
        true
    }
}

impl Recorder for Fuse {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        self.call();
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        self.call();
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        self.call();
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.call();
        Counter::from_arc(Arc::new(self.clone()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.call();
        Gauge::from_arc(Arc::new(self.clone()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.call();
        Histogram::from_arc(Arc::new(self.clone()))
    }
}

impl CounterFn for Fuse {
    fn increment(&self, _: u64) {
        self.call();
    }

    fn absolute(&self, _: u64) {
        self.call();
    }
}

impl GaugeFn for Fuse {
    fn increment(&self, _: f64) {
        self.call();
    }

    fn decrement(&self, _: f64) {
        self.call();
    }

    fn set(&self, _: f64) {
        self.call();
    }
}

impl HistogramFn for Fuse {
    fn record(&self, _: f64) {
        self.call();
    }
}

/// A clock whose readings panic where the fuse says so.
#[derive(Clone, Debug)]
struct FragileClock {
    clock: ManualClock,
    fuse: Fuse,
}

impl Clock for FragileClock {
    fn now(&self) -> Moment {
        self.fuse.call();
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.fuse.call();
        self.clock.wall()
    }
}

fn scripted() -> ScriptedIssuer {
    let issuer = ScriptedIssuer::new();
    issuer.script([
        Reply::token(secs(900)).after(secs(1)),
        Reply::token(secs(900)),
        Reply::error(Error::transient("down")),
        Reply::token_without_end(),
    ]);
    issuer
}

fn builder(issuer: &ScriptedIssuer, clock: impl Clock) -> TokenProviderBuilder {
    TokenProvider::builder(issuer.clone(), Grant::client_secret("id", "secret"))
        .clock(clock)
        .jitter_seed(7)
        .scope_policy(ScopePolicy::default().idle_timeout(secs(60)))
}

/// Makes the call up to three times: the issuer fails once, and one reading of the clock may fail.
async fn patiently<T, F>(call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 0..2 {
        if let Ok(value) = call().await {
            return value;
        }
        tokio::time::sleep(secs(5)).await;
    }
    call().await.unwrap()
}

/// Makes exchanges, refreshes with and without a caller, a failure, an idle scope set, a rotation and a
/// shutdown.
async fn all_goes_well(issuer: &ScriptedIssuer, builder: TokenProviderBuilder) {
    let provider = builder.build().unwrap();
    patiently(|| provider.token()).await;
    tokio::time::sleep(secs(900)).await;
    assert!(issuer.exchanges() >= 2, "without a caller it is refreshed");
    let token = patiently(|| provider.refresh()).await;
    patiently(|| provider.authorization()).await;
    let set = provider.scoped(["a"]);
    patiently(|| set.token()).await;
    drop(set);
    tokio::time::sleep(secs(100)).await;
    patiently(|| provider.invalidate(&token)).await;
    patiently(|| provider.rotate()).await;
    patiently(|| provider.reload()).await;
    tokio::time::sleep(secs(400)).await;
    assert_eq!(issuer.most_at_once(), 1);
    let report = provider.shutdown().await;
    assert!(report.all_revoked(), "{report:?}");
    assert!(issuer.revoked().len() >= 4, "{:?}", issuer.revoked());
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(work);
}

/// Runs `live` with a panic at each call in turn, until a run makes fewer calls.
fn wherever_it_panics(live: impl Fn(Fuse)) {
    std::panic::set_hook(Box::new(|_| {}));
    // All early calls, and a sample of the later ones, which repeat.
    for call in (1..300).chain((300..).step_by(17)) {
        let fuse = Fuse::at(call);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(fuse.clone())));
        if let Err(payload) = outcome {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or(payload.downcast_ref::<&str>().copied());
            println!("with a panic at call {call}: {text:?}");
            std::process::exit(1);
        }
        if !fuse.has_blown() {
            assert!(call > 20, "there were calls");
            return;
        }
    }
}

#[test]
fn e17_a_panicking_tracing_subscriber_does_not_stop_refreshes() {
    let name = "panicking::e17_a_panicking_tracing_subscriber_does_not_stop_refreshes";
    in_a_process_of_its_own(name, || {
        let live = |fuse: Fuse| {
            let _guard = tracing::subscriber::set_default(fuse);
            let issuer = scripted();
            run(async { all_goes_well(&issuer, builder(&issuer, ManualClock::new())).await });
        };
        wherever_it_panics(live);
        live(Fuse::from(1, usize::MAX));
    });
}

#[test]
fn e17_a_panicking_metrics_recorder_does_not_stop_refreshes() {
    let name = "panicking::e17_a_panicking_metrics_recorder_does_not_stop_refreshes";
    in_a_process_of_its_own(name, || {
        let live = |fuse: Fuse| {
            metrics::with_local_recorder(&fuse, || {
                let issuer = scripted();
                run(async { all_goes_well(&issuer, builder(&issuer, ManualClock::new())).await });
            });
        };
        wherever_it_panics(live);
        live(Fuse::from(1, usize::MAX));
    });
}

#[test]
fn e17_a_panicking_clock_fails_one_call_at_most() {
    let name = "panicking::e17_a_panicking_clock_fails_one_call_at_most";
    in_a_process_of_its_own(name, || {
        wherever_it_panics(|fuse| {
            let issuer = scripted();
            run(async {
                let clock = ManualClock::new();
                let clock = FragileClock { clock, fuse };
                all_goes_well(&issuer, builder(&issuer, clock)).await;
            });
        });
    });
}

#[test]
fn e17_a_clock_that_panics_for_an_hour_is_read_again() {
    let name = "panicking::e17_a_clock_that_panics_for_an_hour_is_read_again";
    in_a_process_of_its_own(name, || {
        std::panic::set_hook(Box::new(|_| {}));
        run(async {
            let issuer = ScriptedIssuer::new();
            let clock = BreakableClock::new();
            let provider = builder(&issuer, clock.clone()).build().unwrap();
            provider.token().await.unwrap();
            clock.set_broken(true);
            tokio::time::sleep(secs(60 * 60)).await;
            let exchanges = issuer.exchanges();
            for error in [
                provider.token().await.unwrap_err(),
                provider.authorization().await.unwrap_err(),
                provider.refresh().await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Issuer, "{error}");
                assert!(error.to_string().contains("clock"), "{error}");
            }
            assert!(provider.current().is_none(), "it may have expired");
            let _ = provider.status();
            assert!(exchanges <= 2, "{exchanges} while no time is known");
            clock.set_broken(false);
            tokio::time::sleep(secs(2)).await;
            assert!(provider.current().is_some(), "without a caller");
            clock.set_broken(true);
            let report = provider.shutdown().await;
            assert!(report.all_revoked(), "{report:?}");
            settle().await;
            assert_eq!(
                tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks(),
                0
            );
        });
    });
}

#[test]
fn e17_a_runtime_that_ends_during_panics_does_not_abort_the_process() {
    let name = "panicking::e17_a_runtime_that_ends_during_panics_does_not_abort_the_process";
    in_a_process_of_its_own(name, || {
        std::panic::set_hook(Box::new(|_| {}));
        let _guard = tracing::subscriber::set_default(Fuse::from(1, usize::MAX));
        let fuse = Fuse::from(1, usize::MAX);
        metrics::with_local_recorder(&fuse, || {
            for hang in [false, true] {
                let issuer = ScriptedIssuer::new();
                run(async {
                    let clock = BreakableClock::new();
                    let provider = builder(&issuer, clock.clone()).build().unwrap();
                    provider.token().await.unwrap();
                    if hang {
                        issuer.default_reply(Reply::hang());
                        let refresh = tokio::spawn({
                            let provider = provider.clone();
                            async move { provider.refresh().await }
                        });
                        settle().await;
                        refresh.abort();
                    }
                    clock.set_broken(true);
                });
            }
        });
    });
}

/// A clock at the end of its range.
#[derive(Debug)]
struct AtItsEnd(Arc<AtomicUsize>);

impl Clock for AtItsEnd {
    fn now(&self) -> Moment {
        self.0.fetch_add(1, Ordering::SeqCst);
        Moment::from_origin(Duration::MAX)
    }

    fn wall(&self) -> SystemTime {
        SystemClock::default().wall()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_at_the_end_of_its_range_is_an_error_and_no_hot_loop() {
    let issuer = ScriptedIssuer::new();
    let readings = Arc::<AtomicUsize>::default();
    let provider = builder(&issuer, AtItsEnd(Arc::clone(&readings)));
    let provider = provider.build().unwrap();
    let error = provider.token().await.unwrap_err();
    assert!(error.to_string().contains("clock"), "{error}");
    tokio::time::sleep(secs(60)).await;
    assert!(issuer.exchanges() <= 1, "{}", issuer.exchanges());
    let readings = readings.load(Ordering::SeqCst);
    assert!(readings < 1_000, "{readings} readings in a minute");
}

/// A scripted issuer that panics with a [`Bomb`] in one exchange, and in `revoke` for the token `st-2`.
#[derive(Clone, Debug)]
struct Panicking {
    issuer: ScriptedIssuer,
    exchanges: Fuse,
}

/// The payload of a panic, whose destructor panics.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload of a panic is dropped");
    }
}

// Written out, since `async_trait` would move the panic of `revoke` into its future.
impl TokenIssuer for Panicking {
    fn exchange<'a: 'f, 'b: 'f, 'c: 'f, 'f>(
        &'a self,
        long_term: Option<&'b LongTermToken>,
        scopes: &'c [String],
    ) -> BoxFuture<'f, Result<ExchangeResponse, Error>>
    where
        Self: 'f,
    {
        Box::pin(async move {
            let call = self.exchanges.calls.fetch_add(1, Ordering::SeqCst) + 1;
            if call == self.exchanges.from {
                std::panic::panic_any(Bomb);
            }
            self.issuer.exchange(long_term, scopes).await
        })
    }

    fn revoke<'a: 'f, 'b: 'f, 'c: 'f, 'f>(
        &'a self,
        token: TokenRef<'b>,
        authority: Option<TokenRef<'c>>,
    ) -> BoxFuture<'f, Result<Revoked, Error>>
    where
        Self: 'f,
    {
        assert_ne!(
            token.token_id(),
            Some("st-2"),
            "revoke panics before it returns a future"
        );
        self.issuer.revoke(token, authority)
    }

    fn obtain<'a: 'f, 'b: 'f, 'c: 'f, 'f>(
        &'a self,
        grant: &'b Grant,
        authority: Option<&'c ShortTermToken>,
    ) -> BoxFuture<'f, Result<LongTermToken, Error>>
    where
        Self: 'f,
    {
        self.issuer.obtain(grant, authority)
    }
}

#[test]
fn e17_a_payload_whose_destructor_panics_is_a_failed_exchange() {
    let name = "panicking::e17_a_payload_whose_destructor_panics_is_a_failed_exchange";
    in_a_process_of_its_own(name, || {
        run(async {
            let issuer = Panicking {
                issuer: ScriptedIssuer::new(),
                exchanges: Fuse::at(2),
            };
            let grant = Grant::client_secret("id", "secret");
            let provider = TokenProvider::builder(issuer.clone(), grant)
                .clock(ManualClock::new())
                .build()
                .unwrap();
            provider.token().await.unwrap();
            provider.refresh().await.unwrap_err();
            assert_eq!(provider.status().consecutive_failures, 1);
            tokio::time::sleep(secs(60)).await;
            assert_eq!(provider.status().generation, 2, "without a caller");
        });
    });
}

#[tokio::test(start_paused = true)]
async fn e17_a_revocation_that_panics_before_its_future_fails_alone() {
    let issuer = Panicking {
        issuer: ScriptedIssuer::new(),
        exchanges: Fuse::at(usize::MAX),
    };
    let provider = TokenProvider::builder(issuer.clone(), LongTermToken::new("lt").unwrap())
        .clock(ManualClock::new())
        .build()
        .unwrap();
    provider.token().await.unwrap();
    provider.refresh().await.unwrap();
    provider.refresh().await.unwrap();
    let report = provider.shutdown().await;
    let not_revoked = report.not_revoked().map(|token| token.token_id.as_deref());
    assert_eq!(not_revoked.collect::<Vec<_>>(), [Some("st-2")]);
    assert_eq!(issuer.issuer.revoked(), ["st-3", "st-1"]);
}

/// A store that panics while it is broken.
#[derive(Debug)]
struct BreakableStore(MemoryStore, Arc<AtomicBool>);

#[async_trait::async_trait]
impl TokenStore for BreakableStore {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        assert!(!self.1.load(Ordering::SeqCst), "the store is broken");
        self.0.load().await
    }

    async fn store(&self, record: &Record, replacing: Option<&Version>) -> Result<Version, Error> {
        self.0.store(record, replacing).await
    }

    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        self.0.lease(at_most).await
    }

    async fn changed(&self) {
        self.0.changed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn e17_a_store_that_panics_fails_the_reload() {
    let issuer = ScriptedIssuer::new();
    let is_broken = Arc::<AtomicBool>::default();
    let store = BreakableStore(MemoryStore::new(), Arc::clone(&is_broken));
    let provider = builder(&issuer, ManualClock::new()).store(store);
    let provider = provider.build().unwrap();
    provider.token().await.unwrap();
    is_broken.store(true, Ordering::SeqCst);
    let error = provider.reload().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Issuer, "{error}");
    is_broken.store(false, Ordering::SeqCst);
    provider.reload().await.unwrap();
}

/// The source of an error, whose destructor panics.
#[derive(Debug)]
struct Volatile;

impl std::fmt::Display for Volatile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("volatile")
    }
}

impl std::error::Error for Volatile {}

impl Drop for Volatile {
    fn drop(&mut self) {
        panic!("the source of an error is dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn e17_an_error_whose_destructor_panics_does_not_stop_refreshes() {
    let issuer = ScriptedIssuer::new();
    issuer.script([
        Reply::token(secs(900)),
        Reply::from_fn(|_| Err(Error::transient(Volatile))),
    ]);
    let provider = builder(&issuer, ManualClock::new()).build().unwrap();
    provider.token().await.unwrap();
    tokio::time::sleep(secs(5_000)).await;
    assert!(issuer.exchanges() >= 5, "{}", issuer.exchanges());
}
