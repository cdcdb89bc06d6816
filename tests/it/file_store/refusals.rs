//! What is not read, what cannot be written, and what the errors say.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use everbearer::{Error, ErrorKind, FileStore, Record, TokenStore};

use super::{loaded, place, record, write};
use crate::support::secs;

/// A failure of the store that names the file, in one line, and nothing of its content.
fn check(error: &Error, path: &Path) -> String {
    assert_eq!(error.kind(), ErrorKind::Store);
    let text = error.to_string();
    assert!(text.starts_with(path.to_str().unwrap()), "{text}");
    assert!(!text.contains('\n') && !format!("{error:?}").contains("lt_secret"));
    text
}

#[tokio::test]
async fn l3_a_record_that_others_may_read_is_refused() {
    let (_directory, path) = place();
    write(&path, record("lt_secret").encode().expose());
    let strict = FileStore::new(&path);
    let lenient = FileStore::new(&path).accept_group_readable(true);
    for (mode, strictly, leniently) in [
        (0o600, true, true),
        (0o400, true, true),
        (0o440, false, true),
        (0o640, false, true),
        (0o660, false, false),
        (0o644, false, false),
        (0o444, false, false),
        (0o606, false, false),
    ] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        for (store, good) in [(&strict, strictly), (&lenient, leniently)] {
            let loaded = store.load().await;
            assert_eq!(loaded.is_ok(), good, "{mode:o}");
            if let Err(error) = loaded {
                let text = check(&error, &path);
                assert!(text.contains("`chmod "), "{text}");
                assert!(text.contains(&format!(" {}`", path.display())), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn l9_an_empty_or_partial_file_is_refused_and_a_later_good_one_read() {
    let (_directory, path) = place();
    let store = FileStore::new(&path);
    let whole = record("lt_secret").encode();
    for text in [
        "",
        "\n",
        &whole.expose()[..40],
        "lt_secret and",
        "{}",
        "lt_\u{fc}",
    ] {
        write(&path, text);
        check(&store.load().await.unwrap_err(), &path);
        // Nor is it overwritten by whoever takes it for nothing.
        let error = store.store(&record("lt_2"), None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    fs::write(&path, b"\xff\xfe").unwrap();
    check(&store.load().await.unwrap_err(), &path);
    write(&path, whole.expose());
    assert_eq!(loaded(&store).await.unwrap(), "lt_secret");
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused() {
    let (_directory, path) = place();
    let store = FileStore::new(&path);
    write(&path, &"a".repeat(256 * 1024));
    assert!(store.load().await.is_ok());
    write(&path, &"a".repeat(256 * 1024 + 1));
    let error = store.load().await.unwrap_err();
    assert!(check(&error, &path).contains("256 KiB"));
    // Nor is one written.
    fs::remove_file(&path).unwrap();
    let large = Record::decode(&"a".repeat(256 * 1024)).unwrap();
    let error = store.store(&large, None).await.unwrap_err();
    assert!(check(&error, &path).contains("256 KiB"));
    assert!(store.load().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_no_file_is_refused_without_waiting_for_it() {
    let (directory, path) = place();
    fs::create_dir(&path).unwrap();
    let store = FileStore::new(&path);
    check(&store.load().await.unwrap_err(), &path);
    check(
        &store.store(&record("lt_1"), None).await.unwrap_err(),
        &path,
    );

    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        check(&FileStore::new(&pipe).load().await.unwrap_err(), &pipe);
    }
    let error = FileStore::new("/").load().await.unwrap_err();
    check(&error, Path::new("/"));
    let error = FileStore::new("/").lease(secs(60)).await.unwrap_err();
    check(&error, Path::new("/"));
}

#[tokio::test]
async fn l10_a_directory_that_cannot_be_written_to_is_named() {
    let (directory, path) = place();
    let below_nothing = directory.path().join("missing/token");
    let store = FileStore::new(&below_nothing);
    assert!(store.load().await.unwrap().is_none());
    let error = store.store(&record("lt_1"), None).await.unwrap_err();
    assert!(check(&error, &below_nothing).contains("create it"));
    check(&store.lease(secs(60)).await.unwrap_err(), &below_nothing);

    write(&path, "lt_1");
    let below_a_file = path.join("token");
    let store = FileStore::new(&below_a_file);
    for error in [
        store.load().await.unwrap_err(),
        store.store(&record("lt_1"), None).await.unwrap_err(),
        store.lease(secs(60)).await.unwrap_err(),
    ] {
        assert!(check(&error, &below_a_file).contains("not a directory"));
    }

    // Root may write there all the same.
    if fs::metadata(directory.path()).unwrap().uid() != 0 {
        let store = FileStore::new(&path);
        let version = store.load().await.unwrap().unwrap().version;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o500)).unwrap();
        let stored = store.store(&record("lt_2"), Some(&version)).await;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700)).unwrap();
        check(&stored.unwrap_err(), &path);
        assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    }
}

#[test]
fn outside_of_a_runtime_there_is_an_error_and_no_panic() {
    let (_directory, path) = place();
    let store = FileStore::new(&path);
    let mut loading = tokio_test::task::spawn(store.load());
    let std::task::Poll::Ready(loaded) = loading.poll() else {
        panic!("it waits");
    };
    assert_eq!(loaded.unwrap_err().kind(), ErrorKind::NoRuntime);
}

#[test]
fn s6_the_store_shows_where_it_is_and_no_more() {
    let (_directory, path) = place();
    let shown = format!("{:?}", FileStore::new(&path));
    assert!(shown.contains("token"), "{shown}");
}

#[tokio::test]
async fn l10_a_process_that_hangs_with_the_lock_is_not_waited_for_for_ever() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    store.store(&record("lt_secret"), None).await.unwrap();
    let mut names = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let lock = names
        .find(|name| name.extension().is_some_and(|it| it == "lock"))
        .unwrap();
    let mut holder = std::process::Command::new("flock")
        .arg(&lock)
        .args(["sleep", "60"])
        .spawn()
        .expect("flock is of util-linux");
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let version = store.load().await.unwrap().unwrap().version;
    let error = store
        .store(&record("lt_other"), Some(&version))
        .await
        .unwrap_err();
    let text = check(&error, &path);
    assert!(text.contains(lock.to_str().unwrap()), "{text}");
    holder.kill().unwrap();
    holder.wait().unwrap();
}
