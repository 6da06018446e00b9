//! Parts of the policies that tests use.

use serde_json::{Value, json};

use super::{
    api_key_hash,
    issuer::{AUDIENCE, ISSUER, ISSUER_KEYS},
};

/// A key of each kind that tests need; `name` and how it is written in the policy.
pub(crate) fn api_key(name: &str) -> String {
    format!("pk_test_{name}_0123456789abcdefghijklmnopqrstuvwxyz")
}

/// The provider `test`: every asymmetric algorithm, no tolerance for clocks, roles from `roles`.
pub(crate) fn provider() -> Value {
    json!({
        "name": "test",
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "algorithms": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"],
        "clockSkew": "0s",
        "claims": {"roles": "roles"},
        "jwks": {"inline": ISSUER_KEYS.jwks()},
    })
}

/// `members` are added to, or replace, those that every key has.
pub(crate) fn api_key_entry(name: &str, members: Value) -> Value {
    let mut entry = json!({"id": name, "client": name, "hash": api_key_hash(&api_key(name))});
    merge(&mut entry, members);
    entry
}

/// A rule for one path and any method. `members` say the rest.
pub(crate) fn rule(name: &str, path_type: &str, path: &str, members: Value) -> Value {
    let mut rule = json!({"name": name, "matches": [{"path": {"type": path_type, "value": path}}]});
    merge(&mut rule, members);
    rule
}

/// Members for [`rule`]: anyone.
pub(crate) fn anyone() -> Value {
    json!({"authenticate": {"anonymous": true}})
}

/// Members for [`rule`]: a token of the provider `test`.
pub(crate) fn with_token() -> Value {
    json!({"authenticate": {"anyOf": [{"jwt": "test"}]}})
}

/// Members for [`rule`]: a token of the provider `test` that meets `authorize`.
pub(crate) fn with_token_and(authorize: Value) -> Value {
    json!({"authenticate": {"anyOf": [{"jwt": "test"}]}, "authorize": authorize})
}

/// Members for [`rule`]: an API key.
pub(crate) fn with_api_key() -> Value {
    json!({"authenticate": {"anyOf": ["apiKey"]}})
}

/// `members` replace those of the same name.
pub(crate) fn merge(object: &mut Value, members: Value) {
    let Value::Object(members) = members else { panic!("not an object: {members}") };
    object.as_object_mut().expect("an object").extend(members);
}
