//! Requests as the host passes them on: nobody has a credential, so only the open rule may let one pass, whatever
//! the next list of rules would say.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{
    engine::{Exchange, HostServices, Step, WorkerState},
    host::wire::parse_pairs,
    policy::Policy,
    request::RequestHead,
    store::MemoryStore,
    time::{Clock, Timestamp},
};

const POLICY: &str = r#"{
    "transport": {"requireTls": false},
    "jwt": {"providers": [{"name": "a", "issuer": "a", "anyAudience": true, "algorithms": ["HS256"],
        "symmetricKeys": [{"secret": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}],
        "extractFrom": {"headers": [{"name": "authorization", "valuePrefix": "Bearer "}],
                        "cookies": ["t"], "params": ["t"]}}]},
    "apiKeys": {"extractFrom": {"headers": [{"name": "x-k"}], "cookies": ["k"], "params": ["k"]},
        "keys": [{"id": "k",
            "hash": "sha256:0000000000000000000000000000000000000000000000000000000000000000"}]},
    "rateLimits": [{"name": "l", "key": [{"header": "x-t"}, "remoteAddress"], "before": "Authentication",
        "limits": [{"requests": 1000000, "unit": "Second"}]}],
    "rules": [
        {"name": "open", "matches": [{"path": {"type": "Exact", "value": "/o"}}],
         "authenticate": {"anonymous": true}},
        {"name": "b", "matches": [{"path": {"type": "PathTemplate", "value": "/b/{x}"},
            "queryParams": [{"name": "q", "type": "RegularExpression", "value": "a+"}]}],
         "authenticate": {"anyOf": [{"jwt": "a"}, "apiKey"]}},
        {"name": "rest", "authenticate": {"anyOf": [{"jwt": "a"}, "apiKey"]}}
    ],
    "shadow": {"rules": [
        {"name": "b", "matches": [{"path": {"type": "PathPrefix", "value": "/b"}}], "encodedSlash": "Keep",
         "authenticate": {"anyOf": [{"jwt": "a"}]}},
        {"name": "rest", "authenticate": {"anonymous": true}}
    ]}
}"#;

thread_local! {
    static WORKER: WorkerState = WorkerState::new(Policy::compile(POLICY.as_bytes(), "fuzz").expect("good"), "fuzz");
    static STORE: MemoryStore = MemoryStore::default();
}

fuzz_target!(|bytes: &[u8]| {
    let Some(headers) = parse_pairs(bytes) else { return };
    let head = RequestHead { headers, remote_address: Some([192, 0, 2, 1].into()), tls: true, ..RequestHead::default() };
    WORKER.with(|worker| {
        STORE.with(|store| {
            let services = HostServices {
                may_wait: &|| true,
                ..HostServices::new(Clock::at(Timestamp::from_secs(1_800_000_000)), store, &|| Some([7; 16]))
            };
            let decision = Exchange::default().on_request(worker, &head, &services);
            if let Step::Forward(changes) = &decision.step {
                let rule = changes.add.iter().find(|(name, _)| *name == "x-portcullis-rule");
                assert_eq!(rule.map(|(_, text)| text.as_str()), Some("open"));
            }
        });
    });
});
