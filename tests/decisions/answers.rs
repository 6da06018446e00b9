//! What refused clients are told: how to get in, in the form that they read.

use portcullis::answer::Reason;
use serde_json::{Value, json};

use crate::{
    document::introspection,
    world::{Ask, World},
};

/// The world's policy with one rule more for each of `rules`: its name, which is its path, who may and what they need.
fn with_rules(rules: &[(&str, Value, Value)]) -> World {
    World::with(|policy| {
        for (name, methods, authorize) in rules {
            let path = json!({"type": "PathPrefix", "value": format!("/x/{name}")});
            let mut rule =
                json!({"name": name, "matches": [{"path": path}], "authenticate": {"anyOf": methods}});
            if !authorize.is_null() {
                rule["authorize"] = authorize.clone();
            }
            policy["rules"].as_array_mut().unwrap().push(rule);
        }
    })
}

/// Every challenge of the answer.
fn challenges(w: &World, ask: &Ask) -> Vec<String> {
    let Err(reply) = w.ask(ask).upstream else { panic!("{ask:?} passes") };
    let values = reply.headers.into_iter().filter(|(name, _)| *name == "www-authenticate");
    values.map(|(_, value)| value).collect()
}

#[test]
fn challenges_name_scopes_that_suffice() {
    let corp = || json!([{"jwt": "corp"}]);
    let w = with_rules(&[
        ("all", corp(), json!({"scopes": ["a", "b"]})),
        ("any", corp(), json!({"scopes": {"anyOf": ["b", "a"]}})),
        ("first", corp(), json!({"anyOf": [{"scopes": ["c"], "roles": ["admin"]}, {"scopes": ["d"]}]})),
        ("other", corp(), json!({"anyOf": [{"roles": ["admin"]}, {"scopes": ["d"]}]})),
        ("unscoped", corp(), json!({"roles": ["admin"]})),
        ("either", json!(["apiKey", {"jwt": "corp"}]), json!({"scopes": ["reports:read"]})),
        ("by-key", json!(["apiKey"]), json!({"scopes": ["reports:read"]})),
        ("proof", json!([{"jwt": "nonced"}]), json!({"scopes": ["a"]})),
    ]);
    let bearer = |more: &str| format!("Bearer realm=\"test\"{more}");
    let expired = ", error=\"invalid_token\", error_description=\"The access token has expired\"";
    let lacking = ", error=\"insufficient_scope\", error_description=\"A required scope is missing\"";
    for (name, scopes) in [
        ("all", ", scope=\"a b\""),
        ("any", ", scope=\"b\""),
        ("first", ", scope=\"c\""),
        ("other", ""),
        ("unscoped", ""),
    ] {
        let ask = Ask::get(&format!("/x/{name}")).from("10.1.0.1");
        // The second time it was put together before.
        for _ in 0..2 {
            assert_eq!(challenges(&w, &ask), [bearer(scopes)], "{name}");
            let old = w.bearer(ask.clone(), |claims| claims["exp"] = 1.into());
            assert_eq!(challenges(&w, &old), [bearer(&format!("{expired}{scopes}"))], "{name}");
        }
        w.later(60);
    }
    let good = |path: &str, change: fn(&mut Value)| w.bearer(Ask::get(path), change);
    for (ask, expected) in [
        (
            good("/x/all", |claims| claims["scope"] = "a".into()),
            vec![bearer(&format!("{lacking}, scope=\"a b\""))],
        ),
        (
            good("/x/any", |claims| claims["scope"] = "c".into()),
            vec![bearer(&format!("{lacking}, scope=\"b\""))],
        ),
        // Whoever has the role of the first alternative lacks its scope; whoever has neither, too.
        (good("/x/first", |_| {}), vec![bearer(&format!("{lacking}, scope=\"c\""))]),
        (good("/x/other", |_| {}), vec![]),
        (Ask::get("/x/either"), vec![bearer(", scope=\"reports:read\""), "ApiKey realm=\"test\"".to_owned()]),
        (Ask::get("/x/by-key"), vec!["ApiKey realm=\"test\"".to_owned()]),
    ] {
        assert_eq!(challenges(&w, &ask.from("10.1.0.2")), expected);
        w.later(60);
    }
    let dpop = challenges(&w, &Ask::get("/x/proof"));
    assert!(dpop.len() == 1 && dpop[0].starts_with("DPoP realm=\"test\", scope=\"a\", algs="), "{dpop:?}");
}

/// A certificate is shown before there is a request: nothing can ask for it, so the answer is not 401.
#[test]
fn only_what_can_be_asked_for_is() {
    let w = with_rules(&[("mixed", json!(["clientCertificate", {"jwt": "corp"}]), Value::Null)]);
    let answer = w.ask(&Ask::get("/certificate"));
    assert_eq!(answer.reason, Some(Reason::CertificateMissing));
    assert_eq!((answer.upstream.as_ref().unwrap_err().status, answer.reply("www-authenticate")), (403, None));
    let answer = w.ask(&Ask::get("/x/mixed"));
    assert_eq!(answer.reason, Some(Reason::CredentialsMissing));
    assert_eq!(
        (answer.upstream.as_ref().unwrap_err().status, answer.reply("www-authenticate")),
        (401, Some("Bearer realm=\"test\""))
    );
    for path in ["/certificate", "/x/mixed"] {
        assert_eq!(w.reason(&Ask::get(path).certificate("spiffe://td/ns/a")), None, "{path}");
        assert_eq!(
            w.reason(&Ask::get(path).certificate("spiffe://other/a")),
            Some(Reason::CertificateUnknown)
        );
    }
}

/// Envoy makes `grpc-message` of the body.
#[test]
fn grpc_clients_are_told_in_words() {
    let w = World::new();
    let grpc = |content_type: &str, ask: Ask| w.ask(&ask.header("content-type", content_type));
    for (ask, expected) in [
        (Ask::new("GET", "/tokens"), "Credentials are required (credentials_missing)"),
        (Ask::new("GET", "/keys").key("disabled-secret"), "The API key is not valid (api_key_invalid)"),
        (Ask::new("POST", "/a%2Fb"), "The request target can be read in more than one way (ambiguous_path)"),
    ] {
        // Put together before or not, for whichever client.
        for _ in 0..2 {
            let told = grpc("application/grpc+proto", ask.clone()).upstream.unwrap_err();
            assert_eq!(told.body, expected);
            assert!(told.headers.iter().all(|(name, _)| *name != "content-type"));
            let document = grpc("application/grpc-web", ask.clone()).upstream.unwrap_err();
            assert!(document.body.starts_with("{\"type\":\"urn:portcullis:reason:"), "{}", document.body);
            assert_eq!(
                (told.status, told.grpc_status, told.details),
                (document.status, document.grpc_status, document.details)
            );
        }
        w.later(60);
    }
    let challenge = grpc("application/grpc", Ask::get("/tokens"));
    assert_eq!(challenge.reply("www-authenticate"), Some("Bearer realm=\"test\""));
}

/// RFC 3986 section 3.2.3: the port may be empty.
#[test]
fn a_colon_without_a_port_says_nothing() {
    let w = World::with(|policy| {
        policy["rules"][0]["hostnames"] = json!(["api.example"]);
        policy["jwt"]["providers"][3]["introspection"] = introspection("https://as.example:/introspect");
    });
    let health = |authority: &str| {
        w.reason(&Ask::get("/health").without(":authority").header(":authority", authority))
    };
    for (authority, expected) in [
        ("api.example", None),
        ("api.example:", None),
        ("api.example.:", None),
        ("api.example:443", None),
        ("api.example::", Some(Reason::MalformedRequest)),
        (":", Some(Reason::MalformedRequest)),
        ("other.example:", Some(Reason::NoRule)),
        ("[::1]:", Some(Reason::NoRule)),
    ] {
        assert_eq!(health(authority), expected, "{authority}");
        w.later(60);
    }
    // A proof names the same target, with the colon or without.
    let token = |w: &World| {
        w.corp.sign(&json!({"iss": "https://bound.example", "sub": "alice", "exp": w.now.get() + 600,
            "cnf": w.partner.confirmation()}))
    };
    let w = World::new();
    let token = token(&w);
    for (n, (authority, expected)) in
        [("api.example:", None), ("api.example:80", Some(Reason::DpopProofInvalid))].into_iter().enumerate()
    {
        let proof = w.partner.prove(&token, "/bound", &format!("id-{n}"), None);
        let ask = Ask::get("/bound").without(":authority").header(":authority", authority);
        let ask = ask.header("authorization", &format!("DPoP {token}")).header("dpop", &proof);
        assert_eq!(w.reason(&ask), expected, "{authority}");
    }
}
