//! The life of keys in a policy file, as an operator leads it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    pages::{commands, shell},
    run, text,
};

const POLICY: &str = r#"# Who may what.
apiKeys:
  checkedPrefix: acme
  levels:
    Read: {permissions: ["orders:read"]}  # no more than that
  keys:
  # Of the reports.
  - id: reports   # nightly
    hash: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    scopes:
    - reports

rules:
- name: all
  authenticate: {anyOf: [apiKey]}
"#;

/// A file with keys in a directory of its own.
struct Store {
    directory: TempDir,
    name: &'static str,
}

impl Store {
    fn new(name: &'static str, policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(name), policy).unwrap();
        Self { directory, name }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    fn content(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn key_with(&self, arguments: &[&str], input: &str) -> Output {
        let path = self.path();
        let mut all = vec!["key"];
        all.extend(arguments);
        all.extend(["--store", path.to_str().unwrap()]);
        run(&all, input)
    }

    fn key(&self, arguments: &[&str]) -> Output {
        self.key_with(arguments, "")
    }

    /// What is said, of something that is done.
    fn done(&self, arguments: &[&str]) -> String {
        let done = self.key(arguments);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}", text(done.stderr));
        text(done.stdout)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--output", "json"]].concat();
        serde_json::from_str(&self.done(&arguments)).unwrap()
    }

    /// What is said, of something that is refused. The file stays as it is.
    fn refused(&self, arguments: &[&str], input: &str, code: i32) -> String {
        let before = self.content();
        let refused = self.key_with(arguments, input);
        let said = text(refused.stderr);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(code), 0), "{arguments:?}: {said}");
        assert_eq!(self.content(), before, "{arguments:?}");
        said
    }

    fn states(&self) -> Vec<(String, String)> {
        let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
        let keys = self.json(&["list"]);
        keys.as_array().unwrap().iter().map(|key| (text(key, "id"), text(key, "state"))).collect()
    }

    fn is_good(&self) -> bool {
        run(&["check", self.path().to_str().unwrap()], "").status.success()
    }
}

fn states(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn a_life_in_a_file_whose_comments_stay() {
    let store = Store::new("policy.yaml", POLICY);
    let made =
        store.json(&["new", "--id", "billing-1", "--client", "acme", "--level", "Read", "--scopes", "a,b"]);
    assert!(made["key"].as_str().unwrap().starts_with("acme_billing-1_"), "by the policy's own prefix");
    let expected = format!(
        "{}\n  - id: billing-1\n    hash: {}\n    client: acme\n    level: Read\n    scopes: [a, b]\n\nrules:\n{}",
        POLICY.split("\n\nrules:\n").next().unwrap(),
        made["hash"].as_str().unwrap(),
        POLICY.split("\n\nrules:\n").nth(1).unwrap(),
    );
    assert_eq!(store.content(), expected, "nothing else is touched");

    let rotated = store.json(&["rotate", "billing-1", "--overlap", "24h", "--new-id", "billing-2"]);
    assert_eq!((&rotated["client"], &rotated["scopes"]), (&json!("acme"), &json!(["a", "b"])));
    assert_eq!(
        store.states(),
        states(&[("reports", "active"), ("billing-1", "rotated"), ("billing-2", "active")])
    );
    let old = store.json(&["show", "billing-1"]);
    assert_eq!(old["replacedBy"], "billing-2");
    assert!(old["expiresAt"].is_string());
    store.refused(&["rotate", "billing-1", "--overlap", "1h"], "", 1);
    store.done(&["rotate", "billing-2", "--overlap", "0s", "--new-id", "billing-3"]);
    assert_eq!(store.json(&["show", "billing-2"])["state"], "expired");

    store.done(&["disable", "reports"]);
    assert_eq!(store.json(&["show", "reports"])["state"], "disabled");
    assert_eq!(store.done(&["disable", "reports"]), "reports: disabled, as before\n");
    store.done(&["enable", "reports"]);
    store.done(&[
        "set",
        "reports",
        "--tier",
        "gold",
        "--remote-address",
        "10.0.0.0/8",
        "--hostnames",
        "api.test",
        "--unset",
        "scopes",
    ]);
    let set = store.json(&["show", "reports"]);
    assert_eq!(
        (&set["tier"], &set["remoteAddress"], &set["scopes"]),
        (&json!("gold"), &json!(["10.0.0.0/8"]), &Value::Null)
    );

    store.done(&["revoke", "billing-3"]);
    let revoked = store.json(&["show", "billing-3"]);
    assert!(revoked["state"] == "revoked" && revoked["revokedAt"].is_string(), "the record stays");
    store.done(&["revoke", "billing-3"]);
    assert_eq!(store.json(&["show", "billing-3"])["revokedAt"], revoked["revokedAt"]);
    store.refused(&["enable", "billing-3"], "", 1);
    assert_eq!(store.json(&["list", "--state", "revoked"]).as_array().unwrap().len(), 1);
    assert_eq!(store.json(&["list", "--client", "acme"]).as_array().unwrap().len(), 3);

    assert!(store.is_good());
    for kept in
        ["# Who may what.\n", "  # Of the reports.\n  - id: reports   # nightly\n", "  # no more than that\n"]
    {
        assert!(store.content().contains(kept), "{}", store.content());
    }
}

/// The same life wherever the policy stands, and however it is written.
#[test]
fn every_kind_of_file_is_changed_in_place() {
    let indented = |by: usize| POLICY.lines().map(|line| format!("{:by$}{line}\n", "")).collect::<String>();
    let json = r#"{"apiKeys": {"levels": {"Read": {"permissions": ["p"]}}, "keys": [
  {"id": "reports", "hash": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
]}, "rules": [{"name": "all", "authenticate": {"anyOf": ["apiKey"]}}]}"#;
    let istio = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: portcullis}\nspec:\n  pluginConfig:\n";
    let envoy = "name: portcullis\ntyped_config:\n  \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n  config:\n    configuration:\n";
    for (name, file) in [
        ("policy.json", json.to_owned()),
        ("policy.yaml", serde_json::to_string_pretty(&serde_json::from_str::<Value>(json).unwrap()).unwrap()),
        ("plugin.yaml", format!("# ours\n{istio}{}", indented(4))),
        ("two.yaml", format!("kind: Other\n---\n{istio}{}---\nkind: Other\n", indented(4))),
        (
            "filter.yaml",
            format!(
                "{envoy}      \"@type\": type.googleapis.com/google.protobuf.Struct\n      value:\n{}",
                indented(8)
            ),
        ),
        (
            "text.yaml",
            format!(
                "{envoy}      \"@type\": type.googleapis.com/google.protobuf.StringValue\n      value: |\n{}",
                json.lines().map(|line| format!("        {line}\n")).collect::<String>()
            ),
        ),
    ] {
        let store = Store::new(name, &file);
        let made = store.json(&["new", "--id", "new", "--level", "Read", "--label", "it's \"new\""]);
        store.done(&["set", "reports", "--tier", "gold", "--scopes", "x,y"]);
        store.done(&["disable", "new"]);
        store.done(&["enable", "new"]);
        store.done(&["revoke", "reports"]);
        assert_eq!(store.states(), states(&[("reports", "revoked"), ("new", "active")]), "{name}");
        assert_eq!(store.json(&["show", "new"])["hash"], made["hash"], "{name}");
        assert_eq!(store.json(&["show", "new"])["label"], "it's \"new\"", "{name}");
        assert!(store.is_good(), "{name}:\n{}", store.content());
        assert!(store.content().starts_with(file.lines().next().unwrap()), "{name}:\n{}", store.content());
    }
}

#[test]
fn the_first_key_brings_what_is_around_it() {
    let rules = "rules:\n- name: all\n  authenticate: {anyOf: [apiKey]}\n";
    for policy in [
        rules.to_owned(),
        format!("apiKeys:\n  forward: false # never\n{rules}"),
        format!("apiKeys: {{}}\n{rules}"),
    ] {
        let store = Store::new("policy.yaml", &policy);
        store.done(&["new", "--id", "first"]);
        assert_eq!(store.states(), states(&[("first", "active")]));
        assert!(store.is_good(), "{}", store.content());
    }
}

#[test]
fn keys_of_others_are_imported_by_their_hashes() {
    const KEY: &str = "0d8f5a3c-7e41-4b8e-9a57-2f6d1c3b9e40";
    let store = Store::new("policy.yaml", POLICY);
    let import = |arguments: &[&str], input: &str| store.key_with(&[&["import"], arguments].concat(), input);
    let done = import(&["--id", "foreign", "--client", "acme"], &format!("{KEY}\n"));
    assert_eq!(done.status.code(), Some(0), "{}", text(done.stderr));
    let many: String = (0..200)
        .map(|n| format!("{{\"id\": \"k{n}\", \"key\": \"{KEY}-{n}\", \"tier\": \"t{n}\"}}\n"))
        .collect();
    assert!(import(&[], &many).status.success());
    assert_eq!(store.states().len(), 202);
    assert_eq!(store.json(&["show", "k7"])["tier"], "t7");
    assert!(!store.content().contains(KEY) && store.is_good());
    // By the key itself, which stands in no history.
    let shown = store.key_with(&["show", "-", "--output", "json"], &format!("{KEY}\n"));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["id"], &shown["client"]), (&json!("foreign"), &json!("acme")));
    for (arguments, input, code) in [
        (&["import", "--id", "foreign"][..], &format!("{KEY}-x")[..], 1),
        (&["import", "--id", "weak"], "hunter2hunter2", 1),
        (&["import"], "{\"id\": \"weak\", \"key\": \"hunter2hunter2\"}", 1),
        (&["import"], "{\"id\": \"w\", \"key\": \"hunter2hunter2\"", 2),
        (&["import"], "{\"id\": \"w\", \"hash\": \"hunter2hunter2\"}", 2),
        (&["import", "--id", "again"], KEY, 1),
        (&["import"], "", 2),
        (&["show", "-"], "hunter2hunter2", 1),
        (&["show", "acme_hunter2_hunter2"], "", 2),
    ] {
        let said = store.refused(arguments, input, code);
        assert!(
            !said.contains("hunter2hunter2") && !said.contains("acme_hunter2") && !said.contains(KEY),
            "{said}"
        );
    }
}

#[test]
fn numbers_of_requests_are_held_against_the_limits_of_the_policy() {
    let hour = "limits: [{requests: 1, unit: Hour, ownRequests: {max: 9}}]";
    let limits = format!(
        "rateLimits:\n- {{name: per-key, key: [apiKey], {hour}}}\n- {{name: other, key: [apiKey], {hour}}}\nrules:"
    );
    let store = Store::new("policy.yaml", &POLICY.replace("rules:", &limits));
    let made = store.json(&["new", "--id", "a", "--own-requests", "per-key=9,other=2"]);
    let numbers = json!([{"limit": "per-key", "requests": 9}, {"limit": "other", "requests": 2}]);
    assert_eq!(made["ownRequests"], numbers);
    let expected = "    ownRequests: [{limit: per-key, requests: 9}, {limit: other, requests: 2}]\n";
    assert!(store.content().contains(expected), "{}", store.content());
    store.done(&["set", "a", "--own-requests", "per-key=3"]);
    assert_eq!(store.json(&["show", "a"])["ownRequests"], json!([{"limit": "per-key", "requests": 3}]));
    let refused = store.refused(&["set", "a", "--own-requests", "per-key=10"], "", 1);
    assert!(refused.contains("is more than the max of limit \"per-key\", which is 9"), "{refused}");
    store.refused(&["set", "a", "--own-requests", "per-key=1,per-key=2"], "", 1);
    // Whatever takes its place may do as much.
    let rotated = store.json(&["rotate", "a", "--overlap", "1h", "--new-id", "b"]);
    assert_eq!(rotated["ownRequests"], json!([{"limit": "per-key", "requests": 3}]));
    store.done(&["set", "b", "--unset", "ownRequests"]);
    assert_eq!(store.json(&["show", "b"]).get("ownRequests"), None);
    assert!(store.is_good());
}

#[test]
fn what_must_not_be_is_refused_and_nothing_changes() {
    let store = Store::new("policy.yaml", POLICY);
    for (arguments, code, said) in [
        (&["new", "--id", "reports"][..], 1, "has a key with the id \"reports\" already"),
        (&["new", "--level", "Write"], 1, "apiKeys.levels does not say what Write grants"),
        (&["new", "--roles", "nobody"], 1, "unknown role"),
        (&["new", "--remote-address", "10.0.0.1/8"], 1, "has bits behind its prefix"),
        (&["set", "reports", "--own-requests", "per-key=5"], 1, "unknown limit \"per-key\""),
        (&["set", "reports", "--own-requests", "per-key"], 2, "must be LIMIT=REQUESTS"),
        (&["set", "reports", "--own-requests", "per-key=0"], 2, "a whole one from 1"),
        (&["set", "reports", "--own-requests", "per-key=4294967296"], 2, "a whole one from 1"),
        (&["new", "--not-before", "2d", "--expires", "1d"], 1, "is not after notBefore"),
        (&["new", "--id", "a_b"], 2, "cannot stand in a key"),
        (&["new", "--prefix", "Acme"], 2, "cannot begin a key"),
        (&["new", "--expires", "soon"], 2, "is no time"),
        (&["new", "--expires", "1000y"], 2, "100 years"),
        (&["show", "nobody"], 1, "no key of the store has the id \"nobody\""),
        (&["revoke", "report"], 1, "no key of the store has the id \"report\""),
        (&["set", "reports"], 2, "says nothing"),
        (&["set", "reports", "--unset", "hash"], 2, "hash cannot be taken away"),
        (&["rotate", "reports"], 2, "--overlap"),
        (&["list", "--state", "lost"], 2, "possible values"),
    ] {
        let refused = store.refused(arguments, "", code);
        assert!(refused.contains(said), "{arguments:?}: {refused}");
    }
    let before = store.content();
    for dry in [
        &["new"][..],
        &["revoke", "reports"],
        &["rotate", "reports", "--overlap", "1h"],
        &["set", "reports", "--tier", "x"],
    ] {
        store.done(&[dry, &["--dry-run"]].concat());
        assert_eq!(store.content(), before, "{dry:?}");
    }
    assert!(
        store.key(&["new", "--level", "Write", "--dry-run"]).status.code() == Some(1),
        "faults are found all the same"
    );

    let aliased = Store::new(
        "aliased.yaml",
        &format!(
            "{}\n",
            POLICY
                .replace(
                    "    scopes:\n    - reports\n",
                    "    scopes: &s [reports]\n  - {id: b, hash: sha256:00, scopes: *s}\n"
                )
                .replace("sha256:00", &format!("sha256:{}", "1".repeat(64)))
        ),
    );
    assert!(
        aliased.refused(&["set", "reports", "--scopes", "x"], "", 1).contains("cannot be changed in place")
    );
    for (content, said) in
        [("a: 1\n", "holds no policy"), ("rules: [", "not valid YAML"), ("", "holds no policy")]
    {
        let broken = Store::new("broken.yaml", content);
        assert!(broken.refused(&["list"], "", 2).contains(said), "{content}");
    }
    for path in ["-", "/nowhere/policy.yaml"] {
        assert_eq!(run(&["key", "new", "--store", path], "").status.code(), Some(2));
    }
}

#[test]
fn without_a_store_a_key_comes_with_what_a_policy_takes() {
    let made = text(run(&["key", "new", "--id", "a", "--client", "acme"], "").stdout);
    let entry = made.split("below apiKeys.keys:\n- ").nth(1).unwrap();
    let policy = format!(
        r#"{{"apiKeys": {{"keys": [{entry}]}}, "rules": [{{"name": "all", "authenticate": {{"anyOf": ["apiKey"]}}}}]}}"#
    );
    assert!(run(&["check", "-"], &policy).status.success(), "{made}");
    assert!(made.starts_with("key:  pcl_a_"), "{made}");
}

/// What a key is worth is decided by what it was when it was changed: nobody's change is lost.
#[test]
fn many_operators_at_once() {
    let store = Store::new("policy.yaml", POLICY);
    std::thread::scope(|scope| {
        for operator in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..10 {
                    store.done(&["new", "--id", &format!("k{operator}-{n}")]);
                }
            });
        }
    });
    assert_eq!(store.states().len(), 41);
    // All of them want to rotate the one key: one does.
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let rotating = || store.key(&["rotate", "reports", "--overlap", "1h"]).status.code();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(rotating)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|code| **code == Some(0)).count(), 1, "{outcomes:?}");
    assert_eq!(store.states().len(), 42);
    assert!(store.is_good());
}

#[test]
#[cfg(unix)]
fn a_file_stays_what_it_was() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let store = Store::new("policy.yaml", POLICY);
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let link = store.directory.path().join("link.yaml");
    symlink("policy.yaml", &link).unwrap();
    let done = run(&["key", "new", "--store", link.to_str().unwrap()], "");
    assert!(done.status.success(), "{}", text(done.stderr));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(store.states().len(), 2);
    let names: Vec<_> =
        fs::read_dir(store.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing is left behind: {names:?}");
    assert!(Path::new(&store.path()).is_file());
}

/// Every command of the page, in its order, in one directory.
#[test]
fn the_page_is_done_as_written() {
    let page = include_str!("../../docs/keys.md");
    let commands = commands(page);
    assert!(commands.len() > 7, "{commands:?}");
    let store = Store::new("policy.yaml", POLICY);
    // The key that leaks is the one that was imported.
    store.key_with(&["import", "--id", "leaked"], "9f86d081884c7d659a2feaa0c55ad015");
    let script = format!("set -e\nLEAKED=9f86d081884c7d659a2feaa0c55ad015\n{}\n", commands.join("\n"));
    shell(store.directory.path(), &script);
    let expected = [
        ("reports", "active"),
        ("leaked", "revoked"),
        ("reports-2026", "revoked"),
        ("reports-2027", "active"),
        ("legacy-1", "active"),
    ];
    assert_eq!(store.states(), states(&expected));
    assert_eq!(
        store.json(&["show", "reports-2027"])["remoteAddress"],
        json!(["10.0.0.0/8", "2001:db8::/32"])
    );
}

/// What scanners of sources look for, by the documented pattern, in what people leave lying about.
#[test]
fn scanners_find_keys_and_little_else() {
    let rule = include_str!("../../docs/gitleaks.toml");
    let regex = rule.lines().find_map(|line| line.strip_prefix("regex = '''")?.strip_suffix("'''")).unwrap();
    let pattern = "pcl_[0-9A-Za-z-]{1,48}_[0-9A-Za-z]{38}";
    assert!(include_str!("../../docs/keys.md").contains(&format!("```console\n{pattern}\n```")));
    assert_eq!(regex, format!(r"\b{pattern}\b"));
    assert!(rule.contains(r#"keywords = ["pcl_"]"#));
    let regex = regex_lite::Regex::new(regex).unwrap();
    for id in ["a", "billing-2026", &"x".repeat(48)] {
        let made = text(run(&["key", "new", "--id", id], "").stdout);
        let key = made.lines().next().unwrap().strip_prefix("key:  ").unwrap();
        for text in [
            key.to_owned(),
            format!("API_KEY={key}\n"),
            format!("{{\"key\":\"{key}\"}}"),
            format!("?api_key={key}&a"),
        ] {
            assert_eq!(regex.find(&text).map(|found| found.as_str()), Some(key), "{text}");
        }
        for text in
            [format!("x{key}"), format!("{key}0"), key[..key.len() - 1].to_owned(), key.to_uppercase()]
        {
            assert!(!regex.is_match(&text), "{text}");
        }
    }
    assert!(
        !regex.is_match(include_str!("../../docs/keys.md"))
            && !regex.is_match(include_str!("../../README.md"))
    );
}
