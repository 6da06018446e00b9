//! Who imports whom, held against what ARCHITECTURE.md says under "Who may import whom".

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::string_slice,
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
    faults.extend(circle(&imports).map(|modules| format!("a circle: {}", modules.join(" -> "))));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The tree lists the engine's files in an order in which they can be read.
#[test]
fn files_of_the_engine_use_those_below_them() {
    let page = include_str!("../ARCHITECTURE.md");
    let tree = page.split("\nsrc/engine/").nth(1).unwrap().split("\n\n").next().unwrap();
    let order: Vec<&str> =
        tree.lines().skip(1).map(|line| line.trim().split(".rs").next().unwrap()).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    let root = fs::read_to_string(folder.join("mod.rs")).unwrap();
    // Where the names are from that all files have of `mod.rs`.
    let home = |name: &str| {
        let exports = root.split("use ").skip(1).filter_map(|rest| rest.split_once(';')?.0.split_once("::"));
        let mut exports = exports.filter(|(file, _)| order.contains(file));
        exports
            .find(|(_, names)| names.split(|c: char| !c.is_alphanumeric()).any(|part| part == name))
            .map(|(file, _)| file.to_owned())
    };
    let place = |file: &str| order.iter().position(|own| *own == file);
    let mut faults = Vec::new();
    let files: Vec<_> = files(&folder).into_iter().filter(|file| !is_of_tests(file)).collect();
    assert_eq!(files.len(), order.len(), "the tree lists every file once");
    for file in files {
        let own = file.file_stem().unwrap().to_str().unwrap();
        for name in imported(&fs::read_to_string(&file).unwrap(), "super::") {
            let used = if order.contains(&&*name) { name } else { home(&name).unwrap_or(name) };
            if place(&used).is_none_or(|used| place(own).is_none_or(|own| used <= own)) {
                faults.push(format!("{own} uses {used}, which does not stand below it"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
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
    let found: Vec<String> = imported(text, "crate::").into_iter().collect();
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
        for to in imported(&fs::read_to_string(&file).unwrap(), "crate::") {
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

/// What a file names behind `root`, `crate::` or `super::`, outside comments and its own tests.
fn imported(text: &str, root: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let own_tests = code.find("\nmod tests {").unwrap_or(code.len());
    let mut found = BTreeSet::new();
    for rest in code[..own_tests].split(root).skip(1) {
        let name = |text: &str| {
            let text = text.trim();
            text[..text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len())].to_owned()
        };
        match rest.strip_prefix('{') {
            None => _ = found.insert(name(rest)),
            Some(list) => {
                let (mut depth, mut start) = (1_usize, 0);
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || (depth == 1 && c == ',') {
                        found.insert(name(&list[start..at]));
                        start = at + 1;
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    found.remove("");
    found
}

/// Modules that import each other in a circle.
fn circle(imports: &BTreeMap<Edge, PathBuf>) -> Option<Vec<String>> {
    let mut left: BTreeSet<&Edge> = imports.keys().collect();
    loop {
        // An import of a module that imports nothing is part of no circle.
        let importing: BTreeSet<&String> = left.iter().map(|(from, _)| from).collect();
        let before = left.len();
        left.retain(|(_, to)| importing.contains(to));
        if left.len() == before {
            break;
        }
    }
    (!left.is_empty()).then(|| left.iter().map(|(from, _)| from.clone()).collect())
}
