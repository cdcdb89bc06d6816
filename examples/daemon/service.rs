//! Builds the provider from the config.

use std::time::Duration;

use everbearer::{
    AuthApi, Credential, Error, ErrorKind, FileStore, Grant, TokenProvider, TokenStore,
};

use crate::config::{Config, Token, blamed, in_keys};
use crate::failure::{Failure, one_line};
use crate::place::Places;

/// Starts the provider.
pub(crate) async fn start(config: &Config, places: &Places) -> Result<TokenProvider, Failure> {
    let auth = &config.auth;
    let mut api = AuthApi::builder(&auth.base_url);
    if let Some(host) = &auth.allow_plain_http_to {
        api = api.allow_plain_http_to(host);
    }
    let api = api
        .build()
        .map_err(|error| wrong(&error, "auth.base_url", places))?;
    let grant = grant(config, places)?;
    let store = file_store(&config.token, places)?;
    check(config, &store, grant.is_some()).await?;

    let credential = grant.map_or(Credential::Stored, Credential::Grant);
    let mut builder = TokenProvider::builder(api, credential)
        .name("daemon")
        .scopes(auth.scopes.clone())
        .origins([config.job.url.clone()])
        .store(store)
        .refresh_policy(config.refresh.policy())
        .rotation_policy(config.rotation.policy())
        .retry_policy(config.retry.policy())
        .shutdown_policy(config.shutdown.policy());
    if let (Some(id), None) = (&auth.client_id, &auth.client_secret) {
        builder = builder.rotate_with(Grant::self_rotation(id));
    }
    if let Some(host) = &config.job.allow_plain_http_to {
        builder = builder.allow_plain_http_to(host);
    }
    builder
        .build()
        .map_err(|error| wrong(&error, "job.url", places))
}

/// Returns the failure of the key that the error is about, or else of this key.
fn wrong(error: &Error, key: &str, places: &Places) -> Failure {
    let error = in_keys(&one_line(error));
    match blamed(&error, places) {
        Some((key, message)) => places.failure(&key, &message),
        None => places.failure(key, &error),
    }
}

/// Returns the grant that obtains the first long-term token and the next ones.
fn grant(config: &Config, places: &Places) -> Result<Option<Grant>, Failure> {
    let (Some(id), Some(secret)) = (&config.auth.client_id, &config.auth.client_secret) else {
        return Ok(None);
    };
    // Checked now, even if the secret is not needed yet.
    secret
        .check()
        .map_err(|why| places.failure("auth.client_secret", &why))?;
    let secret = secret.source(config.token.skip_permission_checks);
    Ok(Some(Grant::client_secret(id, secret)))
}

fn file_store(token: &Token, places: &Places) -> Result<FileStore, Failure> {
    let mut store = FileStore::new(&token.file).accept_group_readable(token.accept_group_readable);
    if token.skip_permission_checks {
        store = store.skip_permission_checks();
    }
    let Some(key) = &token.sealing_key else {
        return Ok(store);
    };
    let key = key.sealing_key(token.skip_permission_checks);
    let key = key.map_err(|why| places.failure("token.sealing_key", &why))?;
    Ok(store.sealed_with(key))
}

/// Checks at the start what an operator can correct. Later, the daemon continues with the token that it has.
async fn check(config: &Config, store: &FileStore, has_grant: bool) -> Result<(), Failure> {
    let stored = store.load().await.map_err(|error| unusable(&error))?;
    // Checks now that the file can be written, and not at the first rotation.
    if config.auth.client_id.is_some() {
        let lease = store.lease(Duration::from_secs(60)).await;
        lease.map_err(|error| unusable(&error))?;
    }
    if stored.is_none() && !has_grant {
        return Err(Failure::Start(format!(
            "token.file: {} does not exist; write a long-term token into it, or set \
             auth.client_id and auth.client_secret",
            config.token.file.display()
        )));
    }
    Ok(())
}

fn unusable(error: &Error) -> Failure {
    Failure::Start(format!("token.file: {}", in_keys(&one_line(error))))
}

/// Returns the failure if the daemon cannot continue after this error at the start.
pub(crate) fn refusal(config: &Config, places: &Places, error: &Error) -> Option<Failure> {
    if error.kind() == ErrorKind::Secret {
        // Another process may be about to correct the file, so a restart may help.
        let failure = wrong(error, "auth.client_secret", places);
        return Some(Failure::Start(failure.to_string()));
    }
    if error.is_retryable() {
        return None;
    }
    let text = in_keys(&one_line(error));
    let what_to_do = match (error.kind(), &config.auth.client_secret) {
        (ErrorKind::Denied, None) => format!(
            "write a valid long-term token into {}, or set auth.client_id and auth.client_secret",
            config.token.file.display()
        ),
        (ErrorKind::Denied, Some(_)) => {
            "correct auth.client_id and auth.client_secret, or ask the operator of the auth server"
                .to_owned()
        }
        (ErrorKind::Config, _) => {
            return Some(match blamed(&text, places) {
                Some((key, message)) => places.failure(&key, &message),
                None => Failure::Config(text),
            });
        }
        _ => "check auth.base_url and auth.scopes".to_owned(),
    };
    Some(Failure::Start(format!(
        "cannot obtain a token: {}; {what_to_do}",
        text.trim_end_matches('.')
    )))
}
