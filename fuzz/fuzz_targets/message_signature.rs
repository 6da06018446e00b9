//! Signed requests (RFC 9421): whatever is said of a signature and of a body, nobody who has not the key has one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{
    answer::Reason,
    engine::{Body, Exchange, HostServices, WorkerState},
    policy::Policy,
    request::RequestHead,
    store::MemoryStore,
    time::{Clock, Timestamp},
};

const POLICY: &str = r#"{
    "messageSignatures": {"signers": [{"name": "s", "once": true, "components": ["@method", "x"], "keys": [
        {"keyId": "k", "algorithm": "hmac-sha256", "secret": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}]}]},
    "rules": [{"name": "signed", "authenticate": {"anyOf": [{"messageSignature": "s"}]}}]
}"#;

thread_local! {
    static WORKER: WorkerState = WorkerState::new(Policy::compile(POLICY.as_bytes(), "fuzz").expect("good"), "fuzz");
}

// Lines of `signature-input`, `signature`, `content-digest` and `x`, and the path: one header behind the other, with a zero
// between them.
fuzz_target!(|bytes: &[u8]| {
    let parts: Vec<Vec<&[u8]>> =
        bytes.split(|byte| *byte == 0).map(|part| part.split(|byte| *byte == b'\n').collect()).collect();
    let Some((input, others)) = parts.split_first() else { return };
    let listed: Vec<Vec<u8>> = input
        .iter()
        .map(|line| [b"a=(\"@method\" \"x\" ", *line, b");created=1800000000;keyid=\"k\""].concat())
        .collect();
    let mut whole: Vec<&[u8]> = listed.iter().map(Vec::as_slice).collect();
    whole.extend(input);
    for input in [&whole, input] {
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":path", others.get(3).and_then(|lines| lines.first()).unwrap_or(&&b"/?a=1"[..])),
            (b":authority", b"api.example"),
        ];
        headers.extend(input.iter().map(|line| (&b"signature-input"[..], *line)));
        for (name, lines) in [&b"signature"[..], b"content-digest", b"x"].into_iter().zip(others) {
            headers.extend(lines.iter().map(|line| (name, *line)));
        }
        let head = RequestHead { headers, tls: true, ..RequestHead::default() };
        let (store, random) = (MemoryStore::default(), || Some([7; 16]));
        let services = HostServices {
            body: &|_| Body::Whole(b"a body".to_vec()),
            ..HostServices::new(Clock::at(Timestamp::from_secs(1_800_000_000)), &store, &random)
        };
        WORKER.with(|worker| {
            let decision = Exchange::default().on_request(worker, &head, &services);
            // Before the body is looked at the signature must be good.
            assert!(!matches!(
                decision.reason,
                None | Some(Reason::ContentDigestInvalid | Reason::BodyTooLarge)
            ));
        });
    }
});
