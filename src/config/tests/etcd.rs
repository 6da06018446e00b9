//! `apiKeys.etcd`, and the keys that are kept there.

use serde_json::json;

use super::{faults, with};
use crate::config::stored_key;

#[test]
fn where_keys_are_kept() {
    let etcd = |fields: serde_json::Value| {
        let mut etcd = json!({"uri": "http://etcd.test:2379", "cluster": "etcd"});
        etcd.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        etcd
    };
    let named = |field: &str, bytes: usize| etcd(json!({field: "x".repeat(bytes)}));
    let at = "apiKeys.etcd";
    for (good, bad, expected) in [
        (etcd(json!({})), json!({}), vec![format!("{at}.uri: required"), format!("{at}.cluster: required")]),
        (
            etcd(json!({"uri": "https://etcd.test"})),
            etcd(json!({"uri": "https://etcd.test/v3"})),
            vec![format!("{at}.uri: must have no path: etcd's gateway has its own")],
        ),
        (
            etcd(json!({"prefix": "/"})),
            etcd(json!({"prefix": "/keys"})),
            vec![format!("{at}.prefix: \"/keys\" must end with /")],
        ),
        (
            etcd(json!({"pollInterval": "250ms", "maxStale": "1s"})),
            etcd(json!({"pollInterval": "2s", "maxStale": "1s"})),
            vec![format!("{at}.maxStale: is shorter than pollInterval")],
        ),
        (
            named("watchCluster", 125),
            named("watchCluster", 126),
            vec![format!("{at}.watchCluster: is longer than 125 bytes")],
        ),
    ] {
        let none: [String; 0] = [];
        assert_eq!(faults(&with("/apiKeys/etcd", &good.to_string())), none, "{good}");
        assert_eq!(faults(&with("/apiKeys/etcd", &bad.to_string())), expected, "{bad}");
    }
}

/// Which limits there are only the policy knows, so any may be named.
#[test]
fn numbers_of_requests_of_a_key_that_is_kept_there() {
    let read = |numbers: serde_json::Value| {
        let fields = json!({"hash": format!("sha256:{}", "1".repeat(64)), "ownRequests": numbers});
        let key = stored_key("k", fields.to_string().as_bytes());
        key.map(|key| key.own_requests)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let number = |limit: &str, requests: u32| json!({"limit": limit, "requests": requests});
    let good = read(json!([number("per-key", u32::MAX), number("unheard-of", 1)]));
    assert_eq!(good, Ok(vec![("per-key".to_owned(), u32::MAX), ("unheard-of".to_owned(), 1)]));
    for (bad, expected) in [
        (json!([]), "ownRequests: no numbers; leave the field out"),
        (json!([number("a", 1), number("b", 1), number("a", 2)]), "ownRequests: names one limit twice"),
        (
            json!([number("a", 0)]),
            "ownRequests[0].requests: must be a whole number from 1 to 4294967295, found 0",
        ),
        (json!([{"requests": 1}]), "ownRequests[0].limit: required"),
        (json!([{"limit": "a"}]), "ownRequests[0].requests: required"),
        (
            json!([{"limit": "a", "requests": 1, "max": 2}]),
            "ownRequests[0].max: unknown field; known here: limit, requests",
        ),
        (json!({"a": 1}), "ownRequests: expected a list, found an object"),
    ] {
        assert_eq!(read(bad.clone()), Err(vec![expected.to_owned()]), "{bad}");
    }
}
