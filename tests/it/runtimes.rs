//! Runtimes come and go under a provider that stays.

use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::SystemTime;

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Clock, ErrorKind, LongTermToken, Moment, SystemClock, TokenProvider};
use futures_util::FutureExt;
use tokio::runtime::{Builder, Runtime};

use crate::support::{builder, millis, secs, tasks};

static ISSUER: LazyLock<ScriptedIssuer> = LazyLock::new(|| {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(millis(3)));
    issuer
});

/// Made by whichever test comes first, on a runtime that is gone before the others end.
fn shared() -> TokenProvider {
    static PROVIDER: OnceLock<TokenProvider> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            let long_term = LongTermToken::new("long-term").unwrap();
            TokenProvider::builder(ISSUER.clone(), long_term)
                .build()
                .unwrap()
        })
        .clone()
}

async fn use_shared_provider() {
    for _ in 0..20 {
        let callers = tasks(8, || async { shared().refresh().await });
        for token in callers.join_all().await {
            token.unwrap();
        }
        shared().token().await.unwrap();
        assert_eq!(ISSUER.most_at_once(), 1, "no second flight");
    }
}

macro_rules! many_runtimes {
    ($($name:ident: $flavor:literal,)*) => {
        $(
            #[tokio::test(flavor = $flavor)]
            async fn $name() {
                use_shared_provider().await;
            }
        )*
    };
}

many_runtimes! {
    f11_a_static_provider_on_one_current_thread_runtime: "current_thread",
    f11_a_static_provider_on_another_current_thread_runtime: "current_thread",
    f11_a_static_provider_on_a_third_current_thread_runtime: "current_thread",
    f11_a_static_provider_on_one_multi_thread_runtime: "multi_thread",
    f11_a_static_provider_on_another_multi_thread_runtime: "multi_thread",
    f11_a_static_provider_on_a_third_multi_thread_runtime: "multi_thread",
}

#[test]
fn f11_a_runtime_that_ends_in_mid_exchange_lets_callers_of_others_go_on() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(secs(900)).after(millis(20)));
    let provider = builder(&issuer).clock(everbearer::SystemClock::default());
    let provider = provider.build().unwrap();
    let others: Vec<_> = (0..4)
        .map(|_| {
            let provider = provider.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                for _ in 0..20 {
                    runtime.block_on(provider.refresh()).unwrap();
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let dying = tokio::runtime::Runtime::new().unwrap();
        dying.block_on(async {
            let _ = tokio::time::timeout(millis(5), provider.refresh()).await;
        });
        drop(dying);
    }
    for other in others {
        other.join().unwrap();
    }
    assert_eq!(issuer.most_at_once(), 1);
}

/// Ends a runtime when it is read for the so-manieth time.
#[derive(Clone, Debug, Default)]
struct Trap(Arc<Mutex<Option<(usize, Runtime)>>>);

impl Clock for Trap {
    fn now(&self) -> Moment {
        let mut trap = self.0.lock().unwrap();
        let sprung = match &mut *trap {
            Some((1, _)) => trap.take(),
            Some((readings, _)) => {
                *readings -= 1;
                None
            }
            None => None,
        };
        drop(trap);
        if let Some((_, runtime)) = sprung {
            runtime.shutdown_background();
        }
        SystemClock::default().now()
    }

    fn coarse_now(&self) -> Moment {
        SystemClock::default().now()
    }

    fn wall(&self) -> SystemTime {
        SystemClock::default().wall()
    }
}

/// A driver that dies wakes the callers of the sets that are open. That of this caller is not yet: it
/// has to see by itself that there is no driver, however late that one dies.
#[test]
fn f11_a_driver_that_dies_while_a_set_of_scopes_is_opened_is_replaced() {
    for readings in 1..=2 {
        let trap = Trap::default();
        let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
        let (first, second) = (runtime(), runtime());
        let issuer = ScriptedIssuer::new();
        let provider = builder(&issuer).clock(trap.clone()).build().unwrap();
        first.block_on(provider.ready()).unwrap();
        *trap.0.lock().unwrap() = Some((readings, first));
        let set = provider.scoped(["a"]);
        let token = second.block_on(async { tokio::time::timeout(secs(5), set.token()).await });
        token.expect("nobody woke the caller").unwrap();
        assert!(
            trap.0.lock().unwrap().is_none(),
            "the first runtime is there"
        );
        second.block_on(provider.shutdown());
    }
}

#[test]
fn the_rules_of_an_adapter_fail_without_a_runtime_and_do_not_panic() {
    let provider = builder(&ScriptedIssuer::new()).build().unwrap();
    let rules = provider.request_rules();
    let outcome = rules.token(Some(secs(1))).now_or_never().unwrap();
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::NoRuntime);
}
