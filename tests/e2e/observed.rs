//! What operators and clients get beside the decision: counters, limits on allowed answers, gRPC statuses.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, Wire, gateway},
    issuer::token,
    policy::{anyone, merge, provider, rule, with_token, with_token_and},
    request::{Answer, Request, get, post, request},
};

fn policy(members: Value) -> Value {
    let mut limited = rule("limited", "PathPrefix", "/limited", with_token());
    limited["rateLimits"] = json!(["few"]);
    let mut policy = json!({
        "jwt": {"providers": [provider()]},
        "roles": [{"name": "admin"}],
        "rateLimits": [{"name": "few", "key": ["principal"], "limits": [
            {"requests": 3, "unit": "Hour"}, {"requests": 100, "unit": "Day"},
        ]}],
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("closed", "PathPrefix", "/closed", with_token()),
            rule("admins", "PathPrefix", "/admins", with_token_and(json!({"roles": ["admin"]}))),
            limited,
        ],
        "defaultAction": "Deny",
    });
    merge(&mut policy, members);
    policy
}

/// Their clients read `grpc-status`, not bodies: `UNAUTHENTICATED`, `PERMISSION_DENIED`, `RESOURCE_EXHAUSTED`.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_clients_get_the_status_of_each_refusal() {
    let gateway = gateway(&policy(json!({}))).start().await;
    let alice = token("alice").sign();
    let call = |path: &str| {
        request("POST", path)
            .header("content-type", "application/grpc+proto")
            .header("te", "trailers")
            .body("x")
    };
    let mut table = vec![
        (call("/closed/pkg.Service/Method"), "16", "Credentials are required (credentials_missing)"),
        (
            call("/closed/pkg.Service/Method").bearer("nonsense"),
            "16",
            "The access token is malformed (token_malformed)",
        ),
        (
            call("/admins/pkg.Service/Method").bearer(&alice),
            "7",
            "A required role is missing (insufficient_role)",
        ),
        (call("/pkg.Service/Method").bearer(&alice), "7", "No rule allows this request (no_rule)"),
    ];
    for _ in 0..3 {
        let passes =
            gateway.send_over(Wire::Http2, &call("/limited/pkg.Service/Method").bearer(&alice)).await;
        assert_eq!((passes.status, passes.header("grpc-status")), (200, None), "{passes:?}");
    }
    table.push((call("/limited/pkg.Service/Method").bearer(&alice), "8", "Too many requests (rate_limited)"));
    let reached = gateway.upstream.count();
    for (asked, status, message) in table {
        let answer = gateway.send_over(Wire::Http2, &asked).await;
        // Envoy's own way with gRPC: the HTTP status is that the call was answered.
        assert_eq!(
            (answer.status, answer.header("grpc-status")),
            (200, Some(status)),
            "{asked:?}: {answer:?}"
        );
        assert_eq!(answer.header("grpc-message"), Some(message), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/grpc"), "{answer:?}");
    }
    assert_eq!(gateway.upstream.count(), reached);
    // Others read the document, gRPC-Web clients among them.
    for content_type in ["application/grpc-web+proto", "application/json"] {
        let asked = request("POST", "/closed").header("content-type", content_type).body("x");
        let answer = gateway.send_over(Wire::Http2, &asked).await;
        assert_eq!((answer.status, answer.header("grpc-message")), (401, None), "{answer:?}");
        assert_eq!(answer.reason().as_deref(), Some("credentials_missing"), "{answer:?}");
    }
}

fn limits(answer: &Answer) -> [Option<&str>; 2] {
    ["ratelimit", "ratelimit-policy"].map(|name| answer.header(name))
}

/// draft-ietf-httpapi-ratelimit-headers: on refusals, and where the policy wants it on what passed, too.
#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_as_the_policy_says() {
    let always = gateway(&policy(json!({"rateLimitHeaders": "Always"}))).start().await;
    let denied = gateway(&policy(json!({}))).start().await;
    let alice = get("/limited").bearer(&token("alice").sign());
    for remaining in [2, 1, 0] {
        let answer = always.send(&alice).await;
        let [Some(limit), Some(policy)] = limits(&answer) else { panic!("{answer:?}") };
        assert!(limit.contains(&format!("r={remaining}")), "{limit}");
        assert!(policy.contains("q=3;w=3600") && policy.contains("q=100;w=86400"), "{policy}");
        let answer = denied.send(&alice).await;
        assert_eq!((answer.status, limits(&answer)), (200, [None, None]));
    }
    for gateway in [&always, &denied] {
        let answer = gateway.send(&alice).await;
        assert_eq!(answer.status, 429, "{answer:?}");
        let [Some(limit), Some(_)] = limits(&answer) else { panic!("{answer:?}") };
        assert!(limit.contains("r=0"), "{limit}");
        // What has no limits says nothing of them.
        assert_eq!(limits(&gateway.send(&get("/open")).await), [None, None]);
    }
}

async fn counted(gateway: &Gateway, decision: &str, reason: &str) -> u64 {
    let name = format!("wasmcustom.portcullis_requests._decision={decision}_._reason={reason}_");
    gateway.admin().stat(&name).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_is_counted_by_its_reason() {
    let gateway = gateway(&policy(json!({}))).workers(2).start().await;
    let alice = token("alice").sign();
    let all = [
        ("allow", "none", 200, get("/open")),
        ("allow", "none", 200, get("/closed").bearer(&alice)),
        ("deny", "credentials_missing", 401, get("/closed")),
        ("deny", "token_signature", 401, get("/closed").bearer(&token("alice").forged().sign())),
        ("deny", "token_expired", 401, get("/closed").bearer(&token("alice").claim("exp", 1).sign())),
        ("deny", "insufficient_role", 403, get("/admins").bearer(&alice)),
        ("deny", "no_rule", 403, post("/nowhere")),
        ("deny", "ambiguous_path", 400, get("/open/%2f")),
    ];
    for (_, _, status, asked) in &all {
        for _ in 0..5 {
            assert_eq!(gateway.send(asked).await.status, *status, "{asked:?}");
        }
    }
    assert_eq!(gateway.send_over(Wire::Plain, &get("/open")).await.status, 403);
    // Counts are handed on every 250 ms, by each worker.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (decision, reason, _, _) in &all {
        let expected = if *decision == "allow" { 10 } else { 5 };
        assert_eq!(counted(&gateway, decision, reason).await, expected, "{reason}");
    }
    assert_eq!(counted(&gateway, "deny", "tls_required").await, 1);
    // Every counter is there from the start, and none of them has counted anything else.
    let stats = gateway.admin().stats().await;
    let total = |decision: &str| -> u64 {
        let prefix = format!("wasmcustom.portcullis_requests._decision={decision}_");
        stats.iter().filter(|(name, _)| name.starts_with(&prefix)).map(|(_, count)| count).sum()
    };
    assert_eq!((total("allow"), total("deny")), (10, 31));
    assert_eq!(stats.get("wasmcustom.portcullis_requests._decision=deny_._reason=rate_limited_"), Some(&0));
}

/// A flood of refusals fills no log, and not one of them is missing in the counters.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_alike_are_counted_rather_than_written() {
    let gateway = gateway(&policy(json!({}))).start().await;
    let written = || {
        let log = gateway.log();
        let records = log.lines().filter(|line| line.contains("\"reason\":\"no_rule\""));
        let times = |line: &str| -> u64 {
            let repeated =
                line.split_once("\"repeated\":").and_then(|(_, rest)| rest.split(['}', ',']).next());
            repeated.map_or(1, |times| times.parse().unwrap())
        };
        records.map(times).collect::<Vec<_>>()
    };
    for _ in 0..1000 {
        assert_eq!(gateway.send(&post("/nowhere")).await.status, 403);
    }
    // Two within the ten seconds that all of it might take longer than.
    assert!(written().len() <= 3, "{:?}", written());
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!((2..=4).contains(&written().len()), "{:?}", written());
    assert_eq!(written().iter().sum::<u64>(), 1000);
    assert_eq!(counted(&gateway, "deny", "no_rule").await, 1000);
}

/// Behind a proxy that ends TLS its word counts, where both Envoy and the policy say that there is one.
#[tokio::test(flavor = "multi_thread")]
async fn forwarded_proto_counts_from_a_trusted_hop_alone() {
    let trusting = policy(json!({"transport": {"requireTls": true, "forwardedProto": {"trustedHops": 1}}}));
    let open = |protos: &[&str]| -> Request {
        protos.iter().fold(get("/open"), |asked, proto| asked.header("x-forwarded-proto", proto))
    };
    let behind = gateway(&trusting).trusted_hops(1).start().await;
    let table: [(&[&str], u16); 6] = [
        (&["https"], 200),
        (&["HTTPS"], 200),
        (&["http"], 403),
        (&[], 403),
        (&["https", "http"], 403),
        (&["https, http"], 403),
    ];
    for (protos, status) in table {
        let answer = behind.send_over(Wire::Plain, &open(protos)).await;
        assert_eq!(answer.status, status, "{protos:?}: {answer:?}");
    }
    // The hop's word counts over TLS, too: what came to it in the clear was in the clear.
    assert_eq!(behind.send(&open(&["http"])).await.status, 403);
    assert_eq!(behind.send(&open(&["https"])).await.status, 200);
    // Envoy writes the header itself where it has not been told of a proxy, the policy does not read it.
    for gateway in [gateway(&trusting), gateway(&policy(json!({}))).trusted_hops(1)] {
        let gateway = gateway.start().await;
        let answer = gateway.send_over(Wire::Plain, &open(&["https"])).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("tls_required")), "{answer:?}");
    }
}

/// Of what was refused the log says what was missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_what_was_missing() {
    let gateway = gateway(&policy(json!({}))).start().await;
    let other =
        token("alice").claim("aud", json!(["other"])).claim("iss", "https://other.example/\n\"").sign();
    for (asked, expected) in [
        (get("/admins").bearer(&token("alice").sign()), r#""missing":["admin"]"#),
        (
            get("/closed").bearer(&token("alice").claim("aud", "other").sign()),
            r#""provider":"test","issuer":"ISSUER","audience":["other"],"kid":""#,
        ),
        (
            get("/closed").bearer(&other),
            r#""issuer":"https://other.example/\u000a\"","audience":["other"],"kid":""#,
        ),
    ] {
        assert!((401..=403).contains(&gateway.send(&asked).await.status), "{asked:?}");
        let expected = expected.replace("ISSUER", provider()["issuer"].as_str().unwrap());
        assert!(gateway.log().contains(&expected), "{expected} in {}", gateway.log());
    }
}
