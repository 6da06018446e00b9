//! The pages in docs/recipes: each has a policy, a suite of what passes and what does not, and commands, which are done as
//! written.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    pages::{blocks, commands, shell},
    run_in, text,
};

/// The pages, with what they are called.
fn pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes");
    let mut pages: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    pages.sort();
    pages
}

/// The one block of a page that is so.
#[track_caller]
fn only<'a>(name: &str, page: &'a str, is_so: impl Fn(&str) -> bool) -> &'a str {
    let mut found: Vec<_> = blocks(page, "yaml").into_iter().filter(|block| is_so(block)).collect();
    assert_eq!(found.len(), 1, "{name}");
    found.pop().unwrap()
}

/// A folder with the policy and the suite of a page.
fn folder(name: &str, page: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policy = only(name, page, |block| block.contains("\nrules:\n"));
    let suite = only(name, page, |block| block.starts_with("policy: policy.yaml\n"));
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    fs::write(folder.path().join("suite.yaml"), suite).unwrap();
    folder
}

#[test]
fn each_recipe_is_done_as_written() {
    let pages = pages();
    assert!(pages.len() >= 9, "{pages:?}");
    for (name, page) in pages {
        let folder = folder(&name, &page);
        shell(folder.path(), "portcullis check --deny-warnings policy.yaml");
        let commands = commands(&page);
        assert!(commands.contains(&"portcullis test suite.yaml --coverage"), "{name}: {commands:?}");
        for command in commands {
            assert_ne!(shell(folder.path(), command), "", "{name}: {command}");
        }
    }
}

/// A suite that would take any policy says nothing: of each some case fails where more passes, or nothing.
#[test]
fn each_suite_knows_its_policy() {
    for (name, page) in pages() {
        let folder = folder(&name, &page);
        let policy = fs::read_to_string(folder.path().join("policy.yaml")).unwrap();
        let (before, rules) = policy.split_once("\nrules:\n").unwrap();
        let open = "- {name: open, authenticate: {anonymous: true}}\n";
        let failing = |policy: &str, what: &str| {
            fs::write(folder.path().join("policy.yaml"), policy).unwrap();
            let done =
                run_in(folder.path().to_str().unwrap(), &["test", "suite.yaml", "--output", "json"], "");
            let told: Value = serde_json::from_slice(&done.stdout)
                .unwrap_or_else(|_| panic!("{name}, {what}: {}", text(done.stderr)));
            let failed = told["suites"][0]["failed"].as_u64().unwrap();
            assert!(failed > 0, "{name}: {what}");
        };
        failing(&format!("{before}\nrules:\n{rules}{open}"), "what no rule names passes");
        failing(&format!("{before}\nrules:\n{open}"), "everything passes");
        failing(&format!("{before}\nrules:\n- {{name: closed, action: Deny}}\n"), "nothing passes");
    }
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// What docs/security.md has one look at before a policy goes live, on that of a recipe.
#[test]
fn what_is_looked_at_before_a_policy_goes_live() {
    let security = page("security.md");
    let folder = folder("jwt-or-api-key", &page("recipes/jwt-or-api-key.md"));
    let answers: Vec<_> =
        commands(&security).into_iter().map(|command| shell(folder.path(), command)).collect();
    let expected = ["good: 2 rules", "nothing\n", "permission orders:write", "covered: 8 of 8"];
    assert_eq!(answers.len(), expected.len(), "{answers:?}");
    for (answer, expected) in answers.iter().zip(expected) {
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
}

/// The policy of docs/concepts.md is one, and the page names every section that a policy can have.
#[test]
fn the_page_on_concepts_names_every_section() {
    let concepts = page("concepts.md");
    let folder = tempfile::tempdir().unwrap();
    let policy = only("concepts", &concepts, |block| block.contains("\nrules:\n"));
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    shell(folder.path(), "portcullis check --deny-warnings policy.yaml");
    let schema = portcullis::config::schema();
    let table = concepts.split("| section | what it says |").nth(1).unwrap().split("\n\n").next().unwrap();
    let sections = schema["properties"].as_object().unwrap().iter();
    let sections = sections.filter(|(_, value)| value.get("type").is_none_or(|kind| kind != "string"));
    for (name, _) in sections {
        let is_setting = ["maxPathLength", "interlock", "defaultAction", "rateLimitHeaders", "realm"];
        assert!(is_setting.contains(&name.as_str()) || table.contains(&format!("`{name}`")), "{name}");
    }
}
