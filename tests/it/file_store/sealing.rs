//! The file, sealed.

use std::fs;

use everbearer::{Error, ErrorKind, FileStore, SealingKey, TokenStore};

use super::{loaded, place, record, write};

fn key(byte: u8) -> SealingKey {
    SealingKey::new(&[byte; 32])
}

fn check(error: &Error, must: &str) {
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains(must), "{error}");
    assert!(!format!("{error:?}").contains("lt_secret"));
}

#[tokio::test]
async fn s6_a_sealed_file_shows_nothing_and_only_its_key_opens_it() {
    let (_directory, path) = place();
    let store = FileStore::new(&path).sealed_with(key(1));
    let version = store.store(&record("lt_secret"), None).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("everbearer-sealed-1:") && text.trim().lines().count() == 1);
    assert!(!text.contains("lt_secret"));

    let again = FileStore::new(&path).sealed_with(key(1));
    let stored = again.load().await.unwrap().unwrap();
    assert_eq!(stored.version, version);
    assert_eq!(stored.record.current().expose(), "lt_secret");

    let other = FileStore::new(&path).sealed_with(key(2));
    let error = other.load().await.unwrap_err();
    check(
        &error,
        "cannot be decrypted with this sealing key; set the key it was written with",
    );
    let error = FileStore::new(&path).load().await.unwrap_err();
    check(
        &error,
        "is sealed; set the key it was written with (FileStore::sealed_with, feature sealed)",
    );
    for (text, must) in [
        (text.replace(':', ":AAAA"), "cannot be decrypted"),
        (text[..text.len() - 5].to_owned(), "the stored content"),
        ("everbearer-sealed-1:".to_owned(), "cannot be decrypted"),
        ("everbearer-sealed-2:AAAA".to_owned(), "in a format"),
    ] {
        write(&path, &text);
        check(&store.load().await.unwrap_err(), must);
    }
}

#[tokio::test]
async fn an_unsealed_file_is_read_and_sealed_with_the_next_write() {
    let (_directory, path) = place();
    write(&path, "lt_secret\n");
    let store = FileStore::new(&path).sealed_with(key(1));
    let stored = store.load().await.unwrap().unwrap();
    let (record, version) = (stored.record, stored.version);
    store.store(&record, Some(&version)).await.unwrap();
    assert!(!fs::read_to_string(&path).unwrap().contains("lt_secret"));
    assert_eq!(loaded(&store).await.unwrap(), "lt_secret");
}

#[tokio::test]
async fn the_same_record_is_sealed_differently_each_time() {
    let (_directory, path) = place();
    let store = FileStore::new(&path).sealed_with(key(1));
    let one = store.store(&record("lt_1"), None).await.unwrap();
    let first = fs::read(&path).unwrap();
    let two = store.store(&record("lt_1"), Some(&one)).await.unwrap();
    assert_ne!(one, two);
    assert_ne!(first, fs::read(&path).unwrap());
}

#[test]
fn a_key_comes_from_a_file() {
    let (_directory, path) = place();
    let error = SealingKey::from_file(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(path.to_str().unwrap()));

    write(&path, &format!("{}\n", "0f".repeat(32)));
    assert!(SealingKey::from_file(&path).is_ok());

    write(&path, "too short");
    let error = SealingKey::from_file(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("openssl rand -base64 32"));
}

#[test]
fn s6_the_key_is_not_shown() {
    let (_directory, path) = place();
    let store = FileStore::new(path).sealed_with(key(b'k'));
    let shown = format!("{store:?}");
    assert!(shown.contains("SealingKey(..)") && !shown.contains("kkk") && !shown.contains("107"));
}
