//! What limits promise, and to whom.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    gateway::gateway,
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

/// With a burst of N, a window that begins with a full bucket admits N and what comes back meanwhile. With a burst of
/// one it admits N: docs/policy.md says both.
#[tokio::test(flavor = "multi_thread")]
async fn a_window_admits_what_the_documentation_says() {
    const WINDOW: Duration = Duration::from_secs(2);
    let admitted = async |burst: u32| {
        let windows = json!([{"requests": 4, "window": "2s", "burst": burst}]);
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
    let all_at_once = admitted(4).await;
    assert!((5..=7).contains(&all_at_once), "{all_at_once} of at most 2N - 1");
    let one_by_one = admitted(1).await;
    assert!((3..=4).contains(&one_by_one), "{one_by_one} of N");
}
