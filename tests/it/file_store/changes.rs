//! Changes by another hand.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use everbearer::{FileStore, TokenStore};
use tokio::time::timeout;

use super::{is_under_way, loaded, place, record, write};
use crate::support::{Log, millis, secs};

/// Whether a change is told, long before anybody would look without a sign.
async fn is_told(store: &FileStore) -> bool {
    timeout(secs(5), store.changed()).await.is_ok()
}

async fn is_silent(store: &FileStore) -> bool {
    timeout(millis(300), store.changed()).await.is_err()
}

/// Does this while somebody waits for a change, and says whether they are told of it, once.
async fn tells_of(store: &FileStore, change: impl FnOnce()) -> bool {
    assert!(is_silent(store).await, "told before anything happened");
    let (told, ()) = tokio::join!(is_told(store), async {
        tokio::time::sleep(millis(50)).await;
        change();
    });
    told && is_silent(store).await
}

#[tokio::test]
async fn l9_a_change_by_another_hand_is_told() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    assert!(store.load().await.unwrap().is_none());
    assert!(tells_of(&store, || write(&path, "lt_1")).await, "creation");
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    assert!(tells_of(&store, || write(&path, "lt_2")).await, "in place");

    let beside = directory.path().join("beside");
    write(&beside, "lt_3");
    let rename = || fs::rename(&beside, &path).unwrap();
    assert!(tells_of(&store, rename).await, "rename");
    assert_eq!(loaded(&store).await.unwrap(), "lt_3");

    let replace = || {
        fs::remove_file(&path).unwrap();
        write(&path, "lt_4");
    };
    assert!(tells_of(&store, replace).await, "deletion and creation");
    let remove = || fs::remove_file(&path).unwrap();
    assert!(tells_of(&store, remove).await, "deletion");
    assert!(store.load().await.unwrap().is_none());
}

#[tokio::test]
async fn l9_the_swap_of_a_kubernetes_secret_is_told() {
    let (directory, path) = place();
    let root = directory.path();
    let publish = |version: &str, token: &str| {
        fs::create_dir(root.join(version)).unwrap();
        write(&root.join(version).join("token"), token);
        symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    publish("..2026_1", "lt_1");
    symlink("..data/token", &path).unwrap();
    let store = FileStore::new(&path);
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    let swap = || {
        publish("..2026_2", "lt_2");
        fs::remove_dir_all(root.join("..2026_1")).unwrap();
    };
    assert!(tells_of(&store, swap).await);
    assert_eq!(loaded(&store).await.unwrap(), "lt_2");
}

#[tokio::test]
async fn a_write_of_its_own_is_not_told_but_another_stores_is() {
    let (_directory, path) = place();
    let (one, two) = (FileStore::new(&path), FileStore::new(&path));
    let mut version = None;
    let own = async {
        for round in 0..20 {
            let token = record(&format!("lt_{round}"));
            version = Some(one.store(&token, version.as_ref()).await.unwrap());
            tokio::time::sleep(millis(20)).await;
        }
    };
    let (silent, ()) = tokio::join!(timeout(secs(1), one.changed()), own);
    assert!(silent.is_err());
    assert!(is_silent(&two).await);
    one.store(&record("lt_x"), version.as_ref()).await.unwrap();
    assert!(is_told(&two).await);
}

#[tokio::test]
async fn the_same_content_written_again_is_no_change() {
    let (_directory, path) = place();
    write(&path, "lt_1");
    let store = FileStore::new(&path);
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    assert!(is_silent(&store).await);
    write(&path, "lt_1");
    assert!(is_silent(&store).await);
}

#[tokio::test]
async fn l9_a_broken_file_is_told_and_so_is_its_mending() {
    let (_directory, path) = place();
    write(&path, "lt_1");
    let store = FileStore::new(&path);
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    assert!(tells_of(&store, || write(&path, "")).await);
    store.load().await.unwrap_err();
    assert!(tells_of(&store, || write(&path, "lt_2")).await);
    assert_eq!(loaded(&store).await.unwrap(), "lt_2");
}

#[tokio::test]
async fn a_change_that_comes_while_nobody_waits_is_told_to_the_next_who_does() {
    let (_directory, path) = place();
    write(&path, "lt_1");
    let store = FileStore::new(&path);
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    write(&path, "lt_2");
    assert!(is_told(&store).await);
    assert!(is_silent(&store).await);
    // What was loaded meanwhile is no news.
    write(&path, "lt_4");
    assert_eq!(loaded(&store).await.unwrap(), "lt_4");
    assert!(is_silent(&store).await);
}

#[tokio::test]
async fn a_change_is_told_once_however_often_its_waiter_gives_up() {
    let (_directory, path) = place();
    write(&path, "lt_1");
    let store = FileStore::new(&path);
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    assert!(is_silent(&store).await);
    write(&path, "lt_2");
    let mut told = 0;
    for polls in [1, 2, 1, 2, 2] {
        let mut waiting = store.changed();
        for _ in 0..polls {
            if !is_under_way(&mut waiting).await {
                told += 1;
                break;
            }
            // Whatever was begun for it ends, and it is not told.
            std::thread::sleep(millis(5));
        }
    }
    told += usize::from(timeout(secs(1), store.changed()).await.is_ok());
    assert_eq!(told, 1);
    assert!(is_silent(&store).await);
}

#[tokio::test(start_paused = true)]
async fn l9_without_a_watch_the_file_is_looked_at() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());

    // What is not there cannot be watched.
    let (directory, _) = place();
    let path = directory.path().join("later/token");
    let store = FileStore::new(&path);
    assert!(timeout(secs(60), store.changed()).await.is_err());
    fs::create_dir(path.parent().unwrap()).unwrap();
    write(&path, "lt_1");
    assert!(timeout(secs(60), store.changed()).await.is_ok());
    assert!(timeout(secs(60), store.changed()).await.is_err());

    let log = log.text();
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert!(log.contains(path.to_str().unwrap()) && !log.contains("lt_1"));
}

#[tokio::test(start_paused = true)]
async fn a_change_outside_of_the_directory_is_found_by_looking() {
    let (directory, path) = place();
    let elsewhere = directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    write(&elsewhere.join("real"), "lt_1");
    symlink(Path::new("elsewhere/real"), &path).unwrap();
    let store = FileStore::new(&path);
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    assert!(timeout(secs(60), store.changed()).await.is_err());
    write(&elsewhere.join("real"), "lt_2");
    assert!(timeout(secs(60), store.changed()).await.is_ok());
}
