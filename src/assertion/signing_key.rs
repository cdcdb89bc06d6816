//! Private keys in PEM, which sign assertions on this machine.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::signer::AssertionSigner;
use crate::error::{Error, ErrorKind};
use crate::observe;
use crate::secret::file;

/// The longest file that is read, in bytes.
const LONGEST_FILE: usize = 64 * 1024;

/// Signs assertions with a private key in PEM; needs the feature `assertion`.
///
/// The key decides the algorithm: ES256 for a P-256 key, RS256 (or [PS256](Self::with_pss)) for an RSA key of 2048 to
/// 4096 bits, `EdDSA` for an Ed25519 key. The PEM is unencrypted PKCS#8 (`PRIVATE KEY`), or one of the older formats of openssl
/// (`EC PRIVATE KEY`, `RSA PRIVATE KEY`). If the PEM has several entries, the first private key is used.
///
/// A clone shares the key. The text of the PEM is zeroized after it is read. The key itself is held by ring,
/// which does not zeroize it.
///
/// # Examples
///
/// ```no_run
/// use everbearer::{Grant, SigningKey};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// let key = SigningKey::from_pem_file("/etc/my-daemon/key.pem")?;
/// let grant = Grant::assertion("client_abc123", key)
///     .key_id("2026-11")
///     .audience("https://auth.example.com");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    /// Whether an RSA key signs with PS256 instead of RS256.
    uses_pss: bool,
}

enum Pair {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads the private key in this PEM.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if the PEM has no private key, or none of a supported kind. The text
    /// says why, and quotes nothing of the PEM.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::SigningKey;
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = SigningKey::from_pem(
    ///     "-----BEGIN PRIVATE KEY-----\n\
    ///      MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    ///      -----END PRIVATE KEY-----\n",
    /// )?;
    /// assert_eq!(format!("{key:?}"), "SigningKey(EdDSA)");
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        parse(pem.as_ref()).map_err(|why| refused(&format!("the signing key {why}")))
    }

    /// Reads the private key in this file, once and at once. Logs a warning if other users can read the file.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if the file cannot be read, is not a regular file, is longer than 64
    /// KiB, or can be replaced by another user, by the rules of
    /// [`SecretSource::file`](crate::SecretSource::file); and as [`from_pem`](Self::from_pem) does.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = everbearer::SigningKey::from_pem_file("/etc/my-daemon/key.pem")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let pem = file::read(path, LONGEST_FILE, true).map_err(|unread| {
            let instead = "read it yourself and use `SigningKey::from_pem`";
            unread.into_error("the signing key", path, ErrorKind::Config, instead)
        })?;
        if pem.is_exposed {
            observe::log_exposed_file(path, pem.mode);
        }
        parse(&pem.bytes)
            .map_err(|why| refused(&format!("the signing key {} {why}", path.display())))
    }

    /// Signs with PS256 (RSASSA-PSS) instead of RS256, as Entra ID recommends.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if the key is not an RSA key.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = everbearer::SigningKey::from_pem_file("/etc/my-daemon/key.pem")?.with_pss()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_pss(mut self) -> Result<Self, Error> {
        if !matches!(*self.pair, Pair::Rsa(_)) {
            return Err(refused(
                "only an RSA key signs with PS256; remove SigningKey::with_pss",
            ));
        }
        self.uses_pss = true;
        Ok(self)
    }
}

#[async_trait]
impl AssertionSigner for SigningKey {
    fn algorithm(&self) -> &str {
        match &*self.pair {
            Pair::P256(_) => "ES256",
            Pair::Rsa(_) if self.uses_pss => "PS256",
            Pair::Rsa(_) => "RS256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        let signature = match &*self.pair {
            Pair::P256(pair) => pair
                .sign(&random, signing_input)
                .map(|signature| signature.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &dyn RsaEncoding = if self.uses_pss {
                    &RSA_PSS_SHA256
                } else {
                    &RSA_PKCS1_SHA256
                };
                pair.sign(padding, &random, signing_input, &mut signature)
                    .map(|()| signature)
            }
            Pair::Ed25519(pair) => Ok(pair.sign(signing_input).as_ref().to_vec()),
        };
        // ring finds out here, and not before, that an RSA key's numbers do not belong together.
        signature.map_err(|_| refused("the signing key cannot sign; check that it is complete"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm())
    }
}

fn refused(text: &str) -> Error {
    Error::own(ErrorKind::Config, text)
}

/// The key, or what is wrong with it. The PEM reader's errors quote lines, so they end here.
fn parse(pem: &[u8]) -> Result<SigningKey, String> {
    let pem = pem.strip_prefix("\u{feff}".as_bytes()).unwrap_or(pem);
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| without_key(pem).to_owned())?;
    let key = Zeroizing::new(key);
    let pair = match &*key {
        PrivateKeyDer::Pkcs8(key) => from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(key) => from_sec1(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs1(key) => from_pkcs1(key.secret_pkcs1_der()),
        _ => Err(OTHER_KIND.to_owned()),
    };
    let key = pair.map(|pair| SigningKey {
        pair: Arc::new(pair),
        uses_pss: false,
    });
    key.map_err(|why| {
        format!(
            "cannot be used ({why}); it must be a P-256 key, for ES256, an RSA key of 2048 to 4096 \
             bits, for RS256, or an Ed25519 key, for EdDSA"
        )
    })
}

/// What ring calls a key of another kind than the one that was asked for.
const OTHER_KIND: &str = "WrongAlgorithm";

/// Each kind in turn. The reasons are ring's: single words, which hold nothing of the key.
fn from_pkcs8(der: &[u8]) -> Result<Pair, String> {
    let random = SystemRandom::new();
    let mut why = OTHER_KIND.to_owned();
    for attempt in [
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random).map(Pair::P256),
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519),
        RsaKeyPair::from_pkcs8(der).map(Pair::Rsa),
    ] {
        match attempt.map_err(|rejected| rejected.to_string()) {
            Ok(pair) => return Ok(pair),
            Err(reason) if reason == OTHER_KIND => {}
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

/// An `ECPrivateKey` (RFC 5915) of P-256: its lengths are always the same, so both halves lie at
/// fixed places, and ring checks that they belong together.
fn from_sec1(der: &[u8]) -> Result<Pair, String> {
    const VERSION_1_AND_32_BYTES: &[u8] = &[0x02, 0x01, 0x01, 0x04, 0x20];
    let halves = match der.get(2..7) {
        Some(VERSION_1_AND_32_BYTES) => der.get(7..39).zip(der.last_chunk::<65>()),
        _ => None,
    };
    let (private, public) = halves.ok_or(OTHER_KIND)?;
    EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        private,
        public,
        &SystemRandom::new(),
    )
    .map(Pair::P256)
    .map_err(|rejected| rejected.to_string())
}

fn from_pkcs1(der: &[u8]) -> Result<Pair, String> {
    RsaKeyPair::from_der(der)
        .map(Pair::Rsa)
        .map_err(|rejected| rejected.to_string())
}

/// Why there is no private key in what should be PEM.
fn without_key(pem: &[u8]) -> &'static str {
    let holds = |label: &str| pem.windows(label.len()).any(|at| at == label.as_bytes());
    if holds("BEGIN ENCRYPTED PRIVATE KEY") || holds("Proc-Type: 4,ENCRYPTED") {
        "is encrypted, which is not supported; decrypt it with `openssl pkey`"
    } else if holds("BEGIN OPENSSH PRIVATE KEY") {
        "is in OpenSSH's own format; use PKCS#8 in PEM, as `openssl genpkey` writes it"
    } else if holds("PRIVATE KEY-----") {
        "is damaged between its BEGIN and END lines"
    } else if holds("BEGIN CERTIFICATE") {
        "is a certificate; use its private key"
    } else if holds("PUBLIC KEY-----") {
        "is a public key; use its private key"
    } else {
        "is not PEM; it must begin with the line -----BEGIN PRIVATE KEY-----"
    }
}
