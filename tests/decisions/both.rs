//! Requests with two credentials: who waits for what, and what is told of which.

use portcullis::{answer::Reason, calls::Call, engine::Purpose};
use serde_json::{Value, json};

use crate::{
    document::introspection,
    world::{Ask, Issuer, NOW, Pending, World, asked_about, changed, claims, ok},
};

/// The provider "service" knows its tokens itself, and says nothing twice; they stand in a header of their own.
fn world(change: impl FnOnce(&mut Value)) -> World {
    World::with(|policy| {
        let mut asked = introspection("https://service.example/introspect");
        for kept in ["cacheDuration", "inactiveCacheDuration"] {
            asked[kept] = "0s".into();
            policy["jwt"]["providers"][3]["introspection"][kept] = "0s".into();
        }
        let service = json!({"name": "service", "issuer": "https://service.example", "audiences": ["api"],
            "introspection": asked, "extractFrom": {"headers": [{"name": "x-service-token"}]}});
        policy["jwt"]["providers"].as_array_mut().unwrap().push(service);
        for (name, both, more) in [
            ("app", json!(["apiKey", {"jwt": "corp"}]), json!({})),
            ("asked", json!([{"jwt": "service"}, {"jwt": "opaque"}]), json!({})),
            ("proven", json!([{"jwt": "service"}, {"jwt": "bound"}]), json!({})),
            ("fetched", json!([{"jwt": "partner"}, {"jwt": "remote"}]), json!({})),
            (
                "scoped",
                json!([{"jwt": "partner"}, {"jwt": "corp"}]),
                json!({"authorize": {"scopes": ["a"], "actor": {"scopes": {"anyOf": ["b", "c"]}}}}),
            ),
            ("counted", json!(["apiKey", {"jwt": "corp"}]), json!({"rateLimits": ["by-key"]})),
            ("region", json!([{"jwt": "partner"}, {"jwt": "corp"}]), json!({"rateLimits": ["by-region"]})),
        ] {
            let mut rule = json!({"name": format!("both-{name}"), "authenticate": {"allOf": both},
                "matches": [{"path": {"type": "Exact", "value": format!("/both/{name}")}}]});
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            policy["rules"].as_array_mut().unwrap().push(rule);
        }
        policy["rules"].as_array_mut().unwrap().push(json!({"name": "counted",
            "matches": [{"path": {"type": "Exact", "value": "/counted"}}],
            "authenticate": {"anyOf": [{"jwt": "corp"}]}, "rateLimits": ["by-key"]}));
        let by_key =
            json!({"name": "by-key", "key": ["apiKey"], "limits": [{"requests": 1, "unit": "Hour"}]});
        let by_region = json!({"name": "by-region", "key": [{"header": "x-region"}], "limits": [{"requests": 1, "unit": "Hour"}]});
        policy["rateLimits"].as_array_mut().unwrap().extend([by_key, by_region]);
        policy["jwt"]["providers"][1]["claimToHeaders"] = json!([{"claim": "region", "header": "x-region"}]);
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
        change(policy);
    })
}

fn active(issued: u64) -> Value {
    json!({"active": true, "sub": "alice", "aud": "api", "iat": issued, "exp": issued + 600})
}

/// Answers each call at once; what issuers were asked about, and why the request was refused.
fn asked(w: &World, ask: &Ask) -> (Vec<String>, Option<Reason>) {
    let (mut pending, mut asked) = (Pending::new(ask), Vec::new());
    for _ in 0..5 {
        if let Some(answer) = pending.decide(w) {
            return (asked, answer.reason);
        }
        for (purpose, call) in w.worker.take_calls() {
            asked.push(asked_about(&call));
            assert!(pending.waits_for(purpose));
            w.answer_call(purpose, &call);
        }
    }
    panic!("it goes on waiting, after {asked:?}");
}

/// Each issuer is asked once, though neither answer may be kept.
#[test]
fn two_issuers_are_asked() {
    let w = world(|_| {});
    w.issue("acting", 200, active(NOW));
    w.issue("asking", 200, active(NOW));
    let ask =
        |service: &str, user: &str| Ask::get("/both/asked").header("x-service-token", service).token(user);
    for (service, user, expected, reason) in [
        ("acting", "asking", &["acting", "asking"][..], None),
        ("nobody", "asking", &["nobody"], Some(Reason::TokenInactive)),
        ("acting", "nobody", &["acting", "nobody"], Some(Reason::TokenInactive)),
        // The word of one is not the word of the other.
        ("asking", "acting", &["asking", "acting"], None),
    ] {
        let said = asked(&w, &ask(service, user));
        assert_eq!(
            said,
            (expected.iter().map(|text| (*text).to_owned()).collect(), reason),
            "{service} {user}"
        );
        w.worker.settled();
    }
}

/// A proof is good once, so it is not used up while the request still waits.
#[test]
fn a_proof_is_looked_at_when_all_else_is_known() {
    let w = world(|_| {});
    w.issue("acting", 200, active(NOW));
    let holder = Issuer::new("d1");
    let token = changed(claims("https://bound.example"), |claims| claims["cnf"] = holder.confirmation());
    let token = w.corp.sign(&token);
    let ask = |id: &str, service: &str| {
        let proof = holder.prove(&token, "/both/proven", id, None);
        let ask = Ask::get("/both/proven").header("authorization", &format!("DPoP {token}"));
        ask.header("dpop", &proof).header("x-service-token", service)
    };
    assert_eq!(w.reason(&ask("p1", "acting")), None);
    w.worker.settled();
    assert_eq!(w.reason(&ask("p1", "acting")), Some(Reason::DpopProofReplayed));
    w.worker.settled();
    // What is refused for the other one's sake leaves it as it was.
    assert_eq!(w.reason(&ask("p2", "nobody")), Some(Reason::TokenInactive));
    w.worker.settled();
    assert_eq!(w.reason(&ask("p2", "acting")), None);
}

/// That one is there already says nothing of the keys for the other.
#[test]
fn keys_are_waited_for() {
    let w = world(|_| {});
    let acting = w.partner.sign(&claims("https://partner.example"));
    let token = w.remote.sign(&claims("https://remote.example"));
    let ask = Ask::get("/both/fetched").header("x-partner-token", &acting).token(&token);
    let calls = w.tick();
    let mut pending = Pending::new(&ask);
    assert!(pending.waits(&w));
    let body = w.remote.set().to_string();
    for (purpose, _) in calls {
        w.deliver(purpose, ok(body.as_bytes()));
    }
    let answer = pending.decide(&w).unwrap();
    assert_eq!(answer.reason, None);
    // The partner's goes on, the other one does not.
    assert_eq!(
        (answer.upstream("x-partner-token"), answer.upstream("authorization")),
        (acting, String::new())
    );
}

/// Which keys did not sign one token says nothing of the other, however many sets each issuer has published.
#[test]
fn new_keys_are_waited_for() {
    let w = world(|policy| {
        policy["jwt"]["providers"][1]["jwks"] =
            json!({"uri": "https://partner.example/jwks", "cluster": "partner"});
    });
    let publish = |issuer: &Issuer, cluster: &str, calls: &[(Purpose, Call)]| {
        let call = calls.iter().find(|(_, call)| call.cluster == cluster).unwrap();
        assert_eq!(w.deliver(call.0, ok(issuer.set().to_string().as_bytes())), [""; 0]);
    };
    let calls = w.tick();
    publish(&Issuer::new("p0"), "partner", &calls);
    publish(&w.remote, "remote", &calls);
    let acting = w.partner.sign(&claims("https://partner.example"));
    let token = w.remote.sign(&claims("https://remote.example"));
    w.later(60);
    let mut pending =
        Pending::new(&Ask::get("/both/fetched").header("x-partner-token", &acting).token(&token));
    assert!(pending.waits(&w));
    publish(&w.partner, "partner", &w.tick());
    assert_eq!(pending.reason(&w), None);
}

#[test]
fn what_each_lacks_is_told_apart() {
    let w = world(|_| {});
    let signed = |issuer: &Issuer, name: &str, scopes: &str| {
        issuer.sign(&changed(claims(name), |claims| claims["scope"] = scopes.into()))
    };
    let ask = |acting: &str, own: &str| {
        let acting = signed(&w.partner, "https://partner.example", acting);
        let own = signed(&w.corp, "https://idp.example", own);
        w.ask(&Ask::get("/both/scoped").header("x-partner-token", &acting).token(&own))
    };
    let passes = ask("c", "a");
    assert_eq!(passes.reason, None);
    assert_eq!(
        (passes.recorded("actor"), passes.recorded("actorAuthority")),
        (json!("alice"), json!("partner"))
    );
    assert_eq!((passes.recorded("authority"), passes.recorded("party")), (json!("corp"), Value::Null));
    for (acting, own, missing, party, scope) in [
        ("c", "b c", json!(["a"]), Value::Null, "scope=\"a\""),
        ("a", "a b c", json!(["b", "c"]), json!("actor"), "scope=\"b\""),
        ("a", "b", json!(["a"]), Value::Null, "scope=\"a\""),
    ] {
        let answer = ask(acting, own);
        assert_eq!(answer.reason, Some(Reason::InsufficientScope), "{acting} {own}");
        assert_eq!(
            (answer.recorded("missing"), answer.recorded("party")),
            (missing, party),
            "{acting} {own}"
        );
        let challenge = answer.reply("www-authenticate").unwrap();
        assert!(challenge.contains(scope), "{acting} {own}: {challenge}");
    }
    // Whoever has to get another token asks for one that will do, as the one or as the other.
    let (good, mut expired) = (claims("https://partner.example"), claims("https://idp.example"));
    expired["exp"] = 1.into();
    let own = w.corp.sign(&expired);
    let of_own =
        w.ask(&Ask::get("/both/scoped").header("x-partner-token", &w.partner.sign(&good)).token(&own));
    expired["iss"] = "https://partner.example".into();
    let of_actor = w.ask(&Ask::get("/both/scoped").header("x-partner-token", &w.partner.sign(&expired)));
    for (answer, scope) in [(of_own, "scope=\"a\""), (of_actor, "scope=\"b\"")] {
        assert_eq!(answer.reason, Some(Reason::TokenExpired));
        assert!(answer.reply("www-authenticate").unwrap().contains(scope));
    }
}

/// A token for another API opens nothing by whoever acts for its holder, nor as the actor's.
#[test]
fn both_are_for_the_resource() {
    let w = world(|policy| {
        policy["protectedResources"] = json!([{"name": "api", "resource": "https://api.example"},
            {"name": "shop", "resource": "https://shop.example"}]);
        for rule in policy["rules"].as_array_mut().unwrap() {
            let with_tokens = rule["authenticate"].to_string().contains("jwt");
            match rule["name"].as_str() {
                Some("both-scoped") => rule["protectedResource"] = "api".into(),
                _ if with_tokens => rule["anyAudience"] = true.into(),
                _ => {}
            }
        }
        policy["jwt"]["providers"][0]["audiences"] = json!(["https://api.example", "https://shop.example"]);
    });
    let signed = |issuer: &Issuer, name: &str, resource: &str, scope: &str| {
        let audience = format!("https://{resource}.example");
        issuer.sign(&changed(claims(name), |claims| {
            (claims["aud"], claims["scope"]) = (audience.into(), scope.into())
        }))
    };
    for (acting, own, expected) in [
        ("api", "api", None),
        ("shop", "api", Some(Reason::TokenAudience)),
        ("api", "shop", Some(Reason::TokenAudience)),
    ] {
        let acting = signed(&w.partner, "https://partner.example", acting, "b");
        let own = signed(&w.corp, "https://idp.example", own, "a");
        let ask = Ask::get("/both/scoped").header("x-partner-token", &acting).token(&own);
        // Twice, for the second time both are remembered.
        assert_eq!([w.reason(&ask), w.reason(&ask)], [expected; 2]);
    }
}

/// Where the principal was counted before says nothing of the key that it comes with now.
#[test]
fn the_actors_key_counts() {
    let w = world(|_| {});
    let token = w.token(|_| {});
    let ask = |path: &str| Ask::get(path).token(&token);
    assert_eq!(w.reason(&ask("/counted")), None);
    assert_eq!(w.reason(&ask("/counted")), Some(Reason::RateLimited));
    for key in ["reader-secret", "writer-secret"] {
        assert_eq!(w.reason(&ask("/both/counted").key(key)), None);
        assert_eq!(w.reason(&ask("/both/counted").key(key)), Some(Reason::RateLimited));
    }
}

/// A header that is set from the actor's claim counts as that, whatever the principal's says of the kind.
#[test]
fn the_actors_claim_counts() {
    let w = world(|_| {});
    let ask = |region: &str, own: &str| {
        let acting = changed(claims("https://partner.example"), |claims| claims["region"] = region.into());
        let ask = Ask::get("/both/region").header("x-partner-token", &w.partner.sign(&acting));
        w.bearer(ask, |claims| claims["region"] = own.into())
    };
    for (region, own, expected) in [
        ("eu", "eu", None),
        ("eu", "us", Some(Reason::RateLimited)),
        ("us", "eu", None),
        ("us", "cn", Some(Reason::RateLimited)),
    ] {
        assert_eq!(w.reason(&ask(region, own)), expected, "{region} {own}");
    }
}

/// With one credential too many, or too few.
#[test]
fn each_stands_once_in_its_place() {
    let w = world(|_| {});
    let both = || w.bearer(Ask::get("/both/app"), |_| {}).key("reader-secret");
    let other = w.token(|claims| claims["sub"] = "bob".into());
    for (ask, expected) in [
        (both(), None),
        // Not taken by the rule, so it proves nothing and is taken out.
        (both().header("x-partner-token", "x"), None),
        (both().certificate("spiffe://td/ns/a"), None),
        (both().header("x-api-key", "writer-secret"), Some(Reason::CredentialsAmbiguous)),
        (both().header("cookie", &format!("session={other}")), Some(Reason::CredentialsAmbiguous)),
        (both().without("x-api-key"), Some(Reason::CredentialsMissing)),
        (both().without("authorization"), Some(Reason::CredentialsMissing)),
        (both().without("x-api-key").certificate("spiffe://td/ns/a"), Some(Reason::CredentialsMissing)),
        (both().without("x-api-key").header("cookie", "key=reader-secret"), None),
    ] {
        assert_eq!(w.reason(&ask), expected, "{ask:?}");
    }
    // Nobody makes up an actor, where a rule takes one or not.
    let forged = |ask: Ask| ask.header("x-portcullis-actor", "root").header("X_Portcullis.Actor", "root");
    let [two, one, nobody] = [both(), Ask::get("/keys").key("reader-secret"), Ask::get("/health")]
        .map(|ask| w.ask(&forged(ask)))
        .map(|answer| (answer.upstream("x-portcullis-actor"), answer.upstream("X_Portcullis.Actor")));
    assert_eq!(two, ("reader".to_owned(), String::new()));
    assert_eq!([one, nobody], [(String::new(), String::new()), (String::new(), String::new())]);
}
