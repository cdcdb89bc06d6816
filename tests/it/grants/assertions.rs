//! Assertions, by a signer of the user's own.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use everbearer::testkit::{AuthServer, ClientKey, Endpoint, Fault};
use everbearer::{AssertionSigner, AuthApi, Error, ErrorKind, Grant, TokenIssuer as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{NO_SECRET, assert_says, obtain};

/// A key that lies elsewhere, and keeps a book on what it signed.
#[derive(Clone, Debug)]
struct DistantKey {
    pair: Arc<Ed25519KeyPair>,
    signed: Arc<Mutex<Vec<String>>>,
    algorithm: &'static str,
    outage: Option<Error>,
    is_silent: bool,
}

impl DistantKey {
    fn new() -> Self {
        Self {
            pair: Arc::new(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()),
            signed: Arc::default(),
            algorithm: "EdDSA",
            outage: None,
            is_silent: false,
        }
    }

    fn public(&self) -> ClientKey {
        ClientKey::EdDsa(self.pair.public_key().as_ref().to_vec())
    }

    /// The header and the claims of each JWT that it signed.
    fn signed(&self) -> Vec<(Value, Value)> {
        let decoded = |part: &str| serde_json::from_slice(&BASE64.decode(part).unwrap()).unwrap();
        let signed = self.signed.lock().unwrap();
        let halves = signed.iter().map(|input| input.split_once('.').unwrap());
        halves
            .map(|(header, claims)| (decoded(header), decoded(claims)))
            .collect()
    }
}

#[async_trait::async_trait]
impl AssertionSigner for DistantKey {
    fn algorithm(&self) -> &str {
        self.algorithm
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, Error> {
        tokio::task::yield_now().await;
        if let Some(error) = &self.outage {
            return Err(error.clone());
        }
        let text = String::from_utf8(signing_input.to_vec()).unwrap();
        self.signed.lock().unwrap().push(text);
        if self.is_silent {
            return Ok(Vec::new());
        }
        Ok(self.pair.sign(signing_input).as_ref().to_vec())
    }
}

async fn start(key: &DistantKey, clock_offset: i64) -> (AuthServer, AuthApi) {
    let server = AuthServer::builder()
        .client_key(key.public())
        .clock_offset(clock_offset);
    let server = server.start().await.unwrap();
    let api = AuthApi::new(server.base_url()).unwrap();
    (server, api)
}

#[tokio::test]
async fn a_signer_of_one_s_own_obtains_a_token() {
    let key = DistantKey::new();
    let (server, api) = start(&key, 0).await;
    let grant = Grant::assertion(server.client_id(), key.clone());
    obtain(&server, &api, &grant).await;

    let (header, claims) = key.signed().remove(0);
    assert_eq!(header, json!({ "alg": "EdDSA", "typ": "JWT" }));
    assert_eq!(claims["iss"], server.client_id());
    assert_eq!(claims["sub"], server.client_id());
    assert_eq!(claims["aud"], server.base_url());
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!(life, 300);
    assert!(claims.get("nbf").is_none());
    assert_eq!(claims["jti"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn every_attempt_has_a_new_id_also_after_a_lost_answer() {
    let key = DistantKey::new();
    let (server, api) = start(&key, 0).await;
    let grant = Grant::assertion(server.client_id(), key.clone());
    server.script(
        Endpoint::LongTerm,
        [Fault::LoseResponse, Fault::status(503), Fault::Pass],
    );
    api.obtain(&grant, None).await.unwrap_err();
    api.obtain(&grant, None).await.unwrap_err();
    obtain(&server, &api, &grant).await;
    obtain(&server, &api, &grant.clone()).await;
    let mut ids: Vec<String> = key
        .signed()
        .iter()
        .map(|(_, claims)| claims["jti"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn audience_and_key_id_are_those_that_were_given() {
    let key = DistantKey::new();
    let (server, api) = start(&key, 0).await;
    let grant = Grant::assertion(server.client_id(), key.clone())
        .key_id("2026-11")
        .audience(server.url("/auth/tokens/long"));
    obtain(&server, &api, &grant).await;
    let (header, claims) = key.signed().remove(0);
    assert_eq!(header["kid"], "2026-11");
    assert_eq!(claims["aud"], server.url("/auth/tokens/long"));

    let elsewhere = Grant::assertion(server.client_id(), key).audience("https://other.example");
    let error = api.obtain(&elsewhere, None).await.unwrap_err();
    assert_says(&error, ErrorKind::Denied, &["aud"], NO_SECRET);
    assert_eq!(error.code(), Some("invalid_grant"));
}

#[tokio::test]
async fn a_server_s_clock_may_be_behind_and_somewhat_ahead() {
    let key = DistantKey::new();
    for offset in [-1_800, -240, 240] {
        let (server, api) = start(&key, offset).await;
        let grant = Grant::assertion(server.client_id(), key.clone());
        obtain(&server, &api, &grant).await;
    }
    let (server, api) = start(&key, 600).await;
    let error = api
        .obtain(&Grant::assertion(server.client_id(), key), None)
        .await
        .unwrap_err();
    assert_says(&error, ErrorKind::Denied, &["expired"], NO_SECRET);
}

#[tokio::test]
async fn what_the_signer_cannot_do_is_an_error_and_nothing_is_sent() {
    let key = DistantKey::new();
    let (server, api) = start(&key, 0).await;
    let with = |key: DistantKey| Grant::assertion(server.client_id(), key);

    let mut silent = key.clone();
    silent.is_silent = true;
    let error = api.obtain(&with(silent), None).await.unwrap_err();
    assert_says(&error, ErrorKind::Issuer, &["empty signature"], NO_SECRET);

    for algorithm in ["", "none", "NONE"] {
        let mut unnamed = key.clone();
        unnamed.algorithm = algorithm;
        let error = api.obtain(&with(unnamed), None).await.unwrap_err();
        assert_says(&error, ErrorKind::Config, &["algorithm"], NO_SECRET);
    }

    let mut locked = key.clone();
    locked.outage = Some(Error::transient("the HSM is locked"));
    let error = api.obtain(&with(locked), None).await.unwrap_err();
    assert!(error.is_retryable());
    assert!(super::all_of(&error).contains("the HSM is locked"));
    assert_eq!(server.counts().long_term.requests, 0);
}

#[tokio::test]
async fn a_refused_assertion_is_not_shown() {
    let (key, mut other) = (DistantKey::new(), DistantKey::new());
    other.pair = Arc::new(Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap());
    let (server, api) = start(&key, 0).await;
    let grant = Grant::assertion(server.client_id(), other.clone());
    let error = api.obtain(&grant, None).await.unwrap_err();
    let sent = other.signed.lock().unwrap()[0].clone();
    assert_says(&error, ErrorKind::Denied, &["signature"], &sent);
}
