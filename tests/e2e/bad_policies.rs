//! A policy with a fault is refused whole, with its path: at start Envoy does not come up, and on a running Envoy the
//! last good policy goes on serving.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    envoy_config::Form,
    gateway::gateway,
    issuer::{ISSUER_KEYS, SECRET},
    policy::{anyone, api_key, api_key_entry, provider, rule, with_token_and},
    request::get,
    signing::base64url,
};

pub(crate) fn good() -> Value {
    let mut read = rule("read", "Exact", "/read", with_token_and(json!({"roles": ["viewer"]})));
    read["rateLimits"] = json!(["reads"]);
    json!({
        "transport": {"requireTls": true},
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": [api_key_entry("one", json!({})), api_key_entry("two", json!({}))]},
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
        ],
        "rateLimits": [{"name": "reads", "key": ["principal"], "limits": [{"requests": 100, "unit": "Hour"}]}],
        "rules": [read, rule("open", "PathPrefix", "/open", anyone())],
        "defaultAction": "Deny",
    })
}

/// What is wrong, the text of the policy, and what the log must say of it.
struct Bad {
    name: &'static str,
    policy: String,
    says: Vec<&'static str>,
}

/// The good policy with one member replaced, or added.
fn with(pointer: &str, value: Value) -> Value {
    let mut policy = good();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match policy.pointer_mut(parent).unwrap() {
        Value::Object(object) => _ = object.insert(name.to_owned(), value),
        Value::Array(array) if name == "-" => array.push(value),
        Value::Array(array) => array[name.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    policy
}

fn bad() -> Vec<Bad> {
    let row = |name, pointer: &str, value: Value, says: &[&'static str]| Bad {
        name,
        policy: with(pointer, value).to_string(),
        says: says.to_vec(),
    };
    let p256 = json!({"inline": {"keys": [ISSUER_KEYS.jwk(Algorithm::ES256)]}});
    let mut unsatisfiable = provider();
    unsatisfiable["jwks"] = p256.clone();
    let mut hmac = provider();
    hmac["algorithms"] = json!(["ES256", "HS256"]);
    hmac["jwks"] = p256;
    let mut short = provider();
    short["algorithms"] = json!(["RS256"]);
    let modulus = base64url(&[0xC3; 128]).unwrap();
    short["jwks"] = json!({"inline": {"keys": [{"kty": "RSA", "kid": "short", "n": modulus, "e": "AQAB"}]}});
    let mut twice = good();
    twice["transport"]["requireTLS"] = json!(true);
    twice["rules"][0]["rateLimits"] = json!(["raeds"]);
    let mut circle = good();
    circle["roles"][0]["inherits"] = json!(["editor"]);
    vec![
        row(
            "an unknown field",
            "/transport/requireTLS",
            json!(true),
            &["transport.requireTLS", "requireTls"],
        ),
        row(
            "an unknown field with nothing near",
            "/rules/0/stepUp",
            json!({}),
            &["rules[0].stepUp: unknown field; known here: name, hostnames, matches"],
        ),
        row(
            "an algorithm that is not supported",
            "/jwt/providers/0/algorithms",
            json!(["ES512"]),
            &["jwt.providers[0].algorithms[0]: ES512 is not supported; use ES256 or ES384"],
        ),
        row(
            "a part of a limit's key that there is not",
            "/rateLimits/0/key",
            json!([{"param": "sub"}]),
            &["rateLimits[0].key[0]: is no key part", "or {pathVariable: name}"],
        ),
        row(
            "a limit by a variable that the rule's path lacks",
            "/rateLimits/0/key",
            json!([{"pathVariable": "order"}]),
            &[
                "rules[0].rateLimits[0]: counts by the path variable \"order\", which not every match of the rule has",
            ],
        ),
        row(
            "what YAML makes of no",
            "/roles/0/name",
            json!(false),
            &["roles[0].name: expected a string, found a boolean", "put it in quotes"],
        ),
        row(
            "a rule that nobody can pass",
            "/jwt/providers/0/claims",
            json!({}),
            &["rules[0].authorize: nobody can ever have this", "it has no claims.roles"],
        ),
        row("an empty list of roles", "/rules/0/authorize/roles", json!([]), &["rules[0].authorize.roles"]),
        row(
            "an empty list of ways in",
            "/rules/0/authenticate",
            json!({"anyOf": []}),
            &["rules[0].authenticate.anyOf"],
        ),
        row(
            "an empty list of audiences",
            "/jwt/providers/0/audiences",
            json!([]),
            &["jwt.providers[0].audiences"],
        ),
        row(
            "an empty list of algorithms",
            "/jwt/providers/0/algorithms",
            json!([]),
            &["jwt.providers[0].algorithms"],
        ),
        row(
            "a limit of zero",
            "/rateLimits/0/limits/0/requests",
            json!(0),
            &["rateLimits[0].limits[0].requests"],
        ),
        row(
            "an unknown role",
            "/rules/0/authorize/roles",
            json!(["veiwer"]),
            &["rules[0].authorize.roles[0]", "viewer"],
        ),
        row(
            "an unknown inherited role",
            "/roles/1/inherits",
            json!(["viewr"]),
            &["roles[1].inherits[0]", "viewer"],
        ),
        row(
            "an unknown limit",
            "/rules/0/rateLimits",
            json!(["raeds"]),
            &["rules[0].rateLimits[0]", "reads"],
        ),
        row(
            "an unknown provider",
            "/rules/0/authenticate",
            json!({"anyOf": [{"jwt": "tset"}]}),
            &["rules[0].authenticate.anyOf[0]", "test"],
        ),
        Bad {
            name: "roles in a circle",
            policy: circle.to_string(),
            says: vec!["roles[", "inherits", "viewer", "editor"],
        },
        row("a duplicate rule", "/rules/1/name", json!("read"), &["rules[1].name"]),
        row("a duplicate role", "/roles/1/name", json!("viewer"), &["roles[1].name"]),
        row("a duplicate key id", "/apiKeys/keys/1/id", json!("one"), &["apiKeys.keys[1].id"]),
        row(
            "a rule that no request reaches",
            "/rules/-",
            rule("late", "Exact", "/open/late", anyone()),
            &["rules[2]", "open"],
        ),
        row(
            "an algorithm that no key can satisfy",
            "/jwt/providers/0",
            unsatisfiable,
            &["jwt.providers[0].algorithms"],
        ),
        row(
            "HS256 with a public key set",
            "/jwt/providers/0",
            hmac,
            &["jwt.providers[0].algorithms", "HS256"],
        ),
        row("an RSA key of 1024 bits", "/jwt/providers/0", short, &["jwt.providers[0].jwks", "2048"]),
        row("a default that allows", "/defaultAction", json!("Allow"), &["defaultAction"]),
        row(
            "an API key in place of its hash",
            "/apiKeys/keys/0/hash",
            json!(api_key("one")),
            &["apiKeys.keys[0].hash"],
        ),
        row("no rules", "/rules", json!([]), &["rules"]),
        Bad {
            name: "two faults",
            policy: twice.to_string(),
            says: vec!["transport.requireTLS", "rules[0].rateLimits[0]"],
        },
        Bad { name: "no JSON", policy: "{\"rules\": [".to_owned(), says: vec!["JSON"] },
        Bad { name: "no object", policy: "[]".to_owned(), says: vec![] },
        Bad { name: "nothing", policy: String::new(), says: vec![] },
        Bad { name: "brackets without end", policy: "[".repeat(200_000), says: vec![] },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_does_not_start_with_a_bad_policy() {
    let (status, log) = gateway(&good()).validate();
    assert!(status.success(), "{log}");
    let mut failures = Vec::new();
    for bad in bad() {
        let (status, log) = gateway(&good()).policy_text(&bad.policy).validate();
        if status.success() {
            failures.push(format!("{}: taken for good", bad.name));
        }
        failures.extend(
            bad.says
                .iter()
                .filter(|say| !log.contains(**say))
                .map(|say| format!("{}: no `{say}` in {log}", bad.name)),
        );
        if log.contains(&api_key("one")) {
            failures.push(format!("{}: the log shows a key", bad.name));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // Not only in the rehearsal.
    let log = gateway(&with("/defaultAction", json!("Allow"))).try_start().await.err();
    assert!(log.is_some_and(|log| log.contains("defaultAction")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_policy_written_as_yaml_is_refused_too() {
    let (status, log) = gateway(&good()).form(Form::Struct).validate();
    assert!(status.success(), "{log}");
    let fraction = with("/rateLimits/0/limits/0/requests", json!(1.5));
    for (policy, says) in [(fraction, "rateLimits[0].limits[0].requests"), (with("/rule", json!([])), "rule")]
    {
        let (status, log) = gateway(&policy).form(Form::Struct).validate();
        assert!(!status.success() && log.contains(says), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_running_envoy_the_last_good_policy_goes_on() {
    let mut gateway = gateway(&good()).watched().workers(2).start().await;
    let allowed = get("/open");
    assert_eq!(gateway.send(&allowed).await.status, 200);
    assert_eq!(gateway.send(&get("/read")).await.status, 401);
    let mut failures = Vec::new();
    for bad in bad() {
        let seen = gateway.log().len();
        if gateway.change_policy(&bad.policy).await {
            failures.push(format!("{}: taken for good", bad.name));
        }
        let log = gateway.log().split_off(seen);
        failures.extend(
            bad.says
                .iter()
                .filter(|say| !log.contains(**say))
                .map(|say| format!("{}: no `{say}` in {log}", bad.name)),
        );
        for (request, expected) in [(&allowed, 200), (&get("/read"), 401)] {
            let statuses = gateway.send_eight(request).await.map(|answer| answer.status);
            if statuses != [expected; 8] {
                failures.push(format!("{}: the last good policy does not hold: {statuses:?}", bad.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    // And a good one still gets through, on every worker.
    let mut next = good();
    next["rules"][1] = rule("moved", "PathPrefix", "/moved", anyone());
    assert!(gateway.change_policy(&next.to_string()).await);
    assert_eq!(gateway.send_eight(&get("/moved")).await.map(|answer| answer.status), [200; 8]);
    assert_eq!(gateway.send_eight(&allowed).await.map(|answer| answer.status), [403; 8]);
    assert!(gateway.is_running());
}

/// Good keys, wrong size: too short for its algorithm (RFC 7518 section 3.2), and its text must not show.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_shared_secret_is_refused_and_not_shown() {
    let secret = base64url(&SECRET[..31]).unwrap();
    let mut hmac = provider();
    hmac.as_object_mut().unwrap().remove("jwks");
    hmac["algorithms"] = json!(["HS256"]);
    hmac["symmetricKeys"] = json!([{"secret": secret}]);
    let (status, log) = gateway(&with("/jwt/providers/0", hmac)).validate();
    assert!(!status.success() && log.contains("jwt.providers[0].symmetricKeys[0]"), "{log}");
    assert!(!log.contains(&secret), "{log}");
}

/// By one thread for all, and again for another policy.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_about_a_policy_is_logged_once() {
    let warning = "policy: roles[2]: gives nothing that a rule asks for";
    let odd = with("/roles/-", json!({"name": "idle"}));
    let gateway = gateway(&odd).watched().workers(2).start().await;
    let count = || gateway.log().matches(warning).count();
    assert_eq!(count(), 1, "{}", gateway.log());
    let mut other = odd;
    other["realm"] = json!("other");
    assert!(gateway.change_policy(&other.to_string()).await);
    assert_eq!(count(), 2, "{}", gateway.log());
    assert!(gateway.change_policy(&good().to_string()).await);
    assert_eq!(count(), 2, "{}", gateway.log());
}
