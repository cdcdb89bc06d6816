//! Finds where a value of the config is set: in a line of the file, or in the environment.

use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

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
        if let Some(variable) = variable(key) {
            return Failure::Config(format!(
                "the environment variable {variable}: {key}: {message}"
            ));
        }
        let path = self.path.display();
        Failure::Config(match self.line(key) {
            Some(line) => format!("{path}:{line}: {key}: {message}"),
            None => format!("{path}: {key}: {message}"),
        })
    }

    /// Whether the file or the environment sets this key.
    pub(crate) fn sets(&self, key: &str) -> bool {
        variable(key).is_some() || self.line(key).is_some()
    }

    fn line(&self, key: &str) -> Option<usize> {
        let keys = keys(&self.text);
        let key = keys.iter().find(|it| it.path == key)?;
        Some(line_at(&self.text, key.name.start))
    }
}

/// The number of the line at this byte of the text.
pub(crate) fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// The key to which this byte of the text belongs, with its section.
pub(crate) fn key_at(text: &str, at: usize) -> Option<String> {
    let keys = keys(text);
    let here = keys
        .iter()
        .filter(|key| key.name.contains(&at) || key.value.contains(&at));
    let innermost = here.max_by_key(|key| key.depth)?;
    let is_key = !innermost.is_section && !innermost.path.is_empty();
    is_key.then(|| innermost.path.clone())
}

/// Whether this may be the name of a key, and not a value in the wrong place.
pub(crate) fn is_like_a_key(key: &str) -> bool {
    let is_like_a_key = |char: char| char.is_ascii_lowercase() || char == '_';
    !key.is_empty() && key.len() <= LONGEST_KEY && key.chars().all(is_like_a_key)
}

/// The environment variable that sets this key. `…__FILE` and `…__ENV` set the place of a secret.
fn variable(key: &str) -> Option<String> {
    let rest = key.replace('.', "__");
    let rests = ["", "__FILE", "__ENV"].map(|place| format!("{rest}{place}"));
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut set = variables.filter(|name| {
        let rest = name.strip_prefix(PREFIX);
        rest.is_some_and(|rest| rests.iter().any(|it| it.eq_ignore_ascii_case(rest)))
    });
    set.next()
}

struct Key {
    /// With its section; that of the key around it if its own name may be a value in the wrong place.
    path: String,
    depth: usize,
    name: Range<usize>,
    value: Range<usize>,
    is_section: bool,
}

/// All keys of the text, as far as it is TOML.
fn keys(text: &str) -> Vec<Key> {
    let (mut keys, (table, _)) = (Vec::new(), DeTable::parse_recoverable(text));
    collect(table.get_ref(), "", 0, &mut keys);
    keys
}

fn collect(table: &DeTable<'_>, around: &str, depth: usize, keys: &mut Vec<Key>) {
    for (name, value) in table {
        let path = match name.get_ref() {
            name if !is_like_a_key(name) => around.to_owned(),
            name if around.is_empty() => name.to_string(),
            name => format!("{around}.{name}"),
        };
        if let DeValue::Table(table) = value.get_ref() {
            collect(table, &path, depth + 1, keys);
        }
        keys.push(Key {
            is_section: depth == 0 && matches!(value.get_ref(), DeValue::Table(_)),
            path,
            depth,
            name: name.span(),
            value: value.span(),
        });
    }
}
