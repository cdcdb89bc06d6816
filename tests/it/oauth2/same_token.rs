//! A server that returns the token in use again.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn o15_the_token_in_use_again_is_no_new_generation() {
    let server = Server::answering([token()]).await;
    let provider = server.client().provider().unwrap().build().unwrap();
    provider.token().await.unwrap();
    provider.refresh().await.unwrap();
    assert_eq!(provider.status().generation, 1);
    assert_eq!(server.received().await.len(), 2);
}

/// Each answer is the token that the server issued first, with the seconds that are left of its life, rounded down,
/// until its end.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the server counts a life down")]
async fn o16_the_same_token_with_ever_less_life_causes_few_exchanges() {
    const LIFE: Duration = Duration::from_secs(12);
    let server = MockServer::start().await;
    let issued = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&issued);
    let first = OnceLock::new();
    let answer = move |_: &Request| {
        let age = first.get_or_init(Instant::now).elapsed();
        let left = LIFE.saturating_sub(age);
        let text = if left.is_zero() { "at-2" } else { "at-1" };
        let left = if left.is_zero() { LIFE } else { left };
        noted.lock().unwrap().push((text, age));
        let body = json!({"access_token": text, "expires_in": left.as_secs()});
        json(200, &body)
    };
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let issuer = OAuth2::client_credentials(format!("{}/token", server.uri()), "id", "secret");
    let provider = issuer.provider().unwrap().build().unwrap();
    let has_newer = async {
        while provider.token().await.unwrap().expose() != "at-2" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIFE * 2, has_newer).await.unwrap();
    let issued = issued.lock().unwrap();
    let times: Vec<Duration> = issued
        .iter()
        .filter(|(text, _)| *text == "at-1")
        .map(|(_, age)| *age)
        .collect();
    assert!((2..=4).contains(&times.len()), "{issued:?}");
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{issued:?}");
    }
}
