//! Assertions: `private_key_jwt`, `client_secret_jwt` and the JWT bearer grant.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use everbearer::{Assertion, SigningKey, TokenRef};
use ring::hmac;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};

use super::*;

const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";

fn key() -> SigningKey {
    SigningKey::from_pem(ED25519).unwrap()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[tokio::test]
async fn o7_the_default_claims_are_those_that_servers_accept() {
    let server = Server::answering([token()]).await;
    let client = ClientAuth::jwt(Assertion::new("client-1", key()).key_id("2026-11"));
    let issuer = OAuth2::client_credentials_with(server.url("/token"), client)
        .revocation_url(server.url("/revoke"))
        .build()
        .unwrap();
    issuer.exchange(None, &[]).await.unwrap();
    let token = ShortTermToken::builder("opaque-token-1").build().unwrap();
    issuer.revoke(TokenRef::from(&token), None).await.unwrap();
    for received in server.received().await {
        let claims = received.claims("client_assertion");
        assert_eq!(claims["iss"], "client-1");
        assert_eq!(claims["sub"], "client-1");
        assert_eq!(
            claims["aud"],
            server.url("/token"),
            "one text, and the same for both"
        );
        let issued_at = claims["iat"].as_u64().unwrap();
        assert!((8..=12).contains(&(now() - issued_at)));
        assert_eq!(claims["exp"].as_u64(), Some(issued_at + 60));
        assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
        assert!(claims.get("nbf").is_none());
        let header = part(received.get("client_assertion").unwrap(), 0);
        assert_eq!(
            header,
            json!({"alg": "EdDSA", "typ": "JWT", "kid": "2026-11"})
        );
        assert_eq!(received.get("client_id"), Some("client-1"));
    }
}

#[tokio::test]
async fn o7_the_audience_may_be_the_endpoint_that_is_called() {
    let server = Server::answering([token()]).await;
    let client = ClientAuth::jwt(Assertion::new("client-1", key()));
    let issuer = OAuth2::client_credentials_with(server.url("/token"), client)
        .revocation_url(server.url("/revoke"))
        .audience_is_endpoint(true)
        .build()
        .unwrap();
    issuer.exchange(None, &[]).await.unwrap();
    let token = ShortTermToken::builder("opaque-token-1").build().unwrap();
    issuer.revoke(TokenRef::from(&token), None).await.unwrap();
    for received in server.received().await {
        let audience = received.claims("client_assertion")["aud"].clone();
        assert_eq!(audience, server.url(&received.path));
    }
}

#[tokio::test]
async fn o7_whatever_a_server_demands_can_be_set() {
    let assertion = Assertion::new("app", key())
        .audience("https://api.github.com")
        .backdate(Duration::from_secs(60))
        .lifetime(Duration::from_secs(540))
        .claim("sub", Value::Null)
        .claim("nbf", 1)
        .header("x5t#S256", "abc")
        .header("typ", Value::Null);
    let jwt = assertion
        .sign("https://elsewhere.example.com")
        .await
        .unwrap();
    let claims = part(jwt.expose(), 1);
    assert_eq!(claims["aud"], "https://api.github.com");
    assert!(claims.get("sub").is_none());
    assert_eq!(claims["nbf"], 1);
    let issued_at = claims["iat"].as_u64().unwrap();
    assert!(now() - issued_at >= 60);
    assert_eq!(claims["exp"].as_u64(), Some(issued_at + 540));
    assert_eq!(
        part(jwt.expose(), 0),
        json!({"alg": "EdDSA", "x5t#S256": "abc"})
    );
}

#[tokio::test]
async fn o6_each_attempt_has_an_assertion_of_its_own() {
    let busy = json(429, &json!({}));
    let server = Server::answering([busy, token()]).await;
    let client = ClientAuth::jwt(Assertion::new("client-1", key()));
    let issuer = OAuth2::client_credentials_with(server.url("/token"), client)
        .build()
        .unwrap();
    issuer.exchange(None, &[]).await.unwrap_err();
    issuer.exchange(None, &[]).await.unwrap();
    let received = server.received().await;
    let ids: Vec<Value> = received
        .iter()
        .map(|it| it.claims("client_assertion")["jti"].clone())
        .collect();
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn o8_a_wrong_clock_is_named_and_the_next_assertion_has_the_servers_time() {
    let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
    let refused = json(401, &json!({"error": "invalid_client"}))
        .insert_header("date", httpdate(in_an_hour).as_str());
    let server = Server::answering([refused, token()]).await;
    let client = ClientAuth::jwt(Assertion::new("client-1", key()));
    let issuer = OAuth2::client_credentials_with(server.url("/token"), client)
        .build()
        .unwrap();
    let error = issuer.exchange(None, &[]).await.unwrap_err();
    assert!(
        error.to_string().contains(" s ahead of this machine's"),
        "{error}"
    );
    assert_eq!(
        (error.kind(), error.code()),
        (ErrorKind::Denied, Some("invalid_client"))
    );
    issuer.exchange(None, &[]).await.unwrap();
    let issued_at = server.last().await.claims("client_assertion")["iat"]
        .as_u64()
        .unwrap();
    assert!(issued_at.abs_diff(now() + 3_590) < 10);
}

fn httpdate(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn a_client_secret_signs_by_hs256() {
    let server = Server::answering([token()]).await;
    let client = ClientAuth::jwt(Assertion::client_secret(
        "client-1",
        "a-secret-of-32-bytes-or-more-.....",
    ));
    let issuer = OAuth2::client_credentials_with(server.url("/token"), client)
        .build()
        .unwrap();
    issuer.exchange(None, &[]).await.unwrap();
    let received = server.last().await;
    let (input, signature) = received
        .get("client_assertion")
        .unwrap()
        .rsplit_once('.')
        .unwrap();
    assert_eq!(part(input, 0)["alg"], "HS256");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a-secret-of-32-bytes-or-more-.....");
    let signature = BASE64.decode(signature).unwrap();
    hmac::verify(&key, input.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn o7_an_rsa_key_signs_by_ps256_if_it_is_told_to() {
    let pem = include_str!("../grants/rsa_for_tests.pem");
    let key = SigningKey::from_pem(pem).unwrap().with_pss().unwrap();
    let jwt = Assertion::new("client-1", key)
        .sign("https://auth.example.com")
        .await
        .unwrap();
    let (input, signature) = jwt.expose().rsplit_once('.').unwrap();
    assert_eq!(part(input, 0)["alg"], "PS256");
    let body = pem.lines().skip_while(|line| !line.starts_with('-'));
    let der: String = body.filter(|line| !line.starts_with('-')).collect();
    let der = base64::prelude::BASE64_STANDARD.decode(der).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&der).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, pair.public().as_ref());
    let signature = BASE64.decode(signature).unwrap();
    public.verify(input.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn the_jwt_bearer_grant_sends_an_assertion_with_the_scopes() {
    let server = Server::answering([token()]).await;
    let assertion = Assertion::new("svc@example.com", key());
    let issuer = OAuth2::jwt_bearer(server.url("/token"), assertion)
        .build()
        .unwrap();
    issuer
        .exchange(None, &["a".to_owned(), "b".to_owned()])
        .await
        .unwrap();
    let received = server.last().await;
    assert_eq!(
        received.get("grant_type"),
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
    );
    assert_eq!(received.claims("assertion")["scope"], "a b");
    assert_eq!(received.get("scope"), Some("a b"));
    assert_eq!(received.get("client_id"), None);
}

#[test]
fn an_invalid_assertion_is_refused() {
    let url = "https://auth.example.com/token";
    for (assertion, why) in [
        (Assertion::new("", key()), "issuer is empty"),
        (
            Assertion::new("id", key()).audience(""),
            "audience is empty",
        ),
        (
            Assertion::new("id", key()).header("alg", "none"),
            "`alg` is the signer's",
        ),
        (
            Assertion::new("id", key()).lifetime(Duration::ZERO),
            "lifetime",
        ),
        (Assertion::client_secret("id", ""), "client secret is empty"),
    ] {
        let error = OAuth2::jwt_bearer(url, assertion.clone())
            .build()
            .unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        let client = ClientAuth::jwt(assertion);
        assert!(
            OAuth2::client_credentials_with(url, client)
                .build()
                .is_err()
        );
    }
    assert!(key().with_pss().is_err());
}
