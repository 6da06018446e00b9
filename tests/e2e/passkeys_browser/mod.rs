//! Passkeys as browsers have them: the library for pages, `envoy/passkeys`, the demo's page with it, and what a browser can be
//! made to send.

mod demo_page;
mod driver;
mod site;
mod site_tests;

use std::{fs, process::Command};

use crate::harness::repository;

/// As it is written, and as pages are served it.
const LIBRARY: [&str; 2] = ["portcullis-passkeys.js", "portcullis-passkeys.min.js"];

/// Of the library as pages are served it, without a coding.
const MOST_BYTES: usize = 4_000;

/// Without a browser: what the library sends, when it asks the user, and whom it tells what.
#[test]
fn the_library_for_pages_does_what_its_types_say() {
    LIBRARY.iter().for_each(|file| does_what_its_types_say(file));
}

fn does_what_its_types_say(library: &str) {
    let tests = repository().join("tests/e2e/passkeys_browser/library.test.mjs");
    let written = fs::read_to_string(&tests).unwrap().matches("\ntest(").count();
    let output = Command::new("node")
        .env("LIBRARY", library)
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

/// What pages are served says nothing that nobody can read before; made anew with `PORTCULLIS_RENEW=1`.
#[test]
fn what_pages_are_served_is_made_of_what_people_read() {
    let folder = repository().join("envoy/passkeys");
    let [written, served] = LIBRARY.map(|file| folder.join(file));
    let note = format!("preamble='// Made of {} by terser. Apache-2.0.'", LIBRARY[0]);
    let output = Command::new(repository().join("tests/e2e/idp/node_modules/.bin/terser"))
        .arg(written)
        .args(["--module", "--ecma", "2022", "--compress", "passes=2", "--mangle", "--format", &note])
        .output()
        .expect("terser starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        fs::write(&served, &output.stdout).unwrap();
    }
    let served = fs::read(served).unwrap();
    assert!(served == output.stdout, "not as made now (PORTCULLIS_RENEW=1 makes it anew)");
    assert!(served.len() < MOST_BYTES, "{} bytes", served.len());
}
