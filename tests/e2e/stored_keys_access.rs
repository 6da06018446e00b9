//! An etcd that asks who reads: users who log in, and certificates.

use std::{process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{
    harness::{etcd::Etcd, gateway::gateway, idp::until, policy::api_key, request::get, tls::CLIENTS},
    stored_keys::{Fleet, INVALID, PASSES, policy, put},
};

/// Until what the gateway's log says.
const SOON: Duration = Duration::from_secs(10);

fn with_login(etcd: &Etcd, password: &str) -> Value {
    logging_in(policy(&etcd.url(), None), password)
}

fn logging_in(mut policy: Value, password: &str) -> Value {
    let login = json!({"user": "gateway", "password": password});
    policy["apiKeys"]["etcd"].as_object_mut().unwrap().extend(login.as_object().cloned().unwrap());
    policy
}

async fn is_logged(fleet: &Fleet, what: &str) {
    until(SOON, async || fleet.gateway.log().contains(what)).await;
}

/// Tokens end with a change of the password, even to the same one.
fn change_password(etcd: &Etcd) {
    let set = "echo gateway-password | ETCDCTL_API=3 etcdctl --user root:root-password --endpoints";
    let set = format!("{set} {} user passwd --interactive=false gateway", etcd.url());
    assert!(Command::new("sh").args(["-c", &set]).output().unwrap().status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_logs_in_and_again_when_its_token_is_known_no_more() {
    let mut etcd = Etcd::start();
    put(&etcd, "first", json!({"level": "Read"}));
    etcd.require_login("/portcullis/");
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let policy = with_login(&etcd, "gateway-password");
    let gateway = gateway(&policy).cluster("etcd", address).https_only().workers(2).start().await;
    let mut fleet = Fleet { etcd, gateway: gateway.into() };
    let (first, second) = (api_key("first"), api_key("second"));
    fleet.becomes("/read", &first, PASSES).await;
    fleet.becomes("/open", &second, INVALID).await;

    // Tokens end with the process that knew them, too.
    change_password(&fleet.etcd);
    fleet.put("second", json!({}));
    fleet.becomes("/open", &second, PASSES).await;
    fleet.etcd.restart();
    fleet.put("second", json!({"disabled": true}));
    fleet.becomes("/open", &second, INVALID).await;
    let log = fleet.gateway.log();
    assert!(
        !log.contains("API keys in etcd: ") && !log.contains("login at etcd"),
        "none of it was a failure: {log}"
    );

    // What it may not read is named, and what was read goes on counting.
    fleet.etcd.ctl(&["role", "revoke-permission", "reader", "/portcullis/", "/portcullis0"]);
    is_logged(&fleet, "does not let this user do so below the prefix").await;
    fleet.becomes("/read", &first, PASSES).await;
    fleet.becomes("/open", &api_key("nobody"), INVALID).await;
    fleet.etcd.ctl(&["role", "grant-permission", "--prefix=true", "reader", "read", "/portcullis/"]);
    fleet.put("second", json!({}));
    fleet.becomes("/open", &second, PASSES).await;

    // Nobody is let in without the store because of it.
    fleet.etcd.ctl(&["user", "revoke-role", "gateway", "reader"]);
    fleet.etcd.ctl(&["user", "delete", "gateway"]);
    is_logged(&fleet, "takes another user or password").await;
    fleet.becomes("/read", &first, PASSES).await;
    let log = fleet.gateway.log();
    assert!(!log.contains("gateway-password") && !log.contains("root-password"), "{log}");
}

/// By the watch, too. It lasts longer than its token, which etcd asks for when it begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_has_the_token_of_a_login() {
    let mut etcd = Etcd::start_with_tokens_of(1);
    put(&etcd, "first", json!({}));
    etcd.require_login("/portcullis/");
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let mut policy = logging_in(policy(&etcd.url(), Some("etcd-grpc")), "gateway-password");
    policy["apiKeys"]["etcd"]["pollInterval"] = "1m".into();
    let gateway = gateway(&policy).cluster("etcd", address).grpc_cluster("etcd-grpc", address);
    let gateway = gateway.https_only().workers(2).start().await;
    let mut fleet = Fleet { etcd, gateway: gateway.into() };
    let first = api_key("first");
    fleet.becomes("/open", &first, PASSES).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(4)).await;
        for _ in 0..3 {
            fleet.put("first", json!({"disabled": true}));
            fleet.becomes("/open", &first, INVALID).await;
            fleet.put("first", json!({}));
            fleet.becomes("/open", &first, PASSES).await;
        }
        // Tokens end with the process that knew them.
        fleet.etcd.restart();
    }
    let log = fleet.gateway.log();
    assert!(!log.contains("etcd cancelled it") && !log.contains("gateway-password"), "{log}");

    // What the user may not watch is named once, and goes on as soon as it may.
    fleet.etcd.ctl(&["user", "revoke-role", "gateway", "reader"]);
    fleet.etcd.restart();
    is_logged(&fleet, "etcdserver: permission denied").await;
    fleet.becomes("/open", &first, PASSES).await;
    fleet.etcd.ctl(&["user", "grant-role", "gateway", "reader"]);
    fleet.put("first", json!({"disabled": true}));
    // It is tried again ever less often.
    let request = get("/open").api_key(&first);
    until(Duration::from_secs(60), async || fleet.gateway.send(&request).await.status == 401).await;
}

/// Each worker that writes logs in, and again when its token is known no more.
#[tokio::test(flavor = "multi_thread")]
async fn uses_are_written_by_a_user_who_may() {
    let mut etcd = Etcd::start();
    put(&etcd, "first", json!({}));
    etcd.require_login("/portcullis/");
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let mut policy = with_login(&etcd, "gateway-password");
    policy["apiKeys"]["usage"] = json!({"to": "Etcd", "interval": "1s"});
    let gateway = gateway(&policy).cluster("etcd", address).https_only().workers(2).start().await;
    let fleet = Fleet { etcd, gateway: gateway.into() };
    let first = api_key("first");
    fleet.becomes("/open", &first, PASSES).await;
    is_logged(&fleet, "uses of API keys: etcd does not let this user do so below the prefix").await;
    let used = "/portcullis/v1/used/";
    fleet.etcd.ctl(&["role", "grant-permission", "--prefix=true", "reader", "readwrite", used]);
    let noted = || {
        let noted = fleet.etcd.ctl(&["get", "--print-value-only", &format!("{used}first")]);
        serde_json::from_str::<Value>(&noted).map_or(0, |noted| noted["uses"].as_u64().unwrap())
    };
    until(SOON, async || noted() > 0).await;
    // Uses of before are there, too: they were kept.
    let ask = async |times: u64| {
        for _ in 0..times {
            assert_eq!(fleet.gateway.send(&get("/open").api_key(&first)).await.status, 200);
        }
    };
    let mut before = 0;
    // No worker has more to write.
    until(SOON, async || {
        tokio::time::sleep(Duration::from_millis(2500)).await;
        std::mem::replace(&mut before, noted()) == noted()
    })
    .await;
    change_password(&fleet.etcd);
    ask(50).await;
    until(SOON, async || noted() == before + 50).await;
    let log = fleet.gateway.log();
    assert!(!log.contains("gateway-password"), "{log}");
}

/// The reason is in the log, and there are no keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_is_named() {
    let mut etcd = Etcd::start();
    put(&etcd, "first", json!({}));
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let start = async |policy: Value| gateway(&policy).cluster("etcd", address).https_only().start().await;
    let no_login = start(with_login(&etcd, "gateway-password")).await;
    until(SOON, async || no_login.log().contains("etcd's authentication is not enabled")).await;
    etcd.require_login("/portcullis/");
    for (policy, said) in [
        (with_login(&etcd, "another"), "takes another user or password"),
        (policy(&etcd.url(), None), "does not know who asks"),
    ] {
        let gateway = start(policy).await;
        until(SOON, async || gateway.log().contains(said)).await;
        let request = get("/open").api_key(&api_key("first"));
        for _ in 0..3 {
            assert_eq!(gateway.send(&request).await.status, 503);
        }
        assert!(!gateway.log().contains("another\""), "{}", gateway.log());
    }
    // Now it is as the policy says.
    let request = get("/open").api_key(&api_key("first"));
    until(SOON, async || no_login.send(&request).await.status == 200).await;
}

/// Envoy's cluster shows the certificate. The command does so by its options, and logs in.
#[tokio::test(flavor = "multi_thread")]
async fn etcd_may_ask_for_certificates() {
    let mut etcd = Etcd::start_secured();
    put(&etcd, "first", json!({}));
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let (named, nameless) = (CLIENTS.identity("gateway.test"), CLIENTS.nameless("gateway.test"));
    let request = get("/open").api_key(&api_key("first"));
    let start = async |policy: &Value, shown| {
        gateway(policy).secure_cluster("etcd", address, shown).https_only().workers(2).start().await
    };
    let open = policy(&etcd.url(), None);
    let [with_name, without_name, without_any] = [
        start(&open, Some(named.clone())).await,
        start(&open, Some(nameless.clone())).await,
        start(&open, None).await,
    ];
    for gateway in [&with_name, &without_name] {
        until(SOON, async || gateway.send(&request).await.status == 200).await;
    }
    until(SOON, async || without_any.log().contains("API keys in etcd: ")).await;
    assert_eq!(without_any.send(&request).await.status, 503);

    // Once users log in, etcd's gateway takes no certificate with a common name.
    etcd.require_login("/portcullis/");
    let login = with_login(&etcd, "gateway-password");
    let [with_name, without_name] = [start(&login, Some(named)).await, start(&login, Some(nameless)).await];
    until(SOON, async || without_name.send(&request).await.status == 200).await;
    until(SOON, async || with_name.log().contains("no client certificate with a common name")).await;
    assert_eq!(with_name.send(&request).await.status, 503);

    let key = |certificate: &str, password: &str, arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("key")
            .args(arguments)
            .args(["--output", "json", "--store", &format!("{}/portcullis/", etcd.url())])
            .args([
                "--etcd-ca",
                &etcd.file("ca.pem"),
                "--etcd-cert",
                &etcd.file(&format!("{certificate}.pem")),
            ])
            .args(["--etcd-key", &etcd.file(&format!("{certificate}-key.pem")), "--etcd-user", "root"])
            .env("PORTCULLIS_ETCD_PASSWORD", password)
            .output()
            .unwrap();
        let said = String::from_utf8(if done.status.success() { done.stdout } else { done.stderr }).unwrap();
        assert!(!said.contains("-password"), "{said}");
        (done.status.success(), said)
    };
    let (is_made, made) = key("nameless", "root-password", &["new", "--id", "made"]);
    assert!(is_made, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let request = get("/open").api_key(made["key"].as_str().unwrap());
    until(SOON, async || without_name.send(&request).await.status == 200).await;
    assert!(key("nameless", "root-password", &["revoke", "made"]).0);
    until(SOON, async || without_name.send(&request).await.status == 401).await;
    let (is_done, said) = key("client", "root-password", &["list"]);
    assert!(!is_done && said.contains("common name"), "{said}");
    let (is_done, said) = key("nameless", "another-password", &["list"]);
    assert!(!is_done && said.contains("takes another user or password"), "{said}");
}
