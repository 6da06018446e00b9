//! `apiKeys.etcd`.

use serde_json::json;

use super::{faults, with};

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
