//! The stream by which keys are watched: when it is opened, and what comes of what comes by it.

use serde_json::json;

use super::{Serving, StandIn, later, policy, root};

const ANSWER: &str = r#"{"header":{"cluster_id":"1","revision":"5","raft_term":"1"}}"#;

fn filter() -> (StandIn, Serving<StandIn>) {
    let mut policy = policy();
    policy["apiKeys"]["etcd"] = json!({"uri": "http://etcd.test:2379", "cluster": "etcd", "watchCluster": "etcd-grpc", "pollInterval": "1m"});
    let host = StandIn::new(policy.to_string());
    let serving = root::configure(&host).unwrap();
    (host, serving)
}

/// As many ticks as it takes for one to be for everything.
fn tick(serving: &Serving<StandIn>) {
    (0..10).for_each(|_| serving.on_tick());
}

/// Answers whatever was sent last, be it a call.
fn answer(host: &StandIn, serving: &Serving<StandIn>) {
    host.server_says(ANSWER);
    serving.on_call_response(host.sent(), 1, host.body_size());
}

#[test]
fn a_message_has_keys_read() {
    let (host, serving) = filter();
    serving.on_tick();
    assert_eq!(host.sent(), 1, "they are read, and there is no watch yet");
    answer(&host, &serving);
    tick(&serving);
    assert_eq!(host.sent(), 2, "the watch");
    let mut watch = host.sent();
    tick(&serving);
    later(1);
    tick(&serving);
    assert_eq!(host.sent(), 2, "all is quiet");
    host.server_says("");
    serving.on_grpc_message(watch, 0);
    assert_eq!(host.sent(), 3, "a message has them read at once");
    answer(&host, &serving);
    later(1);
    serving.on_grpc_message(watch + 7, 0);
    serving.on_grpc_close(watch + 7, 0);
    assert_eq!(host.sent(), 3, "that was another stream");
    // Cancelled, it is asked for anew by another stream.
    host.server_says("\x20\x01");
    serving.on_grpc_message(watch, 2);
    assert_eq!(host.sent(), 3);
    later(2);
    tick(&serving);
    assert_eq!(host.sent(), 4);
    let old = std::mem::replace(&mut watch, host.sent());
    serving.on_grpc_message(old, 2);
    serving.on_grpc_close(old, 0);
    later(5);
    tick(&serving);
    assert_eq!(host.sent(), 4, "the new one is there");
    serving.on_grpc_close(watch, 14);
    // Messages of a stream that has ended, or its end once more, are nothing.
    serving.on_grpc_message(watch, 0);
    serving.on_grpc_close(watch, 14);
    later(10);
    tick(&serving);
    assert_eq!(host.sent(), 5, "it is opened again");
}

#[test]
fn whatever_call_fails_keys_are_read_and_watched_afterwards() {
    let mut failing = 1;
    loop {
        let (host, serving) = filter();
        host.fail(Some(failing));
        for _ in 0..3 {
            serving.on_tick();
            answer(&host, &serving);
            tick(&serving);
            later(1);
            host.server_says("");
            serving.on_grpc_message(host.sent(), 0);
            answer(&host, &serving);
        }
        serving.on_grpc_close(2, 14);
        if host.failed().is_none() {
            break;
        }
        failing += 1;
        host.fail(None);
        for _ in 0..3 {
            later(60);
            tick(&serving);
            answer(&host, &serving);
        }
        let before = host.calls();
        later(60);
        serving.on_tick();
        assert!(host.calls() > before, "{:?}", host.failed());
        assert!(
            host.stat("portcullis_key_store_reads._result=succeeded_").unwrap() > 0,
            "{:?}",
            host.failed()
        );
    }
    assert!(failing > 20, "{failing}");
}
