//! Rules as they would be, and the next list of rules: they decide beside those in force, and use nothing up.

use portcullis::{
    answer::Reason,
    engine::{Exchange, ShadowOutcome},
    request::RequestHead,
};
use serde_json::{Value, json};

use crate::{
    shadow::{AGREED, READER, from, limit, said, would_exceed},
    signatures, webhooks,
    world::{Ask, Issuer, World, changed, claims},
};

/// The rule of this name.
fn rule<'a>(policy: &'a mut Value, name: &str) -> &'a mut Value {
    let mut rules = policy["rules"].as_array_mut().unwrap().iter_mut();
    rules.find(|rule| rule["name"] == name).unwrap()
}

/// The policy with a shadow of one of its rules.
fn with_shadow(name: &str, shadow: Value) -> World {
    World::with(|policy| {
        policy["transport"]["requireTls"] = true.into();
        rule(policy, "health")["transport"] = json!({"requireTls": false});
        rule(policy, name)["shadow"] = shadow;
    })
}

/// Each shadow with requests, what is decided, and what the shadow says of it.
#[test]
fn a_rule_decides_beside_as_it_would_be() {
    use Reason::*;
    let deny = |reason: &str| [json!("would_deny"), json!(reason), Value::Null];
    let unknown = |reason: &str| [json!("unknown"), json!(reason), Value::Null];
    let allow = || [json!("would_allow"), Value::Null, Value::Null];
    let keys = json!({"authenticate": {"anyOf": ["apiKey"]}});
    let tokens = json!({"authenticate": {"anyOf": [{"jwt": "corp"}]}});
    let key = |path: &str| Ask::get(path).key(READER);
    let write = || json!({"authorize": {"permissions": ["orders:write"]}});
    type Row = (Ask, Option<Reason>, [Value; 3]);
    type Rows<'a> = Box<dyn Fn(&World) -> Vec<Row> + 'a>;
    let table: Vec<(&str, Value, Rows<'_>)> = vec![
        (
            "orders",
            write(),
            Box::new(|w: &World| {
                vec![
                    (key("/orders/7"), None, deny("insufficient_permission")),
                    (Ask::get("/orders/7").key("writer-secret"), None, AGREED),
                    // It refuses both.
                    (Ask::get("/orders/7"), Some(CredentialsMissing), AGREED),
                    (w.bearer(Ask::get("/orders/7"), |_| {}), Some(InsufficientPermission), AGREED),
                    (Ask::get("/orders/7").key("expired-secret"), Some(ApiKeyExpired), AGREED),
                ]
            }),
        ),
        (
            "orders",
            json!({"authorize": {"scopes": ["reports:read"]}}),
            Box::new(|_: &World| {
                vec![
                    (key("/orders/7"), None, AGREED),
                    (Ask::get("/orders/7").key("writer-secret"), None, deny("insufficient_scope")),
                ]
            }),
        ),
        (
            "write",
            json!({"authorize": {"permissions": ["orders:read"]}}),
            Box::new(|_: &World| {
                vec![
                    (Ask::new("POST", "/orders").key(READER), Some(InsufficientPermission), allow()),
                    (Ask::new("POST", "/orders").key("unknown"), Some(ApiKeyUnknown), AGREED),
                    (Ask::new("POST", "/orders").key("writer-secret"), None, AGREED),
                ]
            }),
        ),
        (
            "keys",
            tokens,
            Box::new(|w: &World| {
                vec![
                    (key("/keys"), None, deny("credentials_missing")),
                    (w.bearer(Ask::get("/keys"), |_| {}), Some(CredentialsMissing), allow()),
                    (w.bearer(key("/keys"), |_| {}), None, AGREED),
                    (w.bearer(key("/keys"), |claims| claims["exp"] = 1.into()), None, deny("token_expired")),
                    (
                        w.bearer(key("/keys"), |claims| claims["jti"] = "revoked".into()),
                        None,
                        deny("token_revoked"),
                    ),
                    (Ask::get("/keys"), Some(CredentialsMissing), AGREED),
                ]
            }),
        ),
        (
            "tokens",
            keys,
            Box::new(|w: &World| {
                vec![
                    (
                        w.bearer(Ask::get("/tokens"), |claims| claims["exp"] = 1.into()),
                        Some(TokenExpired),
                        AGREED,
                    ),
                    (
                        w.bearer(key("/tokens"), |claims| claims["exp"] = 1.into()),
                        Some(TokenExpired),
                        allow(),
                    ),
                ]
            }),
        ),
        (
            "health",
            json!({"action": "Deny"}),
            Box::new(|_: &World| vec![(Ask::get("/health"), None, deny("rule_denied"))]),
        ),
        (
            "closed",
            json!({"action": "Allow", "authenticate": {"anonymous": true}}),
            Box::new(|_: &World| {
                vec![
                    (Ask::get("/closed/a"), Some(RuleDenied), allow()),
                    (Ask::get("/nowhere"), Some(NoRule), AGREED),
                ]
            }),
        ),
        (
            "debugging",
            json!({"action": "Allow", "authenticate": {"anonymous": true}}),
            Box::new(|_: &World| {
                vec![
                    (key("/asking").header("x-debug", "1"), Some(RuleDenied), allow()),
                    (key("/asking").header("x_debug", "1"), Some(AmbiguousName), AGREED),
                ]
            }),
        ),
        (
            "health",
            json!({"transport": {"requireTls": true}}),
            Box::new(|_: &World| {
                vec![
                    (Ask::get("/health").plain(), None, deny("tls_required")),
                    (Ask::get("/health"), None, AGREED),
                ]
            }),
        ),
        // What would have to be waited for.
        (
            "health",
            json!({"authenticate": {"anyOf": [{"jwt": "remote"}]}, "transport": {"requireTls": true}}),
            Box::new(|w: &World| {
                let remote = w.remote.sign(&claims("https://remote.example"));
                vec![
                    (Ask::get("/health").token(&remote), None, unknown("keys_unavailable")),
                    (Ask::get("/health"), None, deny("credentials_missing")),
                ]
            }),
        ),
        (
            "health",
            json!({"authenticate": {"anyOf": [{"jwt": "opaque"}]}, "transport": {"requireTls": true}}),
            Box::new(|w: &World| {
                w.issue("good", 200, json!({"active": true, "iss": "https://as.example", "aud": "api", "sub": "bob", "exp": crate::world::NOW + 60}));
                vec![
                    (Ask::get("/health").token("good"), None, unknown("introspection_unavailable")),
                    // Known since another rule asked.
                    (Ask::get("/opaque").token("good"), None, AGREED),
                    (Ask::get("/health").token("good"), None, AGREED),
                ]
            }),
        ),
        (
            "health",
            json!({"authenticate": {"anyOf": [{"hmac": "hub"}]}, "transport": {"requireTls": true}}),
            Box::new(|_: &World| {
                let signed = Ask { headers: Ask::get("/health").headers, ..webhooks::of_hub("{}") };
                let signature = webhooks::of_hub("{}")
                    .headers
                    .into_iter()
                    .find(|(name, _)| name == b"x-hub-signature-256");
                let signed = Ask { headers: signed.headers.into_iter().chain(signature).collect(), ..signed };
                vec![
                    (signed, None, unknown("body_unavailable")),
                    (Ask::get("/health"), None, deny("signature_missing")),
                ]
            }),
        ),
        // When the issuer has answered.
        (
            "opaque",
            json!({"authorize": {"remoteAddress": ["192.0.2.0/24"]}}),
            Box::new(|w: &World| {
                let good = json!({"active": true, "iss": "https://as.example", "aud": "api", "sub": "bob", "exp": crate::world::NOW + 60});
                w.issue("good", 200, good);
                vec![
                    (Ask::get("/opaque").token("good"), None, deny("address_not_allowed")),
                    (Ask::get("/opaque").token("bad"), Some(TokenInactive), AGREED),
                ]
            }),
        ),
        // What was found out is taken over: the body, and what is good once.
        (
            "hooks",
            json!({"authorize": {"remoteAddress": ["192.0.2.0/24"]}}),
            Box::new(|_: &World| vec![(webhooks::of_hub("{}"), None, deny("address_not_allowed"))]),
        ),
        (
            "till",
            json!({"authorize": {"remoteAddress": ["192.0.2.0/24"]}}),
            Box::new(|_: &World| {
                vec![
                    (signatures::once(), None, deny("address_not_allowed")),
                    (signatures::once(), Some(SignatureReplayed), AGREED),
                ]
            }),
        ),
        (
            "till",
            json!({"authenticate": {"anyOf": [{"messageSignature": "till"}, {"jwt": "corp"}]}}),
            Box::new(|_: &World| {
                vec![
                    (signatures::once(), None, unknown("body_unavailable")),
                    (signatures::once(), Some(SignatureReplayed), unknown("body_unavailable")),
                ]
            }),
        ),
    ];
    for (name, shadow, rows) in &table {
        let w = with_shadow(name, shadow.clone());
        for (n, (ask, reason, told)) in rows(&w).into_iter().enumerate() {
            assert_eq!(said(&w, &from(n, ask.clone())), (reason, told), "{name} {shadow}: {ask:?}");
        }
        assert!(w.worker.take_calls().is_empty(), "{name}");
    }
}

/// A proof that a shadow has judged is as good as before.
#[test]
fn a_shadow_uses_nothing_up() {
    let w = World::with(|policy| {
        let shadow = json!({"authenticate": {"anyOf": [{"jwt": "bound"}]}});
        let open = json!({"name": "open", "authenticate": {"anonymous": true}, "shadow": shadow, "matches": [
            {"path": {"type": "Exact", "value": "/bound"}, "headers": [{"name": "x-open", "value": "1"}]}]});
        policy["rules"].as_array_mut().unwrap().insert(0, open);
    });
    let holder = Issuer::new("d1");
    let token = w.corp.sign(&changed(claims("https://bound.example"), |claims| {
        claims["cnf"] = holder.confirmation();
    }));
    let ask = |proof: &str| {
        Ask::get("/bound").header("authorization", &format!("DPoP {token}")).header("dpop", proof)
    };
    let (proof, other) =
        (holder.prove(&token, "/bound", "p1", None), holder.prove("other", "/bound", "p2", None));
    let open = |ask: Ask| said(&w, &ask.header("x-open", "1"));
    for n in 0..3 {
        assert_eq!(open(from(n, ask(&proof))), (None, AGREED));
    }
    let would_refuse = [json!("would_deny"), json!("dpop_proof_invalid"), Value::Null];
    assert_eq!(open(from(4, ask(&other))), (None, would_refuse));
    assert_eq!(said(&w, &from(5, ask(&proof))), (None, AGREED));
    assert_eq!(said(&w, &from(6, ask(&proof))), (Some(Reason::DpopProofReplayed), AGREED));
}

/// What the request has that is good once is judged by what the rule in force made of it.
#[test]
fn a_proof_that_was_accepted_is_good_in_the_shadow() {
    let w = with_shadow("bound", json!({"authenticate": {"anyOf": [{"jwt": "bound"}, {"jwt": "corp"}]}}));
    let holder = Issuer::new("d1");
    let confirmed = |claims: &mut Value| claims["cnf"] = holder.confirmation();
    let token = w.corp.sign(&changed(claims("https://bound.example"), confirmed));
    let ask = |n, id: &str| {
        let proof = holder.prove(&token, "/bound", id, None);
        from(n, Ask::get("/bound").header("authorization", &format!("DPoP {token}")).header("dpop", &proof))
    };
    let once = ask(0, "p1");
    assert_eq!(said(&w, &once), (None, AGREED));
    assert_eq!(said(&w, &once), (Some(Reason::DpopProofReplayed), AGREED));
    assert_eq!(said(&w, &ask(1, "p2")), (None, AGREED));
    assert_eq!(said(&w, &w.bearer(Ask::get("/bound"), |_| {})).1[0], json!("would_allow"));
}

/// A signature that was held against the keys is not held against them once more.
#[test]
fn what_was_verified_is_not_verified_again() {
    let shadow = json!({"authenticate": {"anyOf": [{"jwt": "corp"}, {"jwt": "partner"}]}});
    let w = with_shadow("tokens", shadow);
    let good = w.bearer(Ask::get("/tokens"), |_| {});
    let forged = Ask::get("/tokens").token(&Issuer::new("c1").sign(&claims("https://idp.example")));
    for (n, (ask, reason, checked)) in
        [(good.clone(), None, 1), (good, None, 1), (forged, Some(Reason::TokenSignature), 2)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(said(&w, &from(n, ask)), (reason, AGREED));
        assert_eq!(w.checked.get(), checked);
    }
    // One that only the shadow asks for is verified once.
    let w = with_shadow("keys", json!({"authenticate": {"anyOf": [{"jwt": "corp"}]}}));
    let both = w.bearer(Ask::get("/keys").key(READER), |_| {});
    for n in 0..3 {
        assert_eq!(said(&w, &from(n, both.clone())), (None, AGREED));
        assert_eq!(w.checked.get(), 1);
    }
    // No request had a token that a rule in force looks at.
    assert_eq!(w.worker.take_token_look_ups(), [0, 0]);
}

#[test]
fn limits_of_a_shadow_count_once_and_those_in_force_not_at_all() {
    let w = World::with(|policy| {
        let limits = policy["rateLimits"].as_array_mut().unwrap();
        limits.extend([limit("next", 2, json!({})), limit("few", 1, json!({}))]);
        rule(policy, "keys")["rateLimits"] = json!(["next"]);
        rule(policy, "keys")["shadow"] = json!({"rateLimits": ["next", "reads"]});
        rule(policy, "asking")["shadow"] = json!({"rateLimits": ["few"]});
    });
    let warned: Vec<_> = w.worker.policy().warnings().iter().map(|warning| warning.path.clone()).collect();
    let place =
        w.document["rules"].as_array().unwrap().iter().position(|rule| rule["name"] == "keys").unwrap();
    assert_eq!(warned, [format!("rules[{place}].shadow.rateLimits[1]")]);
    let keys = |n| said(&w, &from(n, Ask::get("/keys").key(READER)));
    assert_eq!((keys(0), keys(1)), ((None, AGREED), (None, AGREED)));
    // `next` is charged by the rule, and not once more by its shadow; `reads` by neither.
    assert_eq!(keys(2), (None, would_exceed("next")));
    for n in 10..13 {
        assert_eq!(said(&w, &from(n, Ask::get("/limited").key(READER))), (None, AGREED));
    }
    assert_eq!(keys(3), (None, would_exceed("reads")));
    let asking = |n| said(&w, &from(20_usize + n, Ask::get("/asking").key(READER)));
    assert_eq!((asking(0), asking(1)), ((None, AGREED), (None, would_exceed("few"))));
}

/// The policy with a next list.
fn with_next(change: impl FnOnce(&mut Vec<Value>)) -> World {
    World::with(|policy| {
        let mut rules = policy["rules"].as_array().unwrap().clone();
        change(&mut rules);
        policy["shadow"] = json!({"rules": rules});
    })
}

#[test]
fn the_next_list_decides_beside_the_one_in_force() {
    use Reason::*;
    let w = with_next(|rules| {
        rules.retain(|rule| !["health", "tokens", "debugging"].iter().any(|gone| rule["name"] == *gone));
        for rule in rules.iter_mut() {
            rule["name"] = format!("next-{}", rule["name"].as_str().unwrap()).into();
        }
        let position = |name: &str| rules.iter().position(|rule| rule["name"] == name).unwrap();
        let orders = position("next-orders");
        rules[orders]["authorize"] = json!({"permissions": ["orders:write"]});
        let (one, two) = ("/nowhere", "/tokens");
        for (name, path, ways) in
            [("new", one, json!({"anonymous": true})), ("tokens", two, json!({"anyOf": ["apiKey"]}))]
        {
            rules.push(json!({"name": name, "matches": [{"path": {"type": "Exact", "value": path}}], "authenticate": ways}));
        }
    });
    let told = |n: usize, ask: &Ask| {
        let answer = w.ask(&from(n, ask.clone()));
        let told = ["shadow", "shadowReason", "shadowRule"].map(|name| answer.recorded(name));
        (answer.reason, told)
    };
    let deny = |reason: &str, rule: Value| [json!("would_deny"), json!(reason), rule];
    let allow = |rule: &str| [json!("would_allow"), Value::Null, json!(rule)];
    for (n, (ask, reason, expected)) in [
        (Ask::get("/orders/7").key(READER), None, deny("insufficient_permission", json!("next-orders"))),
        (Ask::get("/orders/7").key("writer-secret"), None, AGREED),
        (Ask::get("/health"), None, deny("no_rule", Value::Null)),
        (Ask::get("/nowhere"), Some(NoRule), allow("new")),
        (Ask::get("/nobody"), Some(NoRule), AGREED),
        (w.bearer(Ask::get("/tokens"), |_| {}), None, deny("credentials_missing", json!("tokens"))),
        (Ask::get("/tokens").key(READER), Some(CredentialsMissing), allow("tokens")),
        (Ask::get("/closed"), Some(RuleDenied), AGREED),
        // Which rule it is for is clear in the next list alone.
        (Ask::get("/asking").key(READER).header("x_debug", "1"), Some(AmbiguousName), allow("next-asking")),
        // Before any rule.
        (Ask::get("/nowhere").plain(), Some(TlsRequired), AGREED),
        (Ask::get("/a%2Fb"), Some(AmbiguousPath), AGREED),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(told(n, &ask), (reason, expected), "{ask:?}");
    }
}

#[test]
fn preflights_pass_where_the_next_list_lets_them() {
    let w = with_next(|rules| {
        let asking = rules.iter_mut().find(|rule| rule["name"] == "asking").unwrap();
        asking["corsPreflight"] = "Allow".into();
    });
    let decided = |method: &str| {
        let ask = Ask::new("OPTIONS", "/asking").header("origin", "https://app.example");
        let ask = ask.header("access-control-request-method", method);
        let head = RequestHead { ends: true, ..ask.head() };
        w.with_services(|services| {
            let decision = Exchange::default().on_request(&w.worker, &head, services);
            (decision.reason, decision.shadow)
        })
    };
    let refused = Some(Reason::NoRule);
    assert_eq!(decided("GET"), (refused, Some((ShadowOutcome::WouldAllow, Reason::NoRule))));
    assert_eq!(decided("DELETE"), (refused, None));
}
