//! What is sent to the token endpoint.

use everbearer::{LongTermToken, SecretSource};

use super::*;

#[tokio::test]
async fn o1_id_and_secret_are_encoded_before_they_become_basic_credentials() {
    let server = Server::answering([token()]).await;
    let basic = |credentials: &str| {
        let encoded = base64::prelude::BASE64_STANDARD.encode(credentials);
        Some(format!("Basic {encoded}"))
    };
    let issuer = server.client().build().unwrap();
    issuer.exchange(None, &[]).await.unwrap();
    let encoded = "client%3A1+%C3%A9:correct%3Ahorse%2Bbattery%25staple+%C3%A9";
    assert_eq!(server.last().await.authorization, basic(encoded));
    let raw = ClientAuth::basic_unencoded("client:1 é", SECRET);
    let issuer = server.client().client_auth(raw).build().unwrap();
    issuer.exchange(None, &[]).await.unwrap();
    let raw = format!("client:1 é:{SECRET}");
    assert_eq!(server.last().await.authorization, basic(&raw));
}

#[tokio::test]
async fn o2_exactly_one_way_of_client_authentication_is_sent() {
    let server = Server::answering([token()]).await;
    for (client, in_header, fields) in [
        (ClientAuth::basic("id", "secret"), true, &[][..]),
        (
            ClientAuth::post("id", "secret"),
            false,
            &["client_id", "client_secret"],
        ),
        (ClientAuth::public("id"), false, &["client_id"]),
        (ClientAuth::none(), false, &[]),
        (
            ClientAuth::assertion("id", "a.b.c"),
            false,
            &["client_id", "client_assertion_type", "client_assertion"],
        ),
    ] {
        let issuer = server.client().client_auth(client).build().unwrap();
        issuer.exchange(None, &[]).await.unwrap();
        let received = server.last().await;
        assert_eq!(received.authorization.is_some(), in_header);
        let sent = received.form.iter().map(|(name, _)| name.as_str());
        let sent: Vec<&str> = sent.filter(|name| *name != "grant_type").collect();
        assert_eq!(sent, fields);
    }
    assert_eq!(server.received().await.len(), 5, "one request each");
}

#[tokio::test]
async fn o3_parameters_are_sent_as_given_and_secrets_are_read_anew() {
    let server = Server::answering([token()]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actor");
    let issuer = server
        .client()
        .audience("https://api.example.com")
        .resource("https://a.example.com/?x=1&y=2")
        .resource("https://b.example.com")
        .secret_param(
            "actor_token",
            SecretSource::file(&path).skip_permission_checks(),
        )
        .build()
        .unwrap();
    for actor in ["first", "second"] {
        std::fs::write(&path, actor).unwrap();
        issuer
            .exchange(None, &["a".to_owned(), "b".to_owned()])
            .await
            .unwrap();
        let received = server.last().await;
        assert_eq!(received.get("grant_type"), Some("client_credentials"));
        assert_eq!(received.get("audience"), Some("https://api.example.com"));
        let resources = ["https://a.example.com/?x=1&y=2", "https://b.example.com"];
        assert_eq!(received.all("resource"), resources);
        assert_eq!(received.get("actor_token"), Some(actor));
        assert_eq!(received.get("scope"), Some("a b"));
    }
}

#[test]
fn o3_a_parameter_that_the_grant_sets_is_refused() {
    let builder = || OAuth2::client_credentials("https://auth.example.com/token", "id", "secret");
    for (name, why) in [
        ("grant_type", "set by the grant"),
        ("scope", "TokenProviderBuilder::scopes"),
        ("client_id", "client_auth"),
        ("client_secret", "client_auth"),
        ("refresh_token", "set by the grant"),
        ("", "name is empty"),
    ] {
        let error = builder().param(name, "x").build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(builder().secret_param("actor_token", "").build().is_err());
}

#[tokio::test]
async fn the_refresh_token_is_sent_and_the_one_that_replaces_it_is_returned() {
    let body = json!({
        "access_token": "at-1", "token_type": "bearer", "expires_in": 60,
        "refresh_token": "rt-2", "refresh_expires_in": 0,
    });
    let server = Server::answering([json(200, &body)]).await;
    let issuer = OAuth2::refresh_token(server.url("/token"), ClientAuth::public("id"))
        .build()
        .unwrap();
    let first = LongTermToken::new("rt-1").unwrap();
    let response = issuer.exchange(Some(&first), &[]).await.unwrap();
    let received = server.last().await;
    assert_eq!(received.get("grant_type"), Some("refresh_token"));
    assert_eq!(received.get("refresh_token"), Some("rt-1"));
    assert_eq!(response.replacement().unwrap().expose(), "rt-2");
    let missing = issuer.exchange(None, &[]).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn o22_the_subject_token_is_read_for_each_exchange() {
    let server = Server::answering([token()]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("subject");
    let subject = SecretSource::file(&path).skip_permission_checks();
    let jwt = "urn:ietf:params:oauth:token-type:jwt";
    let issuer = OAuth2::token_exchange(server.url("/token"), subject, jwt)
        .audience("//iam.googleapis.com/projects/1")
        .build()
        .unwrap();
    for subject in ["first", "second"] {
        std::fs::write(&path, subject).unwrap();
        issuer.exchange(None, &[]).await.unwrap();
        let received = server.last().await;
        assert_eq!(received.authorization, None, "Google refuses any");
        assert_eq!(received.get("subject_token"), Some(subject));
        assert_eq!(received.get("subject_token_type"), Some(jwt));
        let requested = "urn:ietf:params:oauth:token-type:access_token";
        assert_eq!(received.all("requested_token_type"), [requested]);
    }
}

#[test]
fn invalid_settings_are_refused_with_a_text_that_says_why() {
    let url = "https://auth.example.com/token";
    let with = |client| OAuth2::client_credentials_with(url, client);
    for (builder, why) in [
        (with(ClientAuth::basic("", "secret")), "client ID is empty"),
        (with(ClientAuth::basic("id", "")), "client secret is empty"),
        (
            OAuth2::client_credentials("auth.example.com", "id", "s"),
            "token URL is not a URL",
        ),
        (
            OAuth2::client_credentials("http://auth.example.com/", "id", "s"),
            "https",
        ),
        (
            OAuth2::client_credentials("https://a:b@auth.example.com/", "id", "s"),
            "password",
        ),
        (
            OAuth2::client_credentials("https://auth.example.com/#f", "id", "s"),
            "fragment",
        ),
        (
            with(ClientAuth::none()).revocation_url("ftp://auth.example.com"),
            "https",
        ),
        (
            with(ClientAuth::none()).timeout(std::time::Duration::ZERO),
            "timeout",
        ),
        (
            OAuth2::token_exchange(url, "", "urn:x"),
            "subject token is empty",
        ),
        (
            OAuth2::token_exchange(url, "x", ""),
            "type of the subject token",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(why), "{why}: {error}");
        assert!(!error.to_string().contains("a:b"));
    }
}

#[test]
fn nothing_shows_a_secret() {
    let builder = OAuth2::client_credentials("https://auth.example.com/token", "id", SECRET)
        .secret_param("actor_token", "another-secret");
    let shown = format!("{builder:?} {:?}", ClientAuth::post("id", SECRET));
    let shown = format!("{shown} {:?}", builder.build().unwrap());
    assert!(
        !shown.contains("horse") && !shown.contains("another-secret"),
        "{shown}"
    );
}
