//! The errors of reqwest, as an issuer outside of the crate gets them by `?`.

use std::time::Duration;

use everbearer::{Error, ErrorKind};
use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

async fn ask(url: &str) -> Result<Value, Error> {
    let client = reqwest::Client::builder().no_proxy();
    let client = client.timeout(Duration::from_millis(200)).build()?;
    Ok(client
        .get(url)
        .send()
        .await?
        .error_for_status()?
        .json()
        .await?)
}

async fn answered(answer: ResponseTemplate) -> Error {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let url = format!("{}/?key=a-secret-in-the-url", server.uri());
    ask(&url).await.unwrap_err()
}

#[tokio::test]
async fn a_status_is_classified_and_a_body_that_cannot_be_read_is_not_quoted() {
    for (answer, kind) in [
        (ResponseTemplate::new(503), ErrorKind::Server),
        (ResponseTemplate::new(429), ErrorKind::RateLimited),
        (ResponseTemplate::new(403), ErrorKind::Protocol),
        (
            ResponseTemplate::new(200).set_body_string("\"a-secret-in-the-body"),
            ErrorKind::Protocol,
        ),
        (
            ResponseTemplate::new(200).set_delay(Duration::from_secs(5)),
            ErrorKind::Timeout,
        ),
    ] {
        let error = answered(answer).await;
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.is_retryable());
        assert!(!format!("{error:?}").contains("a-secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_and_an_invalid_url_are_named_as_such() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    assert_eq!(ask(&url).await.unwrap_err().kind(), ErrorKind::Unreachable);
    let error = ask("no URL").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
}
