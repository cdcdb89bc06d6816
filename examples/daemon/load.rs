//! Reads the config from its file and the environment, or returns one line that says what is wrong, where, and what to
//! do.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use everbearer::Origin;
use toml::{Table, Value};

use crate::config::Config;
use crate::failure::{Failure, one_line};
use crate::place::{PREFIX, Places, is_like_a_key, key_at, line_at};

const SECTIONS: [&str; 8] = [
    "AUTH", "TOKEN", "JOB", "HTTP", "REFRESH", "ROTATION", "RETRY", "SHUTDOWN",
];

/// Returns the config, and where its values are set.
pub(crate) fn load(path: &Path) -> Result<(Config, Places), Failure> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let config: Config = toml::from_str(&text).map_err(|error| located(path, &text, &error))?;
    let mut table = text.parse().unwrap_or_else(|_| Table::new());
    let config = override_by(&mut table, config, std::env::vars_os())?;
    let path = path.to_owned();
    let places = Places { path, text };
    check(&places, &config)?;
    Ok((config, places))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    Failure::Config(match error.kind() {
        ErrorKind::NotFound => format!(
            "the config file {path} does not exist; copy examples/daemon/daemon.toml, or correct \
             the path"
        ),
        ErrorKind::PermissionDenied => format!(
            "the config file {path} cannot be read by this user; change its owner or its mode"
        ),
        ErrorKind::IsADirectory => {
            format!("the config file {path} is a directory; name the file in it")
        }
        ErrorKind::InvalidData => format!("the config file {path} is not UTF-8; save it as UTF-8"),
        _ => format!("the config file {path} cannot be read: {error}"),
    })
}

/// Returns the error with its line and its key. TOML's own text has several lines and shows the value.
fn located(path: &Path, text: &str, error: &toml::de::Error) -> Failure {
    let message = without_values(error.message());
    let place = path.display();
    let Some(span) = error.span() else {
        return Failure::Config(format!("{place}: {message}"));
    };
    let key = key_at(text, span.start).map_or_else(String::new, |key| format!("{key}: "));
    let line = line_at(text, span.start);
    Failure::Config(format!("{place}:{line}: {key}{message}"))
}

/// Returns TOML's message on one line, without the value, which may be a secret in the wrong place.
fn without_values(message: &str) -> String {
    let message = message.replace('\n', ", ");
    let names_a_value = ["invalid type: ", "invalid value: ", "invalid length "]
        .iter()
        .any(|start| message.starts_with(start));
    // The name of a key may be a secret in the wrong place, too.
    let unknown = ["unknown field `", "unknown variant `"].iter();
    for rest in unknown.filter_map(|start| message.strip_prefix(start)) {
        if let Some((key, rest)) = rest.split_once('`')
            && !is_like_a_key(key)
        {
            return format!("this is not the name of a key{rest}");
        }
    }
    if message.starts_with("invalid socket address") {
        return format!("{message}; write one such as \"127.0.0.1:9464\"");
    }
    match message.rsplit_once(", expected ") {
        Some((_, "a sequence")) => "write a list, such as [\"jobs:read\"]".to_owned(),
        Some((_, what)) if what.starts_with("struct ") => {
            "this is a section of keys, not a single value".to_owned()
        }
        Some((_, expected)) if names_a_value => {
            let expected = match expected {
                "f64" => "a number",
                expected => expected,
            };
            format!("this is the wrong kind of value; write {expected}")
        }
        _ => message,
    }
}

/// Applies each `EVERBEARER_SECTION__KEY`, which takes precedence over the file. Applies them one by one, so that an
/// error can name the variable.
fn override_by(
    table: &mut Table,
    mut config: Config,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, Failure> {
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if !rest.contains("__") {
            // Kubernetes sets variables for a Service whose name begins like this.
            let is_like_a_key = |section: &str| rest.starts_with(&format!("{section}_"));
            if !SECTIONS.iter().any(|section| is_like_a_key(section)) {
                continue;
            }
            return Err(Failure::Config(format!(
                "the environment variable {name} is not a key of the config; write \
                 {PREFIX}<SECTION>__<KEY>, with two underscores between them, or unset it"
            )));
        }
        let Some(value) = value.to_str() else {
            let text = format!("the environment variable {name} is not UTF-8");
            return Err(Failure::Config(text));
        };
        let key = rest.to_lowercase();
        let keys: Vec<&str> = key.split("__").collect();
        config = with(table, &keys, value).map_err(|message| {
            let key = keys.join(".");
            Failure::Config(format!("the environment variable {name}: {key}: {message}"))
        })?;
    }
    Ok(config)
}

/// Returns the config with this value for the key, as text or else as TOML.
fn with(table: &mut Table, keys: &[&str], value: &str) -> Result<Config, String> {
    let as_text = Value::String(value.to_owned());
    let as_toml = format!("it = {value}").parse::<Table>().ok();
    let as_toml = as_toml.and_then(|mut table| table.remove("it"));
    let mut outcome = Err(String::new());
    for value in [as_text].into_iter().chain(as_toml) {
        let mut changed = table.clone();
        set(&mut changed, keys, value);
        match changed.clone().try_into::<Config>() {
            Ok(config) => {
                *table = changed;
                return Ok(config);
            }
            Err(error) => outcome = Err(without_values(error.message())),
        }
    }
    outcome
}

fn set(table: &mut Table, keys: &[&str], value: Value) {
    match keys {
        [] => {}
        [key] => {
            table.insert((*key).to_owned(), value);
        }
        [key, rest @ ..] => {
            let inner = table.entry(*key).or_insert_with(|| Table::new().into());
            if !inner.is_table() {
                *inner = Table::new().into(); // the environment takes precedence
            }
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Checks values that are well formed.
fn check(places: &Places, config: &Config) -> Result<(), Failure> {
    let missing = [
        ("auth", "base_url", config.auth.base_url.is_empty()),
        ("token", "file", config.token.file.as_os_str().is_empty()),
        ("job", "url", config.job.url.is_empty()),
    ];
    let first = missing.iter().find(|(.., is_missing)| *is_missing);
    if let Some((section, key, _)) = first {
        let variable = format!("{PREFIX}{section}__{key}").to_uppercase();
        return Err(Failure::Config(format!(
            "{}: {section}.{key} is missing; add it under [{section}], or set {variable}",
            places.path.display()
        )));
    }
    if config.auth.client_secret.is_some() && config.auth.client_id.is_none() {
        let message = "it needs auth.client_id; add the client's ID";
        return Err(places.failure("auth.client_secret", message));
    }
    for (key, time) in [
        ("job.every", config.job.every),
        ("job.timeout", config.job.timeout),
        ("shutdown.deadline", config.shutdown.deadline),
    ] {
        if time.0.is_zero() {
            return Err(places.failure(key, "it must be longer than zero"));
        }
    }
    // With `allow_plain_http_to`, the provider checks the URL.
    match config.job.url.parse::<Origin>() {
        Err(error) if config.job.allow_plain_http_to.is_none() => {
            let allow =
                "use https, or allow it for this host with `allow_plain_http_to` under [job]";
            let message = one_line(&error).replace("only; use https", &format!("only; {allow}"));
            Err(places.failure("job.url", &message))
        }
        _ => Ok(()),
    }
}
