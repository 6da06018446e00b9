//! What limits promise, and to whom.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, Wire, gateway},
    policy::{anyone, rule},
    request::get,
};

/// The limit `lim` by address for everything below `/a`.
fn policy(windows: Value) -> Value {
    let mut limited = rule("r", "PathPrefix", "/a", anyone());
    limited["rateLimits"] = json!(["lim"]);
    json!({
        "transport": {"requireTls": false},
        "rateLimits": [{"name": "lim", "key": ["remoteAddress"], "limits": windows}],
        "rules": [limited],
        "defaultAction": "Deny",
    })
}

async fn statuses(gateway: &Gateway, wire: Wire, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(gateway.send_over(wire, &get("/a")).await.status);
    }
    statuses
}

/// The README's own snippet in two listeners, each with a policy of its own.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_one_name_in_two_policies_are_two_limits() {
    let slow = policy(json!([{"requests": 2, "unit": "Hour"}]));
    let fast = policy(json!([{"requests": 100, "unit": "Second"}]));
    let gateway = gateway(&slow).plain_policy(&fast).start().await;
    assert_eq!(statuses(&gateway, Wire::Http1, 3).await, [200, 200, 429]);
    for _ in 0..3 {
        assert_eq!(statuses(&gateway, Wire::Plain, 1).await, [200]);
        assert_eq!(statuses(&gateway, Wire::Http1, 1).await, [429]);
    }
}

/// What was used stays used, as a number of requests, and what was promised is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_raised_gives_the_difference_at_once() {
    let hourly = |requests: u32| policy(json!([{"requests": requests, "unit": "Hour"}])).to_string();
    let before = serde_json::from_str(&hourly(5)).unwrap();
    let gateway = gateway(&before).watched().https_only().start().await;
    assert_eq!(statuses(&gateway, Wire::Http1, 6).await, [200, 200, 200, 200, 200, 429]);
    assert!(gateway.change_policy(&hourly(50)).await);
    assert_eq!(statuses(&gateway, Wire::Http1, 46).await, [&[200; 45][..], &[429]].concat());
    assert!(gateway.change_policy(&hourly(5)).await);
    assert_eq!(statuses(&gateway, Wire::Http1, 1).await, [429]);
}

/// Up to `burst + requests - 1` in a window, as docs/policy.md has it: with as much of a burst as there are requests, less
/// than twice the number; with less of it, the number itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_admits_what_the_documentation_says() {
    const WINDOW: Duration = Duration::from_secs(2);
    let admitted = async |requests: u32, burst: u32| {
        let windows = json!([{"requests": requests, "window": "2s", "burst": burst}]);
        let gateway = gateway(&policy(windows)).https_only().start().await;
        let mut connection = gateway.http1();
        let (mut admitted, mut began) = (0, None);
        loop {
            let asked = Instant::now();
            let passes = connection.send(&get("/a")).await.unwrap().status == 200;
            let began = *began.get_or_insert(asked);
            // Whatever is answered after it may have been admitted after it.
            if began.elapsed() >= WINDOW {
                return admitted;
            }
            admitted += u32::from(passes);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    for (requests, burst, least) in [(4, 4, 5), (4, 1, 3), (3, 2, 3)] {
        let (admitted, most) = (admitted(requests, burst).await, burst + requests - 1);
        assert!((least..=most).contains(&admitted), "{requests} with a burst of {burst}: {admitted}");
    }
}
