//! Private keys in PEM.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use everbearer::testkit::{AuthServer, ClientKey};
use everbearer::{AssertionSigner, AuthApi, ErrorKind, Grant, SigningKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};

use super::{NO_SECRET, assert_says, obtain};

/// A key for these tests, as the file says; PKCS#8.
const RSA_PEM: &str = include_str!("rsa_for_tests.pem");
/// The auth server's test key; PKCS#1.
const RSA_DER: &[u8] = include_bytes!("../auth_server/rsa_for_tests.der");

/// The lengths of what ring writes around a P-256 and an Ed25519 key.
const BEFORE_SEC1: usize = 29;
const ED25519_SEED: std::ops::Range<usize> = 16..48;

fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    let lines = lines.join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

fn p256() -> (Vec<u8>, ClientKey) {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let public = ClientKey::Es256(pair.public_key().as_ref().to_vec());
    (pkcs8.as_ref().to_vec(), public)
}

fn ed25519() -> (Vec<u8>, ClientKey) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = ClientKey::EdDsa(pair.public_key().as_ref().to_vec());
    (pkcs8.as_ref().to_vec(), public)
}

fn rsa(der_or_pkcs8: &[u8]) -> ClientKey {
    let pair = RsaKeyPair::from_der(der_or_pkcs8).or_else(|_| RsaKeyPair::from_pkcs8(der_or_pkcs8));
    ClientKey::Rs256(pair.unwrap().public_key().as_ref().to_vec())
}

async fn assert_obtains(pem: &str, algorithm: &str, public: ClientKey) {
    let server = AuthServer::builder().client_key(public);
    let server = server.start().await.unwrap();
    let api = AuthApi::new(server.base_url()).unwrap();
    let key = SigningKey::from_pem(pem).unwrap();
    assert_eq!(key.algorithm(), algorithm);
    assert_eq!(format!("{key:?}"), format!("SigningKey({algorithm})"));
    let grant = Grant::assertion(server.client_id(), key).key_id("2026-11");
    obtain(&server, &api, &grant).await;
    obtain(&server, &api, &grant).await;
}

#[tokio::test]
async fn es256_in_pkcs8_and_as_openssl_wrote_it_before() {
    let (pkcs8, public) = p256();
    assert_obtains(&pem("PRIVATE KEY", &pkcs8), "ES256", public.clone()).await;
    let sec1 = pem("EC PRIVATE KEY", &pkcs8[BEFORE_SEC1..]);
    assert_obtains(&sec1, "ES256", public.clone()).await;
    let parameters = pem("EC PARAMETERS", &[6, 8, 42, 134, 72, 206, 61, 3, 1, 7]);
    assert_obtains(&format!("{parameters}{sec1}"), "ES256", public).await;
}

#[tokio::test]
async fn rs256_in_pkcs8_and_as_openssl_wrote_it_before() {
    let body: String = RSA_PEM
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .filter(|line| !line.starts_with('-'))
        .collect();
    let public = rsa(&BASE64_STANDARD.decode(body).unwrap());
    assert_obtains(RSA_PEM, "RS256", public).await;
    assert_obtains(&pem("RSA PRIVATE KEY", RSA_DER), "RS256", rsa(RSA_DER)).await;
}

#[tokio::test]
async fn eddsa_with_and_without_its_public_half() {
    let (pkcs8, public) = ed25519();
    assert_obtains(&pem("PRIVATE KEY", &pkcs8), "EdDSA", public.clone()).await;
    let before = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
    let without = [before.as_slice(), &pkcs8[ED25519_SEED]].concat();
    assert_obtains(&pem("PRIVATE KEY", &without), "EdDSA", public).await;
}

#[tokio::test]
async fn the_key_is_found_beside_its_certificate_and_with_other_line_breaks() {
    let (pkcs8, public) = ed25519();
    let certificate = pem("CERTIFICATE", b"whatever");
    let both = format!("{certificate}{}", pem("PRIVATE KEY", &pkcs8));
    assert_obtains(&both.replace('\n', "\r\n"), "EdDSA", public).await;
}

#[test]
fn a_key_that_cannot_sign_is_refused_with_the_reason_and_quotes_nothing() {
    let (pkcs8, _) = p256();
    let good = pem("PRIVATE KEY", &pkcs8);
    let body = good.lines().nth(1).unwrap();
    let p384 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &SystemRandom::new());
    let p384 = p384.unwrap();
    let mut other_half = pkcs8[BEFORE_SEC1..].to_vec();
    other_half[10] ^= 1;
    let kinds = ["cannot be used", "P-256", "RSA", "Ed25519"];

    for (text, names) in [
        (pem("PRIVATE KEY", p384.as_ref()), &kinds[..]),
        (pem("EC PRIVATE KEY", &p384.as_ref()[33..]), &kinds),
        (pem("EC PRIVATE KEY", &other_half), &kinds),
        (pem("EC PRIVATE KEY", b""), &kinds),
        (pem("PRIVATE KEY", &pkcs8[..60]), &kinds),
        (pem("RSA PRIVATE KEY", &pkcs8), &kinds),
        (
            good.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            &["is encrypted", "openssl pkey"],
        ),
        (
            format!(
                "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{body}\n-----END EC PRIVATE KEY-----"
            ),
            &["is encrypted", "openssl pkey"],
        ),
        (
            good.replace("PRIVATE", "OPENSSH PRIVATE"),
            &["OpenSSH", "PKCS#8"],
        ),
        (
            good.replace("PRIVATE KEY", "CERTIFICATE"),
            &["is a certificate"],
        ),
        (good.replace("PRIVATE", "PUBLIC"), &["is a public key"]),
        (good.replace("PRIVATE", "RSA PUBLIC"), &["is a public key"]),
        (good.replace("END", "AND"), &["is damaged"]),
        (good.replace('M', "*"), &["is damaged"]),
        (body.to_owned(), &["is not PEM", "BEGIN PRIVATE KEY"]),
        (String::new(), &["is not PEM"]),
    ] {
        let error = SigningKey::from_pem(&text).unwrap_err();
        assert_says(
            &error,
            ErrorKind::Config,
            &["the signing key"],
            &body[4..20],
        );
        assert_says(&error, ErrorKind::Config, names, body);
    }
}

#[test]
fn a_file_is_named_whatever_is_wrong_with_it() {
    let root = env!("CARGO_MANIFEST_DIR");
    let at = |path: &str| format!("{root}/{path}");
    let key = SigningKey::from_pem_file(at("tests/it/grants/rsa_for_tests.pem")).unwrap();
    assert_eq!(key.algorithm(), "RS256");
    for (path, about) in [
        ("tests/it/no-such-key.pem", "check that it exists"),
        ("tests/it", "no regular file"),
        ("Cargo.toml", "is not PEM"),
    ] {
        let error = SigningKey::from_pem_file(at(path)).unwrap_err();
        assert_says(
            &error,
            ErrorKind::Config,
            &["the signing key", &at(path), about],
            NO_SECRET,
        );
    }
}

#[tokio::test]
async fn one_key_serves_many_at_once() {
    let key = SigningKey::from_pem(pem("PRIVATE KEY", &p256().0)).unwrap();
    let signatures = Arc::new(Mutex::new(Vec::new()));
    let tasks = crate::support::tasks(8, || {
        let (key, signatures) = (key.clone(), Arc::clone(&signatures));
        async move {
            let signature = key.sign(b"the same").await.unwrap();
            signatures.lock().unwrap().push(signature);
        }
    });
    tasks.join_all().await;
    let signatures = signatures.lock().unwrap();
    assert!(signatures.iter().all(|signature| signature.len() == 64));
}
