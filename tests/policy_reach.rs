//! Policies in which somebody is meant to pass who never can, and what else is odd about a policy: whole documents and all
//! that is said of them.

#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "test code may panic")]

use portcullis::policy::Policy;
use serde_json::{Value, json};

/// RFC 7517 appendix A.1.
fn p256() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "k",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

/// One who signs requests.
const SIGNERS: &str = r#"{"signers": [{"name": "bank", "scopes": ["s"], "roles": ["idle"], "tier": "bank",
    "keys": [{"keyId": "1", "algorithm": "hmac-sha256", "secret": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}]}"#;

/// Nothing is odd about it. `corp` sends roles, `partner` does not.
fn good() -> Value {
    let provider = |name: &str, more: Value| {
        let mut provider = json!({"name": name, "issuer": format!("https://{name}.example"), "anyAudience": true,
            "algorithms": ["ES256"], "jwks": {"inline": {"keys": [p256()]}}});
        provider.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        provider
    };
    let rule = |name: &str, methods: Value, authorize: Value| {
        json!({"name": name, "matches": [{"path": {"type": "PathTemplate", "value": format!("/{name}/{{user}}")}}],
            "authenticate": {"anyOf": methods}, "authorize": authorize})
    };
    json!({
        "jwt": {"providers": [provider("corp", json!({"claims": {"roles": "roles"}})), provider("partner", json!({}))]},
        "clientCertificates": {"principals": [{"uri": "spiffe://td/a", "scopes": ["s"], "roles": ["viewer"]}]},
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}, "Write": {"permissions": ["orders:write"]}},
            "keys": [
                {"id": "reader", "hash": format!("sha256:{}", "1".repeat(64)), "level": "Read", "scopes": ["s"], "tier": "gold"},
                {"id": "writer", "hash": format!("sha256:{}", "2".repeat(64)), "level": "Write", "disabled": true},
                {"id": "over", "hash": format!("sha256:{}", "3".repeat(64)), "scopes": ["over"], "expiresAt": "2000-01-01T00:00:00Z"},
            ],
        },
        "roles": [{"name": "viewer", "permissions": ["orders:read"]}, {"name": "admin", "inherits": ["viewer"]}],
        "rateLimits": [
            {"name": "few", "key": ["principal"], "limits": [{"requests": 10, "unit": "Minute"}],
             "tiers": [{"name": "gold", "limits": [{"requests": 20, "unit": "Minute"}]}]},
            {"name": "keys", "key": ["apiKey"], "limits": [{"requests": 10, "unit": "Minute"}]},
            {"name": "all", "key": ["remoteAddress"], "limits": [{"requests": 9, "window": "10s"}], "before": "Authentication"},
        ],
        "rules": [
            rule("tokens", json!([{"jwt": "corp"}]), json!({"permissions": ["orders:read"]})),
            rule("partners", json!([{"jwt": "partner"}]), json!({"scopes": ["s"]})),
            // A key that is switched off, and one whose time is over, may be good again.
            rule("keys", json!(["apiKey"]), json!({"permissions": ["orders:write"]})),
            rule("machines", json!(["clientCertificate"]), json!({"roles": ["viewer"]})),
            rule("either", json!([{"jwt": "corp"}, {"jwt": "partner"}, "apiKey"]), json!({"anyOf": [{"roles": ["admin"]}, {"scopes": ["s"]}, {"scopes": ["over"]}]})),
            {"name": "limited", "authenticate": {"anyOf": ["apiKey", {"jwt": "corp"}]}, "rateLimits": ["few", "keys"]},
        ],
    })
}

fn said(document: &Value) -> (Vec<String>, Vec<String>) {
    let lines = |faults: &[portcullis::fault::Fault]| faults.iter().map(ToString::to_string).collect();
    match Policy::compile(document.to_string().as_bytes(), "test") {
        Ok(policy) => (Vec::new(), lines(policy.warnings())),
        Err(faults) => (lines(&faults), Vec::new()),
    }
}

/// [`good`] with what stands at each JSON pointer replaced, or taken out for `null`.
fn with(changes: &[(&str, &str)]) -> Value {
    let mut document = good();
    for (pointer, text) in changes {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let (parent, last) = pointer.rsplit_once('/').expect("a pointer begins with /");
        match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} has no parent")) {
            Value::Object(members) if value.is_null() => drop(members.shift_remove(last)),
            Value::Object(members) => drop(members.insert(last.to_owned(), value)),
            Value::Array(items) => match items.get_mut(last.parse::<usize>().expect("an index")) {
                Some(item) => *item = value,
                None => items.push(value),
            },
            _ => panic!("{pointer} leads through a scalar"),
        }
    }
    document
}

type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn rules_that_nobody_can_ever_pass_are_faults() {
    let rows: &[Row] = &[
        (
            &[("/rules/0/authenticate/anyOf/0/jwt", r#""partner""#)],
            &[
                r#"rules[0].authorize: nobody can ever have this: tokens of "partner" carry no roles, which give permissions: it has no claims.roles"#,
            ],
        ),
        (
            &[("/rules/1/authorize", r#"{"scopes": ["s"], "roles": ["admin"]}"#)],
            &[
                r#"rules[1].authorize: nobody can ever have this: tokens of "partner" carry no roles: it has no claims.roles"#,
            ],
        ),
        // What only levels give no token has.
        (
            &[("/rules/0/authorize/permissions", r#"["orders:write"]"#)],
            &[
                r#"rules[0].authorize: nobody can ever have this: no role gives the permission "orders:write""#,
            ],
        ),
        (
            &[("/rules/2/authorize", r#"{"scopes": ["s", "t"]}"#)],
            &[r#"rules[2].authorize: nobody can ever have this: no API key has the scopes "s", "t""#],
        ),
        (
            &[("/rules/2/authorize", r#"{"roles": {"anyOf": ["viewer", "admin"]}}"#)],
            &[
                r#"rules[2].authorize: nobody can ever have this: no API key has any of the roles "viewer", "admin""#,
            ],
        ),
        (
            &[("/rules/2/authorize", r#"{"scopes": ["s"], "permissions": ["orders:write"]}"#)],
            &["rules[2].authorize: nobody can ever have this: no API key has all of it at once"],
        ),
        (
            &[("/rules/2/authorize", r#"{"owner": {"pathVariable": "user", "claim": "tenant"}}"#)],
            &["rules[2].authorize: nobody can ever have this: no API key has a claim but sub"],
        ),
        (
            &[("/rules/3/authorize", r#"{"scopes": ["over"]}"#)],
            &[r#"rules[3].authorize: nobody can ever have this: no certificate has the scope "over""#],
        ),
        (
            &[("/clientCertificates", "{}")],
            &[
                r#"rules[3].authorize: nobody can ever have this: no certificate has the role "viewer": clientCertificates has no principals"#,
            ],
        ),
        // Each way for its own reason.
        (
            &[
                ("/rules/2/authenticate/anyOf", r#"["apiKey", "clientCertificate", {"jwt": "partner"}]"#),
                (
                    "/rules/2/authorize",
                    r#"{"anyOf": [{"roles": ["admin"]}, {"permissions": ["orders:write"], "owner": {"pathVariable": "user", "claim": "x"}}]}"#,
                ),
            ],
            &[
                r#"rules[2].authorize.anyOf[0]: nobody can ever have this: no API key has the role "admin"; no certificate has the role "admin"; tokens of "partner" carry no roles: it has no claims.roles"#,
                r#"rules[2].authorize.anyOf[1]: nobody can ever have this: no API key has a claim but sub; no certificate has a claim but sub; tokens of "partner" carry no roles, which give permissions: it has no claims.roles"#,
            ],
        ),
        // What is asked of the actor, and what is asked of its principal.
        (
            &[
                ("/rules/2/authenticate", r#"{"allOf": ["apiKey", {"jwt": "corp"}]}"#),
                ("/rules/2/authorize", r#"{"roles": ["admin"], "actor": {"roles": ["admin"]}}"#),
            ],
            &[r#"rules[2].authorize: nobody can ever have this: of actors, no API key has the role "admin""#],
        ),
        (
            &[
                ("/rules/2/authenticate", r#"{"allOf": [{"jwt": "corp"}, "apiKey"]}"#),
                ("/rules/2/authorize", r#"{"roles": ["admin"], "actor": {"roles": ["admin"]}}"#),
            ],
            &[r#"rules[2].authorize: nobody can ever have this: no API key has the role "admin""#],
        ),
        (
            &[
                ("/rules/2/authenticate", r#"{"allOf": ["clientCertificate", "apiKey"]}"#),
                (
                    "/rules/2/authorize",
                    r#"{"anyOf": [{"actor": {"scopes": ["over"]}}, {"scopes": ["s"], "actor": {"owner": {"pathVariable": "user", "claim": "x"}}}]}"#,
                ),
            ],
            &[
                r#"rules[2].authorize.anyOf[0]: nobody can ever have this: of actors, no certificate has the scope "over""#,
                r#"rules[2].authorize.anyOf[1]: nobody can ever have this: of actors, no certificate has a claim but sub"#,
            ],
        ),
        // Said with whatever else is wrong.
        (
            &[
                ("/rules/0/authenticate/anyOf/0/jwt", r#""partner""#),
                ("/jwt/providers/0/algorithms/1", r#""RS256""#),
                ("/rateLimits/2/limits/0/window", r#""1500ms""#),
            ],
            &[
                "jwt.providers[0].algorithms[1]: no key of the set can satisfy RS256",
                "rateLimits[2].limits[0].window: a window must be a whole number of seconds",
            ],
        ),
        (
            &[
                ("/rules/0/authenticate/anyOf/0/jwt", r#""partner""#),
                ("/jwt/providers/0/algorithms/1", r#""RS256""#),
            ],
            &[
                "jwt.providers[0].algorithms[1]: no key of the set can satisfy RS256",
                r#"rules[0].authorize: nobody can ever have this: tokens of "partner" carry no roles, which give permissions: it has no claims.roles"#,
            ],
        ),
    ];
    assert_eq!(said(&good()), (Vec::new(), Vec::new()));
    for (changes, expected) in rows {
        assert_eq!(said(&with(changes)).0, *expected, "{changes:?}");
    }
}

#[test]
fn parts_that_nobody_can_use_and_that_nothing_uses_are_warnings() {
    let rows: &[Row] = &[
        (
            &[("/rules/0/authenticate/anyOf/1", r#"{"jwt": "partner"}"#)],
            &[
                r#"rules[0].authenticate.anyOf[1]: lets nobody pass: tokens of "partner" carry no roles, which give permissions: it has no claims.roles"#,
            ],
        ),
        (
            &[("/rules/1/authorize", r#"{"anyOf": [{"roles": ["admin"]}, {"scopes": ["s"]}]}"#)],
            &[
                r#"rules[1].authorize.anyOf[0]: nobody can ever have this: tokens of "partner" carry no roles: it has no claims.roles"#,
            ],
        ),
        (
            &[
                ("/rules/1/authenticate/anyOf/0/jwt", r#""corp""#),
                ("/rules/4/authenticate/anyOf", r#"["apiKey", {"jwt": "corp"}]"#),
            ],
            &[r#"jwt.providers[1]: no rule takes tokens of "partner""#],
        ),
        (
            &[("/rules/5", r#"{"name": "rest", "action": "Deny"}"#)],
            &[
                "rateLimits[0]: limits nothing: no rule names it",
                "rateLimits[1]: limits nothing: no rule names it",
            ],
        ),
        (
            &[("/rateLimits/0/limits/0/ownRequests", r#"{"max": 20}"#)],
            &[
                "rateLimits[0].limits[0].ownRequests: no API key has a number for this limit, and no claim is named",
            ],
        ),
        (&[("/rateLimits/0/limits/0/ownRequests", r#"{"max": 20, "claim": "quota"}"#)], &[]),
        (
            &[
                ("/rateLimits/0/limits/0/ownRequests", r#"{"max": 20}"#),
                ("/rateLimits/0/tiers/0/limits/0/ownRequests", r#"{"max": 20}"#),
                ("/apiKeys/keys/0/ownRequests", r#"[{"limit": "few", "requests": 20}]"#),
            ],
            &[],
        ),
        (
            &[
                ("/rateLimits/0/limits/0/ownRequests", r#"{"max": 20}"#),
                ("/apiKeys/etcd", r#"{"uri": "http://etcd.example", "cluster": "etcd"}"#),
            ],
            &[],
        ),
        // It is taken as an actor's, and its key counts.
        (
            &[
                ("/rules/1/authenticate", r#"{"allOf": ["apiKey", {"jwt": "corp"}]}"#),
                ("/rules/4/authenticate", r#"{"anyOf": ["apiKey", {"jwt": "corp"}]}"#),
                ("/rules/5/authenticate", r#"{"allOf": ["apiKey", {"jwt": "corp"}]}"#),
                ("/jwt/providers/1/extractFrom", r#"{"headers": [{"name": "x-partner"}]}"#),
            ],
            &[r#"jwt.providers[1]: no rule takes tokens of "partner""#],
        ),
        (
            &[
                ("/rules/1/authenticate", r#"{"allOf": [{"jwt": "partner"}, {"jwt": "corp"}]}"#),
                ("/rules/4/authenticate", r#"{"anyOf": ["apiKey", {"jwt": "corp"}]}"#),
                ("/rules/5/authenticate", r#"{"allOf": ["apiKey", {"jwt": "corp"}]}"#),
                ("/jwt/providers/1/extractFrom", r#"{"headers": [{"name": "x-partner"}]}"#),
            ],
            &[],
        ),
        (
            &[
                ("/rules/1/authenticate", r#"{"allOf": ["apiKey", {"jwt": "corp"}]}"#),
                ("/rules/1/authorize", r#"{"anyOf": [{"actor": {"roles": ["admin"]}}, {"scopes": ["s"]}]}"#),
            ],
            &[
                r#"rules[1].authorize.anyOf[0]: nobody can ever have this: of actors, no API key has the role "admin""#,
            ],
        ),
        (
            &[("/rules/5/authenticate/anyOf", r#"[{"jwt": "corp"}]"#)],
            &[
                "rules[5].rateLimits[1]: counts by apiKey, which no request of the rule has: they all share one count",
            ],
        ),
        (
            &[("/apiKeys/keys/0/tier", "null"), ("/apiKeys/levels/Admin", r#"{"permissions": ["*"]}"#)],
            &[
                "apiKeys.levels.Admin: no key has this level",
                r#"rateLimits[0].tiers[0]: nobody has the tier "gold", and no provider has claims.tier"#,
            ],
        ),
        (&[("/apiKeys/keys/0/tier", "null"), ("/jwt/providers/1/claims", r#"{"tier": "plan"}"#)], &[]),
        (
            &[("/roles/2", r#"{"name": "idle", "permissions": ["invoices:read"]}"#)],
            &["roles[2]: gives nothing that a rule asks for"],
        ),
        // Upstreams hear of it.
        (
            &[
                ("/roles/2", r#"{"name": "idle", "permissions": ["invoices:read"]}"#),
                ("/apiKeys/keys/0/roles", r#"["idle"]"#),
            ],
            &[],
        ),
        (
            &[
                ("/rules/3/authenticate/anyOf", r#"["apiKey"]"#),
                ("/rules/3/authorize", r#"{"scopes": ["s"]}"#),
            ],
            &["clientCertificates.principals: no rule takes clientCertificate"],
        ),
        // Those who sign requests hold what the policy says.
        (
            &[
                ("/messageSignatures", SIGNERS),
                ("/rules/1/authenticate/anyOf/1", r#"{"messageSignature": "bank"}"#),
                (
                    "/rateLimits/0/tiers/1",
                    r#"{"name": "bank", "limits": [{"requests": 5, "unit": "Minute"}]}"#,
                ),
                ("/roles/2", r#"{"name": "idle", "permissions": ["invoices:read"]}"#),
            ],
            &[],
        ),
        (
            &[("/messageSignatures", SIGNERS), ("/roles/2", r#"{"name": "idle"}"#)],
            &[r#"messageSignatures.signers[0]: no rule takes signatures of "bank""#],
        ),
        (
            &[
                ("/messageSignatures", SIGNERS),
                ("/roles/2", r#"{"name": "idle"}"#),
                ("/rules/1/authenticate/anyOf/1", r#"{"messageSignature": "bank"}"#),
                ("/rules/1/authorize", r#"{"anyOf": [{"scopes": ["s"]}, {"scopes": ["over"]}]}"#),
                ("/rules/5/authenticate/anyOf/0", r#"{"messageSignature": "bank"}"#),
                ("/rules/5/authorize", r#"{"permissions": ["orders:read"]}"#),
                ("/rules/5/rateLimits", r#"["few"]"#),
            ],
            &[
                "rateLimits[1]: limits nothing: no rule names it",
                r#"rules[5].authenticate.anyOf[0]: lets nobody pass: the signer "bank" has not the permission "orders:read""#,
            ],
        ),
    ];
    for (changes, expected) in rows {
        let (faults, warnings) = said(&with(changes));
        assert_eq!(
            (&faults[..], &warnings[..]),
            (&[][..], &expected.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()[..]),
            "{changes:?}"
        );
    }
}

/// Each of 1,000 rules asks for another scope, and each of 10,000 keys has another: slow only if all are held against
/// all.
#[test]
fn keys_that_sign_nothing_and_sessions_that_open_nothing() {
    let jwk = portcullis::crypto::new_private_jwk(portcullis::crypto::Algorithm::Es256);
    let signed = json!({"issuer": "https://api.example", "audience": "upstreams"});
    let sessions = json!({"issuer": "https://api.example", "audiences": ["api"]});
    let unsigned =
        "signingKeys: nothing is signed with them: there are neither sessions nor identityHeaders.signed";
    let unopened = "sessions: no rule takes tokens of \"sessions\"";
    for (sections, expected) in [
        (json!({}), vec![unsigned]),
        (json!({"identityHeaders": {"signed": signed}}), vec![]),
        (json!({"sessions": sessions}), vec![unopened]),
    ] {
        let mut document = good();
        document["signingKeys"] = json!({"keys": [jwk]});
        document.as_object_mut().expect("an object").extend(sections.as_object().expect("an object").clone());
        assert_eq!(
            said(&document),
            (vec![], expected.into_iter().map(str::to_owned).collect()),
            "{sections}"
        );
    }
}

#[test]
fn looking_ends() {
    let mut document = good();
    document["apiKeys"]["keys"] = (0..10_000)
        .map(|n| json!({"id": format!("key-{n}"), "hash": format!("sha256:{n:064x}"), "level": "Read", "scopes": [format!("s{n}")]}))
        .collect();
    document["rules"] = (0..1000)
        .map(|n| {
            json!({"name": format!("rule-{n}"), "matches": [{"path": {"type": "Exact", "value": format!("/r{n}")}}],
                "authenticate": {"anyOf": ["apiKey"]}, "authorize": {"scopes": [format!("s{}", n + 9500)]}})
        })
        .collect();
    let started = std::time::Instant::now();
    // Some rules ask for what nobody has; which of them were looked at is not said.
    let (faults, _) = said(&document);
    eprintln!("{} faults in {:?}", faults.len(), started.elapsed());
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}

/// What the reference shows is as it should be.
#[test]
fn nothing_is_odd_about_the_example_of_the_reference() {
    let reference = include_str!("../docs/policy.md");
    let example = reference.split("## A full example").nth(1).and_then(|rest| rest.split("```json\n").nth(1));
    let example = example.and_then(|rest| rest.split("```").next());
    let example: Value = serde_json::from_str(example.expect("an example")).expect("JSON");
    assert_eq!(said(&example), (Vec::new(), Vec::new()));
}

/// A rule: type and value of its path, with `i` in front where its case does not count, and who may pass.
type CasedRule = (&'static str, &'static str, &'static str);

fn cased(index: usize, (kind, path, who): &CasedRule) -> Value {
    let (ignores_case, kind) = kind.strip_prefix('i').map_or((false, *kind), |kind| (true, kind));
    let mut path = json!({"type": kind, "value": path});
    if ignores_case {
        path["caseSensitive"] = json!(false);
    }
    let mut rule = json!({"name": format!("r{index}"), "matches": [{"path": path}]});
    let more = match *who {
        "nobody" => json!({"action": "Deny"}),
        "keys" => json!({"authenticate": {"anyOf": ["apiKey"]}}),
        "office" => {
            json!({"authenticate": {"anonymous": true}, "authorize": {"remoteAddress": ["10.0.0.0/8"]}})
        }
        "optional" => json!({"authenticate": {"optional": true, "anyOf": ["apiKey"]}}),
        "passThrough" => json!({"authenticate": {"passThrough": true}}),
        _ => json!({"authenticate": {"anonymous": true}}),
    };
    rule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    rule
}

#[test]
fn what_another_case_of_a_path_opens_is_told() {
    let told = |at: usize, by: &str, path: &str, of: &str, more: &str| {
        format!(
            "rules[{at}].matches: rule \"{by}\" takes \"{path}\", which an upstream that ignores case reads as a path of \
             \"{of}\": say caseSensitive: false here{more}"
        )
    };
    let rows: Vec<(&[CasedRule], Vec<String>)> = vec![
        (
            &[("PathPrefix", "/admin", "keys"), ("PathPrefix", "/", "anyone")],
            vec![told(0, "r1", "/ADMIN", "r0", "")],
        ),
        (
            &[("PathPrefix", "/ADMIN", "keys"), ("PathPrefix", "/", "anyone")],
            vec![told(0, "r1", "/admin", "r0", "")],
        ),
        (
            &[("PathPrefix", "/admin", "keys"), ("PathPrefix", "/", "passThrough")],
            vec![told(0, "r1", "/ADMIN", "r0", "")],
        ),
        (
            &[("PathPrefix", "/admin", "keys"), ("PathPrefix", "/", "optional")],
            vec![told(0, "r1", "/ADMIN", "r0", "")],
        ),
        (
            &[("Exact", "/a/b", "keys"), ("PathTemplate", "/A/{x}", "anyone")],
            vec![told(0, "r1", "/A/B", "r0", "")],
        ),
        (
            &[("PathTemplate", "/a/{x}/b", "keys"), ("PathPrefix", "/A", "anyone")],
            vec![told(0, "r1", "/A/{x}/B", "r0", "")],
        ),
        // Below it, though not the path itself.
        (
            &[("PathPrefix", "/a", "keys"), ("PathTemplate", "/{x}/{y=**}", "anyone")],
            vec![told(0, "r1", "/A/{rest=**}", "r0", "")],
        ),
        // Whoever may pass is more than nobody.
        (
            &[("PathPrefix", "/internal", "nobody"), ("PathPrefix", "/", "keys")],
            vec![told(0, "r1", "/INTERNAL", "r0", "")],
        ),
        (
            &[("PathPrefix", "/internal", "nobody"), ("PathPrefix", "/", "office")],
            vec![told(0, "r1", "/INTERNAL", "r0", "")],
        ),
        (
            &[
                ("PathPrefix", "/internal", "nobody"),
                ("PathPrefix", "/a", "keys"),
                ("PathPrefix", "/b", "keys"),
                ("PathPrefix", "/", "anyone"),
            ],
            vec![told(0, "r3", "/INTERNAL", "r0", "; and 2 more rules likewise")],
        ),
        // Nothing is opened: who ignores case, who has no letters, what nobody takes, and what is as strict.
        (&[("iPathPrefix", "/admin", "keys"), ("PathPrefix", "/", "anyone")], vec![]),
        (&[("PathPrefix", "/7", "keys"), ("PathPrefix", "/", "anyone")], vec![]),
        (&[("PathPrefix", "/admin", "keys"), ("PathPrefix", "/open", "anyone")], vec![]),
        (
            &[("PathPrefix", "/admin", "keys"), ("Exact", "/open", "anyone"), ("PathPrefix", "/", "keys")],
            vec![],
        ),
        (&[("PathPrefix", "/admin", "keys"), ("PathPrefix", "/", "office")], vec![]),
        (&[("Exact", "/health", "anyone"), ("PathPrefix", "/", "keys")], vec![]),
        (
            &[
                ("PathPrefix", "/open", "anyone"),
                ("PathPrefix", "/admin", "keys"),
                ("PathPrefix", "/", "nobody"),
            ],
            vec![],
        ),
        // A rule in between takes it.
        (
            &[
                ("PathPrefix", "/admin", "keys"),
                ("PathPrefix", "/ADMIN", "nobody"),
                ("PathPrefix", "/", "anyone"),
            ],
            vec![],
        ),
        (&[("RegularExpression", "/admin/.*", "keys"), ("PathPrefix", "/", "anyone")], vec![]),
    ];
    for (rules, expected) in rows {
        let rules: Vec<_> = rules.iter().enumerate().map(|(index, rule)| cased(index, rule)).collect();
        let keys = json!({"keys": [{"id": "a", "hash": format!("sha256:{}", "1".repeat(64))}]});
        let (faults, warnings) = said(&json!({"apiKeys": keys, "rules": rules}));
        assert_eq!(faults, Vec::<String>::new(), "{rules:?}");
        let warnings: Vec<_> = warnings.into_iter().filter(|text| text.contains("ignores case")).collect();
        assert_eq!(warnings, expected, "{rules:?}");
    }
}

/// Methods and hosts count: what a rule takes of one host is nobody's of another.
#[test]
fn another_case_is_looked_for_where_the_rule_is() {
    for (first, second, is_told) in [
        (json!({"hostnames": ["a.example"]}), json!({"hostnames": ["a.example"]}), true),
        (json!({"hostnames": ["a.example"]}), json!({"hostnames": ["*.example"]}), true),
        (json!({"hostnames": ["a.example"]}), json!({"hostnames": ["b.example"]}), false),
        (json!({"methods": ["GET"]}), json!({"methods": ["GET", "PUT"]}), true),
        (json!({"methods": ["GET"]}), json!({"methods": ["PUT"]}), false),
        (json!({"methods": ["GET", "PUT"]}), json!({"methods": ["PUT"]}), true),
        (json!({}), json!({"headers": [{"name": "x", "value": "1"}]}), false),
        (json!({"headers": [{"name": "x", "value": "1"}]}), json!({}), true),
    ] {
        let rule = |index: usize, (kind, path, who): CasedRule, more: &Value| {
            let mut rule = cased(index, &(kind, path, who));
            for (name, value) in more.as_object().expect("an object") {
                let parent = if name == "hostnames" { &mut rule } else { &mut rule["matches"][0] };
                parent[name] = value.clone();
            }
            rule
        };
        let rules = [
            rule(0, ("PathPrefix", "/admin", "nobody"), &first),
            rule(1, ("PathPrefix", "/", "anyone"), &second),
        ];
        let (faults, warnings) = said(&json!({"rules": rules}));
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(warnings.iter().any(|text| text.contains("ignores case")), is_told, "{first} {second}");
    }
}
