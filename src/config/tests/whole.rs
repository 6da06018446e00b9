//! Whole documents: what they come to, large ones, and ones with many faults.

use std::time::Duration;

use serde_json::{Value, json};

use super::{base, decode, faults, with};
use crate::{
    api_key::Level,
    config::{AccessLogField, ActionSpec, IdentityField, Interlock, MethodSpec, RecordNames},
    crypto::Algorithm,
    identity::ClaimPath,
    jwt::{ClaimHeaderSpec, HeaderForm, KeySource},
    rate_limit::{KeyPart, WindowSpec},
    rbac::RequiredNames,
    request::Location,
    route::{PathSpec, ValueSpec},
    time::Timestamp,
};

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

#[test]
fn every_field_arrives() {
    let d = decode(base().to_string().as_bytes()).expect("good");
    assert_eq!(d.realm, "orders");
    assert!(d.transport.require_tls);
    assert_eq!(d.transport.redirect_to.as_deref(), Some("api.example.com:8443"));
    assert_eq!(d.transport.trusted_hops, 1);
    let hsts = d.transport.hsts.expect("given");
    assert_eq!(
        (hsts.max_age, hsts.include_sub_domains, hsts.preload),
        (Duration::from_secs(17520 * 3600), true, false)
    );

    let corp = &d.providers[0];
    assert_eq!((corp.jwt.name.as_str(), corp.jwt.issuer.as_str()), ("corp", "https://idp.example.com"));
    assert_eq!(corp.jwt.audiences, Some(strings(&["https://api.example.com/orders"])));
    assert_eq!(corp.jwt.algorithms, [Algorithm::Es256, Algorithm::Rs256]);
    assert!(
        matches!(&corp.jwt.keys, KeySource::Remote(r) if r.cluster == "idp" && r.timeout == Duration::from_secs(5))
    );
    assert_eq!(corp.jwt.types, ["at+jwt"]);
    assert_eq!((corp.jwt.clock_skew, corp.jwt.max_token_size), (Duration::from_secs(30), 4096));
    assert_eq!(corp.jwt.max_lifetime, Some(Duration::from_secs(12 * 3600)));
    assert_eq!(corp.jwt.role_claims[0].claim, ClaimPath(strings(&["realm_access", "roles"])));
    assert_eq!(corp.jwt.tier_claim, Some(ClaimPath::dotted("tier")));
    assert_eq!(
        corp.jwt.claim_to_headers,
        [ClaimHeaderSpec {
            claim: ClaimPath::dotted("sub"),
            header: "x-auth-subject".to_owned(),
            form: HeaderForm::Text,
        }]
    );
    assert_eq!(
        corp.jwt.locations,
        [
            Location::Header { name: "authorization".into(), prefix: "Bearer ".into() },
            Location::Cookie("token".into()),
            Location::Query("access_token".into()),
        ]
    );
    let partner = &d.providers[1];
    assert_eq!((&partner.jwt.audiences, partner.jwt.forward), (&None, false));
    assert!(matches!(&partner.jwt.keys, KeySource::Symmetric(k) if k[0].secret.starts_with(b"secret-")));

    let keys = d.api_keys.expect("given");
    assert_eq!((keys.prefix.as_deref(), keys.forward), (Some("pk_"), true));
    assert_eq!(keys.levels[0], (Level::Read, strings(&["orders:read"])));
    let key = keys.keys.iter().next().unwrap();
    assert_eq!(
        (key.id.as_str(), key.client.as_str(), key.level),
        ("reporting", "reports", Some(Level::Read))
    );
    assert_eq!(key.digest[..4], [0x01, 0x23, 0x45, 0x67]);
    assert_eq!(key.not_before, Some(Timestamp::from_secs(1_767_225_600)));
    assert_eq!(key.expires_at, Some(Timestamp::from_secs(1_798_754_400)));

    assert_eq!(d.roles[1].inherits, ["viewer"]);
    let address = &d.rate_limits[0];
    assert_eq!((address.before_authentication, address.ipv4_prefix, address.ipv6_prefix), (true, 24, 48));
    assert_eq!(
        address.windows,
        [WindowSpec { requests: 50, per: Duration::from_secs(1), burst: 100, own: None }]
    );
    let user = &d.rate_limits[1];
    assert_eq!(user.key, [KeyPart::Principal, KeyPart::Header("x-tenant".into())]);
    assert_eq!(
        user.windows[1],
        WindowSpec { requests: 10, per: Duration::from_secs(10), burst: 10, own: None }
    );
    assert_eq!(user.tiers[0].0, "gold");

    let rule = &d.rules[0];
    assert_eq!(rule.route.hostnames, ["api.example.com", "*.example.org"]);
    let first = &rule.route.matches[0];
    assert_eq!(first.path, Some(PathSpec::PathTemplate("/orders/{id}".into())));
    assert_eq!(first.headers, [("x-version".to_owned(), ValueSpec::Exact("2".into()))]);
    assert_eq!(first.query, [("debug".to_owned(), ValueSpec::Present)]);
    assert_eq!(rule.route.matches[1].methods, ["GET"]);
    let ActionSpec::Allow { authenticate, authorize: Some(authorize), .. } = &rule.action else {
        panic!("allowed")
    };
    assert_eq!(*authenticate, [MethodSpec::Jwt("corp".into()), MethodSpec::ApiKey]);
    assert_eq!(authorize.any_of[0].conditions.scopes, Some(RequiredNames::Any(strings(&["a", "b"]))));
    assert_eq!(
        authorize.any_of[0].conditions.permissions,
        Some(RequiredNames::All(strings(&["orders:read"])))
    );
    assert!(matches!(d.rules[2].action, ActionSpec::Deny));
    assert!(matches!(d.rules[3].action, ActionSpec::AllowAnyone { pass_through: false, authorize: None }));

    assert_eq!(d.identity_headers.subject, "x-user");
    assert_eq!(d.identity_headers.kind, "x-portcullis-kind");
    assert_eq!(d.identity_headers.send, [IdentityField::Subject, IdentityField::Rule]);
    assert_eq!(
        (d.request_headers.remove, d.request_headers.keep),
        (vec!["x-debug".into()], vec!["script_name".into()])
    );
    assert_eq!(d.access_log, [AccessLogField::Reason, AccessLogField::Rule]);
    assert_eq!((d.record_names, d.chain_records), (RecordNames::Ecs, true));
    assert!(d.log_allowed && d.count_by_rule && d.rate_limit_headers_always && d.interlock == Interlock::Off);
}

#[test]
fn the_least_document_has_the_defaults() {
    let d = decode(br#"{"rules": [{"name": "a", "action": "Deny"}]}"#).expect("good");
    assert_eq!(d.realm, "portcullis");
    assert!(d.transport.require_tls && d.transport.hsts.is_none() && d.transport.redirect_to.is_none());
    assert_eq!(d.transport.trusted_hops, 0);
    assert!(d.providers.is_empty() && d.api_keys.is_none() && d.roles.is_empty() && d.rate_limits.is_empty());
    assert!(d.rules[0].route.hostnames.is_empty() && d.rules[0].route.matches.is_empty());
    assert_eq!(d.identity_headers.send.len(), 6);
    assert_eq!(d.identity_headers.roles, "x-portcullis-roles");
    assert!(d.request_headers.remove.is_empty() && d.request_headers.keep.is_empty());
    assert!(
        d.access_log.is_empty()
            && !d.log_allowed
            && !d.log_all_denied
            && (d.record_names, d.chain_records) == (RecordNames::Portcullis, false)
            && !d.count_by_rule
            && !d.rate_limit_headers_always
            && d.interlock == Interlock::Named
    );
}

#[test]
fn the_defaults_of_a_provider() {
    let provider = json!({"name": "a", "issuer": "b", "anyAudience": true, "algorithms": ["ES256"],
        "jwks": {"uri": "https://a/b", "cluster": "c"}});
    let mut document = base();
    document["jwt"]["providers"][1] = provider;
    let d = decode(document.to_string().as_bytes()).expect("good");
    let p = &d.providers[1];
    assert_eq!(
        (p.jwt.clock_skew, p.jwt.max_token_size, p.jwt.max_lifetime),
        (Duration::from_secs(60), 8192, None)
    );
    assert_eq!(p.jwt.subject_claims, [ClaimPath::dotted("sub")]);
    assert_eq!(p.jwt.scope_claims, [ClaimPath::dotted("scope"), ClaimPath::dotted("scp")]);
    assert!(p.jwt.role_claims.is_empty() && p.jwt.tier_claim.is_none() && p.jwt.types.is_empty());
    assert_eq!(
        p.jwt.locations,
        [Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }]
    );
    let KeySource::Remote(r) = &p.jwt.keys else { panic!("remote") };
    let durations = [r.cache_duration, r.timeout, r.max_stale, r.min_refetch_interval, r.wait_timeout];
    assert_eq!(durations.map(|d| d.as_secs()), [600, 5, 3600, 30, 2]);

    document["jwt"]["providers"][1]["jwks"]["cacheDuration"] = json!("2h");
    let d = decode(document.to_string().as_bytes()).expect("good");
    assert!(
        matches!(&d.providers[1].jwt.keys, KeySource::Remote(r) if r.max_stale == Duration::from_secs(7200))
    );
}

/// All of them in one go, whatever section and kind they are of.
#[test]
fn many_faults_at_once() {
    let document = json!({
        "relm": "x",
        "jwt": {"providers": [{"name": "corp", "isuer": "x", "algorithms": ["none"], "jwks": {"inline": {"keys": []}}}]},
        "roles": [{"name": "a", "inherits": ["b"]}, {"name": "b", "inherits": ["a"]}],
        "rateLimits": [{"name": "per-user", "key": ["principal"], "limits": [{"requests": 0, "unit": "Minute"}]}],
        "rules": [
            {"name": "r", "authenticate": {"anyOf": [{"jwt": "crop"}, "apiKey"]},
             "authorize": {"roles": ["c"], "permissions": ["x:y"]}, "rateLimits": ["per-usr"]},
            {"name": "r"},
        ],
    });
    assert_eq!(
        faults(&document),
        [
            "roles[0].inherits: roles inherit in a circle: \"a\" -> \"b\" -> \"a\"",
            "jwt.providers[0].issuer: required",
            "jwt.providers[0].audiences: required; a token for another service must not open this one (anyAudience: true waives it)",
            "jwt.providers[0].algorithms[0]: none is never accepted: it means tokens without a signature",
            "jwt.providers[0].jwks.inline.keys: no keys; nothing could be verified",
            "jwt.providers[0].isuer: unknown field; did you mean \"issuer\"?",
            "rateLimits[0].limits[0].requests: must be a whole number from 1 to 4294967295, found 0",
            "rules[0].authenticate.anyOf[0].jwt: unknown provider \"crop\"; did you mean \"corp\"?",
            "rules[0].authenticate.anyOf[1]: the policy has no apiKeys section",
            "rules[0].authorize.permissions[0]: no role or level grants \"x:y\"",
            "rules[0].authorize.roles[0]: unknown role \"c\"; did you mean \"a\"?",
            "rules[0].rateLimits[0]: unknown limit \"per-usr\"; did you mean \"per-user\"?",
            "rules[1].name: duplicate rule \"r\"; rules[0] is the first",
            "rules[1].authenticate: required; name who may pass, as in {anyOf: [apiKey]}, or write {anonymous: true} to let anyone pass",
            "relm: unknown field; did you mean \"realm\"?",
        ]
    );
}

/// A definition whose name cannot be read may be the one that is referred to.
#[test]
fn an_unreadable_definition_does_not_make_its_references_faults() {
    for (pointer, fault) in [
        ("/roles/1/name", "roles[1].name: expected a string, found a number; put it in quotes"),
        ("/roles/1/permissions", "roles[1].permissions: expected a list, found a number"),
        ("/roles/1", "roles[1]: expected an object, found a number"),
        ("/roles", "roles: expected a list, found a number"),
        (
            "/jwt/providers/0/name",
            "jwt.providers[0].name: expected a string, found a number; put it in quotes",
        ),
        ("/rateLimits/1/name", "rateLimits[1].name: expected a string, found a number; put it in quotes"),
        ("/rateLimits", "rateLimits: expected a list, found a number"),
        ("/jwt", "jwt: expected an object, found a number"),
        ("/jwt/providers", "jwt.providers: expected a list, found a number"),
        ("/apiKeys", "apiKeys: expected an object, found a number"),
        ("/apiKeys/levels", "apiKeys.levels: expected an object, found a number"),
        ("/apiKeys/levels/Read", "apiKeys.levels.Read: expected an object, found a number"),
    ] {
        assert_eq!(faults(&with(pointer, "7")), [fault], "{pointer}");
    }
}

/// No message shows what may be a secret in the wrong place.
#[test]
fn secrets_are_never_shown() {
    const SECRET: &str = "hunter2-hunter2";
    for pointer in [
        "/apiKeys/keys/0/hash",
        "/jwt/providers/1/symmetricKeys/0/secret",
        "/jwt/providers/1/symmetricKeys",
        "/jwt/providers/0/jwks/inline",
        "/apiKeys/keys/0",
        "/apiKeys/keys",
    ] {
        for text in [format!("\"{SECRET}=\""), format!("\"sha256:{SECRET}\""), format!("[\"{SECRET}\"]")] {
            let lines = faults(&with(pointer, &text)).join("\n");
            assert!(!lines.is_empty() && !lines.contains("hunter"), "{pointer}: {lines}");
        }
    }
    let d = decode(base().to_string().as_bytes()).expect("good");
    assert!(!format!("{d:?}").contains("secret-"));
}

/// 100,000 keys and 10,000 rules; slow only if something is quadratic.
#[test]
fn large_documents() {
    let mut document = base();
    document["apiKeys"]["keys"] = (0..100_000)
        .map(|n| {
            json!({"id": format!("key-{n}"), "hash": format!("sha256:{n:064x}"), "level": "Read",
                "roles": ["viewer"], "scopes": ["a", "b"], "expiresAt": "2027-01-01T00:00:00Z"})
        })
        .collect();
    document["rules"] = (0..10_000)
        .map(|n| {
            json!({"name": format!("rule-{n}"),
                "matches": [{"path": {"type": "PathTemplate", "value": format!("/r{n}/{{id}}")}, "methods": ["GET"]}],
                "authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]},
                "authorize": {"permissions": ["orders:read"]}, "rateLimits": ["per-user"]})
        })
        .collect();
    let text = document.to_string();
    let started = std::time::Instant::now();
    let d = decode(text.as_bytes()).expect("good");
    eprintln!("{} bytes decoded in {:?}", text.len(), started.elapsed());
    assert_eq!((d.api_keys.expect("given").keys.len(), d.rules.len()), (100_000, 10_000));

    // Every reference misspelt: suggestions end, faults do not.
    document["roles"] = (0..10_000).map(|n| json!({"name": format!("role-number-{n}")})).collect();
    for key in document["apiKeys"]["keys"].as_array_mut().expect("a list") {
        key["roles"] = json!(["role-nubmer-1"]);
    }
    let started = std::time::Instant::now();
    let lines = faults(&document);
    eprintln!("{} faults found in {:?}", lines.len(), started.elapsed());
    assert_eq!(
        lines[0],
        "apiKeys.keys[0].roles[0]: unknown role \"role-nubmer-1\"; did you mean \"role-number-1\"?"
    );
    assert_eq!(lines[9_999], "apiKeys.keys[9999].roles[0]: unknown role \"role-nubmer-1\"");
    assert!(lines.last().is_some_and(|l| l.starts_with("and ") && l.ends_with(" more faults")));
}

/// The sketch of the design, in the fields that exist.
#[test]
fn the_sketch_decodes() {
    let document: Value = json!({
        "transport": {"requireTls": true, "hsts": {"maxAge": "17520h", "includeSubDomains": true}},
        "jwt": {"providers": [{
            "name": "corp",
            "issuer": "https://idp.example.com",
            "audiences": ["https://api.example.com/orders"],
            "algorithms": ["ES256", "RS256"],
            "jwks": {"uri": "https://idp.example.com/jwks", "cluster": "idp", "cacheDuration": "10m"},
            "claims": {"scopes": "scope", "roles": "realm_access.roles"},
            "claimToHeaders": [{"claim": "sub", "header": "x-auth-subject"}],
        }]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}]},
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "keys": [{"id": "reporting", "level": "Read", "scopes": ["orders:read"], "tier": "gold",
                "hash": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                "expiresAt": "2027-01-01T00:00:00Z"}],
        },
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
        ],
        "rateLimits": [
            {"name": "per-address", "key": ["remoteAddress"], "limits": [{"requests": 50, "unit": "Second", "burst": 100}],
                "before": "Authentication"},
            {"name": "reads", "key": ["principal"], "limits": [{"requests": 100, "unit": "Minute"}, {"requests": 5000, "unit": "Day"}]},
        ],
        "rules": [
            {"name": "read-orders",
                "matches": [{"path": {"type": "PathTemplate", "value": "/orders/{id}"}, "methods": ["GET", "HEAD"]}],
                "authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]},
                "authorize": {"permissions": ["orders:read"]},
                "rateLimits": ["reads"]},
            {"name": "refund",
                "matches": [{"path": {"type": "Exact", "value": "/refunds"}, "methods": ["POST"]}],
                "authenticate": {"anyOf": [{"jwt": "corp"}]},
                "authorize": {"roles": ["editor"]}},
        ],
        "defaultAction": "Deny",
    });
    assert_eq!(faults(&document), [""; 0]);
}

/// What the reference shows is what is read.
#[test]
fn the_example_of_the_reference_decodes() {
    let reference = include_str!("../../../docs/policy.md");
    let example = reference.split("## A full example").nth(1).and_then(|rest| rest.split("```json\n").nth(1));
    let example = example.and_then(|rest| rest.split("```").next());
    let d = decode(example.expect("an example").as_bytes()).expect("good");
    assert_eq!((d.rules.len(), d.rate_limits.len(), d.providers.len()), (7, 3, 1));
}
