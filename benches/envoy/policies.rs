//! The policies of the filter, and what the native filters are told to decide the same.

use ct_codecs::{Encoder as _, Hex};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::credentials::{AUDIENCE, Credentials, ISSUER, api_key};

pub(crate) const SUBJECT: &str = "alice";
pub(crate) const EMAIL: &str = "alice@example.com";
/// The two headers that tell the upstream who it is.
pub(crate) const SUBJECT_HEADER: &str = "x-auth-subject";
pub(crate) const EMAIL_HEADER: &str = "x-auth-email";
pub(crate) const KEY_HEADER: &str = "x-api-key";

/// Rules and keys of the large policy.
pub(crate) const LARGE: (usize, usize) = (10_000, 100_000);
pub(crate) const SMALL: (usize, usize) = (10, 10);

/// A token, or an API key, with a permission, and one limit for each principal, never reached.
pub(crate) fn chain(credentials: &Credentials) -> Value {
    policy(
        credentials,
        json!([{"id": "reader", "client": SUBJECT, "hash": hash(&api_key(0)), "level": "Read"}]),
        json!([{
            "name": "orders",
            "matches": [{"path": {"type": "PathPrefix", "value": "/orders"}, "methods": ["GET"]}],
            "authenticate": {"anyOf": [{"jwt": "bench"}, "apiKey"]},
            "authorize": {"permissions": ["orders:read"]},
            "rateLimits": ["per-principal"],
        }]),
    )
}

/// `policy` with the mark on allowed requests, for the rbac filter that refuses whatever lacks it.
pub(crate) fn with_interlock(mut policy: Value) -> Value {
    policy["interlock"] = true.into();
    policy
}

/// `policy`, with what access logs may say of each decision; no access log reads it.
pub(crate) fn with_access_log(mut policy: Value) -> Value {
    policy["accessLog"] = json!({"fields": ["Rule", "Reason", "Principal", "Kind", "Limit"]});
    policy
}

/// `policy`, with each decision counted by its rule, too.
pub(crate) fn with_metrics_by_rule(mut policy: Value) -> Value {
    policy["metrics"] = json!({"byRule": true});
    policy
}

/// `policy`, whose rules are the next list, too, and decide beside themselves.
pub(crate) fn with_next_rules(mut policy: Value) -> Value {
    policy["shadow"] = json!({"rules": policy["rules"].clone()});
    policy
}

/// A token, and nothing else asked.
pub(crate) fn token_only(credentials: &Credentials) -> Value {
    let rules = json!([{
        "name": "orders",
        "matches": [{"path": {"type": "PathPrefix", "value": "/orders"}}],
        "authenticate": {"anyOf": [{"jwt": "bench"}]},
    }]);
    let mut policy = policy(credentials, json!([]), rules);
    for name in ["roles", "rateLimits", "apiKeys"] {
        policy.as_object_mut().expect("an object").remove(name);
    }
    policy
}

/// Like [`chain`], with so many rules of several kinds and so many keys.
pub(crate) fn sized(credentials: &Credentials, (rules, keys): (usize, usize)) -> Value {
    let keys = (0..keys).map(|n| {
        json!({"id": format!("key-{n}"), "client": format!("client-{n}"), "hash": hash(&api_key(n)), "level": "Read"})
    });
    let rules = (0..rules).map(|n| {
        json!({
            "name": format!("rule-{n}"),
            "matches": [{"path": rule_path(n), "methods": ["GET"]}],
            "authenticate": {"anyOf": [{"jwt": "bench"}, "apiKey"]},
            "authorize": {"permissions": ["orders:read"]},
            "rateLimits": ["per-principal"],
        })
    });
    policy(credentials, keys.collect(), rules.collect())
}

/// An API key with a permission, of keys in etcd.
pub(crate) fn stored(uri: &str, cluster: &str, prefix: &str) -> Value {
    json!({
        "interlock": false,
        "transport": {"requireTls": false},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": KEY_HEADER}]},
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "etcd": {"uri": uri, "cluster": cluster, "prefix": prefix, "pollInterval": "250ms", "timeout": "30s"},
        },
        "identityHeaders": {"subject": SUBJECT_HEADER, "send": ["Subject"]},
        "rules": [{
            "name": "orders",
            "matches": [{"path": {"type": "PathPrefix", "value": "/orders"}, "methods": ["GET"]}],
            "authenticate": {"anyOf": ["apiKey"]},
            "authorize": {"permissions": ["orders:read"]},
        }],
    })
}

fn rule_path(n: usize) -> Value {
    match n % 3 {
        0 => json!({"type": "Exact", "value": path(n)}),
        1 => json!({"type": "PathPrefix", "value": format!("/service{}/files{n}", n / 10)}),
        _ => json!({"type": "PathTemplate", "value": format!("/service{}/orders{n}/{{id}}", n / 10)}),
    }
}

/// A path that rule `n` of [`sized`] takes.
pub(crate) fn path(n: usize) -> String {
    match n % 3 {
        0 => format!("/service{}/status{n}", n / 10),
        1 => format!("/service{}/files{n}/a", n / 10),
        _ => format!("/service{}/orders{n}/4711", n / 10),
    }
}

fn policy(credentials: &Credentials, keys: Value, rules: Value) -> Value {
    json!({
        // Nothing native does the same; it is measured apart, see [`with_interlock`].
        "interlock": false,
        // TLS would be the same for all and blur what differs.
        "transport": {"requireTls": false},
        "jwt": {"providers": [{
            "name": "bench",
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "algorithms": ["RS256", "ES256"],
            "jwks": {"inline": credentials.jwks},
            "claims": {"roles": "roles"},
            "claimToHeaders": [{"claim": "email", "header": EMAIL_HEADER}],
        }]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": KEY_HEADER}]},
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "keys": keys,
        },
        "roles": [{"name": "viewer", "permissions": ["orders:read"]}],
        "rateLimits": [
            {"name": "per-principal", "key": ["principal"], "limits": [{"requests": 1_000_000, "unit": "Second"}]},
        ],
        "identityHeaders": {"subject": SUBJECT_HEADER, "send": ["Subject"]},
        "rules": rules,
        "defaultAction": "Deny",
    })
}

pub(crate) fn hash(key: &str) -> String {
    format!("sha256:{}", Hex::encode_to_string(Sha256::digest(key)).expect("it fits"))
}
