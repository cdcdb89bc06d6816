//! A record as text: JSON, or only a token.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::json::{FORMAT, Wire};
use super::record::Record;
use crate::error::Error;
use crate::secret::Secret;
use crate::text::without_line_breaks;
use crate::token::LongTermToken;

impl Record {
    /// Returns the record as JSON, which [`decode`](Self::decode) reads. The text contains the tokens
    /// unencrypted.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::{LongTermToken, Record};
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let record = Record::from(LongTermToken::new("lt_0d51e9bd2f6449cf")?);
    /// assert!(record.encode().expose().contains("\"format\": 1"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn encode(&self) -> Secret {
        let wire = Wire::from(self);
        // Reserves the whole length, since a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(wire.longest()));
        // Serializing these types cannot fail.
        let _ = serde_json::to_writer_pretty(&mut *text, &wire);
        text.push(b'\n');
        Secret::from(String::from_utf8(std::mem::take(&mut *text)).unwrap_or_default())
    }

    /// Reads the text of [`encode`](Self::encode), or a text that is only a token, as agents write it, with
    /// or without white space around it.
    ///
    /// # Errors
    ///
    /// Returns [`ErrorKind::Store`](crate::ErrorKind::Store) if the text is empty, is not a complete record,
    /// or has a format of another version of this crate. The error quotes nothing of the text.
    ///
    /// # Examples
    ///
    /// ```
    /// use everbearer::Record;
    ///
    /// # fn main() -> Result<(), everbearer::Error> {
    /// let record = Record::decode("lt_0d51e9bd2f6449cf\n")?;
    /// assert_eq!(record.current().expose(), "lt_0d51e9bd2f6449cf");
    /// assert!(Record::decode("").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn decode(text: &str) -> Result<Self, Error> {
        let text = without_line_breaks(text).trim();
        if text.is_empty() {
            return Err(Error::unreadable("is empty; write a token, or remove it"));
        }
        if !text.starts_with('{') {
            let token = LongTermToken::new(text).map_err(|error| {
                Error::unreadable("is neither a record nor a token; replace it with a token")
                    .with_source(error)
            })?;
            return Ok(Self {
                is_bare: true,
                ..Self::from(token)
            });
        }
        let Format { format } = serde_json::from_str(text).map_err(|error| not_whole(&error))?;
        if format != FORMAT {
            return Err(Error::unreadable(&format!(
                "has format {format}, and this version of everbearer reads format {FORMAT}; use the version \
                 that wrote it, or replace it with a token"
            )));
        }
        let wire: Wire = serde_json::from_str(text).map_err(|error| not_whole(&error))?;
        Self::try_from(wire).map_err(|error| {
            Error::unreadable("holds an invalid token; replace it").with_source(error)
        })
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// Returns an error with the position at which the text is invalid. JSON errors themselves quote the text.
fn not_whole(error: &serde_json::Error) -> Error {
    Error::unreadable(&format!(
        "is not a complete record: it is invalid at line {}, column {}; restore it, or replace it \
         with a token",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::error::ErrorKind;
    use crate::store::record::{Dated, Retiring, Rotation};
    use crate::token::ShortTermToken;

    fn token(text: &str) -> Dated {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let end = start + Duration::from_secs(30 * 24 * 60 * 60);
        Dated {
            token: LongTermToken::builder(text)
                .token_id(text.replace("lt_", "id-of-"))
                .scopes(["jobs:*", "tokens:write"])
                .expires_at(end)
                .build()
                .unwrap(),
            obtained_at: Some(start),
            ends_at: Some(end),
        }
    }

    fn whole() -> Record {
        let asking_with = ShortTermToken::builder("st_9f3d").token_id("id-of-st");
        Record {
            current: token("lt_current"),
            rotation: Rotation::Proving {
                next: token("lt_next"),
                with: Some(asking_with.build().unwrap()),
            },
            retiring: vec![Retiring {
                token: token("lt_old").token,
                revoke_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_300),
            }],
            is_bare: false,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let text = whole().encode();
        let again = Record::decode(text.expose()).unwrap();
        assert_eq!(again.encode().expose(), text.expose());
        assert_eq!(again.current.obtained_at, whole().current.obtained_at);
        assert_eq!(again.current.ends_at, whole().current.ends_at);
        assert_eq!(again.current().token_id(), Some("id-of-current"));
        let asking_with = again.rotation.asking_with();
        assert_eq!(asking_with.unwrap().expose(), "st_9f3d");
        assert_eq!(again.next().unwrap().token.expose(), "lt_next");
        assert_eq!(again.retiring[0].revoke_at, whole().retiring[0].revoke_at);
    }

    #[test]
    fn the_buffer_of_a_record_does_not_grow() {
        let wire = Wire::from(&whole());
        let text = whole().encode();
        assert!(text.expose().len() <= wire.longest());
    }

    #[test]
    fn a_text_that_is_nothing_but_a_token_is_a_record() {
        for text in ["lt_0d51e9bd", "lt_0d51e9bd\n", "  lt_0d51e9bd\r\n\r\n"] {
            let record = Record::decode(text).unwrap();
            assert_eq!(record.current().expose(), "lt_0d51e9bd");
        }
    }

    #[test]
    fn l9_a_text_that_is_cut_anywhere_is_refused() {
        let whole = whole().encode();
        let whole = whole.expose().trim();
        for end in 0..whole.len() {
            let error = Record::decode(&whole[..end]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Store, "{end}");
        }
    }

    #[test]
    fn s6_errors_about_a_record_quote_nothing_of_it() {
        for text in [
            "lt_secret and more",
            r#"{"format":1,"current":"lt_secret"}"#,
            r#"{"format":1,"current":{"token":"lt_secret"},"lt_secret":1}"#,
            r#"{"format":1,"current":{"token":"lt_secret \n"}}"#,
            r#"{"format":"lt_secret"}"#,
            r#"{"format":2,"current":{"token":"lt_secret"}}"#,
            r#"{"lt_secret"#,
        ] {
            let error = Record::decode(text).unwrap_err();
            assert!(
                !format!("{error:?} {error}").contains("lt_secret"),
                "{error:?}"
            );
        }
        assert!(!format!("{:?}", whole()).contains("lt_current"));
        assert!(!format!("{:?}", whole()).contains("st_9f3d"));
    }

    proptest::proptest! {
        /// Any text in a file decodes to a record or an error, without a panic.
        #[test]
        fn l9_any_text_is_read_or_refused(text: String, at: proptest::sample::Index, bit in 0_u8..7) {
            let _ = Record::decode(&text);
            let _ = Record::decode(&format!("{{{text}"));
            let mut damaged = whole().encode().expose().as_bytes().to_vec();
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
            if let Ok(damaged) = String::from_utf8(damaged)
                && let Ok(record) = Record::decode(&damaged)
            {
                let again = record.encode();
                proptest::prop_assert!(Record::decode(again.expose()).is_ok());
            }
        }
    }

    #[test]
    fn a_later_format_is_refused_by_its_number() {
        let text = r#"{"format":7,"anything":true}"#;
        let error = Record::decode(text).unwrap_err();
        assert!(error.to_string().contains("format 7"), "{error}");
    }
}
