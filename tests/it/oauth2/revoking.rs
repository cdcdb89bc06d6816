//! Revocation by RFC 7009.

use everbearer::{LongTermToken, Revoked, TokenRef};

use super::*;

async fn revoke(answer: ResponseTemplate) -> Result<Revoked, Error> {
    let server = Server::answering([answer]).await;
    let url = server.url("/revoke");
    let issuer = server.client().revocation_url(url).build().unwrap();
    let token = ShortTermToken::builder("opaque-token-1").build()?;
    issuer.revoke(TokenRef::from(&token), None).await
}

#[tokio::test]
async fn o19_a_revocation_is_authenticated_and_names_the_kind_of_token() {
    let server = Server::answering([ResponseTemplate::new(200)]).await;
    let url = server.url("/revoke");
    let issuer = server.client().revocation_url(url).build().unwrap();
    let short_term = ShortTermToken::builder("access-1").build().unwrap();
    let long_term = LongTermToken::new("refresh-1").unwrap();
    for (token, text, hint) in [
        (TokenRef::from(&short_term), "access-1", "access_token"),
        (TokenRef::from(&long_term), "refresh-1", "refresh_token"),
    ] {
        assert_eq!(issuer.revoke(token, None).await.unwrap(), Revoked::Gone);
        let received = server.last().await;
        assert_eq!(received.path, "/revoke");
        assert!(received.authorization.unwrap().starts_with("Basic "));
        let form: Vec<_> = received.form.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(form, [("token", text), ("token_type_hint", hint)]);
    }
}

#[tokio::test]
async fn o20_what_cannot_be_revoked_is_reported_as_such() {
    let server = Server::answering([token()]).await;
    let issuer = server.client().build().unwrap();
    let token = ShortTermToken::builder("opaque-token-1").build().unwrap();
    let outcome = issuer.revoke(TokenRef::from(&token), None).await.unwrap();
    assert_eq!(outcome, Revoked::Unsupported);
    assert!(server.received().await.is_empty());
    let unsupported = json(400, &json!({"error": "unsupported_token_type"}));
    for answer in [
        ResponseTemplate::new(404),
        ResponseTemplate::new(405),
        unsupported,
    ] {
        assert_eq!(revoke(answer).await.unwrap(), Revoked::Unsupported);
    }
}

#[tokio::test]
async fn o20_what_is_gone_counts_as_revoked_and_a_page_does_not() {
    let invalid = json(400, &json!({"error": "invalid_token"}));
    for answer in [ResponseTemplate::new(200), json(200, &json!({})), invalid] {
        assert_eq!(revoke(answer).await.unwrap(), Revoked::Gone);
    }
    let page = ResponseTemplate::new(200).set_body_raw("<html>sign in", "text/html");
    for (answer, kind) in [
        (page, ErrorKind::Protocol),
        (
            json(200, &json!({"error": "invalid_client"})),
            ErrorKind::Denied,
        ),
        (ResponseTemplate::new(503), ErrorKind::Server),
        (
            json(503, &json!({"error": "invalid_token"})),
            ErrorKind::Server,
        ),
    ] {
        assert_eq!(revoke(answer).await.unwrap_err().kind(), kind);
    }
}
