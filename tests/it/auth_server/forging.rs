//! Tokens that the server did not make, or not like this.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};

use super::support::{Site, Token, encode, with};

#[tokio::test]
async fn a_payload_that_was_tampered_with_is_refused() {
    let site = Site::start().await;
    let token = site.short_term_for(&["jobs:read"]).await;
    let claims = with(token.claims(), "scope", json!("jobs:*"));
    let [header, _, signature] = parts(&token);

    assert_forged(&site, &format!("{header}.{}.{signature}", encode(&claims))).await;
}

#[tokio::test]
async fn a_signature_that_was_tampered_with_is_refused() {
    let site = Site::start().await;
    let token = site.short_term().await;
    let [header, claims, signature] = parts(&token);
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    bytes[10] ^= 1;

    let changed = BASE64_URL_SAFE_NO_PAD.encode(&bytes);
    assert_forged(&site, &format!("{header}.{claims}.{changed}")).await;
    assert_forged(&site, &format!("{header}.{claims}.")).await;
    assert_forged(&site, &format!("{header}.{claims}")).await;
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused_whatever_its_alg() {
    let site = Site::start().await;
    let token = site.short_term().await;
    for alg in ["none", "None", "NONE", "", "EdDSA"] {
        let header = with(token.header(), "alg", json!(alg));
        let unsigned = format!("{}.{}.", encode(&header), encode(&token.claims()));

        assert_forged(&site, &unsigned).await;
    }
}

#[tokio::test]
async fn an_algorithm_put_in_place_of_the_server_s_is_refused() {
    let site = Site::start().await;
    let token = site.short_term().await;
    let [_, claims, _] = parts(&token);
    let header = encode(&with(token.header(), "alg", json!("HS256")));
    let signed = format!("{header}.{claims}");
    let kid = token.header()["kid"].as_str().unwrap().to_owned();
    for secret in [kid.as_bytes(), b""] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));

        assert_forged(&site, &format!("{signed}.{tag}")).await;
    }
}

#[tokio::test]
async fn a_token_signed_by_someone_else_is_refused() {
    let site = Site::start().await;
    let token = site.short_term().await;
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let stranger = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let [header, claims, _] = parts(&token);
    let signed = format!("{header}.{claims}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(stranger.sign(signed.as_bytes()));

    assert_forged(&site, &format!("{signed}.{signature}")).await;
}

#[tokio::test]
async fn a_token_of_another_server_is_refused() {
    let (site, other) = (Site::start().await, Site::start().await);

    assert_forged(&site, &other.short_term().await.text).await;
}

#[tokio::test]
async fn a_forged_long_term_jwt_is_refused() {
    let builder = everbearer::testkit::AuthServer::builder().long_term_jwt(true);
    let site = Site::with(builder).await;
    let token = site.long_term_for(&["jobs:read"]).await;
    let [header, _, signature] = parts(&token);
    let claims = with(token.claims(), "scope", Value::from("tokens:write"));
    let forged = format!("{header}.{}.{signature}", encode(&claims));

    site.exchange(&forged)
        .await
        .assert_error(401, "invalid_token");
}

async fn assert_forged(site: &Site, token: &str) {
    site.get("/jobs", token)
        .await
        .assert_error(401, "invalid_token");
    site.revoke("tok_st_any", token)
        .await
        .assert_error(401, "invalid_token");
    let jobs = site.server.counts().jobs_outcomes;
    assert_eq!(
        (jobs.served, jobs.invalid),
        (0, site.server.counts().jobs.requests)
    );
}

fn parts(token: &Token) -> [&str; 3] {
    let parts: Vec<_> = token.text.split('.').collect();
    parts.try_into().unwrap()
}
