//! Workers that add uses to one etcd, which says to each transaction what etcd would.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use ct_codecs::{Base64, Decoder as _, Encoder as _};
use serde_json::{Value, json};

use super::use_records::{NotWritten, UseRecords};
use crate::{
    calls::{Call, NoBody, Outcome},
    etcd::{Client, EtcdError, Login, Password, Server},
    time::Timestamp,
    url::Url,
    usage::Uses,
};

/// Values and the revisions of their last writes.
#[derive(Default)]
struct Etcd {
    entries: BTreeMap<String, (String, u64)>,
    revision: u64,
    /// The sizes of all transactions that wrote.
    written: Vec<usize>,
}

fn decoded(value: &Value) -> String {
    String::from_utf8(Base64::decode_to_vec(value.as_str().unwrap(), None).unwrap()).unwrap()
}

fn encoded(text: &str) -> String {
    Base64::encode_to_string(text).unwrap()
}

impl Etcd {
    fn answer(&mut self, call: &Call) -> String {
        assert_eq!((call.endpoint.path.as_str(), call.cluster.as_str()), ("/v3/kv/txn", "etcd"));
        let asked: Value = serde_json::from_slice(&call.body).unwrap();
        let list = |name: &str| asked[name].as_array().cloned().unwrap_or_default();
        assert!([list("compare"), list("success"), list("failure")].iter().all(|list| list.len() <= 128));
        let succeeded = list("compare").iter().all(|compare| {
            let revision = self.entries.get(&decoded(&compare["key"])).map_or(0, |(_, revision)| *revision);
            compare["mod_revision"].as_str().unwrap().parse() == Ok(revision)
        });
        let operations = list(if succeeded { "success" } else { "failure" });
        let puts = operations.iter().filter(|operation| operation["request_put"].is_object()).count();
        if puts > 0 {
            self.written.push(puts);
            self.revision += 1;
        }
        let responses = operations.iter().map(|operation| {
            let put = &operation["request_put"];
            if put.is_object() {
                self.put(&decoded(&put["key"]), &decoded(&put["value"]));
                return json!({"response_put": {"header": {}}});
            }
            let name = decoded(&operation["request_range"]["key"]);
            match self.entries.get(&name) {
                None => json!({"response_range": {"header": {}}}),
                Some((value, revision)) => json!({"response_range": {"header": {}, "kvs": [
                    {"key": encoded(&name), "value": encoded(value), "mod_revision": revision.to_string()},
                ], "count": "1"}}),
            }
        });
        let responses: Vec<_> = responses.collect();
        let mut answer = json!({"header": {"revision": "1"}, "responses": responses});
        if succeeded {
            answer["succeeded"] = true.into();
        }
        answer.to_string()
    }

    fn put(&mut self, name: &str, value: &str) {
        self.entries.insert(name.to_owned(), (value.to_owned(), self.revision));
    }

    fn value(&self, id: &str) -> &str {
        &self.entries[&format!("/k/v1/used/{id}")].0
    }
}

fn client(login: Option<Login>) -> Rc<Client> {
    Rc::new(Client::new(Server {
        section: "apiKeys.etcd",
        endpoint: Url::parse("http://etcd.test:2379").unwrap(),
        cluster: "etcd".to_owned(),
        prefix: "/k/".to_owned(),
        timeout: Duration::from_secs(5),
        login,
    }))
}

fn worker() -> UseRecords {
    UseRecords::new(client(None))
}

fn uses(count: u64, secs: u64) -> Uses {
    Uses { count, last: Timestamp::from_secs(secs) }
}

const NOW: u64 = 1_800_000_000;

/// Sends what there is to send at a time, until there is nothing more.
fn send_all(worker: &mut UseRecords, etcd: &mut Etcd, now: Timestamp) -> Result<usize, NotWritten> {
    let mut calls = 0;
    while let Some(call) = worker.next_call(now) {
        assert_eq!(worker.next_call(now).map(|_| ()), None, "one at a time");
        calls += 1;
        let body = etcd.answer(&call);
        worker.on_answer(Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() }, now)?;
    }
    Ok(calls)
}

#[test]
fn uses_are_added_to_those_that_are_there() {
    let (mut etcd, mut worker) = (Etcd { revision: 7, ..Etcd::default() }, worker());
    etcd.put("/k/v1/used/b", r#"{"uses":40,"lastUsedAt":"2027-01-15T08:00:00Z"}"#);
    etcd.put("/k/v1/used/c", "no JSON");
    etcd.put("/k/v1/used/d", r#"{"uses":1,"lastUsedAt":"2030-01-01T00:00:00Z","note":"x"}"#);
    worker.write(["a", "b", "c", "d"].map(|id| (id.into(), uses(2, NOW + 1))).into());
    let now = Timestamp::from_secs(NOW + 2);
    assert!(!worker.is_done());
    assert_eq!(send_all(&mut worker, &mut etcd, now), Ok(2));
    assert!(worker.is_done());
    for (id, expected) in [
        ("a", r#"{"uses":2,"lastUsedAt":"2027-01-15T08:00:01Z"}"#),
        ("b", r#"{"uses":42,"lastUsedAt":"2027-01-15T08:00:01Z"}"#),
        ("c", r#"{"uses":2,"lastUsedAt":"2027-01-15T08:00:01Z"}"#),
        ("d", r#"{"uses":3,"lastUsedAt":"2030-01-01T00:00:00Z"}"#),
    ] {
        assert_eq!(etcd.value(id), expected);
    }
    assert_eq!(etcd.written, [4], "one transaction");
}

#[test]
fn many_are_written_in_batches_with_a_pause() {
    let (mut etcd, mut worker) = (Etcd::default(), worker());
    worker.write((0..250).map(|n| (n.to_string().into(), uses(1, NOW))).collect());
    let mut now = Timestamp::from_secs(NOW);
    for expected in [2, 0, 2, 0, 2, 0] {
        assert_eq!(send_all(&mut worker, &mut etcd, now), Ok(expected));
        now = now.saturating_add(Duration::from_millis(if expected == 2 { 199 } else { 1 }));
    }
    assert_eq!((etcd.written.as_slice(), etcd.entries.len()), (&[100, 100, 50][..], 250));
    // A clock that was set back stops nothing.
    worker.write(vec![("0".into(), uses(1, 5))]);
    assert_eq!(send_all(&mut worker, &mut etcd, Timestamp::from_secs(5)), Ok(2));
    assert_eq!(etcd.value("0"), r#"{"uses":2,"lastUsedAt":"2027-01-15T08:00:00Z"}"#);
}

#[test]
fn of_two_that_write_at_once_neither_is_lost() {
    let (mut etcd, now) = (Etcd::default(), Timestamp::from_secs(NOW));
    let mut workers = [worker(), worker()];
    for (worker, count) in workers.iter_mut().zip([3, 4]) {
        worker.write(vec![("a".into(), uses(count, NOW)), ("b".into(), uses(count, NOW))]);
    }
    while workers.iter().any(|worker| !worker.is_done()) {
        let calls: Vec<_> = workers.iter_mut().map(|worker| worker.next_call(now)).collect();
        for (worker, call) in workers.iter_mut().zip(calls) {
            let Some(call) = call else { continue };
            let body = etcd.answer(&call);
            worker
                .on_answer(Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() }, now)
                .unwrap();
        }
    }
    assert_eq!(etcd.value("a"), r#"{"uses":7,"lastUsedAt":"2027-01-15T08:00:00Z"}"#);
    assert_eq!(etcd.written, [2, 2], "each wrote once");
}

#[test]
fn whoever_is_always_outrun_gives_up_for_now() {
    let (mut etcd, mut worker) = (Etcd::default(), worker());
    let now = Timestamp::from_secs(NOW);
    worker.write(vec![("a".into(), uses(3, NOW))]);
    let mut tries = 0;
    let error = loop {
        let call = worker.next_call(now).unwrap();
        etcd.revision += 1;
        etcd.put("/k/v1/used/a", r#"{"uses":1,"lastUsedAt":"2027-01-15T08:00:00Z"}"#);
        let body = etcd.answer(&call);
        tries += 1;
        let outcome = Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() };
        if let Err(error) = worker.on_answer(outcome, now) {
            break error;
        }
    };
    assert_eq!((error, tries), (NotWritten::Outrun, 9));
    assert_eq!(worker.give_back().collect::<Vec<_>>(), [("a".into(), uses(3, NOW))]);
    assert!(worker.is_done());
}

#[test]
fn uses_wait_for_a_login_and_for_the_next() {
    let login = Login { user: "gateway".to_owned(), password: Password("hunter2".to_owned()) };
    let client = client(Some(login));
    let (mut etcd, mut worker) = (Etcd::default(), UseRecords::new(Rc::clone(&client)));
    let now = Timestamp::from_secs(NOW);
    let answer = |status, body| Outcome::Answer { status, headers: &[], body };
    let log_in = |now| {
        client.tick(now, 0).unwrap();
        client.on_answer(answer(200, br#"{"token":"t.1"}"#)).unwrap();
    };
    worker.write(vec![("a".into(), uses(3, NOW))]);
    assert!(worker.next_call(now).is_none() && worker.next_call(now).is_none());
    log_in(now);
    let call = worker.next_call(now).unwrap();
    assert!(call.headers.contains(&("authorization", "t.1".to_owned())));
    let body = etcd.answer(&call);
    worker.on_answer(answer(200, body.as_bytes()), now).unwrap();
    // The token is known no more when the sums are to be written.
    let unknown: &[u8] = br#"{"error":"etcdserver: invalid auth token","code":16}"#;
    worker.next_call(now).unwrap();
    assert_eq!(worker.on_answer(answer(401, unknown), now), Ok(()));
    assert!(worker.next_call(now).is_none() && !worker.is_done());
    log_in(now);
    // Nor is the next one, which is a failure.
    worker.next_call(now).unwrap();
    let error = NotWritten::Etcd(EtcdError::Unauthenticated);
    assert_eq!(worker.on_answer(answer(401, unknown), now), Err(error));
    let left = worker.give_back().collect();
    worker.write(left);
    assert!(worker.next_call(now).is_none() && client.tick(now, 0).is_none(), "it is too soon for a login");
    let now = Timestamp::from_secs(NOW + 2);
    assert!(worker.next_call(now).is_none());
    log_in(now);
    assert_eq!(send_all(&mut worker, &mut etcd, now), Ok(2));
    assert_eq!(etcd.value("a"), r#"{"uses":3,"lastUsedAt":"2027-01-15T08:00:00Z"}"#);
}

#[test]
fn what_is_not_written_is_given_back() {
    let denied = br#"{"error":"etcdserver: permission denied","code":7}"#;
    let answer = |status, body| Outcome::Answer { status, headers: &[], body };
    let large = vec![b' '; (1 << 20) + 1];
    let now = Timestamp::from_secs(NOW);
    for (outcome, expected) in [
        (Outcome::Failed, NotWritten::Etcd(EtcdError::NoBody(NoBody::Failed))),
        (answer(503, b"no healthy upstream"), NotWritten::Etcd(EtcdError::Status(503))),
        (answer(403, denied), NotWritten::Etcd(EtcdError::Denied)),
        (answer(200, b""), NotWritten::Etcd(EtcdError::Malformed)),
        (answer(200, b"{}"), NotWritten::Etcd(EtcdError::Malformed)),
        (answer(200, br#"{"header":{},"succeeded":true}"#), NotWritten::Etcd(EtcdError::Malformed)),
        (
            answer(200, br#"{"header":{},"responses":[{"response_range":{"kvs":[{"key":"*"}]}}]}"#),
            NotWritten::Etcd(EtcdError::Malformed),
        ),
        (answer(200, &large), NotWritten::Etcd(EtcdError::NoBody(NoBody::TooLarge { max: 1 << 20 }))),
    ] {
        let mut worker = worker();
        // Before anything was asked there is nothing to answer.
        assert_eq!(worker.on_answer(Outcome::Failed, now), Ok(()));
        worker.write((0..101).map(|n| (n.to_string().into(), uses(1, NOW))).collect());
        worker.next_call(now).unwrap();
        assert_eq!(worker.on_answer(outcome, now), Err(expected));
        assert_eq!(worker.give_back().count(), 101);
        assert!(worker.is_done());
    }
}
