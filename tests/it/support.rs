//! What several files need.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use everbearer::testkit::{ManualClock, ScriptedIssuer};
use everbearer::{Clock, LongTermToken, Moment, TokenProvider, TokenProviderBuilder};

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A builder over this issuer, on a clock of its own.
pub(crate) fn builder(issuer: &ScriptedIssuer) -> TokenProviderBuilder {
    let long_term = LongTermToken::new("long-term").unwrap();
    TokenProvider::builder(issuer.clone(), long_term)
        .clock(ManualClock::new())
        .jitter_seed(7)
}

/// A provider over this issuer, on a clock that the test can move.
pub(crate) fn provider(issuer: &ScriptedIssuer) -> (TokenProvider, ManualClock) {
    let clock = ManualClock::new();
    let provider = builder(issuer).clock(clock.clone()).build().unwrap();
    (provider, clock)
}

/// So many tasks that do the same.
pub(crate) fn tasks<F>(count: usize, make: impl Fn() -> F) -> tokio::task::JoinSet<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    (0..count).map(|_| make()).collect()
}

/// Lets every task that can run do so, without letting time pass.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A provider that obtains its long-term token from this server and exchanges it there.
#[cfg(feature = "auth-api")]
pub(crate) fn provider_at(server: &everbearer::testkit::AuthServer) -> TokenProviderBuilder {
    let api = everbearer::AuthApi::new(server.base_url()).unwrap();
    let grant = everbearer::Grant::client_secret(server.client_id(), server.client_secret());
    TokenProvider::builder(api, grant)
}

/// Collects what a subscriber writes.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects what is logged on this thread, up to this level, until the guard is dropped.
    pub(crate) fn capture(level: tracing::Level) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A clock that panics while it is broken.
#[derive(Clone, Debug)]
pub(crate) struct BreakableClock {
    clock: ManualClock,
    is_broken: Arc<AtomicBool>,
}

impl BreakableClock {
    pub(crate) fn new() -> Self {
        Self::over(ManualClock::new())
    }

    pub(crate) fn over(clock: ManualClock) -> Self {
        Self {
            clock,
            is_broken: Arc::default(),
        }
    }

    pub(crate) fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    fn look(&self) {
        assert!(
            !self.is_broken.load(Ordering::SeqCst),
            "the clock is broken"
        );
    }
}

impl Clock for BreakableClock {
    fn now(&self) -> Moment {
        self.look();
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        self.look();
        self.clock.wall()
    }
}

/// Runs the test of this name in a process of its own, for process-wide state such as the tracing
/// subscriber or the panic hook.
pub(crate) fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    if std::env::var_os("EVERBEARER_ALONE").is_some() {
        return test();
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("EVERBEARER_ALONE", "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&child.stdout);
    assert!(printed.contains("1 passed"), "{child:#?}");
}
