//! `portcullis import`, as a user runs it.

use std::{fs, path::Path, process::Output};

use crate::{
    pages::{commands, shell},
    run, run_in, text,
};

const OPENAPI: &str = "tests/command/import/openapi";

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of `directory` that are to be imported, in order: those beside which a policy stands.
fn sources(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(root(directory)).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| (name.ends_with(".yaml") || name.ends_with(".json")) && !name.contains(".policy."));
    names.sort();
    names
}

/// Runs the import of `name` with the arguments that stand beside it, one a line.
fn imported(kind: &str, directory: &str, name: &str) -> Output {
    let stem = name.rsplit_once('.').unwrap().0;
    let beside = fs::read_to_string(root(directory).join(format!("{stem}.arguments"))).unwrap_or_default();
    let further =
        beside.lines().flat_map(|line| line.split_once(' ').map(|(name, value)| [name, value]).unwrap());
    let arguments: Vec<&str> = ["import", kind, name].into_iter().chain(further).collect();
    run_in(directory, &arguments, "")
}

/// What stands beside each source: the policy that is made of it, and what is said.
fn hold_to_what_stands_beside(kind: &str, directory: &str) {
    let mut differing = Vec::new();
    for name in sources(directory) {
        let stem = name.rsplit_once('.').unwrap().0;
        let made = imported(kind, directory, &name);
        let (policy, said) = (text(made.stdout), text(made.stderr));
        let is_all = !said.contains("not translated: ");
        assert_eq!(made.status.code(), Some(i32::from(!is_all)), "{name}: {said}");
        for (ending, made) in [("policy.yaml", &policy), ("said.txt", &said)] {
            let path = root(directory).join(format!("{stem}.{ending}"));
            if std::env::var_os("PORTCULLIS_RENEW").is_some() {
                fs::write(&path, made).unwrap();
            }
            if fs::read_to_string(&path).unwrap_or_default() != *made {
                differing.push(format!("{stem}.{ending} is now\n{made}"));
            }
        }
        let checked = run_in(directory, &["check", "-"], &policy);
        assert!(checked.status.success(), "{name}: {}", text(checked.stderr));
    }
    assert!(differing.is_empty(), "{}\n(PORTCULLIS_RENEW=1 writes them anew)", differing.join("\n"));
}

#[test]
fn openapi_documents_become_the_policies_beside_them() {
    hold_to_what_stands_beside("openapi", OPENAPI);
}

/// A document and a policy in a directory of their own.
struct Workplace(tempfile::TempDir);

impl Workplace {
    fn new(document: &str, policy: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("api.yaml", document);
        place.write("policy.yaml", policy);
        place
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn policy(&self) -> String {
        fs::read_to_string(self.0.path().join("policy.yaml")).unwrap()
    }

    /// Imports into the policy; what is said, and how it ends.
    fn import(&self, further: &[&str]) -> (String, i32) {
        let directory = self.0.path().to_str().unwrap();
        let arguments = [&["import", "openapi", "api.yaml", "--into", "policy.yaml"], further].concat();
        let done = run_in(directory, &arguments, "");
        assert!(done.stdout.is_empty(), "{done:?}");
        (text(done.stderr), done.status.code().unwrap())
    }

    /// Changes a line of the policy by hand.
    fn edit(&self, from: &str, to: &str) {
        let policy = self.policy();
        assert!(policy.contains(from), "{policy}");
        self.write("policy.yaml", &policy.replacen(from, to, 1));
    }
}

const POLICY: &str = "# Ours.
transport: {requireTls: true} # of course
jwt:
  providers:
  # The company's.
  - {name: corp, issuer: https://idp.example.com, audiences: [a], algorithms: [ES256], discovery: {cluster: idp}}
rules:
# For probes.
- name: probe
  matches: [{path: {type: Exact, value: /probe}}]
  authenticate: {anonymous: true}
";

fn document(paths: &str) -> String {
    format!(
        "openapi: 3.0.3\ninfo: {{title: T, version: 1}}\nservers: [{{url: https://a.example}}]\nsecurity: [{{corp: [read]}}]\n\
         components: {{securitySchemes: {{corp: {{type: http, scheme: bearer}}}}}}\npaths:\n{paths}"
    )
}

const PATHS: &str = "  /orders/{id}: {get: {operationId: getOrder}, delete: {operationId: deleteOrder, security: [{corp: [write]}]}}
  /orders: {get: {operationId: listOrders}, post: {operationId: addOrder}}
";

#[test]
fn a_second_import_keeps_what_was_edited_by_hand() {
    let place = Workplace::new(&document(PATHS), POLICY);
    let (said, code) = place.import(&[]);
    assert_eq!(code, 0, "{said}");
    let first = place.policy();
    // What was there is as it was; the provider is the one that there is.
    assert!(first.starts_with(POLICY), "{first}");
    let orders = ["- name: listOrders", "- name: getOrder", "- name: deleteOrder"]
        .map(|name| first.find(name).unwrap());
    assert!(orders.is_sorted(), "{first}");
    assert!(first.contains("# from openapi: GET /orders, POST /orders ["), "{first}");

    // Again: nothing changes.
    assert_eq!(place.import(&[]), (String::new(), 0));
    assert_eq!(place.policy(), first);

    // A rule that is edited stays, while the document says the same, and is told of when it says otherwise.
    place.edit("authorize: {scopes: [write]}", "authorize: {scopes: [write, admin]}");
    let edited = place.policy();
    assert_eq!(place.import(&[]), (String::new(), 0));
    assert_eq!(place.policy(), edited);
    place.write("api.yaml", &document(&PATHS.replace("[write]", "[delete]")));
    let (said, code) = place.import(&[]);
    assert!(said.contains("DELETE /orders/{id}: the rule deleteOrder is kept as it was edited; the document says otherwise: "), "{said}");
    assert!(code == 1 && said.contains("\"scopes\":[\"delete\"]"), "{said}");
    assert_eq!(place.policy(), edited);
}

#[test]
fn new_operations_come_where_they_belong_and_gone_ones_stay() {
    let place = Workplace::new(&document(PATHS), POLICY);
    place.import(&[]);
    // A comment in a rule is an edit, too; so is one behind it.
    place.edit("- name: deleteOrder\n", "- name: deleteOrder # ask Bob\n");
    let new = PATHS.replace("  /orders:", "  /orders/mine: {get: {operationId: mine}}\n  /orders:").replace(
        "get: {operationId: getOrder}",
        "get: {operationId: getOrder, security: [{corp: [read-one]}]}",
    );
    place.write("api.yaml", &document(&new));
    let (said, code) = place.import(&["--dry-run"]);
    assert!(code == 0 && said.contains("the rule mine is new"), "{said}");
    assert!(!place.policy().contains("mine"), "a dry run changes nothing");
    assert_eq!(place.import(&[]), (said, 0));
    let policy = place.policy();
    let order = ["name: mine\n", "name: mine-only\n", "name: getOrder\n", "name: deleteOrder # ask Bob\n"];
    assert!(order.map(|name| policy.find(name).unwrap()).is_sorted(), "{policy}");
    assert!(policy.contains("authorize: {scopes: [read-one]}"), "{policy}");

    // Gone, in whole and in part.
    place.write(
        "api.yaml",
        &document("  /orders: {get: {operationId: listOrders, security: [{corp: [list]}]}}\n"),
    );
    let (said, code) = place.import(&[]);
    for expected in [
        "note: GET /orders/mine: is gone from the document; the rule mine is kept (--prune removes it)",
        "note: POST /orders: is gone from the document; the rule listOrders is kept",
        "not translated: DELETE /orders/{id}: is gone from the document; the rule deleteOrder was edited by hand and is kept",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(code, 1, "{said}");
    let policy = place.policy();
    let gone = "# from openapi: POST /orders [";
    let of_post = policy.split(gone).nth(1).unwrap();
    assert!(of_post.contains("- name: listOrders-gone\n") && policy.contains("{scopes: [list]}"), "{policy}");
    assert!(policy.contains("name: mine\n") && policy.contains("name: getOrder\n"), "{policy}");
    let (said, _) = place.import(&["--prune"]);
    let policy = place.policy();
    for gone in ["name: mine\n", "name: mine-only\n", "name: getOrder\n", "name: listOrders-gone\n"] {
        assert!(!policy.contains(gone), "{gone}: {policy}\n{said}");
    }
    assert!(policy.starts_with(POLICY) && policy.contains("name: deleteOrder # ask Bob\n"), "{policy}");
}

#[test]
fn a_policy_is_changed_as_meant_or_not_at_all() {
    let rule = "- name: listOrders\n  matches: [{method: GET, path: {type: Exact, value: /orders}}]\n  authenticate: {anyOf: [{jwt: corp}]}\n";
    let own = POLICY.replace("rules:\n", &format!("rules:\n{rule}"));
    for (policy, code, said, has) in [
        // Nothing is there but a provider.
        (POLICY.split("rules:").next().unwrap(), 0, "the rule getOrder is new", "\nrules:\n# from openapi: "),
        // A rule of that name that was not made here, or whose mark somebody took away.
        (&own, 1, "the rule listOrders is kept as it was edited", rule),
        ("{\"rules\": [{\"name\": \"x\", \"authenticate\": {\"anonymous\": true}}]}", 2, "is JSON", ""),
        (
            "rules: [{name: x, matches: [{method: GET}], authenticate: {anonymous: true}}]\n",
            1,
            "cannot be changed in place",
            "",
        ),
        // A rule that takes everything makes all behind it unreachable.
        (
            &POLICY.replace("  matches: [{path: {type: Exact, value: /probe}}]\n", ""),
            1,
            "nothing was changed",
            "",
        ),
    ] {
        let place = Workplace::new(&document(PATHS), policy);
        let (told, ended) = place.import(&[]);
        assert!(ended == code && told.contains(said), "{policy}: {ended} {told}");
        let after = place.policy();
        match has {
            "" => assert_eq!(after, policy, "{told}"),
            has => assert!(after.contains(has), "{after}"),
        }
    }
}

const ENVOY: &str = "http_filters:
- name: jwt
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
    providers: {a: {issuer: https://a.test, audiences: [a], remote_jwks: {http_uri: {uri: https://a.test/jwks, cluster: a, timeout: 5s}}}}
    rules: [{match: {prefix: /}, requires: {provider_name: a}}]
";

/// Every command of the page, in its order, on the document that it shows, and what it shows of the result.
#[test]
fn the_page_is_done_as_written() {
    let path = root("docs/import.md");
    let page = fs::read_to_string(&path).unwrap();
    let block = |n: usize| page.split("```yaml\n").nth(n).unwrap().split("```").next().unwrap();
    let place = Workplace::new(block(1), "");
    // Any that everything of is translated of.
    place.write("envoy.yaml", ENVOY);
    let commands = commands(&page);
    assert!(commands.len() >= 3, "{commands:?}");
    shell(place.0.path(), &format!("set -e\n{}\n", commands.join("\n")));
    let shown = block(2);
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        let renewed = page.replacen(
            &format!("`policy.yaml`:\n\n```yaml\n{shown}"),
            &format!("`policy.yaml`:\n\n```yaml\n{}", place.policy()),
            1,
        );
        fs::write(path, renewed).unwrap();
        return;
    }
    assert_eq!(place.policy(), shown);
}

#[test]
fn filters_of_envoy_become_the_policies_beside_them() {
    hold_to_what_stands_beside("envoy", "tests/command/import/envoy");
}

/// Documents of real services, cut down to a few of their operations: each import passes `check` and decides requests as
/// the suite beside it says. API keys are made for the suite in place of the placeholder, which is disabled.
#[test]
fn what_real_services_publish_decides_as_they_say() {
    const PUBLIC: &str = "tests/command/import/public";
    let place = tempfile::tempdir().unwrap();
    for (name, further) in [
        ("discord", &["--key-prefix", "BotToken=Bot "][..]),
        ("box", &[]),
        ("datadog", &["--leave-to-upstream", "appKeyAuth"]),
    ] {
        let document = format!("{name}.json");
        let made = run_in(PUBLIC, &[&["import", "openapi", &document], further].concat(), "");
        let policy = text(made.stdout);
        let checked = run(&["check", "-"], &policy);
        assert!(checked.status.success(), "{name}: {}", text(checked.stderr));
        let path = place.path().join(format!("{name}.yaml"));
        fs::write(&path, policy.replace("    disabled: true\n", "")).unwrap();
        let suite = format!("{name}.suite.yaml");
        let told = run_in(PUBLIC, &["test", &suite, "--policy", path.to_str().unwrap()], "");
        assert!(told.status.success(), "{name}: {}{}", text(told.stdout), text(told.stderr));
    }
}

#[test]
fn what_is_no_source_is_refused() {
    let envoy =
        "http_filters:\n- name: a\n  typed_config: {\"@type\": type.googleapis.com/x.v3.RBAC, rules: {}}\n";
    let two = format!(
        "a: {{{}}}\nb: {{{}}}\n",
        "http_filters: [{typed_config: {\"@type\": x.RBAC}}]",
        "http_filters: [{typed_config: {\"@type\": x.RBAC}}]"
    );
    for (kind, source, code, said) in [
        ("openapi", "swagger: '2.0'\n", 2, "convert it to OpenAPI 3 first"),
        ("openapi", "openapi: 3.0.3\npaths: {}\npaths: {}\n", 2, "-:3: \"paths\" is given more than once"),
        ("openapi", "a: [\n", 2, "not valid YAML"),
        ("openapi", "openapi: 3.0.3\n---\nopenapi: 3.0.3\n", 2, "several documents"),
        ("openapi", "", 2, "says nothing"),
        ("openapi", "openapi: 3.0.3\nx-portcullis-policy: {transport: {}}\n", 2, "has no transport"),
        ("openapi", "openapi: 3.0.3\n", 0, ""),
        ("envoy", "openapi: 3.0.3\n", 2, "has no http_filters"),
        ("envoy", &two, 2, "say with --listener"),
        ("envoy", envoy, 0, ""),
    ] {
        let done = run(&["import", kind, "-"], source);
        let told = text(done.stderr);
        assert!(done.status.code() == Some(code) && told.contains(said), "{source}: {told}");
        assert_eq!(done.stdout.is_empty(), code == 2, "{source}");
    }
    for (option, said) in
        [("--provider", "expected SCHEME=VALUE"), ("--as-api-key", "has no security scheme")]
    {
        let done = run(&["import", "openapi", "-", option, "corp"], "openapi: 3.0.3\n");
        assert_eq!(done.status.code(), Some(2));
        let told = text(done.stderr);
        assert!(told.contains(said), "{told}");
    }
}

/// Programs get the policy and all that is said of it in one object.
#[test]
fn programs_are_told_in_json() {
    let document = "openapi: 3.0.3\npaths:\n  /a: {get: {}}\n";
    let done = run(&["import", "openapi", "-", "--output", "json"], document);
    assert!(done.status.code() == Some(1) && done.stderr.is_empty(), "{done:?}");
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(said["policy"].as_str().unwrap().contains("- name: get:/a\n  action: Deny\n"), "{said}");
    let (about, message) = ("GET /a", "who may call it is not said (see --undeclared); it is closed");
    let left = serde_json::json!([{"file": "-", "line": 3, "column": 8, "about": about, "message": message}]);
    assert_eq!((&said["left"], &said["notes"]), (&left, &serde_json::json!([])));
}
