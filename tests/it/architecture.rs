//! The architecture, held against the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may use. Nothing points up.
const ARROWS: &[(&str, &[&str])] = &[
    ("unwind", &[]),
    ("text", &[]),
    ("error", &["text", "unwind"]),
    ("policy", &[]),
    ("clock", &[]),
    ("origin", &["error"]),
    ("observe", &["error", "text", "unwind"]),
    ("secret", &["error", "observe", "text"]),
    ("token", &["error", "policy", "secret", "text"]),
    ("machine", &["clock", "policy"]),
    ("store", &["error", "observe", "secret", "text", "token"]),
    (
        "issuer",
        &["clock", "error", "observe", "origin", "secret", "token"],
    ),
    (
        "wire",
        &["clock", "error", "origin", "secret", "text", "unwind"],
    ),
    (
        "auth_api",
        &[
            "error", "issuer", "observe", "origin", "secret", "text", "token", "wire",
        ],
    ),
    (
        "calls",
        &[
            "clock", "error", "issuer", "policy", "store", "token", "unwind",
        ],
    ),
    (
        "engine",
        &[
            "calls", "clock", "error", "issuer", "machine", "observe", "origin", "policy", "store",
            "token",
        ],
    ),
    (
        "provider",
        &[
            "calls", "clock", "engine", "error", "issuer", "machine", "observe", "origin",
            "policy", "store", "token",
        ],
    ),
    (
        "middleware",
        &["clock", "error", "observe", "origin", "provider"],
    ),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn visit(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, &mut found);
    found
        .into_iter()
        .map(|(path, text)| (path.strip_prefix(&root).unwrap().to_owned(), text))
        .collect()
}

/// The lines that are code: without comments, and without what stands under `#[cfg(test)]` at the
/// end of a file.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| *line != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
}

fn files_with(needles: &[&str]) -> Vec<String> {
    let mut found: Vec<String> = sources()
        .into_iter()
        .filter(|(path, _)| !path.starts_with("testkit"))
        .filter(|(_, text)| code(text).any(|line| needles.iter().any(|it| line.contains(it))))
        .map(|(path, _)| path.display().to_string())
        .collect();
    found.sort();
    found
}

#[test]
fn every_arrow_points_down() {
    let mut seen = 0;
    for (path, text) in sources() {
        let top = path.components().next().unwrap().as_os_str();
        let room = Path::new(top).file_stem().unwrap().to_str().unwrap();
        if matches!(room, "lib" | "guide" | "testkit") {
            continue;
        }
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("the room {room} is not in the list of arrows"));
        for line in code(&text) {
            for used in line.split("crate::").skip(1) {
                let used: String = used
                    .chars()
                    .take_while(|char| char.is_ascii_lowercase() || *char == '_')
                    .collect();
                seen += 1;
                assert!(
                    used == room || allowed.contains(&used.as_str()),
                    "{} uses {used}, which {room} must not: {line}",
                    path.display()
                );
            }
        }
    }
    assert!(seen > 50, "the sources were not read: {seen}");
}

#[test]
fn only_the_driver_and_its_tasks_spawn() {
    assert_eq!(
        files_with(&["spawn(", "spawn_local("]),
        ["engine/start.rs", "engine/tasks.rs"]
    );
    // Work that blocks and ends by itself; whoever asked waits for it.
    assert_eq!(files_with(&["spawn_blocking("]), ["store/file/mod.rs"]);
}

#[test]
fn only_the_current_token_touches_arc_swap() {
    assert_eq!(files_with(&["ArcSwap", "arc_swap"]), ["engine/current.rs"]);
}

/// The core compiles without reqwest, so only what its features bring names it.
#[test]
fn only_the_adapters_and_the_wire_name_reqwest() {
    let files = files_with(&["reqwest::", "reqwest_middleware::"]);
    let adapters = [
        "middleware/bearer_middleware.rs",
        "middleware/buffered_response.rs",
        "middleware/request_builder.rs",
        "middleware/send.rs",
    ];
    for file in files {
        let is_wire = file.starts_with("auth_api/") || file.starts_with("wire/");
        assert!(is_wire || adapters.contains(&file.as_str()), "{file}");
    }
}

/// An issuer and a store are called in `calls/` only, whose errors are searched for secrets.
#[test]
fn only_calls_await_the_issuer_and_the_store() {
    let calls = [
        "issuer.exchange(",
        "issuer.revoke(",
        "issuer.obtain(",
        "store.load(",
        "store.store(",
    ];
    assert_eq!(
        files_with(&calls),
        [
            "calls/exchange.rs",
            "calls/long_term.rs",
            "calls/revoke.rs",
            "calls/store.rs"
        ]
    );
}

#[test]
fn only_the_clock_reads_clocks() {
    let reads = [
        "Instant::now",
        "SystemTime::now",
        "clock_gettime",
        ".elapsed(",
    ];
    assert_eq!(files_with(&reads), ["clock.rs"]);
}

/// User code may panic, so only the places that catch panics call it.
#[test]
fn only_guarded_places_call_subscribers_recorders_and_clocks() {
    let events = ["debug!(", "error!(", "info!(", "trace!(", "warn!("];
    assert_eq!(files_with(&events), ["observe/log.rs"]);
    assert_eq!(files_with(&["_span!("]), ["observe/mod.rs"]);
    assert_eq!(
        files_with(&[".enter()", ".instrument("]),
        ["calls/guard.rs"]
    );
    let metrics = ["counter!(", "gauge!(", "histogram!("];
    assert_eq!(files_with(&metrics), ["observe/metrics.rs"]);
    assert_eq!(files_with(&["clock.now", "clock.wall"]), ["calls/time.rs"]);
    assert_eq!(files_with(&["catch_unwind("]), ["unwind.rs"]);
}

/// What the provider shows of a token is `shown_id`: an ID is what a server sent, and may contain the token.
#[test]
fn s8_the_provider_shows_no_id_as_it_is() {
    let files = files_with(&[".token_id()"]);
    let shows = |file: &&String| {
        ["engine", "provider", "observe"]
            .iter()
            .any(|room| file.starts_with(room))
    };
    let shows: Vec<_> = files.iter().filter(shows).collect();
    assert_eq!(shows, ["engine/live.rs"]);
}

#[test]
fn the_machine_is_pure() {
    for (path, text) in sources() {
        if !path.starts_with("machine") {
            continue;
        }
        for line in code(&text) {
            for foreign in [
                "async ", ".await", "tokio", "std::fs", "std::net", "println!", "secret", "expose",
            ] {
                assert!(!line.contains(foreign), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn the_readme_shows_the_minimal_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let example = fs::read_to_string(root.join("examples/minimal.rs")).unwrap();
    let shown = readme.split("```rust\n").nth(1).unwrap();
    let shown = shown.split("```").next().unwrap();
    assert!(example.ends_with(shown), "{shown}");
    let body = shown.split("async fn main()").nth(1).unwrap();
    assert!(body.lines().count() < 25, "the least code has grown");
}
