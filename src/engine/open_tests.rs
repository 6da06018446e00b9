//! What passes or is answered without credentials, though nobody is let in: metadata and preflights.

use super::*;
use crate::{
    store::MemoryStore,
    time::{Clock, Timestamp},
};

const POLICY: &str = r#"{
  "jwt": {"providers": [{
    "name": "corp", "issuer": "https://idp.example", "anyAudience": true, "algorithms": ["ES256"],
    "jwks": {"uri": "https://idp.example/jwks", "cluster": "idp"}
  }]},
  "apiKeys": {"keys": [{
    "id": "a", "hash": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }]},
  "protectedResource": {"resource": "https://api.example.com/v1", "resourceName": "Orders"},
  "rateLimits": [{
    "name": "throttle", "key": ["remoteAddress"], "before": "Authentication",
    "limits": [{"requests": 3, "unit": "Minute"}]
  }],
  "rules": [
    {"name": "debug", "matches": [{"path": {"type": "Exact", "value": "/orders/7"}, "queryParams": [{"name": "debug", "value": "1"}]}],
     "action": "Deny"},
    {"name": "put", "matches": [{"path": {"type": "PathTemplate", "value": "/orders/{id}"}, "methods": ["PUT"]}],
     "authenticate": {"anyOf": [{"jwt": "corp"}]}, "authorize": {"scopes": ["orders:write"]},
     "corsPreflight": "Allow", "encodedSlash": "Keep"},
    {"name": "rest", "matches": [{"path": {"type": "PathPrefix", "value": "/orders"}}],
     "authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]}, "authorize": {"scopes": ["orders:read"]},
     "encodedSlash": "Keep"},
    {"name": "closed", "matches": [{"path": {"type": "PathPrefix", "value": "/closed"}}], "action": "Deny"}
  ]
}"#;

type Headers = [(&'static str, &'static str)];

/// Decides each request in turn; the outcome in a few words.
fn decide(requests: &[&Headers]) -> Vec<String> {
    let worker = WorkerState::new(Policy::compile(POLICY.as_bytes(), "test").expect("a good policy"), "test");
    let store = MemoryStore::default();
    let services = HostServices {
        may_wait: &|| true,
        ..HostServices::new(Clock::at(Timestamp::from_secs(1_800_000_000)), &store, &|| Some([7; 16]))
    };
    let decide = |headers: &&Headers| {
        let head = RequestHead {
            peer_certificate: None,
            headers: headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect(),
            remote_address: "192.0.2.1".parse().ok(),
            tls: !headers.contains(&("plain", "")),
            ends: !headers.contains(&("body", "")),
        };
        let decision = Exchange::default().on_request(&worker, &head, &services);
        match (decision.step, decision.reason) {
            (Step::Forward(changes), None) => {
                let removed = changes.remove.iter().map(|name| String::from_utf8_lossy(name));
                let set = changes
                    .replace
                    .iter()
                    .chain(&changes.add)
                    .map(|(name, value)| format!("{name}={}", value.as_str()));
                format!(
                    "forward -{} +{}",
                    removed.collect::<Vec<_>>().join(","),
                    set.collect::<Vec<_>>().join(",")
                )
            }
            (Step::Reply(reply, _), None) => format!("{} {}", reply.status, reply.body),
            (Step::Reply(..), Some(reason)) => reason.code().to_owned(),
            (Step::Forward(_), Some(reason)) => format!("forward despite {}", reason.code()),
            (Step::Wait(_), _) => "wait".to_owned(),
        }
    };
    requests.iter().map(decide).collect()
}

fn decide_one(headers: &Headers) -> String {
    decide(&[headers]).concat()
}

const METADATA: &str = "/.well-known/oauth-protected-resource/v1";

#[test]
fn metadata_is_for_anyone() {
    let get = |method, host, path| decide_one(&[(":method", method), (":authority", host), (":path", path)]);
    let document = "200 {\"resource\":\"https://api.example.com/v1\",\
                    \"authorization_servers\":[\"https://idp.example\"],\
                    \"scopes_supported\":[\"orders:write\",\"orders:read\"],\
                    \"bearer_methods_supported\":[\"header\"],\"resource_name\":\"Orders\"}";
    assert_eq!(get("GET", "api.example.com", METADATA), document);
    assert_eq!(get("HEAD", "API.example.com:8443", METADATA), document);
    assert_eq!(get("GET", "api.example.com", "/.well-known/oauth-protected-resource/v1?x=1"), document);
    for (method, host, path) in [
        ("POST", "api.example.com", METADATA),
        ("OPTIONS", "api.example.com", METADATA),
        ("GET", "other.example.com", METADATA),
        ("GET", "api.example.com", "/.well-known/oauth-protected-resource"),
        ("GET", "api.example.com", "/.well-known/oauth-protected-resource/v1/x"),
    ] {
        assert_eq!(get(method, host, path), "no_rule", "{method} {host} {path}");
    }
}

#[test]
fn metadata_comes_after_transport_and_throttle() {
    let request: &Headers = &[(":method", "GET"), (":authority", "api.example.com"), (":path", METADATA)];
    assert_eq!(decide_one(&[request, &[("plain", "")]].concat()), "tls_required");
    let answers = decide(&[request; 4]);
    assert!(answers[..3].iter().all(|answer| answer.starts_with("200 ")));
    assert_eq!(answers[3], "rate_limited");
}

#[test]
fn challenges_for_tokens_name_the_metadata() {
    let worker = WorkerState::new(Policy::compile(POLICY.as_bytes(), "test").expect("a good policy"), "test");
    let url = "https://api.example.com/.well-known/oauth-protected-resource/v1";
    let rule = &worker.policy().rules[2];
    for reason in [Reason::CredentialsMissing, Reason::TokenExpired, Reason::InsufficientScope] {
        let refusal = refuse(worker.policy(), rule, &reason.into());
        let told = |value: &String| value.starts_with("Bearer ") && value.contains(url);
        assert!(refusal.reply.headers.iter().any(|(_, value)| told(value)), "{reason:?}");
    }
    let closed = refuse(worker.policy(), &worker.policy().rules[3], &Reason::RuleDenied.into());
    assert!(closed.reply.headers.iter().all(|(_, value)| !value.contains(url)));
}

#[test]
fn preflights_pass_where_the_rule_says_so() {
    let ask = |method, path, requested| {
        decide_one(&[
            (":method", method),
            (":authority", "api.example.com"),
            (":path", path),
            ("origin", "https://app.example.com"),
            ("access-control-request-method", requested),
        ])
    };
    assert_eq!(ask("OPTIONS", "/orders/7", "PUT"), "forward - +");
    for (method, path, requested, expected) in [
        // Other rules decide what these ask about.
        ("OPTIONS", "/orders/7", "GET", "credentials_missing"),
        ("OPTIONS", "/orders/7", "put", "credentials_missing"),
        ("OPTIONS", "/orders", "PUT", "credentials_missing"),
        ("OPTIONS", "/closed", "PUT", "rule_denied"),
        ("OPTIONS", "/other", "PUT", "no_rule"),
        ("OPTIONS", "/orders/%2e%2e/closed", "PUT", "rule_denied"),
        ("OPTIONS", "/orders/7?debug=2", "PUT", "forward - +"),
        ("OPTIONS", "/orders/7%2F8", "PUT", "forward - +"),
        ("OPTIONS", "/orders/7%2F8", "GET", "credentials_missing"),
        ("OPTIONS", "/closed/7%2F8", "PUT", "ambiguous_path"),
        ("OPTIONS", "/orders/7%2F..", "PUT", "ambiguous_path"),
        ("OPTIONS", "/orders/7?debug=1", "PUT", "rule_denied"),
        // Nobody can tell which rule decides.
        ("OPTIONS", "/orders/7?debug[]=1", "PUT", "ambiguous_name"),
        ("OPTIONS", "/orders/7?debug=1&debug=2", "PUT", "ambiguous_value"),
        // No preflights at all.
        ("PUT", "/orders/7", "PUT", "credentials_missing"),
        ("GET", "/orders/7", "PUT", "credentials_missing"),
        ("OPTIONS", "/orders/7", "", "credentials_missing"),
    ] {
        assert_eq!(ask(method, path, requested), expected, "{method} {path} {requested}");
    }
    let preflight: &Headers = &[
        (":method", "OPTIONS"),
        (":authority", "api.example.com"),
        (":path", "/orders/7"),
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "PUT"),
    ];
    assert_eq!(decide_one(&preflight[..3]), "credentials_missing");
    // Only what ends here and becomes nothing else.
    for (header, expected) in [
        (("accept", "*/*"), "forward - +"),
        (("body", ""), "credentials_missing"),
        (("upgrade", "websocket"), "credentials_missing"),
        (("connection", "x, Upgrade"), "credentials_missing"),
        ((":protocol", "websocket"), "credentials_missing"),
        (("x_http.method", "DELETE"), "credentials_missing"),
    ] {
        assert_eq!(decide_one(&[preflight, &[header]].concat()), expected, "{header:?}");
    }
}

#[test]
fn preflights_carry_no_identity() {
    let answer = decide_one(&[
        (":method", "OPTIONS"),
        (":authority", "api.example.com"),
        (":path", "/a/../orders/7"),
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "PUT"),
        ("x_portcullis_subject", "root"),
        ("x-portcullis-rule", "admin"),
        ("authorization", "Bearer x"),
        ("x-api-key", "y"),
    ]);
    assert_eq!(
        answer,
        "forward -x_portcullis_subject,x-portcullis-rule,authorization,x-api-key +:path=/orders/7"
    );
}
