//! Passkeys as browsers have them: the library for pages, `envoy/passkeys`, the demo's page with it, and what a browser can be
//! made to send.

mod demo_page;
mod driver;
mod site;
mod site_tests;

use std::{fs, process::Command};

use crate::harness::repository;

/// Without a browser: what the library sends, when it asks the user, and whom it tells what.
#[test]
fn the_library_for_pages_does_what_its_types_say() {
    let tests = repository().join("tests/e2e/passkeys_browser/library.test.mjs");
    let written = fs::read_to_string(&tests).unwrap().matches("\ntest(").count();
    let output = Command::new("node")
        .args(["--test", "--test-reporter=tap"])
        .arg(tests)
        .output()
        .expect("node starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let count = |what: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("# {what} ")));
        line.and_then(|count| count.parse::<usize>().ok()).unwrap_or_else(|| panic!("no {what}: {said}"))
    };
    assert_eq!((count("pass"), count("skipped"), count("todo")), (written, 0, 0), "{said}");
}
