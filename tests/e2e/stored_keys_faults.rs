//! What comes in the place of an etcd's answer, while clients never pause.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    harness::{
        etcd::Etcd,
        faulty_etcd::{Fault, FaultyEtcd},
        gateway::{Gateway, gateway},
        policy::{api_key, rule, with_api_key},
        request::get,
    },
    stored_keys::{Fleet, INVALID, Load, PASSES, policy, put},
};

/// As long as several questions take, with the pauses between those that fail.
const A_WHILE: Duration = Duration::from_secs(3);

async fn start(changes: Value) -> (Fleet, FaultyEtcd) {
    let etcd = Etcd::start();
    for name in ["steady", "second", "revoked"] {
        put(&etcd, name, json!({}));
    }
    let faulty = FaultyEtcd::start(format!("127.0.0.1:{}", etcd.port).parse().unwrap()).await;
    let mut policy = policy(&etcd.url(), None);
    let fields = policy["apiKeys"]["etcd"].as_object_mut().unwrap();
    fields.extend(json!({"pollInterval": "250ms", "timeout": "500ms"}).as_object().cloned().unwrap());
    fields.extend(changes.as_object().cloned().unwrap());
    let gateway = gateway(&policy).cluster("etcd", faulty.address).https_only().workers(2).start().await;
    (Fleet { etcd, gateway: gateway.into() }, faulty)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_of_etcd_keys_stay_as_they_were() {
    let (fleet, faulty) = start(json!({})).await;
    let [steady, second, revoked] = ["steady", "second", "revoked"].map(api_key);
    for key in [&steady, &second, &revoked] {
        fleet.becomes("/open", key, PASSES).await;
    }
    fleet.put("revoked", json!({"revokedAt": "2026-01-01T00:00:00Z"}));
    fleet.becomes("/open", &revoked, INVALID).await;
    let (good, bad) = (Load::begin(&fleet.gateway, "steady"), Load::begin(&fleet.gateway, "revoked"));
    for fault in [
        Fault::Late(Duration::from_secs(2)),
        Fault::Other(200, "<html>a portal</html>"),
        Fault::Other(200, ""),
        Fault::Other(200, "{}"),
        Fault::Other(500, "{\"error\":\"etcdserver: leader changed\",\"code\":14}"),
        Fault::Other(503, ""),
        Fault::Other(404, "404 page not found"),
        Fault::Other(302, ""),
        Fault::Half,
        Fault::Large(0),
    ] {
        faulty.set(Some(fault.clone()));
        fleet.put("second", json!({"disabled": true}));
        tokio::time::sleep(A_WHILE).await;
        assert!(faulty.asked().len() >= 2, "{fault:?}: it is asked again");
        // One that no worker may have met since is known as well.
        fleet.becomes("/open", &second, PASSES).await;
        fleet.becomes("/open", &api_key("nobody"), INVALID).await;
        faulty.set(None);
        fleet.becomes("/open", &second, INVALID).await;
        fleet.put("second", json!({}));
        fleet.becomes("/open", &second, PASSES).await;
    }
    // These two end with the truth.
    for fault in [Fault::AnotherClusterOnce, Fault::Lagging(None)] {
        faulty.set(Some(fault.clone()));
        fleet.put("second", json!({"disabled": true}));
        fleet.becomes("/open", &second, INVALID).await;
        fleet.put("second", json!({}));
        fleet.becomes("/open", &second, PASSES).await;
        tokio::time::sleep(A_WHILE).await;
    }
    assert_eq!(good.end().await, [200], "{}", fleet.gateway.log());
    assert_eq!(bad.end().await, [401], "{}", fleet.gateway.log());
}

/// All keys are read, however little fits into an answer.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_too_large_are_halved() {
    let (fleet, faulty) = start(json!({})).await;
    fleet.becomes("/open", &api_key("steady"), PASSES).await;
    faulty.set(Some(Fault::Large(2)));
    for n in 0..7 {
        fleet.put(&format!("k{n}"), json!({}));
    }
    fleet.becomes("/open", &api_key("k6"), PASSES).await;
    for n in 0..7 {
        fleet.becomes("/open", &api_key(&format!("k{n}")), PASSES).await;
    }
    let asked = faulty.asked();
    let halves: Vec<_> = asked.iter().copied().filter(|limit| *limit > 1).collect();
    assert!(halves.starts_with(&[1000, 500, 250, 125, 62, 31, 15, 7, 3]), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_etcd_confirms_no_more_are_refused_after_max_stale() {
    const UNAVAILABLE: (u16, &str) = (503, "state_unavailable");
    let (fleet, faulty) = start(json!({"maxStale": "4s"})).await;
    let steady = api_key("steady");
    fleet.becomes("/open", &steady, PASSES).await;
    faulty.set(Some(Fault::Other(200, "garbage")));
    let began = Instant::now();
    fleet.becomes("/open", &steady, UNAVAILABLE).await;
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    fleet.becomes("/open", &api_key("nobody"), UNAVAILABLE).await;
    faulty.set(None);
    fleet.becomes("/open", &steady, PASSES).await;
    fleet.becomes("/open", &api_key("nobody"), INVALID).await;
}

/// Shared data outlives the VM and the policy.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_there_at_once_after_a_crash_and_for_a_new_policy() {
    let etcd = Etcd::start();
    put(&etcd, "steady", json!({}));
    let mut document = policy(&etcd.url(), None);
    let faulty = FaultyEtcd::start(format!("127.0.0.1:{}", etcd.port).parse().unwrap()).await;
    let gateway = gateway(&document)
        .cluster("etcd", faulty.address)
        .fault("trap-on-request")
        .failure_policy(crate::harness::envoy_config::FailurePolicy::Reload)
        .watched()
        .https_only()
        .workers(2);
    let gateway: Arc<Gateway> = gateway.start().await.into();
    let fleet = Fleet { etcd, gateway: gateway.clone() };
    let steady = get("/open").api_key(&api_key("steady"));
    fleet.becomes("/open", &api_key("steady"), PASSES).await;
    // Whoever needs etcd now has no keys.
    faulty.set(Some(Fault::Other(503, "")));
    document["rules"].as_array_mut().unwrap().push(rule("more", "Exact", "/more", with_api_key()));
    let load = Load::begin(&gateway, "steady");
    assert!(gateway.change_policy(&document.to_string()).await);
    fleet.becomes("/more", &api_key("steady"), PASSES).await;
    assert_eq!(load.end().await, [200], "{}", gateway.log());

    assert_eq!(gateway.send(&get("/open").header("x-fault", "trap")).await.status, 503);
    // Envoy makes a new VM with the first request after a second.
    tokio::time::sleep(Duration::from_millis(1600)).await;
    for _ in 0..3 {
        for answer in gateway.send_eight(&steady).await {
            assert_eq!(answer.status, 200, "{}\n{}", String::from_utf8_lossy(&answer.body), gateway.log());
        }
    }
    let nobody = gateway.send_eight(&get("/open").api_key(&api_key("nobody"))).await;
    assert_eq!(nobody.map(|answer| answer.status), [401; 8]);
    assert_eq!(gateway.admin().stat("wasm.portcullis.vm_reload_success").await, 1);
}
