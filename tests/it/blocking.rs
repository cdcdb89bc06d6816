//! A provider for programs without an async runtime.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{BlockingTokenProvider, Error, ErrorKind, LongTermToken, TokenProvider};
use http::HeaderValue;

fn provider(issuer: &ScriptedIssuer) -> BlockingTokenProvider {
    let long_term = LongTermToken::new("long-term").unwrap();
    let builder = TokenProvider::builder(issuer.clone(), long_term);
    builder.build_blocking().unwrap()
}

#[test]
fn threads_share_one_exchange_and_the_provider_refreshes_without_them() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::token(Duration::from_secs(8)).after(Duration::from_millis(100)));
    let provider = provider(&issuer);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(provider.authorization().unwrap(), "Bearer st-1"));
        }
    });
    assert_eq!(issuer.exchanges(), 1);
    while provider.token().unwrap().expose() != "st-2" {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(issuer.exchanges(), 2, "no caller waited for it");
    let newer = provider.refresh().unwrap();
    assert_eq!(newer.expose(), "st-3");
    assert_eq!(provider.invalidate(&newer).unwrap().expose(), "st-4");
    assert!(provider.scoped(["jobs:read"]).token().is_ok());
    let report = provider.shutdown().unwrap();
    assert!(report.all_revoked(), "{report}");
    assert_eq!(provider.token().unwrap_err().kind(), ErrorKind::ShutDown);
}

/// The thread of the runtime is that of the exchange, too, for a runtime with one thread.
#[test]
fn within_a_runtime_a_valid_token_is_returned_and_a_wait_is_an_error() {
    let issuer = ScriptedIssuer::new();
    let provider = provider(&issuer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let refused = |outcome: Result<_, Error>| {
        let error = outcome.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("TokenProvider"), "{error}");
    };
    runtime.block_on(async {
        refused(provider.token().map(|_| ()));
        refused(provider.refresh().map(|_| ()));
        refused(provider.shutdown().map(|_| ()));
    });
    provider.token().unwrap();
    runtime.block_on(async {
        assert_eq!(provider.token().unwrap().expose(), "st-1");
        assert_eq!(provider.authorization().unwrap(), "Bearer st-1");
        let handle = provider.provider().clone();
        assert_eq!(handle.token().await.unwrap().expose(), "st-1");
    });
    assert!(provider.shutdown().unwrap().all_revoked());
}

/// The thread of the caller's runtime may wait for another thread, which waits for the token.
#[test]
fn a_provider_that_is_built_within_a_runtime_does_not_depend_on_it() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let provider = provider(&ScriptedIssuer::new());
        let token = thread::spawn(move || provider.token().unwrap()).join();
        assert_eq!(token.unwrap().expose(), "st-1");
    });
}

#[test]
fn a_refused_request_is_sent_once_more_with_a_newer_token() {
    let issuer = ScriptedIssuer::new();
    let provider = provider(&issuer);
    let sent = Mutex::new(Vec::new());
    let send = |accepted: &'static str| {
        let sent = &sent;
        move |token: &HeaderValue| {
            assert!(token.is_sensitive());
            sent.lock()
                .unwrap()
                .push(token.to_str().unwrap().to_owned());
            Ok::<_, Error>(if token == accepted { 200 } else { 401 })
        }
    };
    let is_refused = |status: &u16| *status == 401;
    let status = provider.send(send("Bearer st-2"), is_refused);
    assert_eq!(status.unwrap().unwrap(), 200);
    let status = provider.send(send("Bearer st-2"), is_refused);
    assert_eq!(status.unwrap().unwrap(), 200);
    assert_eq!(
        *sent.lock().unwrap(),
        ["Bearer st-1", "Bearer st-2", "Bearer st-2"]
    );

    let failed = provider.send(|_| Err::<u16, _>("no connection"), |_| true);
    assert_eq!(failed.unwrap(), Err("no connection"));
    assert_eq!(issuer.exchanges(), 2, "a failure is no refusal");

    // Without a newer token, the caller gets the refusal.
    let issuer = ScriptedIssuer::new();
    let refusal = Reply::error(Error::new(ErrorKind::Denied, "refused"));
    issuer.script([Reply::token(Duration::from_secs(900)), refusal]);
    let provider = self::provider(&issuer);
    sent.lock().unwrap().clear();
    let status = provider.send(send("none"), is_refused);
    assert_eq!(status.unwrap().unwrap(), 401);
    assert_eq!(*sent.lock().unwrap(), ["Bearer st-1"]);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    sent.lock().unwrap().clear();
    let outcome = runtime.block_on(async { provider.send(send("none"), is_refused) });
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Config);
    assert!(sent.lock().unwrap().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn the_thread_ends_with_the_last_handle() {
    let name = "everbearer-7";
    let is_running = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let mut names =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
        names.any(|it| it.is_ok_and(|it| it.trim() == name))
    };
    let issuer = ScriptedIssuer::new();
    let long_term = LongTermToken::new("long-term").unwrap();
    let builder = TokenProvider::builder(issuer, long_term).name("7");
    let provider = builder.build_blocking().unwrap();
    provider.token().unwrap();
    let other = provider.scoped(["jobs:read"]);
    drop(provider);
    assert!(is_running());
    other.token().unwrap();
    drop(other);
    while is_running() {
        thread::sleep(Duration::from_millis(10));
    }
}
