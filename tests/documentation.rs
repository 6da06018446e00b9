//! What the documentation says, as far as the code can be asked without Envoy.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "test code may panic"
)]

use std::{collections::BTreeSet, fs, path::Path};

use portcullis::{
    answer::{Challenges, Reason, Reply},
    config::RecordNames,
    policy::Policy,
    request::overriding,
    versions,
};
use serde_json::{Value, json};

#[path = "documentation/pages.rs"]
mod pages;

use pages::pages;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Rows of the table whose head begins with `head`: their cells.
fn table<'a>(page: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let rows = page.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn code(cell: &str) -> &str {
    cell.trim_matches('`')
}

#[test]
fn every_reason_stands_in_the_readme_with_its_status() {
    let readme = read("README.md");
    let told: BTreeSet<(String, String)> = table(&readme, "| code | status | when |")
        .iter()
        .map(|row| (code(row[0]).to_owned(), row[1].to_owned()))
        .collect();
    let given: BTreeSet<(String, String)> =
        Reason::ALL.iter().map(|reason| (reason.code().to_owned(), reason.status().to_string())).collect();
    assert_eq!(told, given);
    for row in table(&readme, "| code | status | when |") {
        let reason = Reason::ALL.iter().find(|reason| reason.code() == code(row[0])).unwrap();
        let shown = reason.public_code();
        let told = row[2].contains(&format!("the client sees `{shown}`"));
        assert_eq!(told, shown != reason.code(), "{row:?}");
    }
}

/// The answers that are shown.
#[test]
fn refusals_read_as_the_pages_show_them() {
    let pages: Vec<String> = pages().iter().map(|page| read(page)).collect();
    let lines = pages.iter().flat_map(|page| page.lines());
    let shown: Vec<&str> = lines.filter(|line| line.starts_with("{\"type\":\"urn:portcullis:")).collect();
    assert!(shown.len() >= 7, "{shown:?}");
    let given: Vec<String> =
        Reason::ALL.iter().map(|reason| Reply::refusal(*reason, Challenges::default()).body).collect();
    for line in shown {
        assert!(given.iter().any(|body| body == line), "{line}");
    }
}

#[test]
fn every_stat_stands_in_the_readme() {
    let stats =
        ["stats", "rule_stats", "policy_stats"].map(|file| read(&format!("src/host/{file}.rs"))).join("");
    let names: BTreeSet<&str> = stats
        .split("\"portcullis_")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap())
        .collect();
    assert!(names.len() >= 4, "{names:?}");
    let readme = read("README.md");
    let untold: Vec<&&str> =
        names.iter().filter(|name| !readme.contains(&format!("portcullis_{name}"))).collect();
    assert!(untold.is_empty(), "{untold:?}");
}

/// The names in `code` in the first cells of a table's rows.
fn names(rows: &[Vec<&str>]) -> Vec<String> {
    rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_header_that_overrides_stands_in_the_reference() {
    let reference = read("docs/policy.md");
    let told = names(&table(&reference, "| headers | what a server takes from them |"));
    assert_eq!(BTreeSet::from_iter(told), BTreeSet::from(overriding::NAMES.map(str::to_owned)));
    let vouched_for = reference.lines().find(|line| line.ends_with("for this one Envoy answers."));
    let told = names(&[vec![vouched_for.unwrap()]]);
    assert_eq!(BTreeSet::from_iter(told), BTreeSet::from(overriding::VOUCHED_FOR.map(str::to_owned)));
}

fn faults(document: &Value) -> Vec<String> {
    let compiled = Policy::compile(document.to_string().as_bytes(), "test");
    compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// What the sections of the reference are about: for each table of fields in their order, a document in which `{}` is
/// the object, and where it stands there.
fn objects() -> Vec<(&'static str, &'static str)> {
    vec![
        ("", ""),
        ("transport", "transport"),
        ("jwt", "jwt.providers[0]"),
        ("jwt.jwks", "jwt.providers[0].jwks"),
        ("discovery", "jwt.providers[0].discovery"),
        ("dpop", "jwt.providers[0].dpop"),
        ("introspection", "jwt.providers[0].introspection"),
        ("introspection.privateKeyJwt", "jwt.providers[0].introspection.privateKeyJwt"),
        ("extractFrom", "jwt.providers[0].extractFrom"),
        ("signingKeys", "signingKeys"),
        ("sessions", "sessions"),
        ("passkeys", "passkeys"),
        ("passkeys.relyingParty", "passkeys.relyingParty"),
        ("passkeys.registration", "passkeys.registration"),
        ("passkeys.etcd", "passkeys.etcd"),
        ("protectedResource", "protectedResource"),
        ("protectedResources", "protectedResources[0]"),
        ("apiKeys", "apiKeys"),
        ("apiKeys.keys", "apiKeys.keys[0]"),
        ("apiKeys.etcd", "apiKeys.etcd"),
        ("clientCertificates", "clientCertificates"),
        ("clientCertificates.principals", "clientCertificates.principals[0]"),
        ("hmac", "hmac"),
        ("hmac.sources", "hmac.sources[0]"),
        ("hmac.sources.signature", "hmac.sources[0].signature"),
        ("messageSignatures", "messageSignatures"),
        ("messageSignatures.signers", "messageSignatures.signers[0]"),
        ("messageSignatures.signers.keys", "messageSignatures.signers[0].keys[0]"),
        ("revocation", "revocation"),
        ("revocation.tokens", "revocation.tokens"),
        ("revocation.remote", "revocation.remote"),
        ("roles", "roles[0]"),
        ("rateLimits", "rateLimits[0]"),
        ("windows", "rateLimits[0].limits[0]"),
        ("rules", "rules[0]"),
        ("matches", "rules[0].matches[0]"),
        ("authorize", "rules[0].authorize"),
        ("rules.authorize.claims", "rules[0].authorize.claims[0]"),
        ("rules.shadow", "rules[0].shadow"),
        ("shadow", "shadow"),
        ("identityHeaders", "identityHeaders"),
        ("requestHeaders", "requestHeaders"),
    ]
}

/// A document with `object` at `path`, and nothing else.
fn at(path: &str, object: Value) -> Value {
    if path.is_empty() {
        return object;
    }
    let mut value = object;
    for part in path.rsplit('.') {
        let (name, is_list) = part.strip_suffix("[0]").map_or((part, false), |name| (name, true));
        let inner = match (name, is_list) {
            // A list of two.
            ("allOf", true) => json!([value, value]),
            (_, true) => json!([value]),
            (_, false) => value,
        };
        value = json!({name: inner});
    }
    value
}

/// Made anew with `PORTCULLIS_RENEW=1`, as the schema is; all between them is written by hand.
#[test]
fn tables_of_fields_are_as_declared() {
    let mut page = read("docs/policy.md");
    let mut renewed = String::new();
    let mut rest = page.as_str();
    let mut tables = portcullis::config::reference().into_iter();
    while let Some((before, after)) = rest.split_once("<!-- fields: ") {
        let (name, after) = after.split_once(" -->\n").unwrap();
        let (declared, table) = tables.next().unwrap();
        assert_eq!(name, declared, "the tables are out of their order");
        renewed.extend([before, "<!-- fields: ", name, " -->\n", &table]);
        rest = after.get(after.find("<!-- end -->").unwrap()..).unwrap();
    }
    renewed.push_str(rest);
    assert_eq!(tables.next(), None);
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        fs::write(repository().join("docs/policy.md"), &renewed).unwrap();
        page = read("docs/policy.md");
    }
    let stale = page.lines().zip(renewed.lines()).find(|(told, declared)| told != declared);
    assert!(page == renewed, "not as declared (PORTCULLIS_RENEW=1 writes the tables anew): {stale:?}");
}

/// The tables of fields in `docs/policy.md`, by the fields that they name.
fn fields() -> Vec<Vec<String>> {
    let reference = read("docs/policy.md");
    let mut tables = Vec::new();
    for (place, _) in reference.match_indices("\n| field | type |") {
        let rows = table(reference.get(place + 1..).unwrap(), "| field |");
        tables.push(rows.iter().map(|row| code(row[0]).replace("[]", "[0]")).collect());
    }
    tables
}

#[test]
fn every_field_of_the_reference_is_read() {
    let tables = fields();
    assert_eq!(tables.len(), objects().len(), "{tables:?}");
    for (fields, (name, path)) in tables.iter().zip(objects()) {
        for field in fields {
            // `hsts.maxAge` is a field of an object that is a field.
            let (path, field) = match field.rsplit_once('.') {
                Some((outer, field)) if path.is_empty() => (outer.to_owned(), field),
                Some((outer, field)) => (format!("{path}.{outer}"), field),
                None => (path.to_owned(), field.as_str()),
            };
            let at_field = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
            // Objects of several kinds are one of them.
            let mut object = match (name, field) {
                ("jwt.jwks", "inline") => json!({}),
                ("jwt.jwks", _) => json!({"uri": "https://idp.example/jwks", "cluster": "idp"}),
                ("clientCertificates.principals", "scopes" | "roles" | "tier") => json!({"dns": "a.example"}),
                _ => json!({}),
            };
            object[field] = json!({"nothing": "like it"});
            let said = faults(&at(&path, object));
            let unknown = said.iter().find(|fault| fault.starts_with(&format!("{at_field}: unknown field")));
            assert!(unknown.is_none(), "{name}: {field}: {said:?}");
            // Its neighbour: what is not there is said to be.
            let mut neighbour = json!({"nothingLikeIt": {}});
            // An object that names no header is taken for none.
            if path.ends_with("key[0]") {
                neighbour["header"] = json!("x-tenant");
            }
            let said = faults(&at(&path, neighbour));
            let beside =
                if path.is_empty() { "nothingLikeIt".to_owned() } else { format!("{path}.nothingLikeIt") };
            let unknown = said.iter().any(|fault| fault.starts_with(&format!("{beside}: unknown field")));
            assert!(unknown, "{name}: {path}: {said:?}");
        }
    }
}

/// Every name of a field that the schema knows, below `schema`.
fn fields_of(schema: &Value, names: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        names.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(members) => members.values().for_each(|member| fields_of(member, names)),
        Value::Array(items) => items.iter().for_each(|item| fields_of(item, names)),
        _ => {}
    }
}

/// Every field that is declared.
#[test]
fn every_field_that_is_read_stands_in_the_reference() {
    let reference = read("docs/policy.md");
    let mut names = BTreeSet::new();
    fields_of(&portcullis::config::schema(), &mut names);
    assert!(names.len() > 80, "{names:?}");
    let told: BTreeSet<&str> = reference
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .collect();
    let untold: Vec<&String> = names.iter().filter(|name| !told.contains(name.as_str())).collect();
    assert!(untold.is_empty(), "{untold:?}");
}

/// What both pages quote of Envoy's log.
#[test]
fn faults_read_as_they_are_quoted() {
    let with_limits = |names: &[&str], asked: &str, rule: usize| {
        let limits: Vec<Value> = names
            .iter()
            .map(|name| json!({"name": name, "key": ["route"], "limits": [{"requests": 1, "unit": "Hour"}]}))
            .collect();
        let mut rules: Vec<Value> = (0..rule)
            .map(|n| json!({"name": format!("r{n}"), "matches": [{"path": {"type": "Exact", "value": format!("/{n}")}}], "authenticate": {"anonymous": true}, "rateLimits": names}))
            .collect();
        rules.push(json!({"name": "last", "authenticate": {"anonymous": true}, "rateLimits": [asked]}));
        let mut document = json!({"rules": rules, "rateLimits": limits});
        if names.is_empty() {
            document.as_object_mut().unwrap().remove("rateLimits");
        }
        faults(&document)
    };
    let readme = read("README.md");
    for (page, said) in [
        (&readme, with_limits(&["reads"], "read", 1)),
        (&read("docs/policy.md"), with_limits(&["per-user"], "per-usr", 2)),
    ] {
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(page.contains(&said[0]), "{said:?}");
    }
}

/// Bounds that the reference gives: so many are accepted, and one more is not.
#[test]
fn bounds_are_as_they_are_told() {
    let text = |length: usize| "a".repeat(length);
    let rule = |members: Value| {
        let mut rule = json!({"name": "r", "authenticate": {"anonymous": true}});
        rule.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!({"rules": [rule]})
    };
    let with = |mut document: Value, name: &str, value: Value| {
        document[name] = value;
        document
    };
    let path =
        |kind: &str, value: String| rule(json!({"matches": [{"path": {"type": kind, "value": value}}]}));
    let limit = |members: Value| {
        let mut limit = json!({"name": "l", "key": ["route"], "limits": [{"requests": 1, "unit": "Hour"}]});
        limit.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        with(rule(json!({"rateLimits": ["l"]})), "rateLimits", json!([limit]))
    };
    let limits = |count: usize| {
        let limits: Vec<Value> = (0..count)
            .map(|n| json!({"name": format!("l{n}"), "key": ["route"], "limits": [{"requests": 1, "unit": "Hour"}]}))
            .collect();
        let names: Vec<String> = (0..count).map(|n| format!("l{n}")).collect();
        with(rule(json!({"rateLimits": names})), "rateLimits", json!(limits))
    };
    let windows = |count: usize| {
        let windows: Vec<Value> =
            (1..=count).map(|n| json!({"requests": 1, "window": format!("{n}s")})).collect();
        limit(json!({"limits": windows}))
    };
    let parts = |count: usize| {
        let parts: Vec<Value> = (0..count).map(|n| json!({"header": format!("x-{n}")})).collect();
        limit(json!({"key": parts}))
    };
    let window = |members: Value| limit(json!({"limits": [members]}));
    let provider = |members: Value| {
        let key = json!({"secret": "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA"});
        let mut provider = json!({
            "name": "p", "issuer": "i", "anyAudience": true, "algorithms": ["HS256"], "symmetricKeys": [key],
        });
        provider.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let document = rule(json!({"authenticate": {"anyOf": [{"jwt": "p"}]}}));
        with(document, "jwt", json!({"providers": [provider]}))
    };
    let hsts =
        |hours: u64| with(rule(json!({})), "transport", json!({"hsts": {"maxAge": format!("{hours}h")}}));
    let hops =
        |hops: u64| with(rule(json!({})), "transport", json!({"forwardedProto": {"trustedHops": hops}}));
    let rows: Vec<(&str, Value, Value)> = vec![
        (
            "realm",
            with(rule(json!({})), "realm", text(128).into()),
            with(rule(json!({})), "realm", text(129).into()),
        ),
        ("a name", rule(json!({"name": text(128)})), rule(json!({"name": text(129)}))),
        ("a limit's name", limit(json!({})), limit(json!({"name": text(65)}))),
        ("text", provider(json!({"issuer": text(4096)})), provider(json!({"issuer": text(4097)}))),
        ("trusted hops", hops(16), hops(17)),
        ("HSTS", hsts(99_999), hsts(100_000)),
        ("skew", provider(json!({"clockSkew": "5m"})), provider(json!({"clockSkew": "5m1s"}))),
        (
            "a token's size",
            provider(json!({"maxTokenSize": 65_536})),
            provider(json!({"maxTokenSize": 65_537})),
        ),
        ("a small token", provider(json!({"maxTokenSize": 256})), provider(json!({"maxTokenSize": 255}))),
        ("lifetime", provider(json!({"maxLifetime": "87600h"})), provider(json!({"maxLifetime": "87601h"}))),
        ("limits", limits(256), limits(257)),
        ("windows", windows(4), windows(5)),
        ("parts of a key", parts(16), parts(17)),
        (
            "requests a second",
            window(json!({"requests": 1_000_000, "unit": "Second"})),
            window(json!({"requests": 1_000_001, "unit": "Second"})),
        ),
        (
            "a window",
            window(json!({"requests": 10, "window": "8760h"})),
            window(json!({"requests": 10, "window": "8761h"})),
        ),
        (
            "earned back",
            window(json!({"requests": 1, "unit": "Day", "burst": 366})),
            window(json!({"requests": 1, "unit": "Day", "burst": 367})),
        ),
        ("segments", path("Exact", "/a".repeat(64)), path("Exact", "/a".repeat(65))),
        ("an expression", path("RegularExpression", text(1024)), path("RegularExpression", text(1025))),
    ];
    for (name, good, bad) in rows {
        assert_eq!(faults(&good), [""; 0], "{name}");
        assert_ne!(faults(&bad), [""; 0], "{name}");
    }
}

/// Made anew with `PORTCULLIS_RENEW=1`.
#[test]
fn the_schema_of_the_decision_record_is_the_one_of_the_code() {
    let page = read("docs/policy.md");
    let section = page.split("## The decision record\n").nth(1).unwrap().split("\n## ").next().unwrap();
    for (file, names) in [
        ("docs/decision-record.schema.json", RecordNames::Portcullis),
        ("docs/decision-record-ecs.schema.json", RecordNames::Ecs),
    ] {
        let members = portcullis::engine::record_schema(names);
        let schema = format!("{members:#}\n");
        if std::env::var_os("PORTCULLIS_RENEW").is_some() {
            std::fs::write(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &schema).unwrap();
        }
        assert!(read(file) == schema, "{file} is not what the code says");
        for name in members["properties"].as_object().unwrap().keys() {
            // What is called so by us, behind the name of our own field set.
            let name = name.strip_prefix("portcullis.").unwrap_or(name);
            assert!(section.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn the_page_on_releases_names_the_versions_of_the_code() {
    let page = read("docs/releases.md");
    for (what, version) in [
        ("the policy document", versions::POLICY_DOCUMENT),
        ("the decision record", versions::DECISION_RECORD),
    ] {
        assert!(page.contains(&format!("\n| {what} | {version} | ")), "{what} {version}");
    }
}
