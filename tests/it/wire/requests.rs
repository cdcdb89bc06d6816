//! Lengths, paths and headers of requests.

use everbearer::models::{GrantType, LongTokenRequest, ShortTokenRequest};
use everbearer::{AuthApi, ErrorKind, Secret};
use wiremock::ResponseTemplate;

use super::{NO_CONTENT, TOKEN, long_term, raw_server, server_that_answers, token};

#[tokio::test]
async fn a1_each_post_states_the_length_of_its_body() {
    let answers = vec![Some(TOKEN), Some(TOKEN), Some(NO_CONTENT), Some(TOKEN)];
    let (url, received) = raw_server(answers).await;
    let api = AuthApi::new(url).unwrap();
    let scopes = ShortTokenRequest::scopes(["jobs:read"]);
    let mut grant = LongTokenRequest::new(GrantType::ClientCredentials, "id");
    grant.client_secret = Some(Secret::from("correct-horse"));
    api.issue_short_term_token(&long_term(), None)
        .await
        .unwrap();
    api.issue_short_term_token(&long_term(), Some(&scopes))
        .await
        .unwrap();
    api.revoke_token("tok_1", &long_term()).await.unwrap();
    api.issue_long_term_token(&grant, None).await.unwrap();
    for request in received.lock().unwrap().iter() {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        let lengths: Vec<_> = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "))
            .collect();
        assert_eq!(lengths, [body.len().to_string()], "{head}");
        assert!(!head.contains("transfer-encoding"), "{head}");
    }
    assert_eq!(received.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a5_everything_but_unreserved_characters_of_a_token_id_is_percent_encoded() {
    let unreserved = "ABCXYZabcxyz0189-._~";
    for (id, encoded) in [
        (unreserved, unreserved),
        ("a|b^c[d]e", "a%7Cb%5Ec%5Bd%5De"),
        ("!$&'()*+,;=:@", "%21%24%26%27%28%29%2A%2B%2C%3B%3D%3A%40"),
        ("a\\b`c{d}\"<>", "a%5Cb%60c%7Bd%7D%22%3C%3E"),
        ("ü/日", "%C3%BC%2F%E6%97%A5"),
        ("%2F", "%252F"),
        ("%2e%2E", "%252e%252E"),
        ("...", "..."),
    ] {
        let (server, api) = server_that_answers(ResponseTemplate::new(204)).await;
        api.revoke_token(id, &long_term()).await.unwrap();
        let requests = server.received_requests().await.unwrap();
        let expected = format!("/auth/tokens/{encoded}/revoke");
        assert_eq!(requests[0].url.path(), expected);
    }
}

#[tokio::test]
async fn slashes_at_the_end_of_the_base_url_are_left_out() {
    for (suffix, prefix) in [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1//", "/v1"),
        ("/a//b///", "/a//b"),
        ("/a%20b/", "/a%20b"),
    ] {
        let (server, _) = server_that_answers(token()).await;
        let api = AuthApi::new(format!("{}{suffix}", server.uri())).unwrap();
        assert_eq!(api.base_url(), format!("{}{prefix}", server.uri()));
        api.issue_short_term_token(&long_term(), None)
            .await
            .unwrap();
        let requests = server.received_requests().await.unwrap();
        let expected = format!("{prefix}/auth/tokens/short");
        assert_eq!(requests[0].url.path(), expected, "{suffix}");
    }
}

#[tokio::test]
async fn an_invalid_token_id_is_not_sent() {
    let (server, api) = server_that_answers(ResponseTemplate::new(204)).await;
    let longest = "a".repeat(4 * 1024);
    api.revoke_token(&longest, &long_term()).await.unwrap();
    for id in ["", ".", "..", "a\n", &(longest + "a")] {
        let error = api.revoke_token(id, &long_term()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidToken);
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_is_asked_for_without_compression() {
    let (server, api) = server_that_answers(token()).await;
    api.issue_short_term_token(&long_term(), None)
        .await
        .unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].headers["accept-encoding"], "identity");
}

#[test]
fn a_websocket_url_is_no_auth_server() {
    for url in ["wss://auth.example.com/v1", "ws://127.0.0.1:1"] {
        let error = AuthApi::new(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("use https"), "{error}");
    }
}
