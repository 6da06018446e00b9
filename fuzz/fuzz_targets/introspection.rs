//! What an issuer answers about a token: a request passes only where it says that the token is active, and ours.

#![no_main]

use std::cell::Cell;

use libfuzzer_sys::fuzz_target;
use portcullis::{
    calls::Outcome,
    engine::{Exchange, HostServices, Step, WorkerState},
    policy::Policy,
    request::RequestHead,
    store::MemoryStore,
    time::{Clock, Timestamp},
};
use serde_json::{Value, json};

const POLICY: &str = r#"{
    "transport": {"requireTls": false},
    "jwt": {"providers": [{"name": "a", "issuer": "https://as", "audiences": ["api"],
        "claims": {"roles": "roles", "scopes": "scope"},
        "introspection": {"endpoint": "https://as/", "cluster": "as", "clientId": "c", "clientSecret": "s"}}]},
    "rules": [{"name": "a", "authenticate": {"anyOf": [{"jwt": "a"}]}}]
}"#;

thread_local! {
    static WORKER: WorkerState =
        WorkerState::new(Policy::compile(POLICY.as_bytes(), "fuzz").expect("good"), "fuzz");
    static NOW: Cell<u64> = const { Cell::new(1_800_000_000) };
}

fuzz_target!(|answer: &[u8]| WORKER.with(|worker| {
    // So long after the one before that nothing is remembered of that, and no failure makes us wait.
    NOW.set(NOW.get() + 1000);
    let store = MemoryStore::default();
    let services = HostServices {
        may_wait: &|| true,
        ..HostServices::new(Clock::at(Timestamp::from_secs(NOW.get())), &store, &|| Some([7; 16]))
    };
    let headers: [(&[u8], &[u8]); 5] = [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"api"),
        (b":path", b"/"),
        (b"authorization", b"Bearer t"),
    ];
    let head = RequestHead { headers: headers.to_vec(), tls: true, ..RequestHead::default() };
    let mut exchange = Exchange::default();
    assert!(matches!(exchange.on_request(worker, &head, &services).step, Step::Wait(_)));
    let calls = worker.take_calls();
    let [(purpose, _)] = calls[..] else { panic!("one call") };
    let outcome = Outcome::Answer { status: 200, headers: &[], body: answer };
    let _ = worker.on_answer(purpose, outcome, &services);
    match exchange.on_request(worker, &head, &services).step {
        Step::Forward(_) => {
            // Read by another reader.
            let said: Value =
                serde_json::from_slice(answer.strip_prefix(b"\xef\xbb\xbf").unwrap_or(answer)).expect("JSON");
            assert_eq!(said["active"], json!(true));
            assert!(said["iss"].is_null() || said["iss"] == "https://as");
            assert!(said["aud"] == "api" || said["aud"].as_array().is_some_and(|all| all.contains(&json!("api"))));
        }
        Step::Reply(..) => {}
        Step::Wait(_) => panic!("its answer has come"),
    }
    worker.settled();
}));
