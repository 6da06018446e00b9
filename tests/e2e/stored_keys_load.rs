//! An etcd that has much to do beside the gateway, whose entries are too large, or whose room is used up.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, task::JoinSet};

use crate::{
    harness::{
        client::{self, http1_bytes},
        etcd::Etcd,
        gateway::gateway,
        policy::api_key,
        request::post,
        tls::{self, CLIENTS},
    },
    stored_keys::{
        Fleet, INVALID, Load, PASSES, becomes, becomes_within, entry, place, policy, put, try_key,
    },
};

/// No poll comes before.
const POLL: Duration = Duration::from_mins(1);

fn watched(etcd: &Etcd, cluster: &str) -> Value {
    let mut policy = policy(&etcd.url(), Some(cluster));
    policy["apiKeys"]["etcd"]["pollInterval"] = format!("{}s", POLL.as_secs()).into();
    policy
}

/// They are no keys, and every other one is read as ever: by smaller pages, and with a watch by which they came, too.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_are_far_too_large_do_no_harm() {
    let etcd = Etcd::start();
    put(&etcd, "steady", json!({}));
    put(&etcd, "second", json!({}));
    let policy = watched(&etcd, "etcd-grpc");
    let fleet = Fleet::start_by(etcd, &policy).await;
    fleet.becomes("/open", &api_key("steady"), PASSES).await;
    let load = Load::begin(&fleet.gateway, "steady");
    let large = json!({"label": "x".repeat(1_200_000)});
    let names = ["large0", "large1", "large2", "large3"];
    for name in names {
        fleet.etcd.try_ctl(&["put", &place(name)], entry(name, large.clone()).as_bytes()).unwrap();
    }
    fleet.put("second", json!({"disabled": true}));
    fleet.becomes("/open", &api_key("second"), INVALID).await;
    fleet.becomes("/open", &api_key("large0"), INVALID).await;
    // All are listed, those too.
    fleet.etcd.ctl(&["del", &place("second")]);
    fleet.put("third", json!({}));
    fleet.becomes("/open", &api_key("third"), PASSES).await;
    names.iter().for_each(|name| fleet.put(name, json!({})));
    for name in names {
        fleet.becomes("/open", &api_key(name), PASSES).await;
    }
    assert_eq!(load.end().await, [200], "{}", fleet.gateway.log());
}

/// etcd writes nothing then, and deletes (alarm `NOSPACE`).
#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_room_lets_keys_be_deleted() {
    let etcd = Etcd::start_with_room(1_000_000);
    let names = ["steady", "leaked", "other"];
    names.iter().for_each(|name| put(&etcd, name, json!({})));
    let policy = watched(&etcd, "etcd-grpc");
    let fleet = Fleet::start_by(etcd, &policy).await;
    for name in names {
        fleet.becomes("/open", &api_key(name), PASSES).await;
    }
    let load = Load::begin(&fleet.gateway, "steady");
    let filling = vec![b'x'; 100_000];
    let refused = (0..100).find_map(|_| fleet.etcd.try_ctl(&["put", "/filling"], &filling).err()).unwrap();
    assert!(refused.contains("database space exceeded"), "{refused}");
    for arguments in [&["revoke", "leaked"][..], &["new", "--id", "new"]] {
        let said = try_key(&fleet.etcd, arguments).unwrap_err();
        assert!(said.contains("database space exceeded"), "{said}");
    }
    fleet.becomes("/open", &api_key("leaked"), PASSES).await;
    fleet.etcd.ctl(&["del", &place("leaked")]);
    fleet.becomes("/open", &api_key("leaked"), INVALID).await;

    fleet.etcd.ctl(&["del", "/filling"]);
    fleet.etcd.compact();
    fleet.etcd.ctl(&["alarm", "disarm"]);
    try_key(&fleet.etcd, &["revoke", "other"]).unwrap();
    fleet.becomes("/open", &api_key("other"), INVALID).await;
    assert_eq!(load.end().await, [200], "{}", fleet.gateway.log());
}

/// Questions and the watch by one connection, 300 watches of others by etcd's JSON gateway, and others who read all there is
/// all the time: a change is told before the next poll.
#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_with_many_watches_and_readers_tells_of_changes() {
    const WATCHES: usize = 300;
    const READERS: usize = 2;
    let etcd = Etcd::start_secured();
    put(&etcd, "steady", json!({}));
    put(&etcd, "second", json!({}));
    for n in 0..5 {
        etcd.try_ctl(&["put", &format!("/filling/{n}")], &[b'x'; 100_000]).unwrap();
    }
    let address: SocketAddr = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let shown = CLIENTS.identity("gateway.test");
    let gateway = gateway(&watched(&etcd, "etcd"))
        .grpc_cluster("etcd", address)
        .secured("etcd", Some(shown.clone()))
        .https_only()
        .workers(2)
        .start()
        .await;
    becomes(&gateway, "/open", &api_key("second"), PASSES).await;

    let config = tls::shows(&shown, tls::client(&CLIENTS.certificate, "http/1.1"));
    let all = json!({"key": "AA==", "range_end": "AA=="});
    let watch = post("/v3/watch").body(json!({"create_request": all}).to_string());
    let mut watches = Vec::new();
    for _ in 0..WATCHES {
        let mut stream = client::tls(address, config.clone()).await.unwrap();
        stream.write_all(&http1_bytes(&watch, false)).await.unwrap();
        watches.push(stream);
    }
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let (config, all) = (config.clone(), post("/v3/kv/range").body(all.to_string()));
        readers.spawn(async move {
            loop {
                let stream = client::tls(address, config.clone()).await.unwrap();
                assert_eq!(client::http1(stream, &all).await.unwrap().status, 200);
            }
        });
    }
    for round in 0..5 {
        put(&etcd, "second", json!({"disabled": true}));
        let refused = becomes_within(POLL / 2, &gateway, "/open", &api_key("second"), INVALID).await;
        put(&etcd, "second", json!({}));
        let taken = becomes_within(POLL / 2, &gateway, "/open", &api_key("second"), PASSES).await;
        println!("round {round}: refused after {refused:?}, taken after {taken:?}");
    }
    assert!(readers.try_join_next().is_none(), "a reader has failed");
}
