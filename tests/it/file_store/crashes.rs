//! Processes that die. Each is this very program, started again to run one test: `child`.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use everbearer::{ErrorKind, FileStore, LongTermToken, Record, TokenStore};

use super::{loaded, names, place, record, write};
use crate::support::{millis, secs};

const ROLE: &str = "EVERBEARER_TEST_ROLE";
const PATH: &str = "EVERBEARER_TEST_PATH";
const NAME: &str = "file_store::crashes::child";

/// A process in this role.
fn command(program: &Path, role: &str, path: &Path) -> Command {
    let mut command = Command::new(program);
    command.env(ROLE, role).env(PATH, path);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Starts one, and waits until it is at work.
fn start(role: &str, path: &Path) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = command(&program, role, path);
    let mut child = command
        .args([NAME, "--exact", "--nocapture"])
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("at work")), "{role}");
    child
}

/// A record so large that writing it takes a while.
fn large(token: &str) -> Record {
    let scopes = (0..500).map(|number| format!("jobs:{number}:of-{token}"));
    let token = LongTermToken::builder(token).scopes(scopes);
    Record::from(token.build().unwrap())
}

#[tokio::test]
async fn child() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(PATH)) else {
        return;
    };
    let store = FileStore::new(path);
    match role.as_str() {
        "writer" => {
            let stored = store.load().await.unwrap();
            let mut version = stored.map(|stored| stored.version);
            println!("at work");
            for round in 0..10_000 {
                let next = large(if round % 2 == 0 { "lt_even" } else { "lt_odd" });
                version = Some(store.store(&next, version.as_ref()).await.unwrap());
            }
        }
        "holder" => {
            let _lease = store.lease(secs(60)).await.unwrap().unwrap();
            println!("at work");
            tokio::time::sleep(secs(60)).await;
        }
        "limited" => {
            let version = store.load().await.unwrap().unwrap().version;
            let error = store.store(&large("lt_2"), Some(&version)).await;
            println!("told: {}", error.unwrap_err());
        }
        "watcher" => {
            let before = threads();
            for _ in 0..20 {
                let store = FileStore::new(std::env::var_os(PATH).unwrap());
                let changed = tokio::time::timeout(millis(20), store.changed()).await;
                assert!(changed.is_err());
            }
            // The threads of the watches end after what they belong to.
            tokio::time::sleep(millis(500)).await;
            println!("left: {}", threads() - before);
        }
        other => panic!("no such role: {other}"),
    }
}

/// How many threads wait for signs from the system.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")));
    names
        .filter(|name| name.as_ref().is_ok_and(|name| name.contains("notify")))
        .count()
}

#[tokio::test]
async fn l3_a_process_that_is_killed_while_it_writes_leaves_a_whole_record() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    store.store(&large("lt_odd"), None).await.unwrap();
    let whole = ["lt_even", "lt_odd"].map(|token| large(token).encode().expose().to_owned());
    let (mut changed, mut cut_short) = (0, 0);
    let mut before = fs::read_to_string(&path).unwrap();
    let mut round = 0;
    // On a busy machine the first ones are killed before they write.
    while round < 50 || changed == 0 {
        round += 1;
        assert!(round < 1_000, "the writers write nothing");
        let mut child = start("writer", &path);
        // A write takes some milliseconds: at another point of it in each round.
        std::thread::sleep(std::time::Duration::from_micros(1000 + 1217 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let stored = store.load().await.unwrap().unwrap();
        let text = stored.record.encode();
        assert!(whole.iter().any(|whole| whole == text.expose()), "{round}");
        changed += usize::from(before != text.expose());
        text.expose().clone_into(&mut before);
        cut_short += usize::from(names(directory.path()).len() > 2);
    }
    println!("{changed} of {round} changed it, {cut_short} left a temporary file");

    let version = store.load().await.unwrap().unwrap().version;
    store.store(&record("lt_1"), Some(&version)).await.unwrap();
    assert_eq!(names(directory.path()), ["token", "token.lock"]);
}

#[tokio::test]
async fn l3_what_a_killed_writer_left_behind_goes_with_the_next_write() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    let version = store.store(&record("lt_1"), None).await.unwrap();
    let half = record("lt_2").encode();
    let left = directory.path().join(".token.00c0ffee00c0ffee.tmp");
    write(&left, &half.expose()[..20]);
    write(&directory.path().join(".token.tmp"), "somebody else's");
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
    assert!(left.exists());
    store.store(&record("lt_2"), Some(&version)).await.unwrap();
    let there = names(directory.path());
    assert_eq!(there, [".token.tmp", "token", "token.lock"]);
}

#[tokio::test]
async fn l8_the_lease_comes_back_when_its_holder_is_killed() {
    let (_directory, path) = place();
    let store = FileStore::new(&path);
    let mut child = start("holder", &path);
    assert!(store.lease(secs(60)).await.unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(store.lease(secs(60)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l8_the_lease_comes_back_while_other_processes_are_started() {
    let (_directory, path) = place();
    let store = FileStore::new(&path);
    let starting = tokio::task::spawn_blocking(|| {
        for _ in 0..100 {
            // With something to do before its program runs, it is forked.
            let mut command = Command::new("true");
            command.current_dir("/").status().unwrap();
        }
    });
    let mut had = 0;
    while !starting.is_finished() {
        let lease = store.lease(secs(60)).await.unwrap();
        assert!(lease.is_some(), "after {had}");
        had += 1;
    }
    starting.await.unwrap();
}

/// A process whose files may not grow: what a full disk does to a write, without one.
#[tokio::test]
async fn l10_a_write_that_fails_half_way_leaves_the_old_record_and_nothing_else() {
    let (directory, path) = place();
    let store = FileStore::new(&path);
    store.store(&record("lt_1"), None).await.unwrap();
    let script = r#"trap "" XFSZ; ulimit -f 8 && exec "$0" "$@""#;
    let program = std::env::current_exe().unwrap();
    let child = command(Path::new("sh"), "limited", &path)
        .args(["-c", script])
        .arg(program)
        .args([NAME, "--exact", "--nocapture"])
        .output()
        .unwrap();
    let told = String::from_utf8(child.stdout).unwrap();
    let must = format!("told: {}: cannot be written", path.display());
    assert!(told.contains(&must), "{told}");
    assert_eq!(names(directory.path()), ["token", "token.lock"]);
    assert_eq!(loaded(&store).await.unwrap(), "lt_1");
}

#[cfg(target_os = "linux")]
#[test]
fn a_store_that_is_dropped_leaves_no_thread_behind() {
    let (_directory, path) = place();
    let program = std::env::current_exe().unwrap();
    let mut child = command(&program, "watcher", &path)
        .args([NAME, "--exact", "--nocapture"])
        .spawn()
        .unwrap();
    let mut told = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(told.contains("left: 0"), "{told}");
}

/// Another program removes the lock file while the holder of the lease is stopped, and another process takes the lease.
#[tokio::test]
async fn l16_a_holder_that_has_lost_the_lease_overwrites_nothing() {
    let (directory, path) = place();
    let (stopped, other) = (FileStore::new(&path), FileStore::new(&path));
    let version = stopped.store(&record("lt_1"), None).await.unwrap();
    let lease = stopped.lease(secs(60)).await.unwrap().unwrap();
    fs::remove_file(directory.path().join("token.lease")).unwrap();
    let later = other.lease(secs(60)).await.unwrap().unwrap();
    assert!(later.fence() > lease.fence());
    // The version is the one that the file has, and the lease is not.
    let late = stopped.store(&record("lt_late"), Some(&version)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    let version = other.store(&record("lt_2"), Some(&version)).await.unwrap();
    // Without a lease, only the version counts.
    drop(lease);
    stopped
        .store(&record("lt_3"), Some(&version))
        .await
        .unwrap();
}
