//! Who imports whom, held against what ARCHITECTURE.md says under "Who may import whom".

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::indexing_slicing,
    reason = "test code may panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// From left to right; each may import what stands to its right. Features and leaves are many modules.
const LAYERS: [&str; 6] = ["host", "engine", "policy", "config", "features", "leaves"];

#[test]
fn modules_import_what_they_may() {
    let rule = Rule::read(include_str!("../ARCHITECTURE.md"));
    let imports = imports(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(imports.len() > 20, "the tree was not found");
    let mut faults: Vec<String> = imports.iter().filter_map(|(edge, file)| rule.fault(edge, file)).collect();
    let circles = circles(&imports.into_keys().collect());
    faults.extend(circles.iter().map(|modules| format!("a circle: {}", modules.join(" -> "))));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The tree lists the engine's files in an order in which they can be read.
#[test]
fn files_of_the_engine_use_those_below_them() {
    let page = include_str!("../ARCHITECTURE.md");
    let tree = page.split("\nsrc/engine/").nth(1).unwrap().split("\n\n").next().unwrap();
    let order: Vec<String> = tree
        .lines()
        .skip(1)
        // A folder stands for all that is in it, which is listed below it.
        .filter(|line| !line.starts_with("   "))
        .map(|line| format!("engine/{}", line.split_whitespace().next().unwrap()))
        .collect();
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let is_in =
        |file: &str, listed: &str| listed == file || (listed.ends_with('/') && file.starts_with(listed));
    let place = |file: &String| order.iter().position(|listed| is_in(file, listed));
    let missing: Vec<_> =
        sources.keys().filter(|file| file.starts_with("engine/") && place(file).is_none()).collect();
    assert!(missing.is_empty(), "not in the tree: {missing:?}");
    let imports = file_imports(&sources);
    let faults: Vec<_> =
        imports.iter().filter(|(from, to)| place(from).is_some_and(|own| place(to) < Some(own))).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn files_of_a_module_import_each_other_in_no_circle() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let faults: Vec<String> =
        circles(&file_imports(&sources)).iter().map(|files| files.join(" -> ")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_circle_of_files_is_found() {
    let with = |a: &str, b: &str| {
        let files =
            [("f/mod.rs", "mod a;\npub use b::{C, D};"), ("f/a.rs", a), ("f/b.rs", b), ("f/g/c.rs", "")];
        let files = files.map(|(file, text)| (file.to_owned(), text.to_owned())).into();
        circles(&file_imports(&files)).len()
    };
    for (a, b, expected) in [
        ("use super::b::C;", "use super::a::A;", 1),
        ("use super::b::C;", "", 0),
        // Through the parent, by the name that it has there.
        ("use super::{C, X};", "use crate::f::{X, a::{self, A}};", 1),
        ("use super::D;", "fn f() -> super::a::A {}", 1),
        // The parent and what it is made of may know each other.
        ("use super::X;", "use super::{Y, g::c::Z};", 0),
        (
            "use super::b::C;",
            "// super::a::A\n#[cfg(test)]\nmod tests {\n    use super::super::a::A;\n}\n",
            0,
        ),
    ] {
        assert_eq!(with(a, b), expected, "{a} {b}");
    }
}

#[test]
fn a_wrong_import_is_found() {
    let rule = Rule::read(include_str!("../ARCHITECTURE.md"));
    for (from, to, allowed) in [
        ("host", "engine", true),
        ("engine", "host", false),
        ("policy", "engine", false),
        ("config", "rbac", true),
        ("rbac", "config", false),
        ("jwt", "jose", true),
        ("jose", "jwt", false),
        ("dpop", "jwt", false),
        ("introspection", "jwt", true),
        ("host", "command", false),
        ("request", "answer", true),
        ("request", "certificate", false),
        ("jwt", "nowhere", false),
    ] {
        let fault = rule.fault(&(from.to_owned(), to.to_owned()), Path::new("x.rs"));
        assert_eq!(fault.is_none(), allowed, "{from} -> {to}: {fault:?}");
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = "use crate::{\n    answer::Reason,\n    json::{self, Json},\n};\nuse crate::time::Timestamp;\n\
                // crate::not_this\nfn f() -> crate::room::Client { todo!() }\n\
                #[cfg(test)]\nmod tests {\n    use crate::nor_this;\n}\n";
    let found: Vec<String> = imported(text).into_iter().collect();
    assert_eq!(found, ["answer", "json", "room", "time"]);
}

type Edge = (String, String);

/// What ARCHITECTURE.md says.
struct Rule {
    features: BTreeSet<String>,
    leaves: BTreeSet<String>,
    seams: BTreeSet<Edge>,
}

impl Rule {
    fn read(page: &str) -> Self {
        let section = page.split("## Who may import whom").nth(1).unwrap().split("\n## ").next().unwrap();
        let names = |after: &str| {
            let list = section.split(after).nth(1).and_then(|rest| rest.split(['.', ';']).next()).unwrap();
            list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let seams = section.lines().filter_map(|line| {
            let (from, rest) = line.strip_prefix("- `")?.split_once("` -> `")?;
            Some((from.to_owned(), rest.split_once('`')?.0.to_owned()))
        });
        Self { features: names("Features are"), leaves: names("Leaves are"), seams: seams.collect() }
    }

    fn layer(&self, module: &str) -> Option<usize> {
        let name = match module {
            "command" => "host",
            _ if self.features.contains(module) => "features",
            _ if self.leaves.contains(module) => "leaves",
            _ => module,
        };
        LAYERS.iter().position(|layer| *layer == name)
    }

    /// What is wrong with an import; `None`: it is allowed.
    fn fault(&self, edge: &Edge, file: &Path) -> Option<String> {
        let (from, to) = edge;
        let place = file.display();
        let (Some(left), Some(right)) = (self.layer(from), self.layer(to)) else {
            return Some(format!("{place}: {from} -> {to}: not both are in ARCHITECTURE.md"));
        };
        let both_leaves = left == right && self.leaves.contains(from);
        let allowed = left < right || both_leaves || self.seams.contains(edge);
        (!allowed).then(|| format!("{place}: {from} imports {to}"))
    }
}

/// Every import from one module of the crate to another outside tests, with one of the files that have it.
fn imports(src: &Path) -> BTreeMap<Edge, PathBuf> {
    let mut found = BTreeMap::new();
    for file in files(src) {
        let path = file.strip_prefix(src).unwrap();
        let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if is_of_tests(path) || ["lib", "main"].contains(&module) {
            continue;
        }
        for to in imported(&fs::read_to_string(&file).unwrap()) {
            if to != module {
                found.entry((module.to_owned(), to)).or_insert_with(|| file.clone());
            }
        }
    }
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

fn is_of_tests(path: &Path) -> bool {
    path.iter().filter_map(|part| part.to_str()).any(|part| {
        let name = part.trim_end_matches(".rs");
        name == "tests"
            || name.ends_with("_tests")
            || name.ends_with("_properties")
            || name.starts_with("test_")
    })
}

/// The modules of the crate that a file names, outside comments and its own tests.
fn imported(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let paths = code.split("crate::").skip(1).flat_map(paths);
    paths.filter_map(|path| path.into_iter().next()).collect()
}

/// What is no comment, down to the file's own tests.
fn code(text: &str) -> String {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let own_tests = code.find("\nmod tests {").unwrap_or(code.len());
    code[..own_tests].to_owned()
}

/// The paths that `text` begins with: one, or all of a group, each with its parts.
fn paths(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        let (mut depth, mut start, mut found) = (1_usize, 0, Vec::new());
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                found.extend(paths(&list[start..at]));
                start = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
        return found;
    }
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
    let (name, rest) = (text[..end].to_owned(), &text[end..]);
    if name.is_empty() {
        return Vec::new();
    }
    let Some(rest) = rest.strip_prefix("::") else { return vec![vec![name]] };
    let mut found = paths(rest);
    found.iter_mut().for_each(|path| path.insert(0, name.clone()));
    if found.is_empty() { vec![vec![name]] } else { found }
}

/// Every file outside tests, by its path within `src`.
fn sources(src: &Path) -> BTreeMap<String, String> {
    let files = files(src).into_iter().filter_map(|file| {
        let path = file.strip_prefix(src).unwrap();
        let name = path.to_str().unwrap().to_owned();
        (!is_of_tests(path)).then(|| (name, fs::read_to_string(&file).unwrap()))
    });
    files.collect()
}

/// The path of a file's module: `a/b.rs` and `a/b/mod.rs` are `["a", "b"]`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// Which files of one module of the crate name which others. Not those that parents and what is below them name of
/// each other; what a parent passes on counts as named where it comes from.
fn file_imports(sources: &BTreeMap<String, String>) -> BTreeSet<Edge> {
    let files: BTreeMap<Vec<String>, &String> = sources.keys().map(|file| (module(file), file)).collect();
    let resolve = |start: &[String], path: &[String]| {
        let (mut at, mut rest) = (start.to_vec(), path);
        while let Some((first, others)) = rest.split_first() {
            let below = [at.as_slice(), std::slice::from_ref(first)].concat();
            if !files.contains_key(&below) {
                break;
            }
            (at, rest) = (below, others);
        }
        (at, rest.first().cloned())
    };
    let mut passed_on = BTreeMap::new();
    for (own, file) in &files {
        for list in code(&sources[*file]).split("pub use ").skip(1) {
            for path in paths(list.strip_prefix("self::").unwrap_or(list)) {
                if let (from, Some(name)) = resolve(own, &path)
                    && from != *own
                {
                    passed_on.insert((own.clone(), name), from);
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    for (own, file) in &files {
        let code = code(&sources[*file]).replace("super::super::", "grandparent::");
        let above = |levels: usize| own[..own.len().saturating_sub(levels)].to_vec();
        for (prefix, start) in [("crate::", Vec::new()), ("grandparent::", above(2)), ("super::", above(1))] {
            for path in code.split(prefix).skip(1).flat_map(paths) {
                let (mut to, name) = resolve(&start, &path);
                if let Some(from) = name.and_then(|name| passed_on.get(&(to.clone(), name))) {
                    to.clone_from(from);
                }
                let related = own.starts_with(&to) || to.starts_with(own);
                if !related && to.first() == own.first() {
                    found.insert(((*file).clone(), files[&to].clone()));
                }
            }
        }
    }
    found
}

/// The files, or modules, of each circle: those that come back to themselves, by way of each other.
fn circles(imports: &BTreeSet<Edge>) -> Vec<Vec<String>> {
    let reached = |from: &String| {
        let (mut reached, mut left) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(file) = left.pop() {
            let next = imports.iter().filter(|(from, _)| *from == file).map(|(_, to)| to.clone());
            left.extend(next.filter(|to| reached.insert(to.clone())));
        }
        reached
    };
    let all: BTreeMap<&String, BTreeSet<String>> =
        imports.iter().map(|(from, _)| (from, reached(from))).collect();
    let comes_back =
        |a: &String, b: &String| all[a].contains(b) && all.get(b).is_some_and(|back| back.contains(a));
    let mut circles: Vec<Vec<String>> = Vec::new();
    for file in all.keys().filter(|file| comes_back(file, file)) {
        match circles.iter_mut().find(|circle| comes_back(&circle[0], file)) {
            Some(circle) => circle.push((*file).clone()),
            None => circles.push(vec![(*file).clone()]),
        }
    }
    circles
}
