//! What a provider of `jwt_authn` says by itself: its keys, where its tokens stand, and claims as headers.

use serde_json::{Map, Value as Json, json};

use super::fields::{duration, get, items, json as value_of, milliseconds, place, tell_unknown, text};
use crate::command::{
    import::{draft::lists_of_places, told::Told},
    tree::Node,
};

/// A header for the upstream with what a claim says.
pub(super) fn claim_to_header(own: &Node, about: &str, told: &mut Told) -> Option<Json> {
    tell_unknown(own, &["header_name", "claim_name", "claim_path"], about, "it is left out", told);
    let header = text(own, "header_name")?.to_ascii_lowercase();
    let path: Vec<&str> = items(own, "claim_path").iter().filter_map(Node::text).collect();
    let claim = match (text(own, "claim_name"), path.is_empty()) {
        (_, false) => json!({"path": path}),
        (Some(name), true) => json!(name),
        (None, true) => return None,
    };
    Some(json!({"claim": claim, "header": header}))
}

/// Keys, and the algorithms that they are for.
pub(super) fn keys(provider: &Node, about: &str, told: &mut Told) -> Option<(Json, Vec<String>)> {
    if let Some(remote) = get(provider, "remote_jwks") {
        let http = get(remote, "http_uri")?;
        let mut said = Map::from_iter([
            ("uri".to_owned(), json!(text(http, "uri")?)),
            ("cluster".to_owned(), json!(text(http, "cluster")?)),
        ]);
        for (node, name, own) in [(http, "timeout", "timeout"), (remote, "cache_duration", "cacheDuration")] {
            if let Some(time) = text(node, name).and_then(milliseconds) {
                said.insert(own.to_owned(), json!(duration(time)));
            }
        }
        told.note(&place(remote), about, "algorithms are RS256 and ES256; Envoy takes any that fits the key");
        return Some((Json::Object(said), vec!["RS256".to_owned(), "ES256".to_owned()]));
    }
    let inline = get(provider, "local_jwks").and_then(|local| text(local, "inline_string"))?;
    let set: Json = serde_json::from_str(inline).ok()?;
    let mut algorithms: Vec<String> = Vec::new();
    let mut usable = Vec::new();
    for key in set.get("keys")?.as_array()? {
        let of = |name: &str| key.get(name).and_then(Json::as_str).unwrap_or_default();
        let algorithm = match (of("alg"), of("kty"), of("crv")) {
            ("", "RSA", _) => "RS256",
            ("", "EC", "P-256") => "ES256",
            ("", "EC", "P-384") => "ES384",
            ("", "EC", "secp256k1") => "ES256K",
            ("", "OKP", "Ed25519") => "EdDSA",
            ("", _, _) => continue,
            (algorithm, "RSA" | "EC" | "OKP", _) => algorithm,
            _ => continue,
        };
        usable.push(key.clone());
        if !algorithms.iter().any(|own| own == algorithm) {
            algorithms.push(algorithm.to_owned());
        }
    }
    if usable.len() < set.get("keys")?.as_array()?.len() {
        told.left(&place(provider), about, "keys that are no public ones are left out");
    }
    (!usable.is_empty()).then(|| (json!({"inline": {"keys": usable}}), algorithms))
}

/// Where tokens stand; without any place the two that Envoy looks at then.
pub(super) fn places(provider: &Node) -> Json {
    let header = |own: &Node| {
        let name = text(own, "name")?.to_ascii_lowercase();
        let prefix = text(own, "value_prefix").map(str::to_owned);
        let prefix = prefix.or_else(|| (name == "authorization").then(String::new));
        Some(match prefix {
            Some(prefix) => json!({"name": name, "valuePrefix": prefix}),
            None => json!({"name": name}),
        })
    };
    let headers: Vec<Json> = items(provider, "from_headers").iter().filter_map(header).collect();
    let texts = |name: &str| items(provider, name).iter().map(value_of).collect::<Vec<_>>();
    let (params, cookies) = (texts("from_params"), texts("from_cookies"));
    if headers.is_empty() && params.is_empty() && cookies.is_empty() {
        return json!({"headers": [{"name": "authorization", "valuePrefix": "Bearer "}], "params": ["access_token"]});
    }
    lists_of_places(headers, cookies, params)
}
