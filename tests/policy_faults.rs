//! Every fault of a policy at once: whole documents and all that is said of them, in order.

#![expect(clippy::expect_used, clippy::panic, reason = "test code may panic")]

use portcullis::policy::Policy;
use serde_json::{Value, json};

/// RFC 7517 appendix A.1.
fn p256() -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": "k",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

/// A policy without faults, which each row spoils.
fn good() -> Value {
    json!({
        "jwt": {"providers": [{
            "name": "corp",
            "issuer": "https://idp.example",
            "audiences": ["api"],
            "algorithms": ["ES256"],
            "jwks": {"inline": {"keys": [p256()]}},
            "claims": {"roles": "roles"},
        }]},
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "keys": [{"id": "reader", "hash": format!("sha256:{}", "0".repeat(64)), "level": "Read"}],
        },
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
        ],
        "rateLimits": [
            {"name": "per-user", "key": ["principal"], "limits": [{"requests": 10, "unit": "Minute"}]},
            {"name": "per-address", "key": ["remoteAddress"], "limits": [{"requests": 9, "window": "10s"}],
             "ipv4PrefixLength": 24, "before": "Authentication"},
        ],
        "rules": [
            {"name": "orders", "matches": [{"path": {"type": "PathTemplate", "value": "/orders/{id}"}}],
             "authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]},
             "authorize": {"roles": ["viewer"]}, "rateLimits": ["per-user"]},
            {"name": "profile", "matches": [{"path": {"type": "PathTemplate", "value": "/users/{user}"}}],
             "authenticate": {"anyOf": [{"jwt": "corp"}]},
             "authorize": {"anyOf": [{"owner": {"pathVariable": "user"}}, {"roles": ["editor"]}]}},
            {"name": "health", "matches": [{"path": {"type": "Exact", "value": "/health"}}],
             "authenticate": {"anonymous": true}},
        ],
    })
}

fn faults(document: &Value) -> Vec<String> {
    let compiled = Policy::compile(document.to_string().as_bytes(), "test");
    compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// [`good`] with what stands at each JSON pointer replaced; a pointer to the end of a list appends to it.
fn spoiled(changes: &[(&str, Value)]) -> Value {
    let mut document = good();
    for (pointer, value) in changes {
        let (parent, last) = pointer.rsplit_once('/').expect("a pointer begins with /");
        match document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} has no parent")) {
            Value::Object(members) => drop(members.insert(last.to_owned(), value.clone())),
            Value::Array(items) => match items.get_mut(last.parse::<usize>().expect("an index")) {
                Some(item) => *item = value.clone(),
                None => items.push(value.clone()),
            },
            _ => panic!("{pointer} leads through a scalar"),
        }
    }
    document
}

type Row = (&'static [(&'static str, &'static str)], &'static [&'static str]);

fn check(rows: &[Row]) {
    assert_eq!(faults(&good()), [""; 0]);
    for (changes, expected) in rows {
        let changes: Vec<_> = changes
            .iter()
            .map(|(at, json)| (*at, serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"))))
            .collect();
        assert_eq!(faults(&spoiled(&changes)), *expected, "{changes:?}");
    }
}

#[test]
fn each_kind_of_bad_policy_has_its_message() {
    check(&[
        (
            &[
                ("/requestHeaders", r#"{"remove": ["X-Token", "authorization", "x_other"]}"#),
                ("/jwt/providers/0/forward", "true"),
            ],
            &[
                r#"requestHeaders.remove[1]: contradicts forward: true of provider "corp", whose tokens stand there"#,
            ],
        ),
        // Empty lists that security hangs on.
        (&[("/rules", "[]")], &["rules: no rules; every request would be refused"]),
        (
            &[("/jwt/providers", "[]")],
            &[
                "jwt.providers: no providers; leave jwt out if no tokens are accepted",
                r#"rules[0].authenticate.anyOf[0].jwt: unknown provider "corp"; jwt.providers defines none"#,
                r#"rules[1].authenticate.anyOf[0].jwt: unknown provider "corp"; jwt.providers defines none"#,
            ],
        ),
        (
            &[("/jwt/providers/0/audiences", "[]"), ("/jwt/providers/0/algorithms", "[]")],
            &[
                "jwt.providers[0].audiences: no audiences; write anyAudience: true to accept tokens for any audience",
                "jwt.providers[0].algorithms: no algorithms; list those that the issuer signs with",
            ],
        ),
        (
            &[("/jwt/providers/0/jwks/inline/keys", "[]")],
            &["jwt.providers[0].jwks.inline.keys: no keys; nothing could be verified"],
        ),
        (
            &[("/rules/0/authenticate/anyOf", "[]")],
            &[
                "rules[0].authenticate.anyOf: no way to authenticate; write anonymous: true to let anyone pass",
            ],
        ),
        (
            &[
                ("/rules/0/authorize/roles", "[]"),
                ("/rules/1/authorize/anyOf", "[]"),
                ("/rules/2/matches", "[]"),
            ],
            &[
                "rules[0].authorize.roles: asks for nothing; leave the field out",
                "rules[1].authorize.anyOf: no alternatives; nobody would pass",
                "rules[2].matches: no matches; leave the field out to mean every request",
            ],
        ),
        (
            &[("/apiKeys/keys", "[]"), ("/roles", "[]"), ("/rateLimits", "[]")],
            &[
                "roles: no roles; leave the field out",
                "rateLimits: no limits; leave the field out",
                "apiKeys.keys: no keys; leave apiKeys out if none are accepted",
                r#"rules[0].authorize.roles[0]: unknown role "viewer"; roles defines none"#,
                r#"rules[0].rateLimits[0]: unknown limit "per-user"; rateLimits defines none"#,
                r#"rules[1].authorize.anyOf[1].roles[0]: unknown role "editor"; roles defines none"#,
            ],
        ),
        // Zero limits.
        (
            &[("/rateLimits/0/limits/0/requests", "0")],
            &["rateLimits[0].limits[0].requests: must be a whole number from 1 to 4294967295, found 0"],
        ),
        (
            &[("/rateLimits/0/limits/0/burst", "0"), ("/rateLimits/1/limits/0/window", r#""0s""#)],
            &[
                "rateLimits[0].limits[0].burst: must be a whole number from 1 to 4294967295, found 0",
                r#"rateLimits[1].limits[0].window: must be from 1s to 8760h, found "0s""#,
            ],
        ),
        (
            &[
                ("/rateLimits/0/limits", "[]"),
                ("/rateLimits/1/key", "[]"),
                ("/rateLimits/1/ipv4PrefixLength", "0"),
            ],
            &[
                "rateLimits[0].limits: no limits; a limit needs at least one window",
                "rateLimits[1].key: counts nothing apart; name what the limit is kept for, as in [remoteAddress]",
                "rateLimits[1].ipv4PrefixLength: must be a whole number from 1 to 32, found 0",
            ],
        ),
        // Unknown names.
        (
            &[
                ("/rules/0/authorize/roles/0", r#""viewr""#),
                ("/apiKeys/keys/0/roles", r#"["edtor"]"#),
                ("/roles/1/inherits/0", r#""view""#),
            ],
            &[
                r#"roles[1].inherits[0]: unknown role "view"; did you mean "viewer"?"#,
                r#"apiKeys.keys[0].roles[0]: unknown role "edtor"; did you mean "editor"?"#,
                r#"rules[0].authorize.roles[0]: unknown role "viewr"; did you mean "viewer"?"#,
            ],
        ),
        (
            &[("/rules/0/rateLimits/0", r#""per-usr""#)],
            &[r#"rules[0].rateLimits[0]: unknown limit "per-usr"; did you mean "per-user"?"#],
        ),
        (
            &[
                ("/rules/0/authenticate/anyOf/0/jwt", r#""crop""#),
                ("/rules/0/authorize", r#"{"permissions": ["orders:raed"]}"#),
            ],
            &[
                r#"rules[0].authenticate.anyOf[0].jwt: unknown provider "crop"; did you mean "corp"?"#,
                r#"rules[0].authorize.permissions[0]: no role or level grants "orders:raed"; did you mean "orders:read"?"#,
            ],
        ),
        // Circles and repeated names.
        (
            &[("/roles/0/inherits", r#"["editor"]"#)],
            &[r#"roles[0].inherits: roles inherit in a circle: "viewer" -> "editor" -> "viewer""#],
        ),
        (
            &[("/roles/0/inherits", r#"["viewer"]"#)],
            &[r#"roles[0].inherits: roles inherit in a circle: "viewer" -> "viewer""#],
        ),
        (
            &[
                ("/rules/1/name", r#""orders""#),
                ("/roles/1/name", r#""viewer""#),
                ("/roles/1/inherits", r#"["viewer"]"#),
                ("/rateLimits/1/name", r#""per-user""#),
            ],
            &[
                r#"roles[1].name: duplicate role "viewer"; roles[0] is the first"#,
                r#"rateLimits[1].name: duplicate limit "per-user"; rateLimits[0] is the first"#,
                r#"rules[1].name: duplicate rule "orders"; rules[0] is the first"#,
                r#"rules[1].authorize.anyOf[1].roles[0]: unknown role "editor""#,
            ],
        ),
        // Rules that no request reaches.
        (
            &[(
                "/rules/3",
                r#"{"name": "late", "matches": [{"path": {"type": "Exact", "value": "/health"}, "method": "GET"}], "action": "Deny"}"#,
            )],
            &[r#"rules[3]: unreachable: every request it matches is taken by rule "health""#],
        ),
        (
            &[
                ("/rules/3", r#"{"name": "rest", "authenticate": {"anonymous": true}}"#),
                ("/rules/4", r#"{"name": "late", "action": "Deny"}"#),
            ],
            &[r#"rules[4]: unreachable: every request it matches is taken by rule "rest""#],
        ),
        // Keys and algorithms that do not fit.
        (
            &[("/jwt/providers/0/algorithms/1", r#""RS256""#)],
            &["jwt.providers[0].algorithms[1]: no key of the set can satisfy RS256"],
        ),
        (
            &[("/jwt/providers/0/algorithms/1", r#""HS256""#)],
            &[
                "jwt.providers[0].algorithms[1]: HS256 needs symmetricKeys and is refused together with a public key set: the keys are no secret",
            ],
        ),
        (
            &[("/jwt/providers/0/symmetricKeys", r#"[{"secret": "c2VjcmV0"}]"#)],
            &[
                "jwt.providers[0].algorithms[0]: ES256 needs jwks; symmetricKeys serve HS256, HS384 and HS512",
                "jwt.providers[0].symmetricKeys: contradicts jwks; give one of them",
            ],
        ),
        (
            &[(
                "/jwt/providers/1",
                r#"{"name": "own", "issuer": "b", "anyAudience": true, "algorithms": ["HS256", "HS512"], "symmetricKeys": [{"kid": "a", "secret": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}]}"#,
            )],
            &["jwt.providers[1].algorithms[1]: no symmetric key long enough can satisfy HS512"],
        ),
        (
            &[(
                "/jwt/providers/1",
                r#"{"name": "own", "issuer": "b", "anyAudience": true, "algorithms": ["HS256"], "symmetricKeys": [{"kid": "a", "secret": "c2VjcmV0"}]}"#,
            )],
            &["jwt.providers[1].symmetricKeys[0].secret: shorter than 32 bytes (RFC 7518 section 3.2)"],
        ),
        (
            &[("/jwt/providers/0/algorithms/0", r#""none""#)],
            &["jwt.providers[0].algorithms[0]: none is never accepted: it means tokens without a signature"],
        ),
        // Where the features name what they judge.
        (
            &[("/rateLimits/1/limits/0/window", r#""1500ms""#)],
            &["rateLimits[1].limits[0].window: a window must be a whole number of seconds"],
        ),
        (
            &[("/rateLimits/1/limits/0", r#"{"requests": 1, "window": "8760h", "burst": 2}"#)],
            &["rateLimits[1].limits[0].burst: must be reached again within 366 days at this rate"],
        ),
        (
            &[
                (
                    "/rules/0/matches/0/queryParams",
                    r#"[{"name": "a", "type": "RegularExpression", "value": "("}]"#,
                ),
                (
                    "/rules/0/matches/0/headers",
                    r#"[{"name": "a", "type": "RegularExpression", "value": "("}]"#,
                ),
            ],
            &[
                "rules[0].matches[0].headers[0].value: bad regular expression: parentheses that do not pair",
                "rules[0].matches[0].queryParams[0].value: bad regular expression: parentheses that do not pair",
            ],
        ),
        (
            &[("/rules/0/matches/1", r#"{"path": {"type": "PathTemplate", "value": "/a/{id}/{id}"}}"#)],
            &["rules[0].matches[1].path.value: duplicate variable `id`"],
        ),
        (
            &[("/rules/0/authorize", r#"{"owner": {"pathVariable": "user"}}"#)],
            &[
                r#"rules[0].authorize.owner.pathVariable: not every match of the rule has a path template with the variable "user""#,
            ],
        ),
        (
            &[("/rules/1/authorize/anyOf/1", r#"{"owner": {"pathVariable": "id"}}"#)],
            &[
                r#"rules[1].authorize.anyOf[1].owner.pathVariable: not every match of the rule has a path template with the variable "id""#,
            ],
        ),
        (
            &[("/rules/1/matches/1", r#"{"path": {"type": "Exact", "value": "/me"}}"#)],
            &[
                r#"rules[1].authorize.anyOf[0].owner.pathVariable: not every match of the rule has a path template with the variable "user""#,
            ],
        ),
        (
            &[(
                "/jwt/providers/0/jwks",
                r#"{"uri": "https://idp.example/jwks", "cluster": "idp", "maxStale": "1s"}"#,
            )],
            &["jwt.providers[0].jwks.maxStale: shorter than jwks.cacheDuration"],
        ),
        (
            &[("/jwt/providers/0/jwks/inline/keys/0/crv", r#""P-257""#)],
            &["jwt.providers[0].jwks.inline.keys[0]: a `kty` or `crv` that no supported algorithm uses"],
        ),
    ]);
}

/// A token that is proven stands behind a scheme.
#[test]
fn proven_tokens_have_a_scheme() {
    let with = |place: Value| {
        let changes = [
            ("/jwt/providers/0/dpop", json!({"mode": "Required"})),
            ("/jwt/providers/0/extractFrom", json!({"headers": [place]})),
        ];
        faults(&spoiled(&changes))
    };
    assert_eq!(with(json!({"name": "x-token"})), [""; 0]);
    assert_eq!(with(json!({"name": "x-token", "valuePrefix": ""})), [""; 0]);
    assert_eq!(
        with(json!({"name": "Authorization", "valuePrefix": ""})),
        [
            "jwt.providers[0].dpop: proven tokens stand behind the scheme DPoP in authorization (RFC 9449 section 7.1), where \
          extractFrom takes those without a scheme; look for these in another place"
        ]
    );
}

/// A padded token has not the form by which tokens are told from keys.
#[test]
fn padded_tokens_and_keys_without_a_prefix_share_no_place() {
    let place = json!({"headers": [{"name": "x-amzn-oidc-data"}]});
    let with = |changes: &[(&str, Value)]| {
        let shared = [
            (
                "/jwt/providers/0/awsLoadBalancers",
                json!(["arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/a/b"]),
            ),
            ("/jwt/providers/0/extractFrom", place.clone()),
        ];
        faults(&spoiled(&shared.into_iter().chain(changes.iter().cloned()).collect::<Vec<_>>()))
    };
    let keys = || ("/apiKeys/extractFrom", place.clone());
    assert_eq!(with(&[]), [""; 0]);
    assert_eq!(with(&[keys(), ("/apiKeys/prefix", json!("pk_"))]), [""; 0]);
    assert_eq!(
        with(&[keys()]),
        [
            "rules[0].authenticate: \"corp\" has awsLoadBalancers and looks for tokens where API keys may stand; a padded token \
          is not told from a key. Give apiKeys.prefix, which all keys there begin with, or another place"
        ]
    );
}

/// A store of keys and who asks it.
#[test]
fn keys_in_etcd() {
    let uri = r#""uri": "http://etcd.example:2379", "cluster": "etcd""#;
    for (fields, expected) in [
        ("", &[][..]),
        (r#", "user": "gateway", "password": "p w""#, &[]),
        (r#", "user": "gateway""#, &["apiKeys.etcd.password: required with user"]),
        (r#", "password": "hunter2""#, &["apiKeys.etcd.user: required with password"]),
        (
            r#", "user": "", "password": """#,
            &["apiKeys.etcd.user: must not be empty", "apiKeys.etcd.password: must not be empty"],
        ),
        (
            r#", "user": "gateway", "password": ["hunter2"]"#,
            &["apiKeys.etcd.password: expected a string, found a list"],
        ),
        (r#", "prefix": "/keys""#, &["apiKeys.etcd.prefix: \"/keys\" must end with /"]),
        (
            r#", "pollInterval": "5s", "maxStale": "4s""#,
            &["apiKeys.etcd.maxStale: is shorter than pollInterval"],
        ),
    ] {
        let etcd = serde_json::from_str(&format!("{{{uri}{fields}}}")).expect("JSON");
        assert_eq!(faults(&spoiled(&[("/apiKeys/etcd", etcd)])), expected, "{fields}");
    }
}

/// A stream can end where a credential of its rule can.
#[test]
fn streams_end_with_credentials_that_do() {
    const NOTHING_ENDS: &str = "rules[3].endStreams: has no effect: of the credentials that the rule takes nobody says \
                                when they run out (no API key has expiresAt, and of certificates it is not known), and the \
                                policy revokes none";
    let with = |methods: Value, changes: &[(&str, Value)]| {
        let rule = json!({"name": "events", "endStreams": true, "authenticate": {"anyOf": methods}});
        let certificates = json!({"principals": [{"uri": "spiffe://td/a"}]});
        let own = [("/rules/3", rule), ("/clientCertificates", certificates)];
        faults(&spoiled(&own.into_iter().chain(changes.iter().cloned()).collect::<Vec<_>>()))
    };
    let expiring = ("/apiKeys/keys/0/expiresAt", json!("2030-01-01T00:00:00Z"));
    let revoking = ("/revocation", json!({"tokens": {"jti": ["t"]}}));
    for (methods, changes, ends) in [
        (json!([{"jwt": "corp"}]), &[][..], true),
        (json!(["apiKey"]), &[][..], false),
        (json!(["apiKey"]), &[expiring.clone()][..], true),
        (json!(["apiKey"]), &[revoking.clone()][..], true),
        (
            json!(["apiKey"]),
            &[("/apiKeys/etcd", json!({"uri": "http://etcd.example", "cluster": "etcd"}))][..],
            true,
        ),
        (json!(["clientCertificate"]), &[expiring][..], false),
        (json!(["clientCertificate"]), &[revoking][..], true),
        (json!(["clientCertificate", "apiKey"]), &[][..], false),
        (json!(["clientCertificate", {"jwt": "corp"}]), &[][..], true),
    ] {
        let expected: &[&str] = if ends { &[] } else { &[NOTHING_ENDS] };
        assert_eq!(with(methods.clone(), changes), expected, "{methods} {changes:?}");
    }
}

#[test]
fn faults_of_every_kind_are_told_at_once() {
    check(&[
        // Form, names and meaning in one go, each in parts of their own.
        (
            &[
                ("/realm", r#""\"""#),
                ("/jwt/providers/0/algorithms/1", r#""RS256""#),
                ("/rateLimits/1/limits/0/window", r#""1500ms""#),
                ("/rules/1/authorize/anyOf/0/owner/pathVariable", r#""usr""#),
                ("/rules/2/matches/0/path", r#"{"type": "RegularExpression", "value": "("}"#),
            ],
            &[
                r#"realm: must be at most 128 characters of printable ASCII without " and \"#,
                "jwt.providers[0].algorithms[1]: no key of the set can satisfy RS256",
                "rateLimits[1].limits[0].window: a window must be a whole number of seconds",
                "rules[2].matches[0].path.value: bad regular expression: parentheses that do not pair",
                r#"rules[1].authorize.anyOf[0].owner.pathVariable: not every match of the rule has a path template with the variable "usr""#,
            ],
        ),
        (
            &[
                ("/jwt/providers/1", r#"{"name": "corp", "issuer": "b", "algorithms": ["RS256"]}"#),
                (
                    "/jwt/providers/2",
                    r#"{"name": "own", "issuer": "c", "anyAudience": true, "algorithms": ["HS256"], "symmetricKeys": [{"secret": "c2VjcmV0"}]}"#,
                ),
                ("/rules/0/rateLimits/0", r#""per-usr""#),
                (
                    "/rules/3",
                    r#"{"name": "late", "matches": [{"path": {"type": "PathPrefix", "value": "/health"}, "methods": ["GET"]}, {"path": {"type": "Exact", "value": "/health"}}], "action": "Deny"}"#,
                ),
                (
                    "/rules/4",
                    r#"{"name": "later", "matches": [{"path": {"type": "Exact", "value": "/health"}}], "action": "Deny"}"#,
                ),
            ],
            &[
                r#"jwt.providers[1].name: duplicate provider "corp"; jwt.providers[0] is the first"#,
                "jwt.providers[1].audiences: required; a token for another service must not open this one (anyAudience: true waives it)",
                "jwt.providers[1].jwks: required (or discovery, or symmetricKeys, or introspection): without keys nothing can be verified",
                r#"rules[0].rateLimits[0]: unknown limit "per-usr"; did you mean "per-user"?"#,
                "jwt.providers[2].symmetricKeys[0].secret: shorter than 32 bytes (RFC 7518 section 3.2)",
                r#"rules[4]: unreachable: every request it matches is taken by rule "health""#,
            ],
        ),
        // A part with a fault is not judged further: read without its conditions it would take every request.
        (
            &[
                ("/rules/0/matches/0/path/typ", r#""Exact""#),
                ("/rules/2/matches/0/path", r#"{"type": "RegularExpression", "value": "("}"#),
            ],
            &[
                r#"rules[0].matches[0].path.typ: unknown field; did you mean "type"?"#,
                "rules[2].matches[0].path.value: bad regular expression: parentheses that do not pair",
            ],
        ),
        (
            &[(
                "/jwt/providers/0/jwks",
                r#"{"uri": "https://a/b", "cluster": "idp", "cacheDuration": "1x", "maxStale": "1s"}"#,
            )],
            &[
                r#"jwt.providers[0].jwks.cacheDuration: expected a duration such as "500ms", "30s" or "1h30m", found "1x""#,
            ],
        ),
        // Faults of meaning alone.
        (
            &[
                ("/jwt/providers/0/algorithms/1", r#""RS256""#),
                ("/rateLimits/1/limits/0/window", r#""1500ms""#),
                ("/rules/1/authorize/anyOf/0/owner/pathVariable", r#""usr""#),
                ("/rules/2/matches/0/path", r#"{"type": "RegularExpression", "value": "("}"#),
            ],
            &[
                "jwt.providers[0].algorithms[1]: no key of the set can satisfy RS256",
                "rateLimits[1].limits[0].window: a window must be a whole number of seconds",
                r#"rules[1].authorize.anyOf[0].owner.pathVariable: not every match of the rule has a path template with the variable "usr""#,
                "rules[2].matches[0].path.value: bad regular expression: parentheses that do not pair",
            ],
        ),
    ]);
}

/// What conditions on claims cost a new token is bounded.
#[test]
fn conditions_that_fit_and_one_value_too_many() {
    let asking = |values: usize| {
        let mut policy = good();
        let conditions: Vec<Value> = (0..4)
            .map(|n| {
                let from = n * values / 4;
                let values: Vec<usize> = (from..(n + 1) * values / 4).collect();
                json!({"claim": format!("claim-{n}"), "containsAny": values})
            })
            .collect();
        policy["rules"] = json!([
            {"name": "all", "authenticate": {"anyOf": [{"jwt": "corp"}]}, "authorize": {"claims": conditions}},
        ]);
        let faults = Policy::compile(policy.to_string().as_bytes(), "test").err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(asking(1024), [""; 0]);
    assert_eq!(asking(1028), ["rules: ask 1028 different values of claims; at most 1024 are allowed"]);
}

/// A limit counts by a variable that every match of the rule has.
#[test]
fn limits_count_by_variables_that_are_there() {
    let counting = |variable: &str| {
        let mut policy = good();
        policy["rateLimits"][0]["key"] = json!([{"pathVariable": variable}]);
        policy["rules"] = json!([
            {"name": "orders", "matches": [{"path": {"type": "PathTemplate", "value": "/orders/{id}"}}],
             "authenticate": {"anonymous": true}, "rateLimits": ["per-user"]},
        ]);
        let faults = Policy::compile(policy.to_string().as_bytes(), "test").err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(counting("id"), [""; 0]);
    let expected = "rules[0].rateLimits[0]: counts by the path variable \"order\", which not every match of the rule has";
    assert_eq!(counting("order"), [expected]);
}

/// Of two credentials that are both needed, a request can have each in its place, and it is known whose each claim is.
#[test]
fn both_credentials_can_be_there_at_once() {
    let header = |name: &str, prefix: &str| {
        let place = match prefix {
            "" => json!({"name": name}),
            prefix => json!({"name": name, "valuePrefix": prefix}),
        };
        json!({"extractFrom": {"headers": [place]}})
    };
    let with = |mut members: Value, more: Value| {
        members.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        members
    };
    let cookie = |name: &str| json!({"extractFrom": {"cookies": [name]}});
    let param = |name: &str| json!({"extractFrom": {"params": [name]}});
    let elsewhere = || header("x-partner", "");
    let claim =
        |header: &str| with(elsewhere(), json!({"claimToHeaders": [{"claim": "a", "header": header}]}));
    let dpop = || json!({"dpop": {"mode": "Required"}});
    let plain = || json!({});
    let said = |way: Value, corp: Value, partner: Value, keys: Value| {
        let mut policy = good();
        let mut other = policy["jwt"]["providers"][0].clone();
        other["name"] = json!("partner");
        other["issuer"] = json!("https://partner.example");
        policy["jwt"]["providers"] =
            json!([with(policy["jwt"]["providers"][0].clone(), corp), with(other, partner)]);
        policy["apiKeys"] = with(policy["apiKeys"].clone(), keys);
        policy["rules"] = json!([
            {"name": "each", "matches": [{"path": {"type": "Exact", "value": "/each"}}],
             "authenticate": {"anyOf": [{"jwt": "corp"}]}},
            {"name": "both", "authenticate": {"allOf": [way, {"jwt": "corp"}]}},
        ]);
        faults(&policy)
    };
    let (key, partner) = (|| json!("apiKey"), || json!({"jwt": "partner"}));
    let place = |place: &str| {
        format!(
            "rules[1].authenticate.allOf: both are looked for in {place}, where only one can stand; give one another place"
        )
    };
    for (way, corp, other, keys, expected) in [
        (key(), plain(), plain(), plain(), None),
        (key(), plain(), plain(), header("authorization", "Bearer "), Some(place("the header \"authorization\""))),
        // What is read as two by us is one to others, and one line is all that a client can send of it.
        (key(), plain(), plain(), header("authorization", "Key "), Some(place("the header \"authorization\""))),
        (key(), header("x_api_key", ""), plain(), plain(), Some(place("the header \"x-api-key\""))),
        (key(), cookie("k"), plain(), cookie("k"), Some(place("the cookie \"k\""))),
        (key(), cookie("k"), plain(), param("k"), None),
        (key(), param("a_b"), plain(), param("a.b"), Some(place("the query parameter \"a.b\""))),
        (key(), param("a"), plain(), param("b"), None),
        (partner(), plain(), elsewhere(), plain(), None),
        (partner(), plain(), plain(), plain(), Some(place("the header \"authorization\""))),
        (
            partner(),
            header("sec-websocket-protocol", "bearer, "),
            header("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io."),
            plain(),
            Some(place("the header \"sec-websocket-protocol\"")),
        ),
        (
            partner(),
            json!({"claimToHeaders": [{"claim": "b", "header": "x-b"}]}),
            claim("x-a"),
            plain(),
            None,
        ),
        (
            partner(),
            json!({"claimToHeaders": [{"claim": "b", "header": "x-a"}]}),
            claim("X-A"),
            plain(),
            Some(
                "rules[1].authenticate.allOf: \"partner\" and \"corp\" both set the header \"x-a\", and the upstream \
                 could not tell whose claim it is"
                    .to_owned(),
            ),
        ),
        // A token that is bound to a key stands behind the scheme DPoP.
        (key(), dpop(), plain(), plain(), None),
        (partner(), dpop(), elsewhere(), plain(), None),
        (partner(), dpop(), with(elsewhere(), dpop()), plain(), Some(place("the header \"authorization\""))),
    ] {
        let expected: Vec<String> = expected.into_iter().collect();
        assert_eq!(said(way, corp.clone(), other.clone(), keys.clone()), expected, "{corp} {other} {keys}");
    }
}

/// What an actor owns is a variable of the path, too.
#[test]
fn an_actor_owns_what_the_path_has() {
    let owning = |variable: &str| {
        let mut policy = good();
        policy["rules"][1]["authenticate"] = json!({"allOf": ["apiKey", {"jwt": "corp"}]});
        policy["rules"][1]["authorize"] =
            json!({"anyOf": [{"actor": {"owner": {"pathVariable": variable}}}, {"roles": ["editor"]}]});
        faults(&policy)
    };
    assert_eq!(owning("user"), [""; 0]);
    let expected = "rules[1].authorize.anyOf[0].actor.owner.pathVariable: not every match of the rule has a path template \
                    with the variable \"usr\"";
    assert_eq!(owning("usr"), [expected]);
}

/// What sections about the gateway's own tokens must be to the rest.
#[test]
fn tokens_of_our_own_are_told_from_each_other_and_from_others() {
    let jwk = portcullis::crypto::new_private_jwk(portcullis::crypto::Algorithm::Es256);
    let with = |sessions: Value, signed: Value| {
        let mut policy = good();
        policy["signingKeys"] = json!({"keys": [jwk]});
        policy["sessions"] = sessions;
        policy["identityHeaders"] = json!({"signed": signed});
        policy["rules"].as_array_mut().expect("a list").insert(
            0,
            json!({"name": "signed-in", "authenticate": {"anyOf": [{"jwt": "sessions"}]},
                "matches": [{"path": {"type": "Exact", "value": "/me"}}]}),
        );
        policy
    };
    let sessions = |issuer: &str| json!({"issuer": issuer, "audiences": ["users", "api"]});
    let own = "https://api.example";
    assert_eq!(faults(&with(sessions(own), json!({"audience": "upstreams"}))), [""; 0]);
    assert_eq!(
        faults(&with(sessions(own), json!({"audience": "api"}))),
        [
            "identityHeaders.signed.audience: is an audience of sessions, too: whoever looks at no typ would take a \
          session for a statement"
        ]
    );
    // A template takes the tokens of many.
    let mut tenants = with(sessions("https://idp.example/1111/v2"), json!({"audience": "upstreams"}));
    tenants["jwt"]["providers"][0]["issuer"] = "https://idp.example/{tenantid}/v2".into();
    tenants["jwt"]["providers"][0]["anyTenant"] = true.into();
    assert_eq!(
        faults(&tenants),
        [
            "sessions.issuer: a token may be of this provider and of \"corp\": their issuers have one in common"
        ]
    );
    tenants["sessions"]["issuer"] = own.into();
    assert_eq!(faults(&tenants), [""; 0]);
}

#[test]
fn rules_that_decide_beside_are_held_to_what_rules_are() {
    const NEXT: &str = r#"{"rules": [
        {"name": "a", "matches": [{"path": {"type": "Exact", "value": "/a"}}], "authenticate": {"anyOf": [{"jwt": "crop"}]},
         "authorize": {"owner": {"pathVariable": "user"}}},
        {"name": "a", "authenticate": {"anonymous": true}, "rateLimits": ["per-user"]},
        {"name": "orders", "authenticate": {"anonymous": true}, "shadow": {"action": "Deny"}}
    ]}"#;
    check(&[
        (
            &[("/rules/0/shadow", r#"{"authorize": {"roles": ["veiwer"]}}"#)],
            &["rules[0].shadow.authorize.roles[0]: unknown role \"veiwer\"; did you mean \"viewer\"?"],
        ),
        (
            &[("/rules/0/shadow", "{}")],
            &[
                "rules[0].shadow: says nothing; give one of action, authenticate, protectedResource, anyAudience, authorize, \
               rateLimits, transport",
            ],
        ),
        (&[("/rules/0/shadow", "7")], &["rules[0].shadow: expected an object, found a number"]),
        (
            &[("/rules/0/shadow", r#"{"name": "x", "action": "Deny", "rateLimits": ["per-user"]}"#)],
            &[
                "rules[0].shadow.rateLimits: contradicts action: Deny, which refuses every request that matches",
                "rules[0].shadow.name: unknown field; known here: action, authenticate, protectedResource, anyAudience, \
                 authorize, rateLimits, transport",
            ],
        ),
        // Not what the rule asks of callers, but what its shadow asks of nobody.
        (
            &[(
                "/rules/0/shadow",
                r#"{"authenticate": {"anonymous": true}, "transport": {"requireTls": true}}"#,
            )],
            &[],
        ),
        (
            &[(
                "/rules/0/shadow",
                r#"{"authenticate": {"anonymous": true}, "authorize": {"roles": ["viewer"]}}"#,
            )],
            &[
                "rules[0].shadow.authorize: asks for a principal, which not every request of the rule has; it may ask for \
               remoteAddress alone",
            ],
        ),
        // Places, owners and what nobody can have.
        (
            &[("/rules/1/shadow", r#"{"authorize": {"owner": {"pathVariable": "id"}}}"#)],
            &[
                "rules[1].shadow.authorize.owner.pathVariable: not every match of the rule has a path template with the \
               variable \"id\"",
            ],
        ),
        (
            &[(
                "/rules/2/shadow",
                r#"{"authenticate": {"anyOf": ["apiKey"]}, "authorize": {"roles": ["editor"]}}"#,
            )],
            &["rules[2].shadow.authorize: nobody can ever have this: no API key has the role \"editor\""],
        ),
        // What is wrong with the rule itself is told of the rule.
        (
            &[
                ("/rules/0/authorize", r#"{"roles": ["veiwer"]}"#),
                ("/rules/0/shadow", r#"{"rateLimits": ["per-user", "per-usr"]}"#),
            ],
            &[
                "rules[0].authorize.roles[0]: unknown role \"veiwer\"; did you mean \"viewer\"?",
                "rules[0].shadow.rateLimits[1]: unknown limit \"per-usr\"; did you mean \"per-user\"?",
            ],
        ),
        (
            &[
                ("/rules/1/authorize", r#"{"owner": {"pathVariable": "id"}}"#),
                ("/rules/1/shadow", r#"{"rateLimits": ["per-user"]}"#),
            ],
            &[
                "rules[1].authorize.owner.pathVariable: not every match of the rule has a path template with the variable \"id\"",
            ],
        ),
        (
            &[
                ("/rules/0/shadow", r#"{"action": "Deny"}"#),
                ("/shadow", r#"{"rules": [{"name": "all", "action": "Deny"}]}"#),
            ],
            &["shadow: contradicts rules[0].shadow; give the next list whole, or shadows of rules"],
        ),
        (&[("/shadow", "{}")], &["shadow.rules: required"]),
        (&[("/shadow", r#"{"rules": []}"#)], &["shadow.rules: no rules; leave the field out"]),
        (
            &[("/shadow", NEXT)],
            &[
                "shadow.rules[0].authenticate.anyOf[0].jwt: unknown provider \"crop\"; did you mean \"corp\"?",
                "shadow.rules[1].name: duplicate rule \"a\"; shadow.rules[0] is the first",
                "shadow.rules[1].rateLimits[0]: limit \"per-user\" counts per principal, which the requests of an anonymous \
                 rule do not have",
                "shadow.rules[2].shadow: unknown field; known here: name, hostnames, matches, encodedSlash, matrixParameters, action, \
                 authenticate, protectedResource, anyAudience, authorize, rateLimits, transport, corsPreflight, endStreams",
            ],
        ),
    ]);
}
