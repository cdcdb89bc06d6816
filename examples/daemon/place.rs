//! Where a value of the config stands: in a line of the file, or in the environment.

use std::path::PathBuf;

use crate::failure::Failure;

pub(crate) const PREFIX: &str = "EVERBEARER_";
/// `skip_permission_checks`.
const LONGEST_KEY: usize = 22;

/// The config file and its text.
pub(crate) struct Places {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Places {
    /// The failure that the value of this key, such as `job.every`, causes.
    pub(crate) fn failure(&self, key: &str, message: &str) -> Failure {
        let variable = format!("{PREFIX}{}", key.replace('.', "__")).to_uppercase();
        // Of a secret, the place may be given: `…__CLIENT_SECRET__FILE`.
        let places = ["", "__FILE", "__ENV"].map(|place| format!("{variable}{place}"));
        let given = places.iter().find(|it| std::env::var_os(it).is_some());
        if let Some(variable) = given {
            return Failure::Config(format!(
                "the environment variable {variable}: {key}: {message}"
            ));
        }
        let lines = 0..self.text.lines().count();
        let mut lines = lines.filter(|number| key_at(&self.text, *number).as_deref() == Some(key));
        let path = self.path.display();
        Failure::Config(match lines.next() {
            Some(number) => format!("{path}:{}: {key}: {message}", number + 1),
            None => format!("{path}: {key}: {message}"),
        })
    }
}

/// The key in this line, with its section; unless it looks like anything but a key: it may be a
/// part of a value, and thus of a secret.
pub(crate) fn key_at(text: &str, number: usize) -> Option<String> {
    let line = text.lines().nth(number)?;
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    if !is_like_a_key(key) {
        return None;
    }
    let above: Vec<&str> = text.lines().take(number).map(str::trim).collect();
    let mut headers = above.iter().rev().filter(|line| line.starts_with('['));
    let section = headers.next().and_then(|line| line.split(']').next());
    Some(match section {
        Some(section) => format!("{}.{key}", section.trim_matches('[')),
        None => key.to_owned(),
    })
}

/// Whether this may be the name of a key, and not a value in the wrong place.
pub(crate) fn is_like_a_key(key: &str) -> bool {
    let is_like_a_key = |char: char| char.is_ascii_lowercase() || char == '_';
    !key.is_empty() && key.len() <= LONGEST_KEY && key.chars().all(is_like_a_key)
}
