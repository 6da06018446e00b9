//! Clients and upstreams see nothing of shadows, whatever is asked.

use portcullis::answer::Reason;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    bindings,
    properties::{requests, with_token},
    shadow::limit,
    signatures, webhooks,
    world::{Answer, World},
};

/// All that a client, an upstream and an access log see, and the record but for what it says of shadows.
fn seen(answer: Answer) -> Value {
    let mut record: Map<String, Value> = serde_json::from_str(&answer.record.unwrap()).unwrap();
    record.retain(|name, _| !name.starts_with("shadow"));
    let told: Vec<_> =
        answer.told.iter().map(|(field, text)| (field.name().to_owned(), text.clone())).collect();
    let there = match answer.upstream {
        Ok(headers) => json!({"upstream": headers}),
        Err(reply) => json!({"status": reply.status, "headers": reply.headers, "body": reply.body}),
    };
    json!([answer.reason.map(Reason::code), record, there, answer.shown, told, answer.response])
}

/// The rules, each of them otherwise: closed, open, or with other limits.
fn otherwise(policy: &mut Value, is_list: bool) {
    policy["rateLimitHeaders"] = "Always".into();
    policy["rateLimits"].as_array_mut().unwrap().push(limit(
        "next",
        2,
        json!({"key": ["remoteAddress", "route"]}),
    ));
    let mut next = policy["rules"].as_array().unwrap().clone();
    for (n, rule) in next.iter_mut().enumerate() {
        let shadow = match n % 4 {
            0 => json!({"action": "Deny"}),
            1 => json!({"action": "Allow", "authenticate": {"anonymous": true}}),
            2 => {
                json!({"action": "Allow", "authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]}, "rateLimits": ["next"]})
            }
            _ if rule["action"] == "Deny" => json!({"action": "Deny"}),
            _ => json!({"rateLimits": ["next", "tenants"]}),
        };
        if !is_list {
            rule["shadow"] = shadow;
            continue;
        }
        for gone in ["authenticate", "authorize", "rateLimits", "action"].into_iter().filter(|_| n % 4 < 3) {
            rule.as_object_mut().unwrap().shift_remove(gone);
        }
        rule.as_object_mut().unwrap().extend(shadow.as_object().unwrap().clone());
    }
    match is_list {
        true => policy["shadow"] = json!({"rules": next}),
        false => policy["rules"] = next.into(),
    }
}

thread_local! {
    /// One policy without a shadow, with shadows of all of its rules, and with a next list.
    static WORLDS: [World; 3] = {
        let plain = World::with(|policy| policy["rateLimitHeaders"] = "Always".into());
        let document = plain.document.clone();
        let with = |is_list| World::with(|policy| { *policy = document.clone(); otherwise(policy, is_list); });
        let (own, list) = (with(false), with(true));
        [plain, own, list]
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nobody_but_operators_sees_a_shadow(ask in requests(), minutes in 0_u64..20) {
        WORLDS.with(|worlds| {
            let [plain, ..] = worlds;
            worlds.iter().for_each(|w| w.later(if minutes == 0 { 60 } else { 0 }));
            let now = plain.now.get();
            let token = plain.corp.sign(&json!({"iss": "https://idp.example", "sub": "alice", "aud": "api",
                "roles": ["admin"], "iat": now, "exp": now + 600}));
            let ask = with_token(ask, &token);
            let [plain, own, list] = worlds.each_ref().map(|w| seen(w.ask(&ask)));
            prop_assert_eq!(&own, &plain, "{:?}", ask);
            prop_assert_eq!(&list, &plain, "{:?}", ask);
            Ok(())
        })?;
    }
}

/// Of everything that is good once, bound to its sender or signed.
#[test]
fn nobody_sees_a_shadow_of_proofs_and_signatures() {
    WORLDS.with(|worlds| {
        let [plain, others @ ..] = worlds;
        let rows: Vec<_> =
            bindings::rows(plain).into_iter().chain(signatures::rows()).chain(webhooks::rows()).collect();
        // Its first request was for a nonce.
        for (n, ask) in rows.into_iter().flat_map(|(_, refused, passing)| [refused, passing]).enumerate() {
            let ask = ask.from(&format!("10.2.{}.1", n % 250));
            let expected = seen(plain.ask(&ask));
            for w in others {
                assert_eq!(seen(w.ask(&ask)), expected, "{ask:?}");
            }
        }
    });
}
