//! Where secrets come from.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use everbearer::testkit::AuthServer;
use everbearer::{AuthApi, Error, ErrorKind, Grant, Secret, SecretSource, TokenIssuer as _};

use super::{NO_SECRET, assert_says, lent, obtain, start};

/// Cargo sets it for every test, to the name of the package.
const VARIABLE: &str = "CARGO_PKG_NAME";

/// A file that is gone when the test is over.
pub(super) struct TestFile(PathBuf);

impl TestFile {
    pub(super) fn new(name: &str) -> Self {
        let name = format!("everbearer-{}-{name}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(super) fn holding(name: &str, content: impl AsRef<[u8]>) -> Self {
        let this = Self::new(name);
        this.write(content);
        this
    }

    pub(super) fn write(&self, content: impl AsRef<[u8]>) {
        std::fs::write(&self.0, content).unwrap();
    }

    pub(super) fn source(&self) -> SecretSource {
        SecretSource::file(&self.0)
    }

    pub(super) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn failure(api: &AuthApi, source: SecretSource) -> Error {
    let grant = Grant::client_secret("client", source);
    api.obtain(&grant, None).await.unwrap_err()
}

#[tokio::test]
async fn a_secret_is_text() {
    let (server, api) = start().await;
    let secret = server.client_secret();
    for source in [
        SecretSource::from(secret),
        SecretSource::from(secret.to_owned()),
        SecretSource::from(Secret::from(secret)),
    ] {
        assert_eq!(format!("{source:?}"), "SecretSource(..)");
        obtain(
            &server,
            &api,
            &Grant::client_secret(server.client_id(), source),
        )
        .await;
    }
}

#[tokio::test]
async fn a_secret_comes_from_the_environment() {
    let secret = std::env::var(VARIABLE).unwrap();
    let server = AuthServer::builder().client("client", secret);
    let server = server.start().await.unwrap();
    let api = AuthApi::new(server.base_url()).unwrap();
    let grant = Grant::client_secret("client", SecretSource::env(VARIABLE));
    assert!(format!("{grant:?}").contains(VARIABLE));
    obtain(&server, &api, &grant).await;
}

#[tokio::test]
async fn a_variable_that_is_not_there_is_named() {
    let (server, api) = start().await;
    for name in ["EVERBEARER_IS_NOT_SET", "EVERBEARER=X"] {
        let error = failure(&api, SecretSource::env(name)).await;
        assert_says(
            &error,
            ErrorKind::Config,
            &[name, "not set", "set it"],
            NO_SECRET,
        );
    }
    assert_eq!(server.counts().long_term.requests, 0);
}

#[tokio::test]
async fn a_file_is_read_anew_each_time() {
    let (server, api) = start().await;
    let file = TestFile::holding("anew", "an-older-one\n");
    let grant = Grant::client_secret(server.client_id(), file.source());
    let error = api.obtain(&grant, None).await.unwrap_err();
    assert_says(&error, ErrorKind::Denied, &[], "an-older-one");

    for ending in ["", "\n", "\r\n", "\n\n"] {
        file.write(format!("{}{ending}", server.client_secret()));
        obtain(&server, &api, &grant).await;
    }
}

#[tokio::test]
async fn a_file_that_brings_no_secret_is_named() {
    let (server, api) = start().await;
    let longest = [b"hunter2".repeat(10_000), b"\n".to_vec()].concat();
    for (name, content, kind, about) in [
        ("empty", b"".as_slice(), ErrorKind::Secret, "is empty"),
        ("newline", b"\r\n", ErrorKind::Secret, "is empty"),
        ("binary", b"hunter2\xff", ErrorKind::Config, "UTF-8"),
        ("long", &longest, ErrorKind::Config, "64 KiB"),
    ] {
        let file = TestFile::holding(name, content);
        let error = failure(&api, file.source()).await;
        assert_says(&error, kind, &[file.path(), about], "hunter2");
    }
    let missing = TestFile::new("missing");
    let error = failure(&api, missing.source()).await;
    assert_says(
        &error,
        ErrorKind::Secret,
        &[missing.path(), "check that it exists"],
        NO_SECRET,
    );

    let folder = std::env::temp_dir();
    let error = failure(&api, SecretSource::file(&folder)).await;
    let path = folder.to_str().unwrap();
    assert_says(
        &error,
        ErrorKind::Config,
        &[path, "no regular file"],
        NO_SECRET,
    );
    assert_eq!(server.counts().long_term.requests, 0);
}

#[tokio::test]
async fn a_file_of_exactly_64_kib_is_read() {
    let (server, api) = start().await;
    let file = TestFile::holding("64-kib", "x".repeat(64 * 1024));
    let error = failure(&api, file.source()).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert_eq!(server.counts().long_term.requests, 1);
}

#[tokio::test]
async fn a_callback_is_asked_each_time_and_its_error_decides() {
    let (server, api) = start().await;
    let answers = Arc::new(Mutex::new(vec![
        Ok(Secret::from("")),
        Ok(Secret::from(server.client_secret())),
        Err(Error::terminal("no such secret")),
        Err(Error::transient("the vault is sealed")),
    ]));
    let source = SecretSource::from_fn({
        let answers = Arc::clone(&answers);
        move || {
            let answer = answers.lock().unwrap().pop().unwrap();
            async move { answer }
        }
    });
    assert_eq!(format!("{source:?}"), "SecretSource(callback)");
    let grant = Grant::client_secret(server.client_id(), source);
    assert!(api.obtain(&grant, None).await.unwrap_err().is_retryable());
    let terminal = api.obtain(&grant, None).await.unwrap_err();
    assert_eq!(terminal.kind(), ErrorKind::Denied);
    obtain(&server, &api, &grant).await;
    let empty = api.obtain(&grant, None).await.unwrap_err();
    assert_says(&empty, ErrorKind::Issuer, &["callback", "empty"], NO_SECRET);
}

#[tokio::test]
async fn a_short_term_token_comes_from_a_file() {
    let (server, api) = start().await;
    let token = lent(&server, &api, &["tokens:write"]).await;
    let file = TestFile::holding("lent", format!("{}\n", token.expose()));
    let grant = Grant::bootstrap_token(server.client_id(), file.source());
    obtain(&server, &api, &grant).await;
}
