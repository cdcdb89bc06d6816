//! One-time codes: none is sent twice, whatever became of the request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use everbearer::testkit::{AuthServer, Endpoint, Fault};
use everbearer::{
    AuthApi, Error, ErrorKind, Grant, RetryPolicy, Secret, TokenIssuer as _, TokenProvider,
};

use super::{NO_SECRET, assert_says, obtain, start};
use crate::support::{millis, secs};

/// Shows these codes, one for each time that it is asked, and then the last of them for ever.
#[derive(Clone, Default)]
struct Generator {
    codes: Arc<Mutex<VecDeque<String>>>,
    asked: Arc<Mutex<u32>>,
}

impl Generator {
    fn of(codes: &[&str]) -> Self {
        let this = Self::default();
        let codes = codes.iter().map(ToString::to_string).collect();
        *this.codes.lock().unwrap() = codes;
        this
    }

    fn show(&self) -> String {
        *self.asked.lock().unwrap() += 1;
        let mut codes = self.codes.lock().unwrap();
        if codes.len() > 1 {
            codes.pop_front().unwrap()
        } else {
            codes[0].clone()
        }
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }

    fn grant(&self, server: &AuthServer) -> Grant {
        let this = self.clone();
        Grant::otp(server.client_id(), move || {
            let code = this.show();
            async move { Ok(Secret::from(code)) }
        })
    }
}

fn requests(server: &AuthServer) -> u64 {
    server.counts().long_term.requests
}

#[tokio::test]
async fn each_request_has_a_code_of_its_own() {
    let (server, api) = start().await;
    let generator = Generator::of(&[&server.new_otp(), &server.new_otp()]);
    let grant = generator.grant(&server);
    obtain(&server, &api, &grant).await;
    obtain(&server, &api, &grant.clone()).await;
    assert_eq!(generator.asked(), 2);
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_not_sent_again() {
    let (server, api) = start().await;
    let (first, second) = (server.new_otp(), server.new_otp());
    let generator = Generator::of(&[&first, &first, &second]);
    let grant = generator.grant(&server);
    server.script(Endpoint::LongTerm, [Fault::LoseResponse]);
    let lost = api.obtain(&grant, None).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unreachable);

    let error = api.obtain(&grant.clone(), None).await.unwrap_err();
    assert_says(
        &error,
        ErrorKind::Issuer,
        &["one-time code", "not sent"],
        &first,
    );
    assert!(error.is_retryable());
    assert_eq!(requests(&server), 1);

    obtain(&server, &api, &grant).await;
    assert_eq!(generator.asked(), 3);
}

#[tokio::test]
async fn a_code_that_timed_out_is_not_sent_again() {
    let server = AuthServer::start().await.unwrap();
    let api = AuthApi::builder(server.base_url()).timeout(millis(200));
    let api = api.build().unwrap();
    let (first, second) = (server.new_otp(), server.new_otp());
    let grant = Generator::of(&[&first, &first, &second]).grant(&server);
    server.script(Endpoint::LongTerm, [Fault::Hang]);
    let late = api.obtain(&grant, None).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);

    let error = api.obtain(&grant, None).await.unwrap_err();
    assert_says(&error, ErrorKind::Issuer, &["not sent"], &first);
    assert_eq!(requests(&server), 1, "the server would have taken it");
    obtain(&server, &api, &grant).await;
}

#[tokio::test]
async fn a_code_of_a_dropped_request_is_not_sent_again() {
    let (server, api) = start().await;
    let code = server.new_otp();
    let grant = Generator::of(&[&code]).grant(&server);
    server.script(Endpoint::LongTerm, [Fault::Hang]);
    let dropped = tokio::time::timeout(secs(60), async {
        tokio::select! {
            outcome = api.obtain(&grant, None) => panic!("{outcome:?}"),
            () = async { while requests(&server) == 0 { tokio::task::yield_now().await } } => {}
        }
    });
    dropped.await.unwrap();
    let error = api.obtain(&grant, None).await.unwrap_err();
    assert_says(&error, ErrorKind::Issuer, &["not sent"], &code);
}

#[tokio::test]
async fn of_two_requests_at_once_only_one_has_the_code() {
    let (server, api) = start().await;
    let grant = Generator::of(&[&server.new_otp()]).grant(&server);
    let (one, other) = tokio::join!(api.obtain(&grant, None), api.obtain(&grant, None));
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1);
    assert_eq!(requests(&server), 1);
}

#[tokio::test]
async fn the_provider_asks_again_until_another_code_is_shown() {
    let (server, api) = start().await;
    let (first, second) = (server.new_otp(), server.new_otp());
    let generator = Generator::of(&[&first, &first, &first, &second]);
    server.script(Endpoint::LongTerm, [Fault::LoseResponse]);
    let provider = TokenProvider::builder(api, generator.grant(&server))
        .retry_policy(RetryPolicy::default().backoff(millis(5), millis(10)))
        .build()
        .unwrap();
    tokio::time::timeout(secs(60), async {
        while provider.token().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!((generator.asked(), requests(&server)), (4, 2));
    provider.shutdown().await;
}

#[tokio::test]
async fn what_the_callback_fails_with_is_passed_on_and_an_empty_code_is_asked_for_again() {
    let (server, api) = start().await;
    let id = server.client_id();
    let failing = Grant::otp(id, || async {
        Err(Error::transient("nobody is at the desk"))
    });
    let error = api.obtain(&failing, None).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(super::all_of(&error).contains("nobody is at the desk"));

    let empty = Grant::otp(id, || async { Ok(Secret::from("")) });
    let error = api.obtain(&empty, None).await.unwrap_err();
    assert_says(&error, ErrorKind::Issuer, &["empty"], NO_SECRET);
    assert_eq!(requests(&server), 0);
}
