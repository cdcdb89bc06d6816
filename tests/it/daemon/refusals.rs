//! What it says when it does not run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use everbearer::testkit::AuthServer;
use everbearer::{FileStore, Record, SealingKey, TokenStore};

use super::{Daemon, long_term_token};

const KEY: &str = "Ca7vXn6mB1xvUe5J9sSYt0hP3kQzR8wDfL2gTiOyM4c=";
const OTHER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

#[tokio::test]
async fn it_says_in_one_line_what_is_wrong_and_what_to_do() {
    let server = AuthServer::start().await.unwrap();
    let fine = Daemon::at(&server).read("daemon.toml");
    let base_url = format!("base_url = {:?}", server.base_url());
    let in_config = [
        ("[auth]", "[auth", 2, "daemon.toml:1: "),
        (
            "every",
            "evry",
            2,
            "daemon.toml:10: job.evry: unknown field `evry`, expected one of",
        ),
        (
            "\"50ms\"",
            "\"50 parsecs\"",
            2,
            "daemon.toml:10: job.every: this is not a duration; write one such as \"30s\"",
        ),
        ("\"50ms\"", "50", 2, "a duration in quotes, such as"),
        ("[http]", "[htp]", 2, "daemon.toml:12: unknown field `htp`"),
        (
            "127.0.0.1:0",
            "localhost",
            2,
            "daemon.toml:13: http.listen: invalid socket address syntax; write one such as",
        ),
        (
            &base_url,
            "",
            2,
            "auth.base_url is missing; add it under [auth], or set EVERBEARER_AUTH__BASE_URL",
        ),
        (
            &base_url,
            "base_url = \"example\"",
            2,
            "toml:2: auth.base_url: ",
        ),
        (
            &base_url,
            "base_url = \"http://example.com\"",
            2,
            "daemon.toml:2: auth.base_url: a token cannot go to http://example.com: plain http is \
             not encrypted, and allowed for loopback addresses only; use https, or allow it for this host with `allow_plain_http_to` under [auth]",
        ),
        (
            "[token]",
            "allow_plain_http_to = \"http://a\"\n[token]",
            2,
            "daemon.toml:5: auth.allow_plain_http_to: the argument is not a host",
        ),
        (
            "[token]",
            "client_secret = \"any\"\n[retry]\nfirst_delay = \"2m\"\n[token]",
            2,
            "daemon.toml:7: retry.first_delay: the first delay is longer than the longest",
        ),
        (
            "[token]",
            "client_secret = \"any\"\n[retry]\nlongest_delay = \"500ms\"\n[token]",
            2,
            "daemon.toml:7: retry.longest_delay: the first delay is longer than the longest",
        ),
        (
            "[job]\nurl = \"http://127.0.0.1",
            "[job]\nurl = \"http://jobs",
            2,
            "or allow it for this host with `allow_plain_http_to` under [job]",
        ),
        (
            "client_id",
            "client_secret = { file = \"/dev/null\" }\nclient_id",
            2,
            "toml:3: auth.client_secret: /dev/null is no regular file",
        ),
        (
            "every = \"50ms\"",
            "\"every\" = 50",
            2,
            "toml:10: job.every: ",
        ),
        (
            "\"50ms\"",
            "\"0s\"",
            2,
            "daemon.toml:10: job.every: it must be longer than zero",
        ),
        (
            "/jobs\"",
            "/jobs\"\ntimeout = \"0ks\"",
            2,
            "job.timeout: this is not a duration",
        ),
        (
            "[token]",
            "client_secret = \"any\"\n[refresh]\nfraction = 7.0\n[token]",
            2,
            "daemon.toml:7: refresh.fraction: it must lie between",
        ),
        (
            "[job]\nurl = \"http://127",
            "[job]\nurl = \"http://93",
            2,
            "daemon.toml:9: job.url: a token cannot go to",
        ),
        ("[job]\nurl = \"http", "[job]\nurl = \"", 2, "job.url: "),
        (
            "client_id",
            "client_secret = 12345678\nclient_id",
            2,
            "auth.client_secret: a number is not a secret",
        ),
        (
            "client_id",
            "client_secret = { env = \"NOWHERE\" }\nclient_id",
            2,
            "toml:3: auth.client_secret: the environment variable NOWHERE is not set",
        ),
        (
            "client_id",
            "client_secret = { file = \"/nowhere\" }\nclient_id",
            2,
            "toml:3: auth.client_secret: /nowhere cannot be read",
        ),
        (
            "client_id",
            "client_secret = \"wrong\"\nclient_id",
            1,
            "correct auth.client_id and auth.client_secret",
        ),
        (
            "[auth]",
            "[auth]",
            1,
            "/token does not exist; write a long-term token into it, or set auth.client_id",
        ),
    ];
    for (from, to, code, part) in in_config {
        let daemon = Daemon::at(&server);
        daemon.configure(&fine.replace(fine_token_dir(&fine), daemon.dir.path().to_str().unwrap()));
        daemon.change(from, to);
        let (is, line) = daemon.refusal();
        assert!(is == code && line.contains(part), "{part}: {is}, {line}");
        assert!(!line.contains("12345678"), "{line}");
    }

    let env = |name, value: &str| {
        let mut daemon = Daemon::at(&server);
        daemon.env.push((name, value.to_owned()));
        daemon.refusal()
    };
    let (code, line) = env("EVERBEARER_JOB__EVERY", "often");
    assert!(code == 2 && line.contains("variable EVERBEARER_JOB__EVERY: job.every: this is not"));
    let (code, line) = env("EVERBEARER_Job__Every", "0s");
    assert!(
        code == 2 && line.contains("variable EVERBEARER_Job__Every: job.every: it must be"),
        "{line}"
    );
    let (code, line) = env("EVERBEARER_AUTH__SCOPES", "jobs:read");
    assert!(
        code == 2 && line.contains("write a list, such as"),
        "{line}"
    );
    let (code, line) = env("EVERBEARER_TOKEN_FILE", "/srv/token");
    assert!(code == 2 && line.contains("two underscores"), "{line}");
    // What Kubernetes sets for a Service of that name is no mistake of anybody's.
    let (code, line) = env("EVERBEARER_DAEMON_PORT", "tcp://10.0.0.1:80");
    assert!(
        code == 1 && line.contains("/token does not exist"),
        "{line}"
    );
    let (code, line) = env("EVERBEARER_JOB__EVRY", "1s");
    assert!(code == 2 && line.contains("unknown field `evry`"), "{line}");

    let daemon = Daemon::at(&server);
    fs::remove_file(daemon.path("daemon.toml")).unwrap();
    let (code, line) = daemon.refusal();
    assert!(
        code == 2 && line.contains("daemon.toml does not exist; copy"),
        "{line}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken
        .local_addr()
        .map(|it| (it.to_string(), taken))
        .unwrap();
    let (code, line) = env("EVERBEARER_HTTP__LISTEN", &taken.0);
    assert!(code == 1 && line.contains("cannot listen on") && line.contains("choose another"));
}

/// The directory that a config names.
fn fine_token_dir(config: &str) -> &str {
    let path = config.split("file = \"").nth(1).unwrap().split('"').next();
    Path::new(path.unwrap()).parent().unwrap().to_str().unwrap()
}

#[tokio::test]
async fn it_says_what_is_wrong_with_the_token_file() {
    let server = AuthServer::start().await.unwrap();
    let long_term = long_term_token(&server).await;
    let mut daemon = Daemon::at(&server);
    daemon.put_token(long_term.expose());

    fs::set_permissions(daemon.path("token"), fs::Permissions::from_mode(0o646)).unwrap();
    let (code, line) = daemon.refusal();
    assert!(code == 1 && line.contains("chmod go-w"), "{line}");
    let advice = "accept it with `skip_permission_checks = true` under [token]";
    assert!(line.contains(advice), "{line}");

    daemon.put_token("two words");
    let (code, line) = daemon.refusal();
    assert!(
        code == 1 && line.starts_with("error: token.file: "),
        "{line}"
    );

    fs::remove_file(daemon.path("token")).unwrap();
    let sealed = FileStore::new(daemon.path("token")).sealed_with(SealingKey::parse(KEY).unwrap());
    sealed
        .store(&Record::from(long_term.clone()), None)
        .await
        .unwrap();
    let (code, line) = daemon.refusal();
    assert!(
        code == 1 && line.contains("is sealed; set the key"),
        "{line}"
    );
    daemon
        .env
        .push(("EVERBEARER_TOKEN__SEALING_KEY", OTHER_KEY.to_owned()));
    let (code, line) = daemon.refusal();
    assert!(
        code == 1 && line.contains("this sealing key; set the key"),
        "{line}"
    );
    daemon.env.clear();

    for record in server.tokens() {
        server.revoke(&record.token_id);
    }
    daemon.put_token(long_term.expose());
    let (code, line) = daemon.refusal();
    assert!(
        code == 1 && line.contains("write a valid long-term token into"),
        "{line}"
    );
}

#[tokio::test]
async fn s6_a_secret_in_the_wrong_place_is_not_shown() {
    let server = AuthServer::start().await.unwrap();
    for config in [
        "[token]\nsealing_key: \"c2VjcmV0LXNlY3JldA==\"\n",
        "[token]\nsealing_key = \"\"\"\nc2VjcmV0LXNlY3JldA==\n\"\"\" slip\n",
        "[token]\nsealing_key = 123456789012345678901234567890123\n",
        "[auth]\nclient_secret = 18446744073709551615\n",
        "[auth]\nclient_secret = 1234567890123456789\n",
        "auth = \"c2VjcmV0LXNlY3JldA\"\n",
        "[auth]\nscopes = \"c2VjcmV0LXNlY3JldA\"\n",
        "[job]\nevery = \"c2VjcmV0LXNlY3JldA\"\n",
        "[job]\nc2VjcmV0LXNlY3JldA = 1\n",
        "[http]\nlisten = \"c2VjcmV0LXNlY3JldA\"\n",
        "[auth]\nclient_secret = { c2VjcmV0LXNlY3JldA = 1 }\n",
        "[auth]\nclient_secret = \"{ file = c2VjcmV0LXNlY3JldA }\"\n",
        "[token]\nsealing_key = \"\"\"\n[c2VjcmV0]\n\"\"\"\n[auth]\nscopes = 5\n",
        "[token]\nfile = \"/t\"\n[auth]\nbase_url = \"https://a\"\nclient_id = \"a\"\n\
         client_secret = { env = \"c2VjcmV0LXNlY3JldA\" }\n[job]\nurl = \"https://a\"\n",
        "[refresh]\nfraction = \"123456789\"\n",
    ] {
        let daemon = Daemon::at(&server);
        daemon.configure(config);
        let (code, line) = daemon.refusal();
        assert_eq!(code, 2, "{line}");
        for secret in ["c2VjcmV0", "123456789", "18446744"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

/// The text of a place is never sent as the secret.
#[tokio::test]
async fn a_place_in_the_environment_is_read_as_a_place_or_refused() {
    let server = AuthServer::start().await.unwrap();
    let daemon = Daemon::at(&server);
    fs::write(daemon.path("secret"), server.client_secret()).unwrap();
    let path = daemon.path("secret");
    let path = path.display();
    for (value, is_read) in [
        (format!("{{ file = \"{path}\" }}"), true),
        (format!("{{file='{path}'}}"), true),
        (format!("{{ file = {path} }}"), false),
        (format!("{{ path = \"{path}\" }}"), false),
        (format!("{{ file = \"{path}\", env = \"X\" }}"), false),
        (" { file: x }".to_owned(), false),
        (format!("'{{ file = \"{path}\" }}'"), false),
        (format!("\"{{ file = '{path}' }}\""), false),
    ] {
        let mut daemon = Daemon::at(&server);
        daemon
            .env
            .push(("EVERBEARER_AUTH__CLIENT_SECRET", value.clone()));
        let before = server.counts().long_term.requests;
        if is_read {
            daemon.start();
            daemon.until_it_answers("/readyz", 200, "ready").await;
            assert_eq!(daemon.stop(), 0);
        } else {
            let (code, line) = daemon.refusal();
            assert_eq!(code, 2, "{value}: {line}");
            let variable = "variable EVERBEARER_AUTH__CLIENT_SECRET: auth.client_secret: ";
            assert!(line.contains(variable), "{line}");
            assert_eq!(server.counts().long_term.requests, before, "{value}");
        }
    }
}

#[tokio::test]
async fn a_secret_file_that_is_of_no_use_is_blamed_on_its_key() {
    let server = AuthServer::start().await.unwrap();
    let mut daemon = Daemon::at(&server);
    let path = daemon.path("secret");
    daemon.change(
        "client_id",
        &format!("client_secret = {{ file = {path:?} }}\nclient_id"),
    );
    fs::write(&path, b"hunter2\xff").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, line) = daemon.refusal();
    let key = "daemon.toml:3: auth.client_secret: the secret's file ";
    assert!(
        code == 2 && line.contains(key) && line.contains("UTF-8"),
        "{line}"
    );

    fs::write(&path, server.client_secret()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o602)).unwrap();
    let (code, line) = daemon.refusal();
    assert!(code == 1 && line.contains(key), "{line}");
    assert!(
        line.contains("`skip_permission_checks = true` under [token]"),
        "{line}"
    );

    let skip = (
        "EVERBEARER_TOKEN__SKIP_PERMISSION_CHECKS",
        "true".to_owned(),
    );
    daemon.env.push(skip);
    daemon.start();
    daemon.until_it_answers("/readyz", 200, "ready").await;
    assert_eq!(daemon.stop(), 0);
}
