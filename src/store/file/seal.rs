//! Encrypts the file.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::content::SEALED;
use super::failure::{cannot_read, refused};
use crate::error::{Error, ErrorKind};
use crate::observe;
use crate::secret::file;
use crate::secret::unread::Unread;
use crate::text::without_line_breaks;

/// Follows [`SEALED`] in the format that this version of the crate writes.
const FORMAT: &str = "1:";

/// The associated data, so that a text of another format does not decrypt as one of this format.
const LABEL: &[u8] = b"everbearer-sealed-1";

const KEY_LEN: usize = 32;

/// The longest key file that is read, in bytes.
const LONGEST_FILE: usize = 64 * 1024;

/// Accepts keys with padding or without.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const KEY_CODEC: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const KEY_URL_CODEC: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Holds a key of 32 random bytes, with which [`FileStore::sealed_with`](crate::FileStore::sealed_with)
/// encrypts the file (ChaCha20-Poly1305).
///
/// `Debug` does not show the key. Its memory is zeroized when the last clone is dropped. The copy that the
/// cipher makes on the stack is not zeroized.
///
/// # Examples
///
/// ```
/// use everbearer::{FileStore, SealingKey};
///
/// # fn main() -> Result<(), everbearer::Error> {
/// // Created with `openssl rand -base64 32`.
/// let key = SealingKey::parse("Ca7vXn6mB1xvUe5J9sSYt0hP3kQzR8wDfL2gTiOyM4c=")?;
/// let store = FileStore::new("/var/lib/nightly/token").sealed_with(key);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SealingKey(Arc<Zeroizing<[u8; KEY_LEN]>>);

impl SealingKey {
    /// Creates a key of these bytes. They should be random; do not use a password.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::SealingKey;
    ///
    /// # fn random() -> [u8; 32] { [7; 32] }
    /// let bytes: [u8; 32] = random();
    /// let key = SealingKey::new(&bytes);
    /// ```
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        let mut key = Arc::new(Zeroizing::new([0; KEY_LEN]));
        Arc::make_mut(&mut key).copy_from_slice(bytes);
        Self(key)
    }

    /// Reads a key from a text: 32 bytes in base64, as `openssl rand -base64 32` prints them, or in
    /// hexadecimal digits, with or without white space around them.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if the text is neither, or does not hold 32 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::SealingKey;
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = SealingKey::parse("Ca7vXn6mB1xvUe5J9sSYt0hP3kQzR8wDfL2gTiOyM4c=")?;
    /// assert!(SealingKey::parse("a password").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = without_line_breaks(text).trim();
        let mut bytes = Zeroizing::new([0; 2 * KEY_LEN]);
        let is_hex = text.len() == 2 * KEY_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let length = if is_hex {
            for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                let digits = std::str::from_utf8(digits).unwrap_or_default();
                *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
            }
            KEY_LEN
        } else {
            let codec = if text.contains(['-', '_']) {
                KEY_URL_CODEC
            } else {
                KEY_CODEC
            };
            codec.decode_slice(text, bytes.as_mut_slice()).unwrap_or(0)
        };
        let key = bytes.get(..length).and_then(|key| key.try_into().ok());
        key.map(Self::new).ok_or_else(not_a_key)
    }

    /// Reads a key from a file that holds the 32 bytes themselves, or a text as for [`parse`](Self::parse).
    /// It blocks the thread while it reads. Logs a warning if other users can read the file.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Config`] if there is no such file, or no key in it. Returns [`ErrorKind::Store`]
    /// if the file cannot be read, or if another user can replace it, by the rules of
    /// [`SecretSource::file`](crate::SecretSource::file). If you trust that user, read the file yourself and
    /// pass its text to [`parse`](Self::parse).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let key = everbearer::SealingKey::from_file("/run/secrets/sealing-key")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let content =
            file::read(path, LONGEST_FILE, true).map_err(|unread| not_read(path, unread))?;
        if content.is_exposed {
            observe::log_exposed_file(path, content.mode);
        }
        Self::from_content(&content.bytes).map_err(|error| error.at(path.display()))
    }

    fn from_content(content: &[u8]) -> Result<Self, Error> {
        match std::str::from_utf8(content) {
            // 32 random bytes are hardly all ASCII; 32 letters are a truncated key or a password.
            Ok(text) if without_line_breaks(text).is_ascii() => Self::parse(text),
            _ => content.try_into().map(Self::new).map_err(|_| not_a_key()),
        }
    }

    fn cipher(&self) -> Result<LessSafeKey, Error> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, self.0.as_slice()).map_err(|_| broken())?;
        Ok(LessSafeKey::new(key))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// Returns the encrypted text as one line. The random nonce of 96 bits makes each line different, for more writes than
/// any file gets.
pub(super) fn seal(key: &SealingKey, plain: &str) -> Result<String, Error> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| broken())?;
    let mut sealed = Zeroizing::new(Vec::with_capacity(
        NONCE_LEN + plain.len() + CHACHA20_POLY1305.tag_len(),
    ));
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain.as_bytes());
    let text = sealed.get_mut(NONCE_LEN..).unwrap_or_default();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .cipher()?
        .seal_in_place_separate_tag(nonce, Aad::from(LABEL), text)
        .map_err(|_| broken())?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(format!(
        "{SEALED}{FORMAT}{}\n",
        STANDARD.encode(sealed.as_slice())
    ))
}

/// Returns the decrypted text of this line.
pub(super) fn open(key: &SealingKey, line: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let Some(sealed) = line
        .strip_prefix(SEALED)
        .and_then(|rest| rest.strip_prefix(FORMAT))
    else {
        return Err(Error::unreadable(
            "is sealed in a format that this version of everbearer does not read; use the version that \
             wrote it, or replace it with a token",
        ));
    };
    let sealed = STANDARD.decode(sealed).map_err(|_| {
        Error::unreadable("is sealed and damaged; restore it, or replace it with a token")
    })?;
    let mut sealed = Zeroizing::new(sealed);
    let cannot_open = || {
        Error::unreadable(
            "cannot be decrypted with this sealing key; set the key it was written with",
        )
    };
    let (nonce, text) = sealed
        .split_at_mut_checked(NONCE_LEN)
        .ok_or_else(cannot_open)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| cannot_open())?;
    let length = key
        .cipher()?
        .open_in_place(nonce, Aad::from(LABEL), text)
        .map_err(|_| cannot_open())?
        .len();
    sealed.truncate(NONCE_LEN + length);
    sealed.drain(..NONCE_LEN);
    Ok(sealed)
}

fn not_read(path: &Path, unread: Unread) -> Error {
    match unread {
        Unread::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = "the file of the sealing key does not exist; create it";
            Error::own(ErrorKind::Config, text).at(path.display())
        }
        Unread::Io(error) => cannot_read(path, error),
        unread => {
            let instead = "read it yourself and use `SealingKey::parse`";
            refused(path, &unread.reason(instead))
        }
    }
}

fn not_a_key() -> Error {
    Error::own(
        ErrorKind::Config,
        "a sealing key is 32 bytes, in base64 or hex; create one with `openssl rand -base64 32`",
    )
}

/// Returns the error of an encryption that failed. ring gives no reason; most likely, the system has no random numbers.
fn broken() -> Error {
    Error::own(
        ErrorKind::Store,
        "the encryption failed; check that the system has a source of random numbers",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; KEY_LEN] = *b"\x00\x01\x02\x03\xf4\xfb\xff\xfe89abcdefghijklmnopqrstuv";

    #[test]
    fn a_key_is_read_in_each_form() {
        let hex = KEY.map(|byte| format!("{byte:02X}")).concat();
        let base64 = KEY_CODEC.encode(KEY);
        let url = KEY_URL_CODEC.encode(KEY);
        assert_ne!(base64, url);
        for text in [
            &hex,
            &hex.to_lowercase(),
            &base64,
            &url,
            base64.trim_end_matches('='),
            url.trim_end_matches('='),
            &format!(" {base64}\r\n"),
        ] {
            let key = SealingKey::parse(text).unwrap();
            assert_eq!(key.0.as_slice(), KEY, "{text}");
            assert_eq!(
                SealingKey::from_content(text.as_bytes())
                    .unwrap()
                    .0
                    .as_slice(),
                KEY
            );
        }
        assert_eq!(
            SealingKey::from_content(&KEY).unwrap().0.as_slice(),
            KEY.as_slice()
        );
    }

    #[test]
    fn s6_what_is_no_key_is_refused_and_not_repeated() {
        let long = "secret".repeat(1000);
        let half = "secret00".repeat(4);
        for text in ["", "secret", &half, &long, &half.repeat(2), "ééééééééééééé"] {
            for error in [
                SealingKey::parse(text).unwrap_err(),
                SealingKey::from_content(text.as_bytes()).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Config);
                assert!(!format!("{error:?}").contains("secret"));
            }
        }
        assert_eq!(format!("{:?}", SealingKey::new(&KEY)), "SealingKey(..)");
    }

    #[test]
    fn only_its_key_opens_a_sealed_text_and_only_as_it_was() {
        let key = SealingKey::new(&KEY);
        let line = seal(&key, "lt_secret").unwrap();
        assert_ne!(line, seal(&key, "lt_secret").unwrap());
        let line = line.trim();
        assert_eq!(open(&key, line).unwrap().as_slice(), b"lt_secret");
        assert!(open(&SealingKey::new(&[7; KEY_LEN]), line).is_err());
        for at in 0..line.len() {
            let mut other = line.to_owned().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert!(open(&key, &other).is_err(), "{at}");
            assert!(open(&key, &line[..at]).is_err(), "{at}");
        }
    }
}
