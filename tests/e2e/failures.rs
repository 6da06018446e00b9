//! With the module absent, trapped, or failing on workers only, nothing reaches the upstream. The module's test build
//! fails on purpose; Envoy's rbac filter behind it, the interlock, has to hold.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    envoy_config::FailurePolicy,
    gateway::{Builder, Gateway, Wire, gateway},
    issuer::token,
    policy::{anyone, provider, rule, with_token},
    request::{Request, get},
};

pub(crate) fn policy() -> Value {
    json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [provider()]},
        "rules": [rule("open", "Exact", "/open", anyone()), rule("closed", "Exact", "/closed", with_token())],
        "defaultAction": "Deny",
    })
}

fn good() -> Request {
    get("/closed").bearer(&token("alice").sign())
}

/// Sends good and bad requests over every wire, to every worker. Returns the statuses.
async fn knock(gateway: &Gateway) -> Vec<u16> {
    let mut statuses = Vec::new();
    for wire in [Wire::Http1, Wire::Http2, Wire::Plain] {
        if wire == Wire::Plain && !gateway.has_plain_http() {
            continue;
        }
        for request in [good(), get("/open"), get("/closed"), get("/nowhere")] {
            let answers = gateway.send_eight_over(wire, &request).await;
            statuses.extend(answers.map(|answer| answer.status));
        }
    }
    statuses
}

async fn nothing_passes(what: &str, builder: Builder) {
    let mut gateway = builder.start().await;
    let statuses = knock(&gateway).await;
    assert_eq!(gateway.upstream.count(), 0, "{what}: {statuses:?}");
    assert!(statuses.iter().all(|status| [403, 500, 503].contains(status)), "{what}: {statuses:?}");
    assert!(gateway.is_running(), "{what}");
}

/// The same requests with nothing wrong, so that the tests below mean something.
#[tokio::test(flavor = "multi_thread")]
async fn the_test_build_works_when_nothing_is_asked_of_it() {
    let gateway = gateway(&policy()).fault("none").workers(2).start().await;
    let statuses = knock(&gateway).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), statuses.len() / 2, "{statuses:?}");
    assert_eq!(gateway.upstream.count(), statuses.len() / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_fails_on_workers_only_lets_nothing_through() {
    for failure_policy in FailurePolicy::ALL {
        for fault in ["configure-fails-on-workers", "configure-traps-on-workers"] {
            let builder =
                gateway(&policy()).fault(fault).https_only().failure_policy(failure_policy).workers(2);
            nothing_passes(&format!("{fault} under {failure_policy:?}"), builder).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_switched_off_for_a_route_lets_nothing_through() {
    for failure_policy in FailurePolicy::ALL {
        let builder = gateway(&policy()).disabled_by_route().failure_policy(failure_policy);
        nothing_passes(&format!("disabled under {failure_policy:?}"), builder).await;
    }
}

/// The policy leaves the mark out, and the filter behind refuses what lacks it.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_mark_the_interlock_refuses_what_the_policy_allows() {
    let mut policy = policy();
    for (interlock, expected) in [(true, 200), (false, 403)] {
        policy["interlock"] = interlock.into();
        let gateway = gateway(&policy).start().await;
        for request in [good(), get("/open")] {
            assert_eq!(gateway.send(&request).await.status, expected, "{request:?}");
        }
        assert_eq!(gateway.upstream.count(), if interlock { 2 } else { 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_modules_file_envoy_does_not_start() {
    for failure_policy in FailurePolicy::ALL {
        let log =
            gateway(&policy()).wasm("nowhere.wasm").failure_policy(failure_policy).try_start().await.err();
        assert!(log.is_some_and(|log| log.contains("nowhere.wasm")), "{failure_policy:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_never_delivered_lets_nothing_through() {
    for failure_policy in FailurePolicy::ALL {
        let builder = gateway(&policy()).watched().wasm("nowhere.wasm").failure_policy(failure_policy);
        nothing_passes(&format!("not delivered under {failure_policy:?}"), builder).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_lets_nothing_through() {
    for failure_policy in FailurePolicy::ALL {
        let gateway =
            gateway(&policy()).fault("trap-on-request").failure_policy(failure_policy).start().await;
        assert_eq!(gateway.send(&good()).await.status, 200);
        let before = gateway.upstream.count();
        for request in [get("/open").header("x-fault", "trap"), good().header("x-fault", "trap")] {
            let answer = gateway.send(&request).await;
            assert!([403, 503].contains(&answer.status), "{failure_policy:?}: {answer:?}");
        }
        // The worker's VM is gone now.
        for request in [get("/closed"), get("/nowhere")] {
            let answer = gateway.send(&request).await;
            assert!([401, 403, 503].contains(&answer.status), "{failure_policy:?}: {answer:?}");
        }
        assert_eq!(gateway.upstream.count(), before, "{failure_policy:?}");
    }
}

/// Why the configurations in `envoy/` choose `FAIL_RELOAD`: it refuses just as well, and heals.
#[tokio::test(flavor = "multi_thread")]
async fn under_fail_reload_a_trapped_worker_heals() {
    let gateway =
        gateway(&policy()).fault("trap-on-request").failure_policy(FailurePolicy::Reload).start().await;
    assert_eq!(gateway.send(&get("/open").header("x-fault", "trap")).await.status, 503);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = gateway.send(&good()).await;
        if answer.status == 200 {
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(gateway.send(&get("/closed")).await.status, 401);
}
