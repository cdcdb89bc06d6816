//! The files of an earlier version. The folder `commit_6443718` holds what the `FileStore` of that commit wrote: at
//! each step of a rotation with the tokens of a `ScriptedIssuer`, and in `every_field.json` a record that sets every
//! field of every token that can have it.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everbearer::testkit::{ManualClock, Reply, ScriptedIssuer};
use everbearer::{
    Clock, Credential, Error, FileStore, Grant, Lease, LongTermToken, Record, RotationPolicy,
    SealingKey, ShortTermToken, Stored, TokenIssuer, TokenProvider, TokenStore, Version,
};

use super::{place, write};
use crate::support::secs;

const MINUTE: Duration = secs(60);
const HOUR: Duration = secs(60 * 60);
const DAY: Duration = secs(24 * 60 * 60);

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("commit_6443718/", $name, ".json")))),*]
    };
}

/// The records, by how far the rotation is. The grace was an hour.
const FILES: &[(&str, &str)] = files! {
    "settled"
    "asking"
    "proving"
    "proving_by_grant"
    "retiring"
    "asking_retiring"
    "proving_retiring"
    "proving_by_grant_retiring"
    "next_refused"
    "every_field"
};
/// The record `proving_retiring`, encrypted.
const SEALED: &str = include_str!("commit_6443718/sealed");

fn file(name: &str) -> &'static str {
    let file = FILES.iter().find(|(it, _)| *it == name);
    file.unwrap_or_else(|| panic!("there is no file {name}")).1
}

fn key() -> SealingKey {
    SealingKey::new(&[7; 32])
}

fn self_rotation() -> Grant {
    Grant::self_rotation("client")
}

fn client_secret() -> Grant {
    Grant::client_secret("client", "secret")
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_read_and_written_again_without_a_change() {
    for (name, text) in FILES {
        let (_directory, path) = place();
        write(&path, text);
        let store = FileStore::new(&path);
        let stored = store.load().await.unwrap().unwrap();
        assert_eq!(stored.record.encode().expose(), *text, "{name}");
        let (record, version) = (stored.record, stored.version);
        store.store(&record, Some(&version)).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), *text, "{name}");
    }
}

#[tokio::test]
async fn an_encrypted_file_of_an_earlier_version_is_decrypted() {
    let (_directory, path) = place();
    write(&path, SEALED);
    let store = FileStore::new(&path).sealed_with(key());
    let stored = store.load().await.unwrap().unwrap();
    let text = stored.record.encode();
    assert_eq!(text.expose(), file("proving_retiring"));
}

/// Keeps what is written.
struct Recording {
    store: FileStore,
    written: Arc<Mutex<Vec<String>>>,
}

#[async_trait::async_trait]
impl TokenStore for Recording {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        self.store.load().await
    }

    async fn store(&self, record: &Record, expected: Option<&Version>) -> Result<Version, Error> {
        let text = record.encode().expose().to_owned();
        self.written.lock().unwrap().push(text);
        self.store.store(record, expected).await
    }

    async fn changed(&self) {
        self.store.changed().await;
    }

    async fn lease(&self, at_most: Duration) -> Result<Option<Lease>, Error> {
        self.store.lease(at_most).await
    }
}

/// Rotates twice within the grace, and returns each record that the provider wrote.
async fn written(rotate_with: Grant) -> Vec<String> {
    let (_directory, path) = place();
    let issuer = ScriptedIssuer::new();
    let (clock, written) = (ManualClock::new(), Arc::default());
    issuer.script_long_term((0..2).map(|_| Reply::token(30 * DAY)));
    let given = LongTermToken::builder("lt-0")
        .token_id("id-of-lt-0")
        .scopes(["jobs:*", "tokens:write"])
        .expires_at(clock.wall() + 30 * DAY)
        .build()
        .unwrap();
    let store = Recording {
        store: FileStore::new(&path),
        written: Arc::clone(&written),
    };
    let provider = TokenProvider::builder(issuer, given)
        .clock(clock)
        .store(store)
        .rotate_with(rotate_with)
        .rotation_policy(RotationPolicy::default().grace(HOUR))
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    for _ in 0..2 {
        provider.rotate().await.unwrap();
    }
    let written = written.lock().unwrap();
    written.clone()
}

/// So the earlier version reads what a rotation writes. It refuses a record with a field that it does not know.
#[tokio::test(start_paused = true)]
async fn a_rotation_writes_the_records_that_an_earlier_version_wrote() {
    for (rotate_with, names) in [
        (
            self_rotation(),
            &[
                "settled",
                "asking",
                "proving",
                "retiring",
                "asking_retiring",
                "proving_retiring",
            ][..],
        ),
        (
            client_secret(),
            &[
                "settled",
                "proving_by_grant",
                "retiring",
                "proving_by_grant_retiring",
            ],
        ),
    ] {
        let written = written(rotate_with).await;
        for (at, name) in names.iter().enumerate() {
            let text = written.get(at).map_or("nothing", String::as_str);
            assert_eq!(text, file(name), "{name}");
        }
    }
}

/// What a provider that starts from a file does.
#[derive(Debug, PartialEq)]
struct Continuation {
    /// The long-term token in use afterwards.
    current: String,
    /// How many long-term tokens the provider has requested.
    requested: usize,
    /// The IDs of the tokens of the file that the provider has revoked within 59 minutes.
    revoked_early: Vec<String>,
    /// The IDs of those that the provider has revoked in the two hours after that.
    revoked_late: Vec<String>,
}

async fn continued(text: &str, rotate_with: Grant) -> Continuation {
    let (_directory, path) = place();
    write(&path, text);
    let issuer = ScriptedIssuer::new();
    // The names of new tokens differ from those in the files.
    issuer.default_reply(Reply::from_fn(|name| {
        let name = format!("new-{name}");
        let token = ShortTermToken::builder(&name).token_id(&name);
        token.expires_in(15 * MINUTE).build()
    }));
    for _ in 0..3 {
        issuer.obtain(&rotate_with, None).await.unwrap();
    }
    let provider = TokenProvider::builder(issuer.clone(), Credential::Stored)
        .clock(ManualClock::new())
        .store(FileStore::new(&path))
        .rotate_with(rotate_with)
        .build()
        .unwrap();
    provider.ready().await.unwrap();
    let revoked = || {
        let mut revoked = issuer.revoked();
        revoked.retain(|id| !id.starts_with("new-"));
        revoked
    };
    tokio::time::sleep(59 * MINUTE).await;
    let revoked_early = revoked();
    tokio::time::sleep(2 * HOUR).await;
    let revoked_late = revoked().split_off(revoked_early.len());

    let scopes = issuer.asked_scopes();
    let authorizes = scopes.iter().flatten().any(|scope| scope == "tokens:write");
    assert!(!authorizes, "the token in `asking_with` was not used");
    let stored = FileStore::new(&path).load().await.unwrap().unwrap();
    let text = stored.record.encode();
    for rest in ["asking_with", "next", "retiring"] {
        assert!(!text.expose().contains(rest), "{}", text.expose());
    }
    Continuation {
        current: stored.record.current().expose().to_owned(),
        requested: issuer.obtained() + issuer.rotated() - 3,
        revoked_early,
        revoked_late,
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_finishes_the_rotation_that_an_earlier_version_began() {
    let lt_0 = "id-of-lt-0";
    let own: fn() -> Grant = self_rotation;
    let secret: fn() -> Grant = client_secret;
    for (name, grant, current, requested, early, late) in [
        ("settled", own, "lt-0", 0, &[][..], &[][..]),
        ("asking", own, "lt-4", 1, &["st-2", lt_0], &[]),
        ("proving", own, "lt-1", 0, &["st-2", lt_0], &[]),
        ("proving_by_grant", secret, "lt-1", 0, &[lt_0], &[]),
        ("retiring", own, "lt-1", 0, &[], &[lt_0]),
        (
            "asking_retiring",
            own,
            "lt-4",
            1,
            &["st-4", "lt-1"],
            &[lt_0],
        ),
        (
            "proving_retiring",
            own,
            "lt-2",
            0,
            &["st-4", "lt-1"],
            &[lt_0],
        ),
        (
            "proving_by_grant_retiring",
            secret,
            "lt-2",
            0,
            &["lt-1"],
            &[lt_0],
        ),
        ("next_refused", own, "lt-4", 1, &["lt-1", "st-2", lt_0], &[]),
        (
            "every_field",
            own,
            "lt-2",
            0,
            &["id-of-st-1", "id \"of\" lt-1 \\ é"],
            // The second token has no ID.
            &[lt_0, ""],
        ),
    ] {
        let expected = Continuation {
            current: current.to_owned(),
            requested,
            revoked_early: early.iter().map(|&id: &&str| id.to_owned()).collect(),
            revoked_late: late.iter().map(|&id: &&str| id.to_owned()).collect(),
        };
        assert_eq!(continued(file(name), grant()).await, expected, "{name}");
    }
}
