//! API keys in three members of etcd, of which one leads, lags, hangs, is cut off or is gone, while clients never pause.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{
        envoy_config::http2_options,
        etcd::Etcd,
        etcd_members::{MEMBERS, Members},
        gateway::{Gateway, gateway},
        idp::until,
        policy::api_key,
    },
    stored_keys::{INVALID, Load, PASSES, becomes, becomes_within, entry, place, policy, put as put_one},
};

const UNAVAILABLE: (u16, &str) = (503, "state_unavailable");

/// What a member costs that hangs: its watch ends with a ping that is not answered, after seven seconds at most, and begins
/// anew at the next member a second later. With room for a machine that is busy; the next poll is later.
const SOON: Duration = Duration::from_secs(30);

/// Keys are read by asking the members in turn.
fn asked_in_turn(changes: Value) -> Value {
    let mut policy = policy("http://etcd.test", None);
    let fields = policy["apiKeys"]["etcd"].as_object_mut().unwrap();
    fields.extend(json!({"pollInterval": "250ms", "timeout": "500ms"}).as_object().cloned().unwrap());
    fields.extend(changes.as_object().cloned().unwrap());
    policy
}

async fn before(members: &[SocketAddr], policy: &Value) -> Arc<Gateway> {
    checked(members, policy, json!({})).await
}

/// As docs/policy.md advises, with `more` for the cluster that is asked.
async fn checked(members: &[SocketAddr], policy: &Value, more: Value) -> Arc<Gateway> {
    // etcd ends connections by which it is pinged more often than every five seconds.
    let http2 = http2_options(json!({"connection_keepalive": {"interval": "6s", "timeout": "1s"}}));
    let gateway = gateway(policy)
        .balanced_cluster("etcd", members, more)
        .balanced_cluster("etcd-grpc", members, json!({"typed_extension_protocol_options": http2}))
        .https_only()
        .workers(2);
    Arc::new(gateway.start().await)
}

fn put(members: &Members, name: &str, fields: Value) {
    members.ctl(&["put", &place(name), &entry(name, fields)]);
}

/// A change is seen by both workers, and so is the next one.
async fn changes_are_seen(members: &Members, gateway: &Gateway, what: &str) {
    let second = api_key("second");
    put(members, "second", json!({"disabled": true}));
    let refused = becomes_within(SOON, gateway, "/open", &second, INVALID).await;
    put(members, "second", json!({}));
    let taken = becomes_within(SOON, gateway, "/open", &second, PASSES).await;
    println!("{what}: refused after {refused:?}, taken after {taken:?}");
}

/// At which member the gateway watches.
async fn watched_at(gateway: &Gateway, members: &Members) -> usize {
    let mut found = None;
    until(SOON, async || {
        let clusters = gateway.admin().text("/clusters").await;
        let has_stream = |place: &usize| {
            clusters.contains(&format!("etcd-grpc::{}::rq_active::1\n", members.address(*place)))
        };
        found = (0..MEMBERS).find(has_stream);
        found.is_some()
    })
    .await;
    found.unwrap()
}

async fn one_after_the_other_fails(changes: Value) {
    let is_watched = changes.get("watchCluster").is_some();
    let mut members = Members::start().await;
    for name in ["steady", "second", "revoked"] {
        put(&members, name, json!({}));
    }
    let gateway = before(&members.addresses(), &asked_in_turn(changes)).await;
    becomes(&gateway, "/open", &api_key("steady"), PASSES).await;
    becomes(&gateway, "/open", &api_key("second"), PASSES).await;
    put(&members, "revoked", json!({"revokedAt": "2026-01-01T00:00:00Z"}));
    becomes(&gateway, "/open", &api_key("revoked"), INVALID).await;
    let (good, bad) = (Load::begin(&gateway, "steady"), Load::begin(&gateway, "revoked"));

    members.move_leader();
    changes_are_seen(&members, &gateway, "another one leads").await;
    let leader = members.leader();
    members.kill(leader);
    changes_are_seen(&members, &gateway, "the leader is gone").await;
    members.restart(leader);
    for turn in 0..MEMBERS {
        let place = if is_watched { watched_at(&gateway, &members).await } else { turn };
        members.pause(place);
        changes_are_seen(&members, &gateway, &format!("member {place} hangs")).await;
        members.resume(place);
        let place = if is_watched { watched_at(&gateway, &members).await } else { turn };
        members.cut_off(place).await;
        changes_are_seen(&members, &gateway, &format!("member {place} is cut off")).await;
        members.join_again();
    }
    let follower = members.follower();
    members.replace(follower);
    changes_are_seen(&members, &gateway, "a member is another machine").await;

    assert_eq!(good.end().await, [200], "{}", gateway.log());
    assert_eq!(bad.end().await, [401], "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_polled_whichever_member_fails() {
    one_after_the_other_fails(json!({})).await;
}

/// No poll has a part in it but after a question that failed.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_watched_whichever_member_fails() {
    one_after_the_other_fails(json!({"watchCluster": "etcd-grpc", "pollInterval": "1m"})).await;
}

/// A member that starts again knows no token, and the others do.
#[tokio::test(flavor = "multi_thread")]
async fn users_are_logged_in_at_every_member() {
    let mut members = Members::start().await;
    for name in ["steady", "second"] {
        put(&members, name, json!({}));
    }
    members.require_login("/portcullis/");
    let login = json!({"user": "gateway", "password": "gateway-password"});
    let gateway = before(&members.addresses(), &asked_in_turn(login)).await;
    becomes(&gateway, "/open", &api_key("steady"), PASSES).await;
    let load = Load::begin(&gateway, "steady");
    for place in 0..MEMBERS {
        members.kill(place);
        changes_are_seen(&members, &gateway, &format!("member {place} is gone")).await;
        members.restart(place);
        changes_are_seen(&members, &gateway, &format!("member {place} is there again")).await;
    }
    assert_eq!(load.end().await, [200], "{}", gateway.log());
}

/// What the store was is not what it is: a question that a member may answer by itself would be answered, and wrongly.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lags_behind_is_not_believed() {
    let mut members = Members::start().await;
    for name in ["steady", "second"] {
        put(&members, name, json!({}));
    }
    let lagging = members.follower();
    let own = [members.address(lagging)];
    let all = before(&members.addresses(), &asked_in_turn(json!({}))).await;
    let [known, confirmed] = [
        before(&own, &asked_in_turn(json!({}))).await,
        before(&own, &asked_in_turn(json!({"maxStale": "4s"}))).await,
    ];
    let second = api_key("second");
    for gateway in [&all, &known, &confirmed] {
        becomes(gateway, "/open", &second, PASSES).await;
    }
    members.cut_off(lagging).await;
    put(&members, "second", json!({"disabled": true}));
    let told = members.try_ctl(lagging, &["get", &place("second"), "--consistency", "s"]).unwrap();
    assert_eq!(told.trim(), format!("{}\n{}", place("second"), entry("second", json!({}))), "it lags");

    becomes(&all, "/open", &second, INVALID).await;
    let new = before(&own, &asked_in_turn(json!({}))).await;
    becomes(&confirmed, "/open", &second, UNAVAILABLE).await;
    // Until now it answered nothing, to nobody.
    becomes(&new, "/open", &second, UNAVAILABLE).await;
    becomes(&new, "/open", &api_key("steady"), UNAVAILABLE).await;
    becomes(&known, "/open", &second, PASSES).await;

    members.join_again();
    for gateway in [&all, &known, &confirmed, &new] {
        becomes(gateway, "/open", &second, INVALID).await;
        becomes(gateway, "/open", &api_key("steady"), PASSES).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_keys_stay_as_they_were_read() {
    let mut members = Members::start().await;
    for name in ["steady", "second", "revoked"] {
        put(&members, name, json!({}));
    }
    let gateway = before(&members.addresses(), &asked_in_turn(json!({}))).await;
    let confirmed = before(&members.addresses(), &asked_in_turn(json!({"maxStale": "4s"}))).await;
    put(&members, "revoked", json!({"revokedAt": "2026-01-01T00:00:00Z"}));
    for gateway in [&gateway, &confirmed] {
        becomes(gateway, "/open", &api_key("second"), PASSES).await;
        becomes(gateway, "/open", &api_key("revoked"), INVALID).await;
    }
    let (good, bad) = (Load::begin(&gateway, "steady"), Load::begin(&gateway, "revoked"));
    // The one that is left led before, and then another one.
    for left in [members.leader(), members.follower()] {
        let others: Vec<_> = (0..MEMBERS).filter(|place| *place != left).collect();
        others.iter().for_each(|place| members.pause(*place));
        let disabled = entry("second", json!({"disabled": true}));
        assert!(members.try_ctl(left, &["put", &place("second"), &disabled]).is_err());
        becomes(&confirmed, "/open", &api_key("steady"), UNAVAILABLE).await;
        let new = before(&members.addresses(), &asked_in_turn(json!({}))).await;
        becomes(&new, "/open", &api_key("steady"), UNAVAILABLE).await;
        becomes(&gateway, "/open", &api_key("second"), PASSES).await;
        becomes(&gateway, "/open", &api_key("nobody"), INVALID).await;
        others.iter().for_each(|place| members.resume(*place));
        for gateway in [&gateway, &confirmed, &new] {
            becomes(gateway, "/open", &api_key("steady"), PASSES).await;
            becomes(gateway, "/open", &api_key("revoked"), INVALID).await;
            changes_are_seen(&members, gateway, &format!("with member {left} alone, and all again")).await;
        }
    }
    assert_eq!(good.end().await, [200], "{}", gateway.log());
    assert_eq!(bad.end().await, [401], "{}", gateway.log());
}

/// So many keys as take several pages.
#[tokio::test(flavor = "multi_thread")]
async fn all_keys_are_read_though_a_member_is_gone() {
    const MANY: usize = 3500;
    let mut members = Members::start().await;
    let puts: Vec<String> = (0..MANY)
        .map(|n| format!("many{n}"))
        .map(|name| format!("put {} {:?}", place(&name), entry(&name, json!({}))))
        .collect();
    puts.chunks(100).for_each(|some| members.transact(some));
    put(&members, "steady", json!({}));
    let (last, follower) = (format!("many{}", MANY - 1), members.follower());
    members.kill(follower);
    let gateway = before(&members.addresses(), &asked_in_turn(json!({}))).await;
    becomes_within(SOON, &gateway, "/open", &api_key(&last), PASSES).await;
    let load = Load::begin(&gateway, "steady");
    // That a key is gone is found by listing all.
    members.ctl(&["del", &place(&last)]);
    becomes_within(SOON, &gateway, "/open", &api_key(&last), INVALID).await;
    members.restart(follower);
    members.pause(follower);
    put(&members, &last, json!({}));
    becomes_within(SOON, &gateway, "/open", &api_key(&last), PASSES).await;
    members.ctl(&["del", &place(&last)]);
    becomes_within(SOON, &gateway, "/open", &api_key(&last), INVALID).await;
    members.resume(follower);
    assert_eq!(load.end().await, [200], "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_hangs_is_asked_no_more_where_envoy_looks_for_such() {
    let mut members = Members::start().await;
    put(&members, "second", json!({}));
    let check = json!({
        "interval": "1s", "timeout": "1s", "unhealthy_threshold": 2, "healthy_threshold": 1,
        "no_traffic_interval": "1s", "http_health_check": {"path": "/health"},
    });
    let more = json!({"health_checks": [check]});
    let gateway = checked(&members.addresses(), &asked_in_turn(json!({})), more).await;
    becomes(&gateway, "/open", &api_key("second"), PASSES).await;
    let stat = async |name: &str| gateway.admin().stat(&format!("cluster.etcd.{name}")).await;
    let follower = members.follower();
    members.pause(follower);
    until(SOON, async || stat("membership_healthy").await == 2).await;
    // Those that were on their way, and those that were sent before every worker knew.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let (asked, late) = (stat("upstream_rq_total").await, stat("upstream_rq_timeout").await);
    changes_are_seen(&members, &gateway, "a member hangs, and Envoy knows").await;
    until(SOON, async || stat("upstream_rq_total").await > asked + 12).await;
    // Asked in its turn it would have been four of them; one may have been on its way all the time.
    let (since, calls) = (stat("upstream_rq_timeout").await - late, stat("upstream_rq_total").await - asked);
    assert!(since <= 1, "{since} of {calls}");
    members.resume(follower);
    until(SOON, async || stat("membership_healthy").await == 3).await;
    changes_are_seen(&members, &gateway, "it is there again").await;
}

/// They were restored from different snapshots, which no member notices, and no client can tell who is right.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_differ_are_told_of() {
    let (old, new) = {
        let etcd = Etcd::start();
        put_one(&etcd, "steady", json!({}));
        put_one(&etcd, "second", json!({}));
        let old = etcd.snapshot();
        put_one(&etcd, "second", json!({"disabled": true}));
        put_one(&etcd, "third", json!({}));
        (old, etcd.snapshot())
    };
    let members = Members::start_with([&old, &new, &new]).await;
    let gateway = before(&members.addresses(), &asked_in_turn(json!({}))).await;
    becomes(&gateway, "/open", &api_key("steady"), PASSES).await;
    let load = Load::begin(&gateway, "steady");
    until(SOON, async || gateway.log().matches("If nobody has restored").count() > 2).await;
    becomes(&gateway, "/open", &api_key("nobody"), INVALID).await;
    assert_eq!(load.end().await, [200], "{}", gateway.log());
}
