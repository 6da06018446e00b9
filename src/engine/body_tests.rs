//! Requests that are decided by their bodies, as far as the engine goes: when they wait, and until when.

use std::cell::RefCell;

use super::*;
use crate::{
    store::MemoryStore,
    time::{Clock, Timestamp},
};

const POLICY: &str = r#"{
  "hmac": {"sources": [{"name": "hub", "preset": "GitHub", "secrets": ["It's a Secret to Everybody"], "maxBodyBytes": 20}]},
  "rules": [
    {"name": "hook", "matches": [{"path": {"type": "Exact", "value": "/hook"}}],
     "authenticate": {"anyOf": [{"hmac": "hub"}]}},
    {"name": "open", "authenticate": {"anonymous": true}}
  ]
}"#;

const SIGNED: &str = "Hello, World!";
const SIGNATURE: (&str, &str) =
    ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");

struct World {
    worker: WorkerState,
    store: MemoryStore,
    now: u64,
    /// What the host says of the body, and for how many bytes it was asked.
    body: RefCell<Body>,
    asked: RefCell<Vec<usize>>,
}

impl World {
    fn new() -> Self {
        Self {
            worker: WorkerState::new(
                Policy::compile(POLICY.as_bytes(), "test").expect("a good policy"),
                "test",
            ),
            store: MemoryStore::default(),
            now: 1_800_000_000,
            body: RefCell::new(Body::Coming),
            asked: RefCell::default(),
        }
    }

    /// What comes of the request, in a few words.
    fn decide(&self, exchange: &mut Exchange, path: &str, ends: bool, more: &[(&str, &str)]) -> String {
        let line =
            [(":method", "POST"), (":scheme", "https"), (":authority", "api.example"), (":path", path)];
        let headers =
            line.iter().chain(more).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let head = RequestHead { headers, tls: true, ends, ..RequestHead::default() };
        let body = |limit| {
            self.asked.borrow_mut().push(limit);
            self.body.borrow().clone()
        };
        let clock = Clock::at(Timestamp::from_secs(self.now));
        let services =
            HostServices { body: &body, ..HostServices::new(clock, &self.store, &|| Some([7; 16])) };
        let decision = exchange.on_request(&self.worker, &head, &services);
        match (decision.step, decision.reason) {
            (Step::Forward(_), None) => "forward".to_owned(),
            (Step::Reply(reply, _), Some(reason)) => format!("{} {}", reply.status, reason.code()),
            (Step::Wait(_), None) => "wait".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    fn first(&self, path: &str, ends: bool, more: &[(&str, &str)]) -> String {
        self.decide(&mut Exchange::default(), path, ends, more)
    }
}

#[test]
fn what_becomes_of_a_body() {
    let whole = |text: &str| Body::Whole(text.into());
    let too_long = "413 body_too_large";
    // What the host says of it, what the head says, what is decided, whether the host is asked at all.
    for (body, more, expected, asks) in [
        (Body::Coming, &[SIGNATURE][..], "wait", true),
        (whole(SIGNED), &[SIGNATURE], "forward", true),
        (whole("Hello, World?"), &[SIGNATURE], "403 signature_invalid", true),
        (whole(""), &[SIGNATURE], "403 signature_invalid", true),
        (Body::TooLong, &[SIGNATURE], too_long, true),
        (Body::Unavailable("it is lost"), &[SIGNATURE], "503 body_unavailable", true),
        (whole(SIGNED), &[SIGNATURE, ("content-length", "20")], "forward", true),
        (whole(SIGNED), &[SIGNATURE, ("content-length", "21")], too_long, false),
        (whole(SIGNED), &[SIGNATURE, ("content-length", "18446744073709551616")], "forward", true),
        // It has no end.
        (whole(SIGNED), &[SIGNATURE, ("upgrade", "websocket")], too_long, false),
        (whole(SIGNED), &[SIGNATURE, (":protocol", "websocket")], too_long, false),
        // What is refused anyway waits for nothing.
        (whole(SIGNED), &[], "403 signature_missing", false),
        (whole(SIGNED), &[("x-hub-signature-256", "sha1=00")], "400 signature_malformed", false),
        (whole(SIGNED), &[SIGNATURE, SIGNATURE], "400 credentials_ambiguous", false),
        (whole(SIGNED), &[SIGNATURE, ("x_hub_signature_256", "x")], "400 credentials_ambiguous", false),
    ] {
        let w = World::new();
        w.body.replace(body.clone());
        assert_eq!(w.first("/hook", false, more), expected, "{body:?} {more:?}");
        let expected_asks: &[usize] = if asks { &[20] } else { &[] };
        assert_eq!(*w.asked.borrow(), expected_asks, "{body:?} {more:?}");
    }
}

#[test]
fn a_request_that_ends_with_its_head_has_an_empty_body() {
    let w = World::new();
    w.body.replace(Body::Whole(SIGNED.into()));
    assert_eq!(w.first("/hook", true, &[SIGNATURE]), "403 signature_invalid");
    let of_nothing =
        ("x-hub-signature-256", "sha256=66a0c074deaa0f489ead6537e0d32f9a344b90bbeda705b6ed45ecd3b413fb40");
    assert_eq!(w.first("/hook", true, &[of_nothing]), "forward");
    assert!(w.asked.borrow().is_empty());
}

/// No other request is asked for its body.
#[test]
fn no_other_request_waits_for_its_body() {
    let w = World::new();
    assert_eq!(w.first("/", false, &[SIGNATURE]), "forward");
    assert!(w.asked.borrow().is_empty());
}

#[test]
fn a_body_comes_in_time_or_not_at_all() {
    let mut w = World::new();
    let mut exchange = Exchange::default();
    let mut decide = |w: &World| w.decide(&mut exchange, "/hook", false, &[SIGNATURE]);
    assert_eq!(decide(&w), "wait");
    w.now += 14;
    assert_eq!(decide(&w), "wait");
    w.now += 1;
    assert_eq!(decide(&w), "408 body_timeout");
    // What has come by then counts, however late it is looked at.
    let mut exchange = Exchange::default();
    let mut decide = |w: &World| w.decide(&mut exchange, "/hook", false, &[SIGNATURE]);
    assert_eq!(decide(&w), "wait");
    w.now += 60;
    w.body.replace(Body::Whole(SIGNED.into()));
    assert_eq!(decide(&w), "forward");
}

#[test]
fn an_exchange_says_what_it_waits_for() {
    let w = World::new();
    let mut exchange = Exchange::default();
    let now = Timestamp::from_secs(w.now);
    assert_eq!(exchange.waits_for_body(), None);
    assert_eq!(w.decide(&mut exchange, "/hook", false, &[SIGNATURE]), "wait");
    assert_eq!(exchange.waits_for_body(), Some(20));
    assert!(!exchange.waits_for(Purpose::Revocations));
    assert!(!exchange.is_due(now) && !exchange.is_due(Timestamp::from_secs(w.now + 14)));
    assert!(exchange.is_due(Timestamp::from_secs(w.now + 15)));
}

#[test]
fn debug_shows_no_body() {
    assert_eq!(format!("{:?}", Body::Whole(b"hunter2".to_vec())), "Whole(7 bytes)");
}
