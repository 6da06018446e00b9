//! Reading against a store that answers as etcd does, by workers that come and go.

use std::{collections::BTreeMap, time::Duration};

use ct_codecs::{Base64, Decoder as _, Encoder as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    calls::NoBody,
    crypto::sha256,
    etcd::{Login, Password},
    store::MemoryStore,
};

/// The values that a key had, and when it got them; `None`: it was deleted.
type Values = Vec<(u64, Option<Vec<u8>>)>;

/// As much of etcd as is asked of it.
#[derive(Clone)]
struct Etcd {
    cluster_id: u64,
    raft_term: u64,
    revision: u64,
    /// Revisions before are gone.
    compacted: u64,
    keys: BTreeMap<Vec<u8>, Values>,
    /// Of users who have logged in; `None`: nobody has to. With a token that is not the store's own no other is ever taken.
    tokens: Option<Vec<String>>,
}

impl Etcd {
    fn new(cluster_id: u64) -> Self {
        Self { cluster_id, raft_term: 2, revision: 1, compacted: 0, keys: BTreeMap::new(), tokens: None }
    }

    fn change(&mut self, id: &str, value: Option<&str>) {
        self.revision += 1;
        let key = format!("/p/v1/keys/{id}").into_bytes();
        self.keys.entry(key).or_default().push((self.revision, value.map(|value| value.as_bytes().to_vec())));
    }

    fn put(&mut self, id: &str, value: &str) {
        self.change(id, Some(value));
    }

    /// Each key as it was at `revision`, and when it was changed.
    fn at(&self, revision: u64) -> Vec<(&[u8], u64, &[u8])> {
        let keys = self.keys.iter();
        keys.filter_map(|(key, values)| {
            let (at, value) = values.iter().rfind(|(at, _)| *at <= revision)?;
            Some((key.as_slice(), *at, value.as_deref()?))
        })
        .collect()
    }

    fn answer(&self, call: &Call) -> (u16, String) {
        assert_eq!((call.method, call.endpoint.path.as_str()), ("POST", "/v3/kv/range"));
        let asked: Value = serde_json::from_slice(&call.body).unwrap();
        let bytes =
            |name: &str| Base64::decode_to_vec(asked[name].as_str().unwrap_or_default(), None).unwrap();
        let number = |name: &str| asked[name].as_str().map_or(0, |text| text.parse::<u64>().unwrap());
        let (key, end) = (bytes("key"), bytes("range_end"));
        let revision = match number("revision") {
            0 => self.revision,
            old if old < self.compacted || old > self.revision => {
                return (
                    400,
                    json!({"error": "etcdserver: mvcc: required revision", "code": 11}).to_string(),
                );
            }
            old => old,
        };
        let all: Vec<_> = self
            .at(revision)
            .into_iter()
            .filter(|(own, ..)| *own >= key.as_slice() && (*own < end.as_slice() || *own == key.as_slice()))
            .collect();
        let mut found: Vec<_> = all.iter().filter(|(_, at, _)| *at >= number("min_mod_revision")).collect();
        if asked["sort_target"] == "MOD" {
            found.sort_by_key(|(_, at, _)| *at);
        }
        let limit = usize::try_from(number("limit")).unwrap();
        let more = found.len() > limit;
        found.truncate(limit);
        let encode = |bytes: &[u8]| Base64::encode_to_string(bytes).unwrap();
        let kvs: Vec<_> = found
            .iter()
            .map(|(key, at, value)| json!({"key": encode(key), "mod_revision": at.to_string(), "value": encode(value)}))
            .collect();
        let header = json!({
            "cluster_id": self.cluster_id.to_string(), "revision": self.revision.to_string(),
            "raft_term": self.raft_term.to_string(),
        });
        (200, json!({"header": header, "kvs": kvs, "more": more, "count": all.len().to_string()}).to_string())
    }

    /// As a store does whose users have to log in.
    fn answer_user(&mut self, call: &Call) -> (u16, String) {
        let Some(tokens) = &mut self.tokens else { return self.answer(call) };
        let error = |status, error, code| (status, json!({"error": error, "code": code}).to_string());
        let sent = call.headers.iter().find(|(name, _)| *name == "authorization").map(|(_, token)| token);
        if call.endpoint.path == "/v3/auth/authenticate" {
            assert_eq!(sent, None);
            if call.body != br#"{"name":"gateway","password":"hunter2"}"# {
                return error(400, "etcdserver: authentication failed, invalid user ID or password", 3);
            }
            let token = format!("token.{}", tokens.len());
            if tokens.is_empty() {
                tokens.push(token.clone());
            }
            return (200, json!({"token": token}).to_string());
        }
        match sent {
            None => error(400, "etcdserver: user name is empty", 3),
            Some(token) if tokens.contains(token) => self.answer(call),
            Some(_) => error(401, "etcdserver: invalid auth token", 16),
        }
    }

    /// What every worker must find.
    fn values(&self) -> BTreeMap<String, String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.at(self.revision)
            .into_iter()
            .map(|(key, _, value)| (text(&key["/p/v1/keys/".len()..]), text(value)))
            .collect()
    }
}

fn spec() -> ReplicaSpec {
    ReplicaSpec {
        server: Server {
            section: "apiKeys.etcd",
            endpoint: Url::parse("https://etcd.test:2379").unwrap(),
            cluster: "etcd".to_owned(),
            prefix: "/p/".to_owned(),
            timeout: Duration::from_secs(2),
            login: None,
        },
        schema: "v1/keys/",
        watch_cluster: Some("etcd-grpc".to_owned()),
        poll_interval: Duration::from_secs(1),
        max_stale: Some(Duration::from_secs(60)),
    }
}

fn client(spec: &ReplicaSpec) -> Rc<Client> {
    Rc::new(Client::new(spec.server.clone()))
}

/// Asks for few keys at once.
fn worker() -> Replica {
    Replica { page: 3, ..Replica::new(spec(), client(&spec()), "t") }
}

fn value(key: &str) -> String {
    json!({"hash": format!("sha256:{}", crate::text::hex::encode(&sha256(key.as_bytes())))}).to_string()
}

/// The workers of one Envoy.
struct Workers {
    store: MemoryStore,
    workers: Vec<Replica>,
    now: Timestamp,
}

impl Workers {
    fn new(count: usize) -> Self {
        let workers = (0..count).map(|_| worker()).collect();
        Self { store: MemoryStore::default(), workers, now: Timestamp::from_secs(1_800_000_000) }
    }

    fn pass(&mut self, by: Duration) {
        self.now = self.now.saturating_add(by);
    }

    /// A tick of each worker, whose calls are answered by `answer` at once.
    fn tick(&mut self, answer: &mut dyn FnMut(&Call) -> Option<(u16, String)>) -> Vec<ReadError> {
        let mut errors = Vec::new();
        for worker in &mut self.workers {
            // A reading goes from one call to the next without waiting for the next tick.
            for _ in 0..200 {
                let question = worker.tick(self.now, &self.store, 0);
                let is_login = question.is_none();
                let Some(call) = question.or_else(|| worker.etcd.tick(self.now, 0)) else { break };
                let answered = answer(&call);
                let outcome = answered.as_ref().map_or(Outcome::Failed, |(status, body)| Outcome::Answer {
                    status: *status,
                    headers: &[],
                    body: body.as_bytes(),
                });
                let taken = match is_login {
                    true => worker.etcd.on_answer(outcome).map_err(ReadError::Etcd),
                    false => worker.on_answer(outcome, self.now, &self.store),
                };
                errors.extend(taken.err());
            }
        }
        errors
    }

    fn ring(&mut self, place: usize) {
        assert_eq!(self.workers[place].on_watched(WatchEvent::Message(&[]), self.now, 0), None);
    }

    fn read(&mut self, etcd: &Etcd) -> Vec<ReadError> {
        self.tick(&mut |call| Some(etcd.answer(call)))
    }

    fn find(&self, worker: usize, wanted: Wanted<'_>) -> Option<Found> {
        self.workers[worker].find(wanted, &self.store).unwrap()
    }

    /// Whether each worker finds what the store has of these, by id and by hash, and nothing else.
    fn agree_with(&self, etcd: &Etcd, ids: &[&str]) -> Result<(), String> {
        let values = etcd.values();
        for (place, worker) in self.workers.iter().enumerate() {
            for id in ids {
                let (found, expected) = (self.find(place, Wanted::Id(id)), values.get(*id));
                if found.as_ref().map(|found| found.value.as_slice())
                    != expected.map(|value| value.as_bytes())
                {
                    return Err(format!("worker {place}: {id}: {found:?} is not {expected:?}"));
                }
                if let Some(digest) = expected.and_then(|value| digest_in(value.as_bytes())) {
                    let by_digest = self.find(place, Wanted::Digest(&digest));
                    if by_digest.as_ref().map(|found| found.value.as_slice())
                        != expected.map(|value| value.as_bytes())
                    {
                        return Err(format!("worker {place}: {id} by its hash: {by_digest:?}"));
                    }
                }
            }
            if worker.len() != u64::try_from(values.len()).unwrap() {
                return Err(format!("worker {place}: {} keys of {}", worker.len(), values.len()));
            }
        }
        Ok(())
    }
}

#[test]
fn all_workers_find_what_one_has_read() {
    let mut etcd = Etcd::new(7);
    let ids: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.iter().for_each(|id| etcd.put(id, &value(id)));
    etcd.put("odd", "no JSON");
    etcd.put(&"x".repeat(MAX_ID + 1), "{}");
    let mut workers = Workers::new(3);
    let mut calls = 0;
    workers.tick(&mut |call| {
        calls += 1;
        Some(etcd.answer(call))
    });
    assert_eq!(calls, 4, "one worker reads, in pages of three");
    assert!(!workers.workers[0].is_ready() || workers.workers.iter().all(Replica::is_ready));
    workers.agree_with(&etcd, &[ids.as_slice(), &["odd", "none"]].concat()).unwrap();

    // A change is there with the next question, and a key that is gone, too.
    etcd.put("k3", &value("other"));
    etcd.change("k4", None);
    etcd.put("new", &value("new"));
    workers.pass(Duration::from_secs(1));
    let generation = workers.workers[2].generation();
    assert_eq!(workers.read(&etcd), []);
    workers.agree_with(&etcd, &[ids.as_slice(), &["new"]].concat()).unwrap();
    assert!(workers.workers[2].generation() > generation);
    assert_eq!(workers.find(0, Wanted::Digest(&sha256(b"k3"))), None);
    etcd.put("k5", &value("another"));
    workers.pass(Duration::from_secs(1));
    workers.read(&etcd);
    let old = sha256(b"k5");
    let found = workers.find(0, Wanted::Digest(&old)).unwrap();
    assert_ne!(digest_in(&found.value), Some(old), "its fields say that it is another key now");

    // A worker that is new finds them before its first tick.
    let mut new = worker();
    assert!(!new.is_ready());
    new.catch_up(workers.now, &workers.store);
    assert!(new.is_usable(workers.now));
    assert!(new.find(Wanted::Id("k3"), &workers.store).unwrap().is_some());
    assert_eq!(new.find(Wanted::Id("k4"), &workers.store).unwrap(), None);

    // Nothing has changed: one question, and nothing that workers remember is void.
    workers.pass(Duration::from_secs(1));
    let (generation, mut calls) = (workers.workers[1].generation(), 0);
    workers.tick(&mut |call| {
        calls += 1;
        Some(etcd.answer(call))
    });
    assert_eq!((calls, workers.workers[1].generation()), (1, generation));
    // Somebody else's keys change.
    etcd.revision += 5;
    workers.pass(Duration::from_secs(1));
    workers.read(&etcd);
    assert_eq!(workers.workers[1].generation(), generation);
}

#[test]
fn what_the_watch_rings_for_is_read_at_once() {
    let mut etcd = Etcd::new(7);
    etcd.put("a", &value("a"));
    let mut workers = Workers::new(2);
    workers.read(&etcd);
    let calls = |workers: &mut Workers, etcd: &Etcd| {
        let mut calls = 0;
        workers.tick(&mut |call| {
            calls += 1;
            Some(etcd.answer(call))
        });
        calls
    };
    etcd.put("a", &value("changed"));
    etcd.put("b", &value("b"));
    workers.pass(QUICK_TICK);
    assert_eq!(calls(&mut workers, &etcd), 0, "nothing is due");
    workers.ring(1);
    assert_eq!(
        calls(&mut workers, &etcd),
        1,
        "what has changed is asked for, and not first whether anything has"
    );
    workers.tick(&mut |_| None);
    workers.agree_with(&etcd, &["a", "b"]).unwrap();
    etcd.change("a", None);
    workers.ring(0);
    assert_eq!(calls(&mut workers, &etcd), 0, "not twice in one quick tick");
    workers.pass(QUICK_TICK);
    assert_eq!(calls(&mut workers, &etcd), 2, "what is gone shows in their number, and all are listed");
    workers.tick(&mut |_| None);
    workers.agree_with(&etcd, &["a", "b"]).unwrap();
    // Nothing is new: it costs one question, and the next poll is due as ever.
    workers.pass(QUICK_TICK);
    workers.ring(0);
    assert_eq!([calls(&mut workers, &etcd), calls(&mut workers, &etcd)], [1, 0]);
    workers.pass(Duration::from_secs(1));
    assert_eq!(calls(&mut workers, &etcd), 1);
    // While etcd fails its pauses count, rung for or not.
    workers.pass(Duration::from_secs(1));
    workers.tick(&mut |_| None);
    workers.ring(0);
    workers.pass(QUICK_TICK);
    assert_eq!(calls(&mut workers, &etcd), 0);
    workers.pass(Duration::from_secs(1));
    assert_eq!(calls(&mut workers, &etcd), 1);
}

#[test]
fn what_is_wrong_with_an_answer_leaves_what_was_read() {
    let mut etcd = Etcd::new(7);
    etcd.put("a", &value("a"));
    let mut workers = Workers::new(2);
    workers.read(&etcd);
    let garbage = |body: &str| (200, body.to_owned());
    let mut pause = Duration::ZERO;
    for (answer, expected) in [
        (None, ReadError::Etcd(EtcdError::NoBody(NoBody::Failed))),
        (Some((503, "no healthy upstream".to_owned())), ReadError::Etcd(EtcdError::Status(503))),
        (Some((404, "404 page not found".to_owned())), ReadError::Etcd(EtcdError::NoGateway)),
        (Some((401, r#"{"code":16}"#.to_owned())), ReadError::Etcd(EtcdError::Unauthenticated)),
        (Some((403, r#"{"code":7}"#.to_owned())), ReadError::Etcd(EtcdError::Denied)),
        (Some(garbage("")), ReadError::Etcd(EtcdError::Malformed)),
        (
            Some(garbage("{\"header\":{\"revision\":\"9\"},\"kvs\":[{\"key\":\"")),
            ReadError::Etcd(EtcdError::Malformed),
        ),
        (Some(garbage("{}")), ReadError::Etcd(EtcdError::Malformed)),
        (
            Some(garbage(&" ".repeat(5 << 20))),
            ReadError::Etcd(EtcdError::NoBody(NoBody::TooLarge { max: 4 << 20 })),
        ),
    ] {
        pause = (pause + Duration::from_secs(1)).min(Duration::from_secs(8));
        workers.pass(pause);
        let mut answered = false;
        let errors = workers.tick(&mut |_| {
            answered = true;
            answer.clone()
        });
        assert!(answered, "{expected}");
        assert_eq!(errors, [expected]);
        workers.agree_with(&etcd, &["a"]).unwrap();
    }
    assert!(workers.workers[1].is_usable(workers.now));
    workers.pass(Duration::from_secs(61));
    assert!(!workers.workers[1].is_usable(workers.now));
    etcd.put("b", &value("b"));
    assert_eq!(workers.read(&etcd), []);
    workers.agree_with(&etcd, &["a", "b"]).unwrap();
    assert!(workers.workers[1].is_usable(workers.now));
}

#[test]
fn another_store_is_listed_anew() {
    let mut etcd = Etcd::new(7);
    for id in ["a", "b", "c", "d"] {
        etcd.put(id, &value(id));
    }
    let mut workers = Workers::new(2);
    workers.read(&etcd);
    let ids = ["a", "b", "c", "d", "e"];
    let another = |change: &dyn Fn(&mut Etcd)| {
        let mut other = Etcd { revision: etcd.revision, ..Etcd::new(7) };
        other.put("a", &value("another"));
        for id in ["b", "c", "e"] {
            other.put(id, &value(id));
        }
        change(&mut other);
        other
    };
    for (what, other) in [
        ("another cluster", another(&|other| other.cluster_id = 8)),
        ("wiped, and filled with more", Etcd { raft_term: 1, ..another(&|_| {}) }),
        ("restored from before", {
            let mut old = Etcd::new(7);
            old.put("a", &value("a"));
            old
        }),
        ("empty", Etcd::new(9)),
    ] {
        workers.pass(Duration::from_secs(1));
        assert_eq!(workers.read(&other), [ReadError::WentBack], "{what}");
        workers.agree_with(&other, &ids).map_err(|why| format!("{what}: {why}")).unwrap();
        // Back again.
        workers.pass(Duration::from_secs(1));
        workers.read(&etcd);
        // A store that was wiped in the same term and went further is found by the next listing.
        workers.pass(Duration::from_secs(3600));
        workers.read(&etcd);
        workers.agree_with(&etcd, &ids).map_err(|why| format!("after {what}: {why}")).unwrap();
    }
}

#[test]
fn a_listing_that_loses_its_revision_or_its_worker_begins_anew() {
    let mut etcd = Etcd::new(7);
    let ids: Vec<String> = (0..9).map(|n| format!("k{n}")).collect();
    ids.iter().for_each(|id| etcd.put(id, &value(id)));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut workers = Workers::new(2);
    // The second page is of a revision that is gone.
    let mut calls = 0;
    let errors = workers.tick(&mut |call| {
        calls += 1;
        if calls == 2 {
            etcd.change("k0", None);
            etcd.compacted = etcd.revision;
        }
        Some(etcd.answer(call))
    });
    assert_eq!(errors, [ReadError::Etcd(EtcdError::Compacted)]);
    assert!(workers.workers.iter().all(|worker| !worker.is_ready()), "half a listing is none");
    assert_eq!(workers.find(1, Wanted::Id("nobody")), None);
    // The reader dies within the next one, after k0 came back and was read.
    workers.pass(Duration::from_secs(2));
    etcd.put("k0", &value("k0"));
    let worker = &mut workers.workers[0];
    let call = worker.tick(workers.now, &workers.store, 0).unwrap();
    let (status, body) = etcd.answer(&call);
    worker
        .on_answer(
            Outcome::Answer { status, headers: &[], body: body.as_bytes() },
            workers.now,
            &workers.store,
        )
        .unwrap();
    let late = worker.tick(workers.now, &workers.store, 0).unwrap();
    let late_answer = etcd.answer(&late);
    let dead = workers.workers.remove(0);
    etcd.change("k0", None);
    etcd.put("k8", &value("changed"));
    workers.pass(Duration::from_secs(1));
    workers.read(&etcd);
    assert!(!workers.workers[0].is_ready(), "its lease still holds");
    workers.pass(Duration::from_secs(10));
    workers.read(&etcd);
    workers.agree_with(&etcd, &ids).unwrap();
    // It was only held up, and goes on: what it brings is older, and changes nothing.
    workers.workers.push(dead);
    let (status, body) = late_answer;
    let outcome = Outcome::Answer { status, headers: &[], body: body.as_bytes() };
    workers.workers[1].on_answer(outcome, workers.now, &workers.store).unwrap();
    workers.tick(&mut |_| None);
    workers.agree_with(&etcd, &ids).unwrap();
}

/// Members are asked in turn, and some of them are gone.
#[test]
fn what_gets_no_answer_is_asked_again() {
    let mut etcd = Etcd::new(7);
    let ids: Vec<String> = (0..20).map(|n| format!("k{n:02}")).collect();
    ids.iter().for_each(|id| etcd.put(id, &value(id)));
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let none = None;
    let unavailable = Some((503, "no healthy upstream".to_owned()));
    let denied = Some((403, r#"{"code":7}"#.to_owned()));
    let failed = ReadError::Etcd(EtcdError::NoBody(NoBody::Failed));
    let third: &[usize] = &[1, 4, 7, 10];
    // Which of the questions are answered otherwise, and how.
    for (which, otherwise, expected) in [
        (third, &none, None),
        (third, &unavailable, None),
        (&[1, 2, 4, 5, 7, 8], &none, None),
        (&[1, 2, 3], &none, Some(failed.clone())),
        (&[4, 5, 6], &none, Some(failed)),
        (&[4, 5, 6], &unavailable, Some(ReadError::Etcd(EtcdError::Status(503)))),
        // It would be the same with every member.
        (&[2], &denied, Some(ReadError::Etcd(EtcdError::Denied))),
    ] {
        let (mut workers, mut calls) = (Workers::new(2), 0);
        let errors = workers.tick(&mut |call| {
            calls += 1;
            if which.contains(&calls) { otherwise.clone() } else { Some(etcd.answer(call)) }
        });
        assert_eq!(errors, Vec::from_iter(expected.clone()), "{which:?}");
        let is_ready = workers.workers.iter().all(Replica::is_ready);
        assert_eq!(is_ready, expected.is_none(), "{which:?}");
        if is_ready {
            workers.agree_with(&etcd, &ids).unwrap();
            // A change is read likewise.
            etcd.put("k00", &value("changed"));
            workers.pass(Duration::from_secs(1));
            calls = 0;
            let errors = workers.tick(&mut |call| {
                calls += 1;
                if calls % 2 == 1 { otherwise.clone() } else { Some(etcd.answer(call)) }
            });
            assert_eq!((errors, calls), (vec![], 4));
            workers.agree_with(&etcd, &ids).unwrap();
        }
    }
}

/// Members that lag behind answer now and then, never twice in a row.
#[test]
fn an_older_answer_takes_nothing_back() {
    let mut etcd = Etcd::new(7);
    ["a", "b", "c", "d"].iter().for_each(|id| etcd.put(id, &value(id)));
    let lagging = etcd.clone();
    let ids = ["a", "b", "c", "d", "e"];
    // Which of its answers are older, in the order of questions; and whether all keys are due to be read.
    for (older, lists) in [(&[0][..], false), (&[0], true), (&[1], true), (&[0, 2], true), (&[1, 3], false)] {
        let mut workers = Workers::new(2);
        workers.read(&etcd);
        etcd.put("a", &value("changed"));
        etcd.change("b", None);
        etcd.put("e", &value("e"));
        workers.pass(Duration::from_secs(1));
        workers.read(&etcd);
        workers.agree_with(&etcd, &ids).unwrap();
        workers.pass(Duration::from_secs(if lists { 3600 } else { 1 }));
        // Somebody else's keys have changed.
        etcd.revision += 1;
        let mut asked = 0;
        workers.tick(&mut |call| {
            let who = if older.contains(&asked) { &lagging } else { &etcd };
            asked += 1;
            Some(who.answer(call))
        });
        assert!(asked > 1, "{older:?}");
        workers.agree_with(&etcd, &ids).map_err(|why| format!("{older:?} {lists}: {why}")).unwrap();
        for _ in 0..3 {
            workers.pass(Duration::from_secs(3));
            workers.read(&etcd);
            workers.agree_with(&etcd, &ids).unwrap();
        }
        etcd.change("e", None);
        etcd.put("b", &value("b"));
    }
}

#[test]
fn a_large_answer_is_asked_for_in_smaller_pieces() {
    let mut etcd = Etcd::new(7);
    let ids: Vec<String> = (0..30).map(|n| format!("k{n:02}")).collect();
    ids.iter().for_each(|id| etcd.put(id, &value(id)));
    // As large as etcd takes them.
    ["k10", "k11", "k12"].iter().for_each(|id| etcd.put(id, &"x".repeat(1_400_000)));
    let mut workers = Workers::new(1);
    workers.workers[0].page = 16;
    let mut limits = Vec::new();
    let errors = workers.tick(&mut |call| {
        let asked: Value = serde_json::from_slice(&call.body).unwrap();
        limits.push(asked["limit"].as_str().unwrap().to_owned());
        Some(etcd.answer(call))
    });
    assert_eq!(errors, []);
    assert_eq!(limits, ["16", "8", "16", "8", "4", "8", "16"]);
    workers.agree_with(&etcd, &["k00", "k09", "k13", "k29"]).unwrap();
    assert_eq!(workers.find(0, Wanted::Id("k10")).unwrap().value, b"", "no key has so much to say");

    // What never fits ends the reading, and is asked for later again.
    let mut workers = Workers::new(1);
    workers.workers[0].page = 16;
    let mut calls = 0;
    let errors = workers.tick(&mut |_| {
        calls += 1;
        Some((200, " ".repeat((4 << 20) + 1)))
    });
    assert_eq!(
        (calls, errors),
        (5, vec![ReadError::Etcd(EtcdError::NoBody(NoBody::TooLarge { max: 4 << 20 }))])
    );
}

#[test]
fn a_reader_logs_in_and_once_more_where_its_token_is_known_no_more() {
    let mut etcd = Etcd::new(7);
    etcd.tokens = Some(vec![]);
    (0..5).for_each(|n| etcd.put(&format!("k{n}"), &value("a")));
    let login =
        |password: &str| Login { user: "gateway".to_owned(), password: Password(password.to_owned()) };
    let mut workers = Workers::new(2);
    let read = |workers: &mut Workers, etcd: &mut Etcd| {
        let mut paths = Vec::new();
        let errors = workers.tick(&mut |call| {
            paths.push(call.endpoint.path.rsplit('/').next().unwrap().to_owned());
            Some(etcd.answer_user(call))
        });
        (paths.join(" "), errors)
    };
    let refused = |error| vec![ReadError::Etcd(error)];
    assert_eq!(read(&mut workers, &mut etcd), ("range".to_owned(), refused(EtcdError::Unauthenticated)));
    for (pause, password, tokens, expected) in [
        (2, "wrong", Some(vec![]), ("authenticate", refused(EtcdError::LoginRefused))),
        (4, "hunter2", Some(vec![]), ("authenticate range range", vec![])),
        (1, "hunter2", None, ("range", vec![])),
        // The token is known no more.
        (1, "hunter2", Some(vec![]), ("range authenticate range", vec![])),
        (
            1,
            "hunter2",
            Some(vec!["none is ever known"]),
            ("range authenticate range", refused(EtcdError::Unauthenticated)),
        ),
        (
            4,
            "hunter2",
            Some(vec!["none is ever known"]),
            ("authenticate range", refused(EtcdError::Unauthenticated)),
        ),
        (6, "hunter2", Some(vec![]), ("authenticate range", vec![])),
    ] {
        if workers.workers[0].etcd.server().login.as_ref().is_none_or(|known| known.password.0 != password) {
            let mut spec = spec();
            spec.server.login = Some(login(password));
            workers.workers.iter_mut().for_each(|worker| {
                worker.etcd = client(&spec);
                worker.spec = spec.clone();
            });
        }
        if let Some(tokens) = tokens {
            etcd.tokens = Some(tokens.into_iter().map(str::to_owned).collect());
        }
        workers.pass(Duration::from_secs(pause));
        assert_eq!(read(&mut workers, &mut etcd), (expected.0.to_owned(), expected.1));
        assert_eq!(workers.find(1, Wanted::Id("k4")).is_some(), pause != 2, "what was read stays");
    }
    assert!(!format!("{:?}", workers.workers).contains("hunter2"));
}

/// What may happen to a fleet.
#[derive(Clone, Debug)]
enum Event {
    Put(usize, usize),
    Delete(usize),
    Foreign,
    Compact,
    Pass(u64),
    Tick,
    /// A tick whose calls are lost from that one on.
    Cut(usize),
    /// A worker is replaced by a new one.
    Restart(usize),
    Elect,
    /// The clock is set back.
    Back(u64),
    /// Something comes by the watch of a worker, of whatever is or is not new.
    Ring(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0..8_usize, 0..4_usize).prop_map(|(id, value)| Event::Put(id, value)),
        2 => (0..8_usize).prop_map(Event::Delete),
        1 => Just(Event::Foreign),
        1 => Just(Event::Compact),
        3 => (0..2000_u64).prop_map(Event::Pass),
        6 => Just(Event::Tick),
        2 => (0..4_usize).prop_map(Event::Cut),
        1 => (0..3_usize).prop_map(Event::Restart),
        1 => Just(Event::Elect),
        1 => (0..5_000_u64).prop_map(Event::Back),
        3 => (0..3_usize).prop_map(Event::Ring),
    ];
    prop::collection::vec(event, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Whatever happened: once nothing more happens, all workers find what the store has; and what the store never had,
    /// nobody ever finds.
    #[test]
    fn workers_come_to_know_what_the_store_has(events in events()) {
        const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut etcd = Etcd::new(7);
        let mut workers = Workers::new(3);
        let mut had: Vec<(String, String)> = Vec::new();
        for event in events {
            match event {
                Event::Put(id, n) => {
                    let value = value(&format!("{}{n}", IDS[id]));
                    etcd.put(IDS[id], &value);
                    had.push((IDS[id].to_owned(), value));
                }
                Event::Delete(id) if etcd.values().contains_key(IDS[id]) => etcd.change(IDS[id], None),
                Event::Delete(_) => {}
                Event::Foreign => etcd.revision += 1,
                Event::Compact => etcd.compacted = etcd.revision,
                Event::Pass(millis) => workers.pass(Duration::from_millis(millis)),
                Event::Tick => _ = workers.read(&etcd),
                Event::Cut(after) => {
                    let mut calls = 0;
                    workers.tick(&mut |call| {
                        calls += 1;
                        (calls <= after).then(|| etcd.answer(call))
                    });
                }
                Event::Restart(place) => workers.workers[place] = worker(),
                Event::Ring(place) => workers.ring(place),
                Event::Elect => etcd.raft_term += 1,
                Event::Back(millis) => workers.now = workers.now.saturating_sub(Duration::from_millis(millis)),
            }
            for place in 0..3 {
                for id in IDS {
                    if let Some(found) = workers.find(place, Wanted::Id(id)) {
                        let value = String::from_utf8(found.value).unwrap();
                        prop_assert!(had.contains(&(id.to_owned(), value)));
                    }
                }
            }
        }
        for _ in 0..4 {
            workers.pass(Duration::from_secs(10));
            workers.read(&etcd);
        }
        workers.read(&etcd);
        prop_assert_eq!(workers.agree_with(&etcd, &IDS), Ok(()));
    }
}
