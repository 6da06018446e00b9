//! What the command says of itself beside `--help`: docs/command-line.md, and manual pages.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{run, text};

const PAGE: &str = "docs/command-line.md";
const BEGINS: &str = "<!-- commands -->\n";
const ENDS: &str = "<!-- end -->\n";

/// Made anew with `PORTCULLIS_RENEW=1`; what stands before it is written by hand.
#[test]
fn the_page_says_what_is_declared() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&file).unwrap();
    let (by_hand, made) = page.split_once(BEGINS).unwrap();
    let declared = portcullis::command::reference();
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        fs::write(&file, [by_hand, BEGINS, &declared, ENDS].concat()).unwrap();
    } else {
        let made = made.strip_suffix(ENDS).unwrap();
        let stale = made.lines().zip(declared.lines()).find(|(told, declared)| told != declared);
        assert!(made == declared, "not as declared (PORTCULLIS_RENEW=1 writes it anew): {stale:?}");
    }
    for expected in [
        "\n## portcullis check\n",
        "\n### portcullis key rotate\n",
        "\n| `--deny-warnings` | ",
        "\n| `-p, --policy <FILE>` | ",
        "One of `text`: For people: the line with a mark under the place; `json`: One JSON object; ",
        " Absent: `text`. |\n",
        " Or by `PORTCULLIS_STORE`. |\n",
    ] {
        assert!(declared.contains(expected), "{expected}");
    }
}

/// The names of commands that `--help` lists below these.
fn listed(below: &[&str]) -> Vec<String> {
    let told = text(run(&[below, &["--help"]].concat(), "").stdout);
    let Some(section) = told.split("\nCommands:\n").nth(1) else { return Vec::new() };
    let section = section.split("\n\n").next().unwrap();
    let names = section.lines().filter(|line| !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn each_command_has_a_manual_page_that_names_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("new/man1");
    let done = run(&["man", pages.to_str().unwrap()], "");
    assert!(done.status.success(), "{}", text(done.stderr));
    let mut expected = BTreeSet::from(["portcullis.1".to_owned()]);
    for name in listed(&[]) {
        expected.insert(format!("portcullis-{name}.1"));
        expected.extend(listed(&[&name]).iter().map(|below| format!("portcullis-{name}-{below}.1")));
    }
    assert!(expected.len() > 30, "{expected:?}");
    let written: BTreeSet<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(written, expected);
    assert_eq!(text(done.stdout), format!("{} pages in {}\n", expected.len(), pages.display()));
    let check = fs::read_to_string(pages.join("portcullis-check.1")).unwrap();
    for expected in
        [".TH portcullis-check 1", concat!("portcullis ", env!("CARGO_PKG_VERSION")), "\\-\\-deny\\-warnings"]
    {
        assert!(check.contains(expected), "{expected}: {check}");
    }
    let list = fs::read_to_string(pages.join("portcullis-key-list.1")).unwrap();
    assert!(list.contains("PORTCULLIS_STORE"), "{list}");

    let refused = run(&["man", "Cargo.toml"], "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(refused.stderr).starts_with("error: Cargo.toml: "));
}
