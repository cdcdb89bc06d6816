//! The architecture, held against the sources.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use imports::Sources;

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
    (
        "store",
        &["clock", "error", "observe", "secret", "text", "token"],
    ),
    (
        "machine",
        &["clock", "error", "observe", "policy", "store", "token"],
    ),
    ("assertion", &["clock", "error", "observe", "secret"]),
    (
        "issuer",
        &["assertion", "error", "origin", "secret", "token"],
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
        "oauth2",
        &[
            "assertion",
            "clock",
            "error",
            "issuer",
            "observe",
            "origin",
            "secret",
            "text",
            "token",
            "wire",
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
            "calls", "clock", "error", "issuer", "machine", "observe", "origin", "policy",
            "secret", "store", "token",
        ],
    ),
    (
        "provider",
        &[
            "calls", "clock", "engine", "error", "issuer", "machine", "oauth2", "observe",
            "origin", "policy", "store", "token",
        ],
    ),
    ("providers", &["engine", "error", "observe", "provider"]),
    (
        "middleware",
        &["clock", "error", "observe", "origin", "provider"],
    ),
];

/// The files that import each other, in groups. The list may only shrink.
const CIRCLES: &[&[&str]] = &[];

/// The files of `src`, by their paths below it.
fn sources() -> BTreeMap<String, String> {
    fn visit(dir: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, root, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), text);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    visit(&root, &root, &mut found);
    found
}

/// The code without comments, without the contents of texts, and without the tests at its end.
fn code(text: &str) -> String {
    let mut lines = text.lines();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            // A module of tests ends the code; a `mod tests;` or a `use` does not.
            match lines.next() {
                Some(next) if next.ends_with('{') => break,
                _ => continue,
            }
        }
        kept += line;
        kept.push('\n');
    }
    without_comments_and_texts(&kept)
}

fn without_comments_and_texts(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(char) = rest.chars().next() {
        let raw = rest.trim_start_matches('r').trim_start_matches('#');
        let hashes = rest.len() - raw.len();
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r\"") || rest.starts_with("r#") && raw.starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes - 1));
            kept.push_str("\"\"");
            hashes + 1 + raw[1..].find(&close).unwrap() + close.len()
        } else if char == '"' {
            kept.push_str("\"\"");
            1 + end_of_text(&rest[1..])
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\") {
            kept.push_str("' '");
            2 + rest[2..].find('\'').unwrap() + 1
        } else {
            kept.push(char);
            char.len_utf8()
        };
        rest = &rest[end..];
    }
    kept
}

/// Returns where a text ends, behind its closing quote.
fn end_of_text(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, char) in text.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn files_with(needles: &[&str]) -> Vec<String> {
    let found = sources().into_iter().filter(|(path, text)| {
        let code = code(text);
        !path.starts_with("testkit/") && needles.iter().any(|needle| code.contains(needle))
    });
    found.map(|(path, _)| path).collect()
}

/// The room of a file: its folder below `src`, or its own name.
fn room(file: &str) -> &str {
    let top = file.split('/').next().unwrap();
    top.trim_end_matches(".rs")
}

#[test]
fn every_import_points_to_an_allowed_room() {
    for (at, (name, allowed)) in ARROWS.iter().enumerate() {
        let earlier = |room: &&str| ARROWS[..at].iter().any(|(name, _)| name == room);
        assert!(
            allowed.iter().all(earlier),
            "{name} uses a room that comes later"
        );
    }
    let sources = sources();
    let imports = Sources::of(&sources);
    let arrows = imports.arrows();
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    assert!(count > 200, "the sources were not read: {count}");
    for (file, used) in arrows {
        if room(file) == "guide" {
            continue;
        }
        let rule = ARROWS.iter().find(|(name, _)| *name == room(file));
        let (_, allowed) = rule.unwrap_or_else(|| panic!("{file} is in no room of the list"));
        for used in used {
            let is_allowed = room(used) == room(file) || allowed.contains(&room(used));
            assert!(is_allowed, "{file} must not use {used}");
        }
    }
}

#[test]
fn no_files_import_each_other_beyond_those_that_are_listed() {
    let listed = CIRCLES
        .iter()
        .map(|circle| circle.iter().map(|&file| file.to_owned()).collect());
    let listed: BTreeSet<Vec<String>> = listed.collect();
    let found = Sources::of(&sources()).circles();
    let new: Vec<_> = found.difference(&listed).collect();
    assert!(new.is_empty(), "these files import each other: {new:#?}");
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        gone.is_empty(),
        "take these off the list, for they are gone: {gone:#?}"
    );
}

/// The test above can fail: by way of `use`, of a path in the code, of `super`, and of a re-export.
#[test]
fn a_circle_is_found_however_it_is_written() {
    for (first, second) in [
        ("use crate::b::B;", "use crate::a::A;"),
        ("use super::b::B;", "fn f() { crate::a::g(); }"),
        ("pub use super::b::B;\nfn f(_: B) {}", "use crate::a::A;"),
        (
            "#[cfg(test)]\nmod tests;\nuse crate::b::B;",
            "const URL: &str = \"https://x\";\nfn f() { crate::a::g(); }",
        ),
    ] {
        let texts = [("a.rs", first), ("b.rs", second)];
        let texts = texts.map(|(file, text)| (file.to_owned(), text.to_owned()));
        let circles = Sources::of(&BTreeMap::from(texts)).circles();
        assert_eq!(circles.len(), 1, "{first} / {second}: {circles:?}");
    }
    let by_root = [
        ("lib.rs", "mod a;\nmod b;\npub use b::B;"),
        ("a.rs", "use crate::B;"),
        ("b.rs", "use crate::a::A;"),
    ];
    let by_root = by_root.map(|(file, text)| (file.to_owned(), text.to_owned()));
    assert_eq!(Sources::of(&BTreeMap::from(by_root)).circles().len(), 1);
    let harmless = [
        ("a.rs", "pub use crate::b::B;"),
        ("b.rs", "// crate::a\nuse crate::a::A;"),
    ];
    let harmless = harmless.map(|(file, text)| (file.to_owned(), text.to_owned()));
    assert!(Sources::of(&BTreeMap::from(harmless)).circles().is_empty());
}

/// `AuthServer` shares no code with the client, so that a mistake in one is not repeated in the other.
#[test]
fn the_auth_server_of_the_testkit_uses_nothing_of_the_client() {
    for (path, text) in sources() {
        if path.starts_with("testkit/auth_server/") {
            for used in code(&text).split("crate::").skip(1) {
                let is_own = used.starts_with("testkit") || used.starts_with("clock");
                let used: String = used.chars().take(40).collect();
                assert!(is_own, "{path} uses {used}");
            }
        }
    }
}

#[test]
fn only_the_driver_and_its_tasks_spawn() {
    assert_eq!(
        files_with(&["spawn(", "spawn_local("]),
        [
            "engine/start.rs",
            "engine/tasks.rs",
            "provider/blocking/mod.rs",
            "providers/eviction.rs"
        ]
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
        "error/of_reqwest.rs",
        "middleware/bearer_middleware.rs",
        "middleware/buffered_response.rs",
        "middleware/request_builder.rs",
        "middleware/send.rs",
    ];
    for file in files {
        let is_wire = ["auth_api/", "oauth2/", "wire/"]
            .iter()
            .any(|room| file.starts_with(room));
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
        "store.lease(",
        "store.changed(",
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
    let foreign = [
        "async ", ".await", "tokio", "std::fs", "std::net", "println!", "secret", "expose",
    ];
    let files = files_with(&foreign);
    let machine: Vec<_> = files
        .iter()
        .filter(|file| file.starts_with("machine/"))
        .collect();
    assert!(machine.is_empty(), "{machine:?}");
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
