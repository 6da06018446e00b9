//! What Envoy's stats say of documents and issuers, and what it costs to say it.

use std::rc::Rc;

use serde_json::{Value, json};

use super::{KEY, STREAM, StandIn, answer_call, head, is_active, later, policy, root, with_key, with_token};

/// Of a name that holds whatever names may.
const PROVIDER: &str = "idp.example:a/b@c_d-e";
const LIST_AGE: &str = "portcullis_revocation_list_age_seconds";

fn fetching() -> Value {
    let mut policy = policy();
    policy["jwt"]["providers"].as_array_mut().unwrap().push(json!({
        "name": PROVIDER, "issuer": "https://idp.example", "audiences": ["api"], "algorithms": ["ES256"],
        "jwks": {"uri": "https://idp.example/keys", "cluster": "idp", "cacheDuration": "10m"},
    }));
    let uses = json!({"name": "fetched", "authenticate": {"anyOf": [{"jwt": PROVIDER}]},
        "matches": [{"path": {"type": "Exact", "value": "/fetched"}}]});
    policy["rules"].as_array_mut().unwrap().push(uses);
    policy["revocation"] =
        json!({"remote": {"uri": "https://lists.example/", "cluster": "lists", "pollInterval": "30s"}});
    policy
}

/// RFC 7515 appendix A.3.
fn key_set() -> String {
    json!({"keys": [{"kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]})
    .to_string()
}

fn results(host: &StandIn, what: &str, of: &str) -> [u64; 3] {
    ["started", "succeeded", "failed"].map(|result| {
        let name = format!("portcullis_{what}._result={result}_{of}");
        host.stat(&name).unwrap_or_else(|| panic!("no {name}"))
    })
}

#[test]
fn each_document_and_issuer_is_counted_by_itself() {
    let host = StandIn::new(fetching().to_string());
    let serving = Rc::new(root::configure(&host).unwrap());
    let of_idp = format!("._provider={PROVIDER}_");
    let keys = || results(&host, "provider_key_set_fetches", &of_idp);
    let lists = || results(&host, "revocation_list_fetches", "");
    let calls = || results(&host, "introspection_calls", "._provider=as_");
    let key_age = || host.stat(&format!("portcullis_key_set_age_seconds{of_idp}")).unwrap();
    let list_age = || host.stat(LIST_AGE).unwrap();
    assert_eq!((keys(), lists(), calls()), ([0; 3], [0; 3], [0; 3]));
    // What fetches nothing has no age, and what nobody is asked about no calls.
    assert_eq!(host.stat("portcullis_key_set_age_seconds._provider=as_"), None);
    assert_eq!(host.stat("portcullis_provider_key_set_fetches._result=started_._provider=as_"), None);
    assert_eq!(host.stat(&format!("portcullis_introspection_calls._result=started_{of_idp}")), None);

    // The key set is asked for first.
    serving.on_tick();
    let [keys_call, list_call] = [1, 2];
    assert_eq!(host.sent(), list_call);
    let answer = |call, body: &str| {
        host.server_says(body);
        serving.on_call_response(call, 1, host.body_size());
    };
    later(3);
    answer(list_call, "{}");
    answer(keys_call, "not a key set");
    serving.on_tick();
    assert_eq!((keys(), lists()), ([1, 0, 1], [1, 1, 0]));
    assert_eq!(results(&host, "key_set_fetches", ""), keys());
    // There is no key set since the first tick.
    assert_eq!((key_age(), list_age()), (3, 0));

    later(2);
    serving.on_tick();
    assert_eq!(host.sent(), list_call + 1);
    assert_eq!((key_age(), list_age()), (5, 2));
    answer(list_call + 1, &key_set());
    serving.on_tick();
    assert_eq!((keys(), key_age(), list_age()), ([2, 1, 1], 0, 2));

    // An answer is one, whatever it says; what is no answer is none.
    for (stream, said) in [(1, is_active(true)), (2, is_active(false)), (3, "{".to_owned())] {
        assert!(!with_token(&host, &serving, stream, &format!("token-{stream}")));
        answer_call(&host, &serving, &said);
    }
    serving.on_tick();
    assert_eq!(calls(), [3, 2, 1]);

    // Nothing else will write them any more.
    later(1);
    serving.on_tick();
    assert_eq!((key_age(), list_age()), (1, 3));
    assert!(!with_token(&host, &serving, 4, "token-4"));
    serving.end();
    assert_eq!((key_age(), list_age()), (0, 0));
    assert_eq!(calls(), [4, 2, 1]);
}

/// Nothing at a tick at which none has changed.
#[test]
fn ages_are_handed_on_when_they_change() {
    let host = StandIn::new(fetching().to_string());
    let serving = Rc::new(root::configure(&host).unwrap());
    serving.on_tick();
    let begin = host.recorded();
    for (secs, recorded) in [(0, 0), (1, 2), (0, 2), (0, 2), (1, 4), (60, 6), (0, 6)] {
        later(secs);
        serving.on_tick();
        assert_eq!(host.recorded() - begin, recorded);
    }
    with_token(&host, &serving, 1, "token");
    assert_eq!(host.recorded() - begin, 6);
}

/// What this worker has of a gauge that all write, and what becomes of it at the end.
#[test]
fn requests_that_wait_are_added_to_those_of_others() {
    let host = StandIn::new(policy().to_string());
    let [first, second] = [(); 2].map(|()| Rc::new(root::configure(&host).unwrap()));
    let waiting = || host.stat("portcullis_requests_waiting");
    assert_eq!(waiting(), Some(0));
    for (stream, serving, of_both) in [(1, &first, 1), (2, &first, 2), (3, &second, 3)] {
        assert!(!with_token(&host, serving, stream, &format!("token-{stream}")));
        serving.on_tick();
        assert_eq!(waiting(), Some(of_both));
    }
    // Nothing is said where nothing has changed.
    let calls = host.counted();
    first.on_tick();
    assert_eq!((waiting(), host.counted()), (Some(3), calls));
    first.on_end(1);
    first.on_tick();
    assert_eq!(waiting(), Some(2));
    first.end();
    assert_eq!(waiting(), Some(1));
    answer_call(&host, &second, &is_active(false));
    second.on_tick();
    assert_eq!(waiting(), Some(0));
}

fn of_rule(decision: &str, reason: &str, rule: &str) -> String {
    format!("portcullis_rule_decisions._decision={decision}_._reason={reason}_._rule={rule}_")
}

#[test]
fn rules_and_limits_are_counted_from_their_first_decision_on() {
    for by_rule in [true, false] {
        let mut policy = policy();
        policy["metrics"] = json!({"byRule": by_rule});
        policy["rateLimits"][0]["limits"][0]["requests"] = 2.into();
        policy["rules"][0]["name"] = "a_b.c-".into();
        let host = StandIn::new(policy.to_string());
        let serving = root::configure(&host).unwrap();
        const LIMIT: &str = "portcullis_limit_hits._limit=few_";
        let all = [
            of_rule("allow", "none", "a_b.c-"),
            of_rule("deny", "rate_limited", "a_b.c-"),
            of_rule("deny", "no_rule", "none"),
        ];
        serving.on_tick();
        assert_eq!((host.stat(LIMIT), all.each_ref().map(|name| host.stat(name))), (None, [None; 3]));
        for _ in 0..5 {
            with_key(&host, &serving, Some(KEY));
        }
        host.hand_over(STREAM, &head("/nowhere", None));
        serving.on_request(STREAM, true);
        // Not before a tick.
        assert_eq!(host.stat(LIMIT), None);
        serving.on_tick();
        let counted = if by_rule { [Some(2), Some(3), Some(1)] } else { [None; 3] };
        assert_eq!((host.stat(LIMIT), all.each_ref().map(|name| host.stat(name))), (Some(3), counted));
    }
}
