//! What the record of a refusal says of what was missing, and of tokens and certificates that are nobody's.

use portcullis::{answer::Reason, config::RecordNames, engine::record_schema};
use serde_json::{Map, Value, json};

use crate::world::{Ask, Issuer, NOW, World, changed, claims};

/// What is in the record beside what every record has.
fn said(w: &World, ask: &Ask) -> (Option<Reason>, Value) {
    let answer = w.ask(&ask.clone().from(&format!("10.0.0.{}", w.now.get() % 200)));
    w.later(1);
    let record: Map<String, Value> = serde_json::from_str(&answer.record.unwrap()).unwrap();
    let every = ["decision", "reason", "rule", "method", "path", "address", "detail"];
    let who = ["principal", "kind", "authority", "credential"];
    let others = record.into_iter().filter(|(name, _)| !every.contains(&&**name) && !who.contains(&&**name));
    (answer.reason, Value::Object(others.collect()))
}

#[test]
fn what_was_missing_is_named() {
    let w = World::with(|policy| {
        for (name, authorize) in [
            ("scopes", json!({"scopes": ["a", "b", "c"]})),
            ("any", json!({"scopes": {"anyOf": ["a", "b"]}})),
            ("roles", json!({"roles": ["editor", "admin"]})),
            ("first", json!({"anyOf": [{"permissions": ["orders:write"]}, {"scopes": ["a"]}]})),
        ] {
            policy["rules"].as_array_mut().unwrap().push(json!({"name": format!("x-{name}"),
                "matches": [{"path": {"type": "Exact", "value": format!("/x/{name}")}}],
                "authenticate": {"anyOf": [{"jwt": "corp"}]}, "authorize": authorize}));
        }
    });
    let with = |path: &str, name: &str, value: Value| w.bearer(Ask::get(path), |claims| claims[name] = value);
    let scoped = |path: &str, scopes: &str| with(path, "scope", scopes.into());
    use Reason::*;
    for (ask, reason, missing) in [
        (scoped("/x/scopes", "b d"), InsufficientScope, json!(["a", "c"])),
        (scoped("/x/scopes", "a c"), InsufficientScope, json!(["b"])),
        (scoped("/x/any", "d"), InsufficientScope, json!(["a", "b"])),
        (with("/x/roles", "roles", json!(["editor"])), InsufficientRole, json!(["admin"])),
        (with("/x/roles", "roles", json!([])), InsufficientRole, json!(["admin", "editor"])),
        (with("/x/first", "roles", json!(["viewer"])), InsufficientPermission, json!(["orders:write"])),
        (Ask::new("POST", "/orders").key("reader-secret"), InsufficientPermission, json!(["orders:write"])),
    ] {
        assert_eq!(said(&w, &ask), (Some(reason), json!({"missing": missing})), "{ask:?}");
    }
    // Nothing that has a name.
    assert_eq!(said(&w, &w.bearer(Ask::get("/own/bob"), |_| {})), (Some(NotOwner), json!({})));
    assert_eq!(said(&w, &Ask::get("/tokens")), (Some(CredentialsMissing), json!({})));
    assert_eq!(said(&w, &Ask::get("/keys").key("unknown")), (Some(ApiKeyUnknown), json!({})));
}

#[test]
fn tokens_that_are_nobodys_are_shown_as_far_as_they_may() {
    use Reason::*;
    let w = World::new();
    let corp = |change: fn(&mut Value)| w.bearer(Ask::get("/tokens"), change);
    let of_corp =
        json!({"provider": "corp", "issuer": "https://idp.example", "audience": ["api"], "kid": "c1"});
    let of_corp = |name: &str, value: Value| changed(of_corp.clone(), |said| said[name] = value);
    let token = |token: &str| Ask::get("/tokens").token(token);
    let forged = Issuer::new("c1").sign(&claims("https://idp.example"));
    let remote = w.remote.sign(&claims("https://remote.example"));
    for (ask, reason, expected) in [
        (corp(|claims| claims["aud"] = json!("other")), TokenAudience, of_corp("audience", json!(["other"]))),
        (
            corp(|claims| claims["aud"] = json!(["other", "more"])),
            TokenAudience,
            of_corp("audience", json!(["other", "more"])),
        ),
        (corp(|claims| claims["exp"] = 1.into()), TokenExpired, of_corp("kid", json!("c1"))),
        (corp(|claims| claims["sub"] = 7.into()), TokenClaims, of_corp("kid", json!("c1"))),
        (token(&forged), TokenSignature, of_corp("kid", json!("c1"))),
        (token(&w.corp.sign_as("c9", &claims("https://idp.example"))), TokenKey, of_corp("kid", json!("c9"))),
        // Of a provider that the rule does not take, and of none.
        (
            token(&w.partner.sign(&claims("https://partner.example"))),
            TokenIssuer,
            json!({"provider": "partner", "issuer": "https://partner.example", "audience": ["api"], "kid": "p1"}),
        ),
        (
            corp(|claims| claims["iss"] = json!("https://evil.example/\n\"")),
            TokenIssuer,
            json!({"issuer": "https://evil.example/\n\"", "audience": ["api"], "kid": "c1"}),
        ),
        (corp(|claims| claims["iss"] = json!(7)), TokenIssuer, json!({"audience": ["api"], "kid": "c1"})),
        // What cannot be taken apart says nothing.
        (token("a.b.c"), TokenMalformed, json!({})),
        (
            Ask::get("/remote").token(&remote),
            KeysUnavailable,
            json!({"provider": "remote", "issuer": "https://remote.example", "audience": ["api"], "kid": "r1"}),
        ),
        (Ask::get("/opaque").token("nobody"), TokenInactive, json!({"provider": "opaque"})),
        (
            Ask::get("/certificate").certificate("spiffe://other/ns/a"),
            CertificateUnknown,
            json!({"certificate": "spiffe://other/ns/a"}),
        ),
        (Ask::get("/certificate"), CertificateMissing, json!({})),
    ] {
        assert_eq!(said(&w, &ask), (Some(reason), expected), "{ask:?}");
    }
    // Whoever is known is named instead.
    let known = w.bearer(Ask::get("/admin"), |_| {});
    assert_eq!(said(&w, &known), (Some(InsufficientRole), json!({"missing": ["admin"]})));
    let passes = said(&w, &w.bearer(Ask::get("/tokens"), |_| {}));
    assert_eq!(passes, (None, json!({})));
}

/// However much a client writes.
#[test]
fn what_is_shown_is_bounded() {
    let w = World::new();
    let long = "x".repeat(280);
    let token =
        w.corp.sign_as(&"k".repeat(256), &json!({"iss": long, "aud": vec![&long; 12], "exp": NOW + 60}));
    let ask = Ask::get("/tokens").token(&token);
    let (reason, said) = said(&w, &ask);
    assert_eq!(reason, Some(Reason::TokenIssuer));
    let cut = "x".repeat(256);
    assert_eq!(said, json!({"issuer": cut, "audience": vec![&cut; 8], "kid": "k".repeat(256)}));
    let record = w.ask(&ask).record.unwrap();
    assert!(record.len() < 3500 && record.lines().count() == 1, "{}", record.len());
}

/// Every field says what the record says, letter for letter; a field of nothing is in neither.
#[test]
fn access_logs_are_told_what_records_say() {
    let w = World::new();
    let bearer = |id: &str| w.bearer(Ask::get("/tokens"), |claims| claims["jti"] = id.into());
    let (long, odd) = ("x".repeat(300), "a\"b\\c\u{2028}\u{202e}~");
    let mut told = std::collections::BTreeSet::new();
    for ask in [
        Ask::get("/health"),
        Ask::get("/nowhere"),
        Ask::get("/keys").key("reader-secret"),
        Ask::get("/keys").key("disabled-secret"),
        Ask::get("/keys").key("unknown"),
        bearer("alice"),
        bearer(&long),
        bearer(odd),
        w.bearer(Ask::get("/own/bob"), |_| {}),
        Ask::get("/limited").key("reader-secret"),
        Ask::get("/limited").key("reader-secret"),
        Ask::get("/limited").key("reader-secret"),
        Ask::get("/limited").key("reader-secret"),
    ] {
        let answer = w.ask(&ask);
        let record = answer.record.as_deref().unwrap();
        assert!(!answer.told.iter().any(|(_, text)| text.contains(char::is_control)), "{record}");
        for name in ["rule", "reason", "principal", "kind", "authority", "credential", "limit"] {
            let said = answer.told.iter().find(|(field, _)| field.name() == name);
            match said {
                Some((_, text)) => {
                    assert!(record.contains(&format!("\"{name}\":\"{text}\"")), "{text}: {record}")
                }
                None => assert!(!record.contains(&format!("\"{name}\":")), "{name}: {record}"),
            }
            told.extend(said.map(|(field, _)| field.name()));
        }
    }
    assert_eq!(told.len(), 7, "{told:?}");
    let w = World::with(|policy| policy["accessLog"] = json!({"fields": ["Kind", "Rule"]}));
    let fields = |ask: &Ask| w.ask(ask).told.iter().map(|(field, _)| field.name()).collect::<Vec<_>>();
    assert_eq!(fields(&Ask::get("/keys").key("reader-secret")), ["kind", "rule"]);
    assert_eq!(fields(&Ask::get("/keys")), ["rule"]);
    let w = World::with(|policy| _ = policy.as_object_mut().unwrap().remove("accessLog"));
    assert!(w.ask(&Ask::get("/keys").key("reader-secret")).told.is_empty());
}

/// No member of the schemas is one that no record has; and they know every reason.
#[test]
fn every_member_of_the_schemas_is_in_some_record() {
    let mut codes = Reason::ALL.map(Reason::code);
    codes.sort_unstable();
    for (names, choice, reason) in
        [(RecordNames::Portcullis, "Portcullis", "reason"), (RecordNames::Ecs, "Ecs", "event.reason")]
    {
        let schema = record_schema(names);
        assert_eq!(schema["properties"][reason]["enum"], json!(codes.as_slice()));
        let w = World::with(|policy| {
            policy["decisionLog"] = json!({"allowed": true, "chain": true, "names": choice});
            let next = json!({"name": "next", "key": ["principal"], "limits": [{"requests": 2, "unit": "Hour"}], "shadow": true});
            policy["rateLimits"].as_array_mut().unwrap().push(next);
            let rules = policy["rules"].as_array_mut().unwrap();
            let limited = rules.iter_mut().find(|rule| rule["name"] == "limited").unwrap();
            limited["rateLimits"] = json!(["reads", "next"]);
            rules.push(json!({"name": "two",
                "matches": [{"path": {"type": "Exact", "value": "/two"}}],
                "authenticate": {"allOf": [{"jwt": "partner"}, {"jwt": "corp"}]},
                "authorize": {"actor": {"scopes": ["a"]}}}));
            let mut next = policy["rules"].clone();
            next[0] = json!({"name": "health", "action": "Deny", "matches": next[0]["matches"]});
            policy["shadow"] = json!({"rules": next});
        });
        let mut found = std::collections::BTreeSet::new();
        for record in written(&w) {
            let record: Map<String, Value> = serde_json::from_str(&record).unwrap();
            found.extend(record.into_iter().map(|(name, _)| name));
        }
        let known = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(found, known);
    }
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Records of all kinds, in the order in which they are written.
fn written(w: &World) -> Vec<String> {
    let acting = |scope: &str| {
        let token = w.partner.sign(&changed(claims("https://partner.example"), |claims| {
            claims["scope"] = scope.into();
            claims["jti"] = "t-1".into();
        }));
        w.bearer(Ask::get("/two").header("x-partner-token", &token), |_| {})
    };
    let mut asks = vec![
        w.bearer(Ask::get("/tokens"), |claims| claims["email"] = json!("a\nb")),
        acting("a"),
        acting("b"),
        Ask::get("/tokens")
            .token(&w.corp.sign(&changed(claims("https://idp.example"), |c| c["exp"] = 1.into()))),
        Ask::get("/certificate").certificate("spiffe://other/ns/a"),
        Ask::get("/nowhere").header("x-request-id", "r-1").header("traceparent", TRACE),
        Ask::get("/nowhere"),
        Ask::get("/health"),
    ];
    asks.extend((0..5).map(|_| Ask::get("/limited").key("reader-secret")));
    let records = asks.iter().enumerate();
    let mut records: Vec<String> =
        records.filter_map(|(n, ask)| w.ask(&ask.clone().from(&format!("10.3.0.{n}"))).record).collect();
    // What is alike is told ten seconds after the first tick.
    assert!(w.with_services(|services| w.worker.take_repeated(services)).is_empty());
    w.later(10);
    records.extend(w.with_services(|services| w.worker.take_repeated(services)));
    records
}

#[test]
fn ids_of_requests_and_traces_are_told_where_they_are_ids() {
    let w = World::new();
    let traced = Ask::get("/nowhere").header("x-request-id", "r-1").header("traceparent", TRACE);
    let traced = w.ask(&traced).record.unwrap();
    assert!(
        traced.ends_with("\"requestId\":\"r-1\",\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}"),
        "{traced}"
    );
    // Nothing that is no id, and neither of two.
    let w = World::with(|policy| policy["decisionLog"] = json!({"allowed": true}));
    for ask in [
        Ask::get("/health").header("traceparent", "00-secret"),
        Ask::get("/health").header("traceparent", TRACE).header("traceparent", TRACE),
    ] {
        assert_eq!(w.ask(&ask.from("10.3.1.1")).recorded("traceId"), Value::Null);
    }
}

/// Those of allowed and of denied requests, and those that stand for many; and what was taken for an end.
#[test]
fn every_record_is_in_the_chain_in_its_order() {
    let chained = |chain: bool| {
        let w = World::with(|policy| policy["decisionLog"] = json!({"allowed": true, "chain": chain}));
        let mut records = written(&w);
        for _ in 0..2 {
            records.extend(w.ask(&Ask::get("/closed/x").from("10.4.0.1")).record);
        }
        records.extend(w.with_services(|services| w.worker.end_repeated(services)));
        records
    };
    let records = chained(true);
    assert_eq!(records.iter().filter(|record| record.contains("\"repeated\":")).count(), 3);
    let mut previous = Value::Null;
    for (record, n) in records.iter().zip(1..) {
        let members: Value = serde_json::from_str(record).unwrap();
        assert_eq!((&members["sequence"], &members["previous"]), (&json!(n), &previous), "{record}");
        // The id is as random as its source.
        assert_eq!(members["chain"], "07".repeat(16));
        let digest = portcullis::crypto::sha256(record.as_bytes());
        previous = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    }
    // Without it they are the same but for that.
    let plain = chained(false);
    assert_eq!(plain.len(), records.len());
    for plain in &plain {
        let begins = plain.strip_suffix('}').unwrap();
        assert!(records.iter().any(|record| record.starts_with(begins)), "{plain}");
        assert!(!plain.contains("\"chain\""));
    }
}

/// What the log does not take is in no chain, so that nothing seems to be missing; and without randomness there is none.
#[test]
fn what_is_not_written_is_in_no_chain() {
    let w = World::with(|policy| policy["decisionLog"] = json!({"denied": "All", "chain": true}));
    let sequence = |ask: &Ask| w.ask(ask).recorded("sequence");
    w.random.set(false);
    assert_eq!(sequence(&Ask::get("/nowhere")), Value::Null);
    w.random.set(true);
    assert_eq!(sequence(&Ask::get("/nowhere")), json!(1));
    let head = Ask::get("/nowhere");
    w.with_services(|services| {
        let services = portcullis::engine::HostServices {
            log_enabled: portcullis::engine::LogEnabled { refused: false, allowed: false },
            clock: services.clock.clone(),
            ..*services
        };
        let head = head.head();
        let decision = portcullis::engine::Exchange::default().on_request(&w.worker, &head, &services);
        assert!(decision.record.is_none());
    });
    assert_eq!(sequence(&Ask::get("/nowhere")), json!(2));
}
