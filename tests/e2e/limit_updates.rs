//! Limits of one name: of two filters side by side, and of one filter before and after an update. Hours, so that nothing
//! is earned back while a test runs.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, Wire, gateway},
    policy::{anyone, rule},
    request::get,
};

/// One limit, counted by tenant.
fn policy(limits: Value) -> Value {
    let mut limited = rule("limited", "PathPrefix", "/", anyone());
    limited["rateLimits"] = json!(["lim"]);
    json!({
        "transport": {"requireTls": false},
        "rateLimits": [{"name": "lim", "key": [{"header": "x-tenant"}], "limits": limits}],
        "rules": [limited],
        "defaultAction": "Deny",
    })
}

fn hourly(requests: usize) -> Value {
    policy(json!([{"requests": requests, "unit": "Hour"}]))
}

/// How many of so many requests pass, over both workers.
async fn admitted(gateway: &Gateway, wire: Wire, tenant: &str, count: usize) -> usize {
    let answers = gateway.send_all(wire, &vec![get("/").header("x-tenant", tenant); count]).await;
    assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)), "{answers:?}");
    answers.iter().filter(|answer| answer.status == 200).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_filters_of_one_name_count_apart_where_their_windows_differ() {
    let second = policy(json!([{"requests": 100, "unit": "Second"}]));
    let gateway = gateway(&hourly(2)).plain_policy(&second).workers(2).start().await;
    assert_eq!(admitted(&gateway, Wire::Http1, "a", 3).await, 2);
    for _ in 0..10 {
        assert_eq!(admitted(&gateway, Wire::Plain, "a", 1).await, 1);
        assert_eq!(admitted(&gateway, Wire::Http1, "a", 1).await, 0);
    }
}

/// The neighbour: one policy on both listeners.
#[tokio::test(flavor = "multi_thread")]
async fn two_filters_of_one_name_count_together_where_their_windows_are_the_same() {
    let gateway = gateway(&hourly(6)).plain_policy(&hourly(6)).workers(2).start().await;
    assert_eq!(admitted(&gateway, Wire::Http1, "a", 4).await, 4);
    assert_eq!(admitted(&gateway, Wire::Plain, "a", 4).await, 2);
    assert_eq!(admitted(&gateway, Wire::Http1, "a", 1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_stays_used_over_updates_as_a_number_of_requests() {
    let gateway = gateway(&hourly(5)).watched().workers(2).start().await;
    let admitted = async |tenant, count| admitted(&gateway, Wire::Http1, tenant, count).await;
    assert_eq!(admitted("a", 6).await, 5);
    assert_eq!(admitted("b", 2).await, 2);
    // Raised: 45 more at once.
    assert!(gateway.change_policy(&hourly(50).to_string()).await);
    assert_eq!(admitted("a", 50).await, 45);
    assert_eq!(admitted("b", 10).await, 10);
    assert_eq!(admitted("new", 51).await, 50);
    // Another part of the policy: nothing changes.
    let mut other = hourly(50);
    other["rules"][0]["name"] = "renamed".into();
    assert!(gateway.change_policy(&other.to_string()).await);
    assert_eq!(admitted("a", 1).await, 0);
    assert_eq!(admitted("b", 1).await, 1);
    // Lowered: who has used more is refused, who has used less has the rest.
    assert!(gateway.change_policy(&hourly(20).to_string()).await);
    assert_eq!(admitted("a", 1).await, 0);
    assert_eq!(admitted("b", 20).await, 7);
    assert_eq!(admitted("newer", 21).await, 20);
    // A window more. What was used in the hour was used in it, too.
    let both = json!([{"requests": 30, "unit": "Hour"}, {"requests": 25, "unit": "Day"}]);
    assert!(gateway.change_policy(&policy(both).to_string()).await);
    assert_eq!(admitted("b", 30).await, 5);
    assert_eq!(admitted("newest", 30).await, 25);
    // A policy with a fault is none, and changes no count.
    assert!(!gateway.change_policy(&hourly(0).to_string()).await);
    assert_eq!(admitted("b", 1).await, 0);
}

/// An update of the one is none of the other.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_one_of_two_filters_leaves_the_other_alone() {
    let gateway = gateway(&hourly(5)).plain_policy(&hourly(10)).watched().workers(2).start().await;
    assert_eq!(admitted(&gateway, Wire::Http1, "a", 6).await, 5);
    assert_eq!(admitted(&gateway, Wire::Plain, "a", 3).await, 3);
    assert!(gateway.change_policy(&hourly(50).to_string()).await);
    assert_eq!(admitted(&gateway, Wire::Http1, "a", 50).await, 45);
    assert_eq!(admitted(&gateway, Wire::Plain, "a", 10).await, 7);
    assert_eq!(admitted(&gateway, Wire::Plain, "b", 11).await, 10);
    assert_eq!(admitted(&gateway, Wire::Http1, "b", 51).await, 50);
}

/// Of limits that workers charge ahead, what they hold when the update comes is used up.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_charged_ahead_gives_nobody_more_over_an_update() {
    let gateway = gateway(&hourly(256)).watched().workers(2).start().await;
    let before = admitted(&gateway, Wire::Http1, "a", 200).await;
    assert_eq!(before, 200);
    assert!(gateway.change_policy(&hourly(512).to_string()).await);
    let after = admitted(&gateway, Wire::Http1, "a", 400).await;
    // At most four by each worker before, and eight by each after; and one for the gap.
    assert!((512 - 2 * 4 - 8 - 1..=512).contains(&(before + after)), "{before} and {after}");
    assert!(gateway.change_policy(&hourly(300).to_string()).await);
    assert_eq!(admitted(&gateway, Wire::Http1, "a", 5).await, 0);
}
