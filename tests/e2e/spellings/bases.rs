//! Requests that are decided on as they should be, and what of each an upstream may see.

use serde_json::{Value, json};

use crate::harness::{
    issuer::token,
    loose::Reader,
    policy::{anyone, api_key, api_key_entry, merge, provider, rule, with_api_key},
    request::{Request, get},
};

/// Where a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Header(&'static str),
    Cookie(&'static str),
    Query(&'static str),
}

/// Of every provider and of the keys: nothing unverified may be seen in any of them.
pub(crate) const PLACES: [Place; 7] = [
    Place::Header("authorization"),
    Place::Header("x-jwt"),
    Place::Header("x-api-key"),
    Place::Cookie("access_token"),
    Place::Cookie("api_key"),
    Place::Query("access_token"),
    Place::Query("key"),
];

/// What some servers take the method, the path, a proxy or the outcome of their own checks from.
pub(crate) const OVERRIDING: [&str; 17] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-forwarded-method",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-uri",
    "script-name",
    "path-info",
    "x-script-name",
    "x-forwarded-script-name",
    "proxy",
    "x-sendfile-type",
    "x-accel-mapping",
    "x-middleware-subrequest",
];

/// What Envoy answers for, in this spelling alone.
pub(crate) const VOUCHED_FOR: [&str; 5] = [
    "content-length",
    "transfer-encoding",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-client-cert",
];

/// Stands in every value that nobody verified.
pub(crate) const FORGED: &str = "FORGED";

/// The same within base64url.
pub(crate) const FORGED_ENCODED: &str = "Rk9SR0VE";

/// A request that passes, and what the upstream must see of it.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    request: Request,
    pub(crate) path: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) kind: Option<&'static str>,
    pub(crate) subject: Option<&'static str>,
    pub(crate) tenant: Option<&'static str>,
    /// The one credential that is left, as it stands there.
    pub(crate) kept: Option<(Place, String)>,
    /// The rule asks for `safe` in the header `x-mode` and in the parameter `mode`.
    pub(crate) safe: bool,
    /// The rule counts by the header `x-client-id`.
    pub(crate) limited: bool,
}

impl Base {
    /// To the upstream `reader`, from `client` where one says who it is.
    pub(crate) fn request(&self, reader: Reader, client: Option<&str>) -> Request {
        let request = self.request.clone().authority(reader.host());
        match client {
            Some(client) => request.header("x-client-id", client),
            None => request,
        }
    }
}

/// How many requests each client has, of those that are counted.
pub(crate) const EACH: u32 = 100;

pub(crate) fn policy() -> Value {
    let places = json!({
        "headers": [
            {"name": "authorization", "valuePrefix": "Bearer "},
            {"name": "x-jwt"},
            {"name": "sec-websocket-protocol"},
        ],
        "cookies": ["access_token"],
        "params": ["access_token"],
    });
    let issuer = |name: &str, forward: bool| {
        let mut provider = provider();
        let members = json!({
            "name": name, "issuer": format!("https://{name}.test"), "forward": forward, "extractFrom": places,
            "claimToHeaders": [{"claim": "tenant", "header": "x-tenant"}],
        });
        merge(&mut provider, members);
        provider
    };
    let with = |provider: &str| json!({"authenticate": {"anyOf": [{"jwt": provider}]}});
    let denied =
        |name: &str, condition: Value| json!({"name": name, "matches": [condition], "action": "Deny"});
    let safe = json!({
        "path": {"type": "PathPrefix", "value": "/safe"},
        "headers": [{"name": "x-mode", "value": "safe"}],
        "queryParams": [{"name": "mode", "value": "safe"}],
    });
    let mut limited = rule("limited", "PathPrefix", "/limited", anyone());
    limited["rateLimits"] = json!(["each"]);
    json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [issuer("gone", false), issuer("kept", true)]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}], "cookies": ["api_key"], "params": ["key"]},
            "keys": [api_key_entry("spelt", json!({}))],
        },
        "rateLimits": [{
            "name": "each", "key": [{"header": "x-client-id"}], "limits": [{"requests": EACH, "unit": "Hour"}],
        }],
        "rateLimitHeaders": "Always",
        "rules": [
            denied("debug", json!({"headers": [{"name": "x-debug", "value": "1"}]})),
            denied("trace", json!({"headers": [{"name": "x-trace", "type": "Present"}]})),
            denied("debug-param", json!({"queryParams": [{"name": "debug", "value": "1"}]})),
            denied("deep-link-param", json!({"queryParams": [{"name": "deep-link", "value": "1"}]})),
            denied("trace-param", json!({"queryParams": [{"name": "trace", "type": "Present"}]})),
            rule("open", "PathPrefix", "/open", anyone()),
            rule("gone", "PathPrefix", "/gone", with("gone")),
            rule("kept", "PathPrefix", "/kept", with("kept")),
            rule("key", "PathPrefix", "/key", with_api_key()),
            {"name": "safe", "matches": [safe], "authenticate": {"anonymous": true}},
            limited,
        ],
        "defaultAction": "Deny",
    })
}

fn anonymous(path: &'static str, rule: &'static str) -> Base {
    Base {
        request: get(path),
        path,
        rule,
        kind: None,
        subject: None,
        tenant: None,
        kept: None,
        safe: false,
        limited: false,
    }
}

/// Each way to pass. Every path begins with a segment that an upstream can be told to cut off.
pub(crate) fn all() -> Vec<Base> {
    let credential = |place: Place, text: &str, request: Request| match place {
        Place::Header("authorization") => request.bearer(text),
        Place::Header(name) => request.header(name, text),
        Place::Cookie(name) => request.header("cookie", format!("{name}={text}")),
        Place::Query(name) => {
            let target = format!("{}?{name}={text}", request.target);
            Request { target, ..request }
        }
    };
    let mut bases = vec![anonymous("/open/x", "open")];
    for (path, provider) in [("/gone/x", "gone"), ("/kept/x", "kept")] {
        let token =
            token("alice").claim("iss", format!("https://{provider}.test")).claim("tenant", "t1").sign();
        for place in PLACES {
            if matches!(place, Place::Header("x-api-key") | Place::Cookie("api_key") | Place::Query("key")) {
                continue;
            }
            let shown = match place {
                Place::Header("authorization") => format!("Bearer {token}"),
                _ => token.clone(),
            };
            bases.push(Base {
                request: credential(place, &token, get(path)),
                kind: Some("jwt"),
                subject: Some("alice"),
                tenant: Some("t1"),
                kept: (provider == "kept").then_some((place, shown)),
                ..anonymous(path, provider)
            });
        }
    }
    for place in [Place::Header("x-api-key"), Place::Cookie("api_key"), Place::Query("key")] {
        bases.push(Base {
            request: credential(place, &api_key("spelt"), get("/key/x")),
            kind: Some("api-key"),
            subject: Some("spelt"),
            ..anonymous("/key/x", "key")
        });
    }
    bases.push(Base {
        request: Request {
            target: "/safe/x?mode=safe".to_owned(),
            ..get("/safe/x").header("x-mode", "safe")
        },
        safe: true,
        ..anonymous("/safe/x", "safe")
    });
    bases.push(Base { limited: true, ..anonymous("/limited/x", "limited") });
    bases
}
