//! `POST /auth/tokens/long` with a JWT that the client signed.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use everbearer::testkit::{AuthServer, AuthServerBuilder, ClientKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use serde_json::{Value, json};

use super::support::{MINUTE, Reply, Site, encode, unix_now, with};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[tokio::test]
async fn an_assertion_of_each_algorithm_obtains_a_token() {
    for key in [Key::ed25519(), Key::p256(), Key::rsa()] {
        let site = Site::with(AuthServer::builder().client_key(key.public())).await;
        let claims = good_claims(&site);

        submit(&site, &key.sign(&claims)).await.token();
    }
}

#[tokio::test]
async fn the_right_one_of_several_keys_is_found() {
    let (first, second) = (Key::p256(), Key::p256());
    let builder = AuthServer::builder()
        .client_key(Key::ed25519().public())
        .client_key(first.public())
        .client_key(second.public());
    let site = Site::with(builder).await;

    for (key, jti) in [(first, "one"), (second, "two")] {
        let claims = with(good_claims(&site), "jti", json!(jti));
        submit(&site, &key.sign(&claims)).await.token();
    }
}

#[tokio::test]
async fn the_audience_is_the_server_or_its_token_endpoint_alone_or_among_others() {
    let (site, key) = site_with_key().await;
    let base = site.server.base_url();
    let endpoint = site.server.url("/auth/tokens/long");
    let good = [
        json!(base),
        json!(endpoint),
        json!(["https://other.example", base]),
    ];
    let bad = [
        json!("https://other.example"),
        json!([]),
        json!(7),
        Value::Null,
    ];

    for (number, audience) in good.into_iter().enumerate() {
        let claims = with(good_claims(&site), "aud", audience);
        let claims = with(claims, "jti", json!(number.to_string()));
        submit(&site, &key.sign(&claims)).await.token();
    }
    for audience in bad {
        let claims = with(good_claims(&site), "aud", audience);
        assert_refused(&submit(&site, &key.sign(&claims)).await, "aud");
    }
}

#[tokio::test]
async fn a_claim_that_is_wrong_is_refused_by_name() {
    let (site, key) = site_with_key().await;
    let now = unix_now();
    let wrong = [
        ("iss", json!("client_other"), "iss"),
        ("sub", json!("client_other"), "sub"),
        ("exp", json!(now - 1), "expired"),
        ("exp", json!(now + 62 * MINUTE), "hour"),
        ("exp", json!("tomorrow"), "exp"),
        ("exp", json!(1e300), "exp"),
        ("exp", json!(-5), "exp"),
        ("nbf", json!(now + 10 * MINUTE), "not valid yet"),
        ("nbf", json!("now"), "not valid yet"),
        ("jti", json!(""), "jti"),
        ("jti", Value::Null, "jti"),
    ];
    for (name, value, about) in wrong {
        let claims = with(good_claims(&site), name, value);

        assert_refused(&submit(&site, &key.sign(&claims)).await, about);
    }
    for name in ["iss", "sub", "exp", "aud", "jti"] {
        let mut claims = good_claims(&site);
        claims.as_object_mut().unwrap().remove(name);

        assert_refused(&submit(&site, &key.sign(&claims)).await, name);
    }
    assert_eq!(site.server.counts().long_term_issued, 0);
}

#[tokio::test]
async fn an_assertion_is_accepted_once() {
    let (site, key) = site_with_key().await;
    let claims = good_claims(&site);
    submit(&site, &key.sign(&claims)).await.token();

    assert_refused(&submit(&site, &key.sign(&claims)).await, "jti");

    let another = with(claims, "jti", json!("another"));
    submit(&site, &key.sign(&another)).await.token();
}

#[tokio::test]
async fn a_signature_by_another_key_is_refused() {
    let (site, _) = site_with_key().await;
    let assertion = Key::p256().sign(&good_claims(&site));

    assert_refused(&submit(&site, &assertion).await, "signature");
}

#[tokio::test]
async fn an_algorithm_that_is_not_the_key_s_is_refused() {
    let (site, key) = site_with_key().await;
    let claims = good_claims(&site);
    for alg in ["none", "HS256", "RS256", "EdDSA", "es256", ""] {
        let assertion = key.sign_as(&json!({ "alg": alg }), &claims);

        assert_refused(&submit(&site, &assertion).await, "alg");
    }
    let unsigned = format!("{}.{}.", encode(&json!({ "alg": "none" })), encode(&claims));
    assert_refused(&submit(&site, &unsigned).await, "alg");
}

#[tokio::test]
async fn a_critical_header_that_nobody_understands_is_refused() {
    let (site, key) = site_with_key().await;
    let header = json!({ "alg": "ES256", "crit": ["b64"], "b64": false });

    let assertion = key.sign_as(&header, &good_claims(&site));

    assert_refused(&submit(&site, &assertion).await, "JWT");
}

#[tokio::test]
async fn no_assertion_is_accepted_without_a_registered_key() {
    let site = Site::start().await;
    let assertion = Key::p256().sign(&good_claims(&site));

    assert_refused(&submit(&site, &assertion).await, "key");
}

#[tokio::test]
async fn an_assertion_of_an_unknown_client_is_an_invalid_client() {
    let (site, key) = site_with_key().await;
    let assertion = key.sign(&good_claims(&site));
    let body = with(body(&site, &assertion), "client_id", json!("client_other"));

    site.obtain(&body).await.assert_error(401, "invalid_client");
}

#[tokio::test]
async fn what_is_no_jwt_is_refused() {
    let (site, _) = site_with_key().await;
    for junk in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "....",
        "e30.e30.c2ln",
        "W10.e30.c2ln",
    ] {
        submit(&site, junk).await.assert_error(400, "invalid_grant");
    }
}

#[tokio::test]
async fn an_assertion_needs_its_type_and_the_grant_type_of_its_own() {
    let (site, key) = site_with_key().await;
    let good = body(&site, &key.sign(&good_claims(&site)));
    let mut untyped = good.clone();
    untyped.as_object_mut().unwrap().remove("assertion_type");
    let mut only_typed = good.clone();
    only_typed.as_object_mut().unwrap().remove("assertion");
    let other_type = with(good.clone(), "assertion_type", json!("urn:example:saml2"));
    let misnamed = with(good, "grant_type", json!("client_credentials"));

    for (wrong, about) in [
        (untyped, "`assertion_type`"),
        (only_typed, "`assertion`"),
        (other_type, "`assertion_type`"),
        (misnamed, "`grant_type`"),
    ] {
        site.obtain(&wrong).await.assert_bad_request(about);
    }
}

#[tokio::test]
async fn assertions_are_held_against_the_server_s_clock() {
    let key = Key::p256();
    let site = Site::with(builder_with(&key).clock_offset(-30 * MINUTE)).await;
    let claims = with(good_claims(&site), "exp", json!(unix_now() + 45 * MINUTE));

    assert_refused(&submit(&site, &key.sign(&claims)).await, "hour");
}

fn good_claims(site: &Site) -> Value {
    json!({
        "iss": site.server.client_id(),
        "sub": site.server.client_id(),
        "aud": site.server.base_url(),
        "exp": unix_now() + 5 * MINUTE,
        "jti": "once",
    })
}

fn body(site: &Site, assertion: &str) -> Value {
    json!({
        "grant_type": "assertion",
        "client_id": site.server.client_id(),
        "assertion_type": ASSERTION_TYPE,
        "assertion": assertion,
    })
}

async fn submit(site: &Site, assertion: &str) -> Reply {
    site.obtain(&body(site, assertion)).await
}

#[track_caller]
fn assert_refused(reply: &Reply, about: &str) {
    reply.assert_error(400, "invalid_grant");
    assert!(reply.message().contains(about), "{}", reply.message());
}

async fn site_with_key() -> (Site, Key) {
    let key = Key::p256();
    (Site::with(builder_with(&key)).await, key)
}

fn builder_with(key: &Key) -> AuthServerBuilder {
    AuthServer::builder().client_key(key.public())
}

enum Key {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Key {
    fn ed25519() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
    }

    fn p256() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    /// ring makes no RSA keys. This one was made for these tests and protects nothing.
    fn rsa() -> Self {
        let der = include_bytes!("rsa_for_tests.der");
        Self::Rsa(Box::new(RsaKeyPair::from_der(der).unwrap()))
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    fn public(&self) -> ClientKey {
        match self {
            Self::Ed25519(pair) => ClientKey::EdDsa(pair.public_key().as_ref().to_vec()),
            Self::P256(pair) => ClientKey::Es256(pair.public_key().as_ref().to_vec()),
            Self::Rsa(pair) => ClientKey::Rs256(pair.public_key().as_ref().to_vec()),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({ "alg": self.alg(), "typ": "JWT" }), claims)
    }

    fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let message = signed.as_bytes();
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
        };
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}
