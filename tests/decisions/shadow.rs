//! Limits that are not in force yet: they are told of, and refuse nothing.

use portcullis::{
    answer::Reason::{self, ApiKeyUnknown, InsufficientPermission, NoRule, RateLimited},
    store::{Expected, MemoryStore, SharedStore, StoreError, Versioned},
};
use serde_json::{Value, json};

use crate::world::{Ask, World};

pub(crate) const READER: &str = "reader-secret";

/// From an address of its own, so that the throttle stays out of it.
pub(crate) fn from(n: usize, ask: Ask) -> Ask {
    ask.from(&format!("10.0.0.{n}"))
}

pub(crate) fn limit(name: &str, requests: u32, more: Value) -> Value {
    let limits = json!([{"requests": requests, "unit": "Hour"}]);
    let mut limit = json!({"name": name, "key": ["principal"], "limits": limits, "shadow": true});
    limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    limit
}

/// The policy with `limits`, which the rule `limited` names too.
fn limited(limits: &[Value]) -> World {
    World::with(|policy| {
        policy["rateLimits"].as_array_mut().unwrap().extend(limits.iter().cloned());
        let rule = policy["rules"].as_array_mut().unwrap().iter_mut().find(|rule| rule["name"] == "limited");
        let named = limits.iter().filter(|limit| limit["before"].is_null()).map(|limit| &limit["name"]);
        rule.unwrap()["rateLimits"].as_array_mut().unwrap().extend(named.cloned());
    })
}

/// The reason, and what the shadow says: outcome, reason and limit.
pub(crate) fn said(w: &World, ask: &Ask) -> (Option<Reason>, [Value; 3]) {
    let answer = w.ask(ask);
    let told = ["shadow", "shadowReason", "shadowLimit"].map(|name| answer.recorded(name));
    let outcome = answer.shadow.map(|(outcome, _)| outcome.as_str());
    assert_eq!(told[0].as_str(), outcome);
    (answer.reason, told)
}

pub(crate) const AGREED: [Value; 3] = [Value::Null, Value::Null, Value::Null];

pub(crate) fn would_exceed(limit: &str) -> [Value; 3] {
    [json!("would_deny"), json!("rate_limited"), json!(limit)]
}

#[test]
fn a_limit_in_the_shadow_is_counted_and_refuses_nothing() {
    let w = limited(&[limit("next", 2, json!({}))]);
    let ask = |n| from(n, Ask::get("/limited").key(READER));
    assert_eq!(said(&w, &ask(0)), (None, AGREED));
    assert_eq!(said(&w, &ask(1)), (None, AGREED));
    // The one in force admits three.
    assert_eq!(said(&w, &ask(2)), (None, would_exceed("next")));
    assert_eq!(said(&w, &ask(3)), (Some(RateLimited), AGREED));
    // Nobody else's count.
    assert_eq!(said(&w, &from(4, Ask::get("/limited").key("writer-secret"))), (None, AGREED));
    // What it refuses is not charged to it: it admits again as soon as it would.
    w.later(1800);
    assert_eq!(said(&w, &ask(5)), (None, AGREED));
    assert_eq!(said(&w, &ask(6)), (None, would_exceed("next")));
}

#[test]
fn what_limits_in_force_refuse_is_not_charged_in_the_shadow() {
    let w = limited(&[limit("next", 4, json!({}))]);
    let ask = |n| from(n, Ask::get("/limited").key(READER));
    for n in 0..3 {
        assert_eq!(said(&w, &ask(n)), (None, AGREED));
    }
    for n in 3..20 {
        assert_eq!(said(&w, &ask(n)), (Some(RateLimited), AGREED));
    }
    w.later(60);
    assert_eq!(said(&w, &ask(20)), (None, AGREED));
    assert_eq!(said(&w, &ask(21)), (None, would_exceed("next")));
}

#[test]
fn an_answer_shows_nothing_of_limits_in_the_shadow() {
    let told = |limits: &[Value]| {
        let w = World::with(|policy| {
            policy["rateLimitHeaders"] = "Always".into();
            policy["rateLimits"].as_array_mut().unwrap().extend(limits.iter().cloned());
            if !limits.is_empty() {
                let rules = policy["rules"].as_array_mut().unwrap();
                let rule = rules.iter_mut().find(|rule| rule["name"] == "limited").unwrap();
                rule["rateLimits"] = json!(["next", "reads"]);
            }
        });
        let asked = (0..6).map(|n| {
            let answer = w.ask(&from(n, Ask::get("/limited").key(READER)));
            (answer.reason, answer.upstream.map_err(|reply| (reply.status, reply.headers)), answer.response)
        });
        asked.collect::<Vec<_>>()
    };
    assert_eq!(told(&[limit("next", 1, json!({}))]), told(&[]));
}

#[test]
fn a_throttle_in_the_shadow_judges_whatever_comes() {
    let throttle = json!({"key": ["remoteAddress"], "before": "Authentication"});
    let w = limited(&[limit("next", 2, throttle)]);
    for (ask, reason) in [
        (Ask::get("/nowhere"), Some(NoRule)),
        (Ask::get("/keys").key("x"), Some(ApiKeyUnknown)),
        // Both are used up: of what is refused anyway nothing is said.
        (Ask::new("POST", "/orders").key(READER), Some(InsufficientPermission)),
    ] {
        assert_eq!(said(&w, &ask), (reason, AGREED), "{ask:?}");
    }
    assert_eq!(said(&w, &Ask::get("/health")), (None, would_exceed("next")));
    assert_eq!(said(&w, &Ask::get("/health").from("192.0.2.2")), (None, AGREED));
}

/// A store in which nothing can be counted for one limit.
struct Broken<'a>(&'a dyn SharedStore, &'static str);

impl SharedStore for Broken<'_> {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        if key.contains(self.1) { Err(StoreError::Unavailable) } else { self.0.get(key) }
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        self.0.replace(key, value, expected)
    }
}

#[test]
fn what_cannot_be_counted_in_the_shadow_is_not_known_and_refuses_nothing() {
    let mut w = limited(&[limit("next", 2, json!({}))]);
    let store: &'static dyn SharedStore = Box::leak(Box::new(MemoryStore::default()));
    w.store = std::rc::Rc::new(Broken(store, "/rl/next/"));
    let unknown = [json!("unknown"), json!("state_unavailable"), Value::Null];
    assert_eq!(said(&w, &Ask::get("/limited").key(READER)), (None, unknown));
    w.store = std::rc::Rc::new(Broken(store, "/rl/reads/"));
    assert_eq!(said(&w, &Ask::get("/limited").key(READER)), (Some(Reason::StateUnavailable), AGREED));
}

/// Of those alike the first at once, whether or not allowed requests are recorded.
#[test]
fn requests_that_would_be_refused_are_recorded_as_refusals_are() {
    let recorded = |log: Value, limits: &[Value]| {
        let w = limited(limits);
        let mut document = w.document.clone();
        document["decisionLog"] = log;
        let w = World::with(|policy| *policy = document);
        let asked = (0..3).map(|n| w.ask(&from(n, Ask::get("/limited").key(READER))).record.is_some());
        asked.collect::<Vec<_>>()
    };
    let next = [limit("next", 1, json!({}))];
    let sampled = json!({"denied": "Sampled"});
    assert_eq!(recorded(sampled.clone(), &next), [false, true, false]);
    assert_eq!(recorded(sampled, &[]), [false; 3]);
    assert_eq!(recorded(json!({"denied": "All"}), &next), [false, true, true]);
    assert_eq!(recorded(json!({"allowed": true}), &next), [true; 3]);
}
