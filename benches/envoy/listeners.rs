//! Envoy's configuration: one listener for each chain of filters, all else the same.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    credentials::{AUDIENCE, Credentials, ISSUER, api_key},
    envoy_parts::{self as parts, Plugin, TYPE},
    policies::{self, EMAIL_HEADER, KEY_HEADER, SUBJECT, SUBJECT_HEADER},
    settings::Settings,
};

/// Answers with what an upstream would have seen of these, each as `x-seen-{name}`.
pub(crate) const ECHOED: [&str; 4] = [SUBJECT_HEADER, EMAIL_HEADER, "authorization", KEY_HEADER];
/// Paths that begin so echo; every listener lets them through as it does the measured ones.
pub(crate) const ECHO: &str = "/orders/echo";

/// What runs in one Envoy; `listeners` names those that are needed.
pub(crate) fn bootstrap(settings: &Settings, credentials: &Credentials, listeners: &[&str]) -> Value {
    of(listeners.iter().map(|name| listener(name, filters(name, settings, credentials))).collect())
}

/// What runs in one Envoy with these listeners.
pub(crate) fn of(listeners: Vec<Value>) -> Value {
    json!({
        "node": {"id": "bench", "cluster": "bench"},
        "admin": {"address": parts::address(parts::any_port())},
        "static_resources": {"listeners": listeners},
    })
}

/// A listener with this policy.
pub(crate) fn portcullis(name: &str, module: &Path, policy: &Value) -> Value {
    listener(name, vec![wasm(module, name, policy, false)])
}

fn filters(name: &str, settings: &Settings, credentials: &Credentials) -> Vec<Value> {
    let (module, chain_of) = match (&settings.other, name.strip_prefix("other")) {
        (Some(other), Some(rest)) => (other, format!("portcullis{rest}")),
        _ => (&settings.wasm, name.to_owned()),
    };
    let portcullis = |policy: &Value| wasm(module, name, policy, false);
    let chain = || policies::chain(credentials);
    match chain_of.as_str() {
        "native" => vec![jwt_authn(credentials, false), rbac_by_role(), local_ratelimit()],
        "native-cached" => vec![jwt_authn(credentials, true), rbac_by_role(), local_ratelimit()],
        "native-jwt" => vec![jwt_authn(credentials, false)],
        "native-key" => vec![api_key_auth(), rbac_by_subject(), local_ratelimit()],
        "portcullis" => vec![portcullis(&chain())],
        "portcullis-access-log" => vec![portcullis(&policies::with_access_log(chain()))],
        "portcullis-shadow" => vec![portcullis(&policies::with_next_rules(chain()))],
        "portcullis-by-rule" => vec![portcullis(&policies::with_metrics_by_rule(chain()))],
        "portcullis-interlock" => {
            vec![portcullis(&policies::with_interlock(chain())), parts::interlock(&["portcullis"])]
        }
        "portcullis-jwt" => vec![portcullis(&policies::token_only(credentials))],
        "portcullis-pure" => vec![wasm(module, name, &policies::token_only(credentials), true)],
        "portcullis-small" => vec![portcullis(&policies::sized(credentials, policies::SMALL))],
        "portcullis-large" => vec![portcullis(&policies::sized(credentials, policies::LARGE))],
        "noop" => vec![noop(settings)],
        _ => vec![],
    }
}

fn listener(name: &str, mut filters: Vec<Value>) -> Value {
    filters.push(parts::router());
    let answer = json!({"status": 200, "body": {"inline_string": "ok"}});
    let echo: Vec<_> = ECHOED
        .iter()
        .map(|name| json!({"header": {"key": format!("x-seen-{name}"), "value": format!("%REQ({name})%")}}))
        .collect();
    let connection_manager = json!({
        "stat_prefix": name,
        "use_remote_address": true,
        "generate_request_id": false,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": ECHO}, "direct_response": answer, "response_headers_to_add": echo},
            {"match": {"prefix": "/"}, "direct_response": answer},
        ]}]},
        "http_filters": filters,
    });
    parts::listener(name, parts::any_port(), connection_manager)
}

fn jwt_authn(credentials: &Credentials, cached: bool) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": credentials.jwks.to_string()},
        "payload_in_metadata": "payload",
        "claim_to_headers": [
            {"claim_name": "sub", "header_name": SUBJECT_HEADER},
            {"claim_name": "email", "header_name": EMAIL_HEADER},
        ],
    });
    if cached {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
    }
    json!({"name": "jwt_authn", "typed_config": {
        "@type": format!("{TYPE}.filters.http.jwt_authn.v3.JwtAuthentication"),
        "providers": {"bench": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
    }})
}

fn rbac(principal: Value) -> Value {
    json!({"name": "rbac", "typed_config": {
        "@type": format!("{TYPE}.filters.http.rbac.v3.RBAC"),
        "rules": {"action": "ALLOW", "policies": {"orders": {
            "permissions": [{"and_rules": {"rules": [
                {"url_path": {"path": {"prefix": "/orders"}}},
                {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
            ]}}],
            "principals": [principal],
        }}},
    }})
}

fn rbac_by_role() -> Value {
    rbac(json!({"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "payload"}, {"key": "roles"}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": "viewer"}}}},
    }}))
}

fn rbac_by_subject() -> Value {
    rbac(json!({"header": {"name": SUBJECT_HEADER, "string_match": {"exact": SUBJECT}}}))
}

fn local_ratelimit() -> Value {
    let always = json!({"default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    json!({"name": "local_ratelimit", "typed_config": {
        "@type": format!("{TYPE}.filters.http.local_ratelimit.v3.LocalRateLimit"),
        "stat_prefix": "bench",
        "token_bucket": {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"},
        "filter_enabled": always,
        "filter_enforced": always,
    }})
}

fn api_key_auth() -> Value {
    json!({"name": "api_key_auth", "typed_config": {
        "@type": format!("{TYPE}.filters.http.api_key_auth.v3.ApiKeyAuth"),
        "credentials": [{"key": api_key(0), "client": SUBJECT}],
        "key_sources": [{"header": KEY_HEADER}],
        "forwarding": {"header": SUBJECT_HEADER, "hide_credentials": true},
    }})
}

/// Portcullis in a VM of its own, so that no listener shares memory or state with another. Its plugin's name is the
/// mark that the interlock looks for.
fn wasm(module: &Path, name: &str, policy: &Value, without_crypto: bool) -> Value {
    let module = module.to_str().expect("a path in UTF-8");
    let plugin = Plugin { vm_id: name, without_crypto, ..Plugin::new(module) };
    json!({"name": name, "typed_config": plugin.typed_config(parts::as_text(&policy.to_string()))})
}

fn noop(settings: &Settings) -> Value {
    let module = settings.noop.to_str().expect("a path in UTF-8");
    let plugin = Plugin { name: "noop", vm_id: "noop", ..Plugin::new(module) };
    json!({"name": "noop", "typed_config": plugin.typed_config(Value::Null)})
}
