//! A secret of the config: the text itself, a file or an environment variable. No error and no log line shows it.

use std::fmt;
use std::path::PathBuf;

use everbearer::{SealingKey, SecretSource};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

use crate::config::in_keys;
use crate::failure::one_line;

#[derive(Clone, PartialEq)]
pub(crate) enum Source {
    Text(String),
    Env(String),
    File(PathBuf),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::Env(name) => write!(f, "Env({name:?})"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl Source {
    /// Returns the source for the provider, which reads the secret at each use.
    pub(crate) fn source(&self, skip_permission_checks: bool) -> SecretSource {
        match self {
            Self::Text(text) => SecretSource::from(text.as_str()),
            Self::Env(name) => SecretSource::env(name),
            Self::File(path) if skip_permission_checks => {
                SecretSource::file(path).skip_permission_checks()
            }
            Self::File(path) => SecretSource::file(path),
        }
    }

    /// Checks that the secret exists.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Text(text) if text.trim().is_empty() => Err("it is empty".to_owned()),
            Self::Text(_) => Ok(()),
            Self::Env(name) => {
                // The name may be the secret, in the wrong place.
                let is_name =
                    |char: char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_';
                let shown = if name.chars().all(is_name) {
                    name
                } else {
                    "that it names"
                };
                match std::env::var_os(name) {
                    None => Err(format!("the environment variable {shown} is not set")),
                    Some(text) if text.is_empty() => {
                        Err(format!("the environment variable {shown} is empty"))
                    }
                    Some(_) => Ok(()),
                }
            }
            Self::File(path) => {
                let shown = path.display();
                // Does not open the file, since a FIFO would wait for a writer.
                let there = std::fs::metadata(path)
                    .map_err(|error| format!("{shown} cannot be read: {error}"))?;
                if !there.is_file() {
                    return Err(format!("{shown} is no regular file"));
                }
                if there.len() == 0 {
                    return Err(format!("{shown} is empty"));
                }
                Ok(())
            }
        }
    }

    pub(crate) fn sealing_key(&self, skip_permission_checks: bool) -> Result<SealingKey, String> {
        self.check()?;
        let key = match self {
            Self::Text(text) => SealingKey::parse(text),
            Self::Env(name) => SealingKey::parse(&std::env::var(name).unwrap_or_default()),
            Self::File(path) if skip_permission_checks => {
                let text = std::fs::read_to_string(path);
                let text =
                    text.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
                SealingKey::parse(&text)
            }
            Self::File(path) => SealingKey::from_file(path),
        };
        key.map_err(|error| in_keys(&one_line(&error)))
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

/// The only key of the table.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Env,
    File,
}

struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text in quotes, { env = \"NAME\" } or { file = \"PATH\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Source, E> {
        // Docker's env files keep quotes around a value.
        let is_around =
            |char: char| char.is_whitespace() || matches!(char, '\'' | '"' | '\u{feff}');
        if text.trim_start_matches(is_around).starts_with('{') {
            return Err(E::custom(
                "this looks like { file = \"PATH\" } or { env = \"NAME\" } with wrong quotes; quote the path or the \
                 name only; a secret that begins with { must be in a file",
            ));
        }
        Ok(Source::Text(text.to_owned()))
    }

    // The default error would show the number, which may be the secret.
    fn visit_i64<E: Error>(self, _: i64) -> Result<Source, E> {
        Err(E::custom("a number is not a secret; put it in quotes"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Source, E> {
        self.visit_i64(0)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
        let one = "write one key: { env = \"NAME\" } or { file = \"PATH\" }";
        let Some(key) = map.next_key::<String>()? else {
            return Err(A::Error::custom(one));
        };
        let source = match Place::deserialize(key.as_str().into_deserializer())? {
            Place::Env => Source::Env(map.next_value()?),
            Place::File => Source::File(map.next_value()?),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(_) => Err(A::Error::custom(one)),
        }
    }
}
