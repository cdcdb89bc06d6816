//! What a caller behind other middleware makes of our errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use everbearer::testkit::{Reply, ScriptedIssuer};
use everbearer::{Error, ErrorKind, RequestBuilderExt as _};
use reqwest_middleware::ClientBuilder;
use reqwest_retry::policies::ExponentialBackoff;
use reqwest_retry::{
    RetryTransientMiddleware, Retryable, RetryableStrategy, default_on_request_success,
};

use super::{Server, URL};
use crate::support::{builder, millis, secs};

/// The recipe of `BearerMiddleware`, which counts the attempts.
#[derive(Clone, Default)]
struct Strategy(Arc<AtomicU32>);

impl RetryableStrategy for Strategy {
    fn handle(
        &self,
        outcome: &Result<reqwest::Response, reqwest_middleware::Error>,
    ) -> Option<Retryable> {
        self.0.fetch_add(1, Ordering::SeqCst);
        match outcome {
            Ok(response) => default_on_request_success(response),
            Err(error) => match Error::find_in(error) {
                Some(error) if error.is_retryable() => Some(Retryable::Transient),
                Some(_) => Some(Retryable::Fatal),
                None => reqwest_retry::default_on_request_failure(error),
            },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn r16_a_caller_behind_a_retrying_middleware_finds_our_error() {
    for (failure, kind, attempts) in [
        (Error::transient("down"), ErrorKind::Issuer, 4),
        (Error::terminal("no"), ErrorKind::Denied, 1),
    ] {
        let issuer = ScriptedIssuer::new();
        issuer.default_reply(Reply::error(failure));
        let provider = builder(&issuer)
            .origins(["https://api.example.com"])
            .retry_policy(everbearer::RetryPolicy::default().backoff(millis(10), millis(10)))
            .build()
            .unwrap();
        let backoff = ExponentialBackoff::builder()
            .retry_bounds(secs(1), secs(1))
            .build_with_max_retries(3);
        let strategy = Strategy::default();
        let retries =
            RetryTransientMiddleware::new_with_policy_and_strategy(backoff, strategy.clone());
        let server = Server::default();
        let client = ClientBuilder::new(reqwest::Client::new())
            .with(retries)
            .with(provider.middleware())
            .with(server.clone())
            .build();
        let error = client.get(URL).send().await.unwrap_err();
        assert_eq!(Error::find_in(&error).unwrap().kind(), kind);
        assert!(server.tokens().is_empty());
        let boxed: Box<dyn std::error::Error> = error.into();
        assert_eq!(Error::find_in(boxed.as_ref()).unwrap().kind(), kind);
        assert_eq!(strategy.0.load(Ordering::SeqCst), attempts);
    }
}

#[tokio::test(start_paused = true)]
async fn r16_our_error_is_found_without_other_middleware() {
    let issuer = ScriptedIssuer::new();
    issuer.default_reply(Reply::error(Error::terminal("no")));
    let builder = builder(&issuer).origins(["https://api.example.com"]);
    let provider = builder.build().unwrap();
    let client = Server::default().client(&provider);
    let error = client.get(URL).send().await.unwrap_err();
    assert_eq!(Error::find_in(&error).unwrap().kind(), ErrorKind::Denied);
    let reqwest_middleware::Error::Middleware(inner) = error else {
        panic!("{error:?}");
    };
    let found: &Error = inner.downcast_ref().unwrap();
    assert_eq!(found.kind(), ErrorKind::Denied);
    let request = reqwest::Client::new().get(URL);
    let error = request.send_with(&provider).await.unwrap_err();
    assert_eq!(Error::find_in(&error).unwrap().kind(), ErrorKind::Denied);
    let other = std::io::Error::other("disk");
    assert!(Error::find_in(&other).is_none());
}
