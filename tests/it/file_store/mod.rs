//! The store in a file.

mod changes;
mod crashes;
mod formats;
mod refusals;
mod sealing;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::support::secs;
use everbearer::{ErrorKind, FileStore, LongTermToken, Record, TokenStore};
use tempfile::TempDir;

/// A directory that goes with the test, and a path in it.
fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    (directory, path)
}

fn record(token: &str) -> Record {
    Record::from(LongTermToken::new(token).unwrap())
}

/// Writes as another program would: in place.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

async fn loaded(store: &FileStore) -> Option<String> {
    let stored = store.load().await.unwrap();
    stored.map(|stored| stored.record.current().expose().to_owned())
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn l3_what_was_stored_is_there_after_a_restart() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    assert!(store.load().await.unwrap().is_none());
    let version = store.store(&record("lt_1"), None).await.unwrap();
    let version = store.store(&record("lt_2"), Some(&version)).await.unwrap();
    drop(store);

    let stored = FileStore::new(&path).load().await.unwrap().unwrap();
    assert_eq!(stored.record.current().expose(), "lt_2");
    assert_eq!(stored.version, version);
    assert_eq!(names(directory.path()), ["token", "token.lock"]);
}

#[tokio::test]
async fn l3_only_the_owner_has_a_right_to_what_is_written() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    let version = store.store(&record("lt_1"), None).await.unwrap();
    assert_eq!(mode(&path), 0o600);
    // Also when it was otherwise before.
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    store.store(&record("lt_2"), Some(&version)).await.unwrap();
    let _lease = store.lease(secs(60)).await.unwrap().unwrap();
    for name in ["token", "token.lock", "token.lease"] {
        assert_eq!(mode(&directory.path().join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_token_that_an_agent_wrote_is_read_and_replaced_by_a_record() {
    let (_directory, path) = place();
    write(&path, "lt_agent\n");
    let store = FileStore::new(&path);
    let stored = store.load().await.unwrap().unwrap();
    assert_eq!(stored.record.current().expose(), "lt_agent");
    store
        .store(&stored.record, Some(&stored.version))
        .await
        .unwrap();
    assert!(fs::read_to_string(&path).unwrap().starts_with('{'));
    assert_eq!(loaded(&store).await.unwrap(), "lt_agent");
}

#[tokio::test]
async fn l8_whoever_saw_an_older_version_overwrites_nothing() {
    let (_directory, path) = place();
    let (one, two) = (FileStore::new(&path), FileStore::new(&path));
    let first = one.store(&record("lt_1"), None).await.unwrap();
    let error = two.store(&record("lt_2"), None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains(path.to_str().unwrap()));

    let version = two.load().await.unwrap().unwrap().version;
    assert_eq!(version, first);
    two.store(&record("lt_2"), Some(&version)).await.unwrap();
    let error = one.store(&record("lt_3"), Some(&first)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(loaded(&one).await.unwrap(), "lt_2");

    fs::remove_file(&path).unwrap();
    let version = two.store(&record("lt_4"), Some(&version)).await;
    assert_eq!(version.unwrap_err().kind(), ErrorKind::Conflict);
}

/// Reads a counter, adds one and writes it back, until nobody else was faster.
async fn increment(store: &FileStore) {
    loop {
        let stored = store.load().await.unwrap().unwrap();
        let count: u32 = stored.record.current().expose().parse().unwrap();
        let next = record(&(count + 1).to_string());
        match store.store(&next, Some(&stored.version)).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_two_stores_on_one_file_lose_no_update() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    store.store(&record("0"), None).await.unwrap();
    let path = &path;
    let counting = crate::support::tasks(2, || {
        let store = FileStore::new(path);
        async move {
            for _ in 0..100 {
                increment(&store).await;
            }
        }
    });
    counting.join_all().await;
    assert_eq!(loaded(&store).await.unwrap(), "200");
    assert_eq!(names(directory.path()), ["token", "token.lock"]);
}

#[tokio::test]
async fn l8_the_lease_is_had_by_one_store_at_a_time() {
    let (_directory, path) = place();
    let (one, two) = (FileStore::new(&path), FileStore::new(&path));
    let lease = one.lease(secs(60)).await.unwrap().unwrap();
    assert!(two.lease(secs(60)).await.unwrap().is_none());
    assert!(one.lease(secs(60)).await.unwrap().is_none());
    // It is not the lock of a write.
    two.store(&record("lt_1"), None).await.unwrap();
    drop(lease);
    assert!(two.lease(secs(60)).await.unwrap().is_some());
}

#[tokio::test]
async fn behind_a_symlink_its_target_is_replaced_and_locked() {
    let (directory, path) = place();
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let target = elsewhere.join("real");
    write(&target, "lt_1");
    symlink("elsewhere/real", &path).unwrap();

    let (link, direct) = (FileStore::new(&path), FileStore::new(&target));
    let version = link.load().await.unwrap().unwrap().version;
    link.store(&record("lt_2"), Some(&version)).await.unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(loaded(&direct).await.unwrap(), "lt_2");
    assert_eq!(names(&elsewhere), ["real", "real.lock"]);
    let _lease = direct.lease(secs(60)).await.unwrap().unwrap();
    assert!(link.lease(secs(60)).await.unwrap().is_none());

    fs::remove_file(&target).unwrap();
    assert!(link.load().await.unwrap().is_none());
    let error = link.store(&record("lt_3"), None).await.unwrap_err();
    assert!(error.to_string().contains("symlink"), "{error}");
}

#[tokio::test]
async fn a_store_whose_caller_is_gone_goes_on_to_its_end() {
    let (_directory, path) = place();
    let store = FileStore::new(&path);
    {
        let record = record("lt_1");
        let storing = store.store(&record, None);
        tokio::pin!(storing);
        assert!(is_under_way(&mut storing).await);
    }
    while store.load().await.unwrap().is_none() {
        tokio::time::sleep(crate::support::millis(1)).await;
    }
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
}

/// Polls the future once. Returns whether it is pending.
async fn is_under_way<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut *future).poll(context);
        std::task::Poll::Ready(polled.is_pending())
    })
    .await
}
