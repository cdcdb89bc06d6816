//! Which files of `src` import which others.
//!
//! A file that only re-exports (`pub use`) is followed to where the item is defined.

use std::collections::{BTreeMap, BTreeSet};

use super::code;

/// The segments of a path, such as `crate`, `token` and `Issued`.
type Segments = Vec<String>;

/// The files, by the path of their module, and what each imports.
pub(super) struct Sources {
    files: BTreeMap<Segments, String>,
    imports: BTreeMap<String, Vec<Import>>,
    /// What a module re-exports: where each name comes from.
    exports: BTreeMap<(Segments, String), Segments>,
}

struct Import {
    /// From the root of the crate.
    path: Segments,
    is_public: bool,
}

/// `provider/keeper/mod.rs` is the module `provider::keeper`.
fn module_of(file: &str) -> Segments {
    if file == "lib.rs" {
        return Vec::new();
    }
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// The paths of a tree such as `a::{b, c::{d, e}}`.
fn leaves(tree: &str, before: &[String], found: &mut Vec<Segments>) {
    let (path, rest) = tree
        .split_once('{')
        .map_or((tree, None), |(path, rest)| (path, Some(rest)));
    let segments = path
        .split("::")
        .map(|segment| segment.split(" as ").next().unwrap_or_default().trim());
    let segments = segments
        .filter(|segment| !segment.is_empty())
        .map(str::to_owned);
    let path: Segments = before.iter().cloned().chain(segments).collect();
    let Some(rest) = rest else {
        found.push(path);
        return;
    };
    let (mut depth, mut part) = (0, String::new());
    for char in rest.chars() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 || (depth == 0 && char == ',') {
            if !part.trim().is_empty() {
                leaves(&part, &path, found);
            }
            part.clear();
            if depth < 0 {
                break;
            }
        } else {
            part.push(char);
        }
    }
}

impl Sources {
    /// Reads these files, by their paths below `src`. `testkit` and the tests of `machine` are left out.
    pub(super) fn of(texts: &BTreeMap<String, String>) -> Self {
        let is_for_tests = |file: &str| {
            let folders = ["testkit/", "machine/tests/", "machine/properties/"];
            folders.iter().any(|folder| file.starts_with(folder)) || file.ends_with("tests.rs")
        };
        let texts = texts.iter().filter(|(file, _)| !is_for_tests(file));
        // A visibility is no import.
        let texts: BTreeMap<_, _> = texts
            .map(|(file, text)| (file.clone(), code(text).replace("(in crate::", "(")))
            .collect();
        let files = texts.keys().filter(|file| *file != "lib.rs");
        let files = files.map(|file| (module_of(file), file.clone())).collect();
        let mut sources = Self {
            files,
            imports: BTreeMap::new(),
            exports: BTreeMap::new(),
        };
        for (file, text) in &texts {
            let imports = sources.imports_of(file, text);
            for import in imports.iter().filter(|import| import.is_public) {
                let name = import.path.last().cloned().unwrap_or_default();
                let export = (module_of(file), name);
                sources.exports.insert(export, import.path.clone());
            }
            // What the crate's root re-exports is no import of its own.
            if file != "lib.rs" {
                sources.imports.insert(file.clone(), imports);
            }
        }
        sources
    }

    fn imports_of(&self, file: &str, code: &str) -> Vec<Import> {
        let mut imports = Vec::new();
        let mut add = |path: &[String], is_public| {
            if let Some(path) = self.absolute(file, path) {
                imports.push(Import { path, is_public });
            }
        };
        let mut body = String::new();
        let mut re_exported = Vec::new();
        for statement in code.split_inclusive(';') {
            let start = statement.rfind("use ").filter(|start| {
                let before = &statement[..*start];
                let line = before.rsplit('\n').next().unwrap_or_default().trim();
                line.is_empty() || line.starts_with("pub")
            });
            let Some(start) = start else {
                body.push_str(statement);
                continue;
            };
            let line = statement[..start].rsplit('\n').next().unwrap_or_default();
            let is_public = line.trim().starts_with("pub");
            body.push_str(&statement[..start]);
            let mut found = Vec::new();
            leaves(
                statement[start + 4..].trim_end_matches(';'),
                &[],
                &mut found,
            );
            for path in found {
                add(&path, is_public);
                if is_public {
                    re_exported.push(path);
                }
            }
        }
        // What a file re-exports and uses itself, it imports.
        let words: BTreeSet<&str> = body.split(|char: char| !is_word(char)).collect();
        for path in re_exported {
            if path
                .last()
                .is_some_and(|name| words.contains(name.as_str()))
            {
                add(&path, false);
            }
        }
        let is_path = |char: char| char.is_alphanumeric() || matches!(char, '_' | ':');
        for path in body
            .split(|char| !is_path(char))
            .filter(|it| it.contains("::"))
        {
            let path: Segments = path.split("::").map(str::to_owned).collect();
            add(&path, false);
        }
        imports
    }

    /// The path from the root of the crate, unless it leads out of the crate.
    fn absolute(&self, file: &str, path: &[String]) -> Option<Segments> {
        let mut base = module_of(file);
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => return Some(rest[1..].to_vec()),
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            child => {
                base.push(child.to_owned());
                let is_child = self.files.contains_key(&base);
                base.pop();
                if !is_child {
                    return None;
                }
            }
        }
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }

    /// The file that defines what the path names.
    fn file_of(&self, path: &[String], follow: usize) -> Option<&String> {
        let module = (1..=path.len())
            .rev()
            .find(|end| self.files.contains_key(&path[..*end]))
            .unwrap_or_default();
        if let Some(name) = path.get(module).filter(|_| follow > 0)
            && let Some(target) = self.exports.get(&(path[..module].to_vec(), name.clone()))
            && target != path
        {
            return self.file_of(target, follow - 1);
        }
        self.files.get(&path[..module])
    }

    pub(super) fn arrows(&self) -> BTreeMap<&String, BTreeSet<&String>> {
        let arrows = self.imports.iter().map(|(file, imports)| {
            let used = imports.iter().filter(|import| !import.is_public);
            let used = used.filter_map(|import| self.file_of(&import.path, 10));
            (file, used.filter(|used| *used != file).collect())
        });
        arrows.collect()
    }

    /// The files that can be reached from each other, in groups of two or more.
    pub(super) fn circles(&self) -> BTreeSet<Vec<String>> {
        let arrows = self.arrows();
        let reached_from = |start: &String| {
            let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
            while let Some(file) = next.pop() {
                for used in arrows.get(file).into_iter().flatten() {
                    if reached.insert(*used) {
                        next.push(used);
                    }
                }
            }
            reached
        };
        let reached: BTreeMap<_, _> = arrows
            .keys()
            .map(|file| (*file, reached_from(file)))
            .collect();
        let circle_of = |file: &String| -> Vec<String> {
            let mutual = reached[file]
                .iter()
                .filter(|it| reached[**it].contains(file));
            mutual.map(|it| (*it).clone()).collect()
        };
        let circles = arrows.keys().map(|file| circle_of(file));
        circles.filter(|circle| circle.len() > 1).collect()
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}
