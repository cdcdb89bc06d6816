//! What there can be more of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use everbearer::{
    Credential, LongTermToken, ScopePolicy, TokenProvider, TokenProviderBuilder, TokenProviders,
};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::issuer::Numbering;
use crate::meter::{self, Meter};
use crate::row::Row;

/// More than the longest that a driver sleeps.
const IDLE: Duration = Duration::from_secs(35);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Providers,
    Tenants,
    ScopeSets,
    Waiters,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::Providers,
        Self::Tenants,
        Self::ScopeSets,
        Self::Waiters,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Providers => "providers",
            Self::Tenants => "tenants",
            Self::ScopeSets => "scope-sets",
            Self::Waiters => "waiters",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) const fn counts(self) -> &'static [usize] {
        match self {
            Self::Providers | Self::Tenants => &[1, 10, 100, 1_000, 10_000],
            Self::ScopeSets => &[1, 10, 100, 1_000],
            Self::Waiters => &[1, 100, 1_000, 10_000],
        }
    }

    /// Whether they are there for long with nothing to do.
    pub(crate) const fn idles(self) -> bool {
        !matches!(self, Self::Waiters)
    }

    pub(crate) fn measure(self, count: usize) -> Row {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        warm_up(&runtime);
        match self {
            Self::Providers => idle(&runtime, count, || providers(&runtime, count)),
            Self::Tenants => idle(&runtime, count, || tenants(&runtime, count)),
            Self::ScopeSets => {
                let issuer = Numbering::default();
                let most = ScopePolicy::default().max_sets(count);
                let builder = TokenProvider::builder(issuer, long_term()).scope_policy(most);
                let provider = runtime.block_on(ready(builder));
                idle(&runtime, count, || scope_sets(&runtime, &provider, count))
            }
            Self::Waiters => waiters(&runtime, count),
        }
    }
}

/// Brings into being what is there once in a process, and leaves nothing behind.
fn warm_up(runtime: &Runtime) {
    drop(providers(runtime, 2));
    while runtime.metrics().num_alive_tasks() > 0 {
        runtime.block_on(tokio::task::yield_now());
    }
}

fn long_term() -> LongTermToken {
    LongTermToken::new("long-term").unwrap()
}

async fn provider(issuer: Numbering) -> TokenProvider {
    ready(TokenProvider::builder(issuer, long_term())).await
}

async fn ready(builder: TokenProviderBuilder) -> TokenProvider {
    let provider = builder.build().unwrap();
    provider.ready().await.unwrap();
    provider
}

fn providers(runtime: &Runtime, count: usize) -> Vec<TokenProvider> {
    runtime.block_on(async {
        let mut providers = Vec::with_capacity(count);
        for _ in 0..count {
            providers.push(provider(Numbering::default()).await);
        }
        providers
    })
}

/// Providers of a `TokenProviders`, each without a long-term token.
fn tenants(runtime: &Runtime, count: usize) -> TokenProviders<usize> {
    let tenants = TokenProviders::new((), |(), _| async {
        let issuer = Numbering::without_long_term();
        Ok(TokenProvider::builder(issuer, Credential::None))
    });
    let tenants = tenants.max_providers(count);
    runtime.block_on(async {
        for tenant in 0..count {
            tenants.get(&tenant).await.unwrap().ready().await.unwrap();
        }
    });
    tenants
}

fn scope_sets(runtime: &Runtime, provider: &TokenProvider, count: usize) -> Vec<TokenProvider> {
    runtime.block_on(async {
        let mut sets = Vec::with_capacity(count);
        for set in 0..count {
            let scoped = provider.scoped([format!("jobs:{set}")]);
            scoped.token().await.unwrap();
            sets.push(scoped);
        }
        sets
    })
}

fn idle<T>(runtime: &Runtime, count: usize, place: impl FnOnce() -> T) -> Row {
    let meter = Meter::start();
    let (held, heap_bytes) = meter::heap(place);
    let mut row = meter.row(runtime, count, heap_bytes);

    let metrics = runtime.metrics();
    let (wakes, meter) = (metrics.worker_park_count(0), Meter::start());
    runtime.block_on(async { tokio::time::sleep(IDLE).await });
    row.idle_wakes = metrics.worker_park_count(0) - wakes;
    row.idle_cpu_nanos = meter.cpu_nanos_used();
    drop(held);
    row
}

/// Each is a task of its own. Memory is that of all while they wait, and CPU goes on until the last
/// one has its token.
fn waiters(runtime: &Runtime, count: usize) -> Row {
    let gate = Arc::new(Semaphore::new(1));
    let provider = {
        let issuer = Numbering::behind(Arc::clone(&gate));
        runtime.block_on(provider(issuer))
    };
    let meter = Meter::start();
    let (waiting, heap_bytes) = meter::heap(|| runtime.block_on(waiting(&provider, count)));
    let mut row = meter.row(runtime, count, heap_bytes);
    gate.add_permits(1);
    runtime.block_on(waiting.join_all());
    row.cpu_nanos = meter.cpu_nanos_used();
    row
}

async fn waiting(provider: &TokenProvider, count: usize) -> JoinSet<()> {
    let begun = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..count {
        let (provider, begun) = (provider.clone(), Arc::clone(&begun));
        tasks.spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            provider.refresh().await.unwrap();
        });
    }
    while begun.load(Ordering::Relaxed) < count {
        tokio::task::yield_now().await;
    }
    tasks
}
