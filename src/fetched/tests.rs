//! Several workers over one store, on virtual time.

use std::time::Duration;

use super::*;
use crate::{
    store::{Expected, MemoryStore},
    url::Url,
};

const URL: &str = "https://lists.example/revoked?x=1";

fn place(url: &str, cluster: &str) -> FetchPlace {
    FetchPlace { endpoint: Url::parse(url).unwrap(), cluster: cluster.into() }
}

fn spec(first: FetchStep) -> FetchSpec {
    FetchSpec {
        first,
        accept: "application/json",
        max_size: 1000,
        times: FetchTimes {
            timeout: Duration::from_secs(5),
            calls: 1,
            interval: Duration::from_secs(32),
            min_interval: Duration::from_secs(1),
            heeds_headers: false,
            max_stale: Duration::from_secs(100),
        },
    }
}

/// One worker, with an owner that refuses what begins with `bad`.
struct Worker {
    fetched: Fetched,
    owner: Owner,
}

#[derive(Default)]
struct Owner {
    /// Not looked at yet.
    taken: Option<Vec<u8>>,
}

impl DocumentOwner for Owner {
    fn accept(&mut self, body: &[u8]) -> bool {
        let good = !body.starts_with(b"bad");
        if good {
            self.taken = Some(body.to_vec());
        }
        good
    }

    /// What a signpost says is where the document is; nothing: ask another one.
    fn follow(&mut self, outcome: Outcome<'_>, index: usize) -> Option<FetchStep> {
        match outcome.body(100).ok()? {
            b"" => Some(signpost(index + 1)),
            path => Some(FetchStep::Document(place(
                &format!("https://lists.example/{}", path.escape_ascii()),
                "lists",
            ))),
        }
    }
}

fn signpost(index: usize) -> FetchStep {
    let place = place(&format!("https://lists.example/signpost/{index}"), "lists");
    FetchStep::Signpost { place, index, accept: "text/plain", max_size: 100 }
}

impl Worker {
    fn of(spec: FetchSpec, topic: &str, place: &[&str], namespace: &str) -> Self {
        Self { fetched: Fetched::new(spec, topic, place, namespace), owner: Owner::default() }
    }

    fn due(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        self.fetched.tick(now, store, random, &mut self.owner)
    }

    fn confirmed_at(&self) -> Option<Timestamp> {
        self.fetched.confirmed_at()
    }

    fn store_keys(&self) -> [&str; 2] {
        self.fetched.store_keys()
    }
}

fn worker() -> Worker {
    elsewhere(URL, "lists", "topic", "test")
}

fn elsewhere(url: &str, cluster: &str, topic: &str, namespace: &str) -> Worker {
    Worker::of(spec(FetchStep::Document(place(URL, cluster))), topic, &[cluster, url], namespace)
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

const TAG: &[(&[u8], &[u8])] = &[(b"etag", b"\"v1\"")];

fn ok(body: &[u8]) -> Outcome<'_> {
    Outcome::Answer { status: 200, headers: TAG, body }
}

fn status(status: u16) -> Outcome<'static> {
    Outcome::Answer { status, headers: &[], body: b"" }
}

type Answered = Result<Option<Vec<u8>>, FetchError>;

/// What is new to the worker by the answer.
fn answer(worker: &mut Worker, outcome: Outcome<'_>, secs: u64, store: &dyn SharedStore) -> Answered {
    let Worker { fetched, owner } = worker;
    owner.taken = None;
    fetched.on_answer(outcome, at(secs), store, owner)?;
    Ok(owner.taken.take())
}

/// What is new to the worker by the store.
fn pick_up(worker: &mut Worker, secs: u64, store: &dyn SharedStore) -> Option<Vec<u8>> {
    let _ = worker.fetched.look(at(secs), store, &mut worker.owner);
    worker.owner.taken.take()
}

/// Ticks every second until a fetch is asked for; the second it came in.
fn next_fetch(worker: &mut Worker, store: &dyn SharedStore, from: u64, until: u64) -> Option<u64> {
    (from..=until).find(|secs| worker.due(at(*secs), store, 0).is_some())
}

fn fetched(store: &dyn SharedStore) -> Worker {
    let mut worker = worker();
    assert!(worker.due(at(0), store, 0).is_some());
    assert_eq!(answer(&mut worker, ok(b"one"), 0, store), Ok(Some(b"one".to_vec())));
    worker
}

#[test]
fn one_fetch_serves_all() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (worker(), worker());
    let call = a.due(at(0), &store, 7).unwrap();
    let expected = Call {
        cluster: "lists".into(),
        method: "GET",
        endpoint: Url::parse(URL).unwrap(),
        headers: vec![("accept", "application/json".into())],
        body: Vec::new(),
        timeout: Duration::from_secs(5),
        max_answer: 1000,
    };
    assert_eq!(call, expected);
    assert_eq!((a.due(at(1), &store, 7), b.due(at(1), &store, 7)), (None, None));
    assert_eq!((pick_up(&mut b, 1, &store), b.confirmed_at()), (None, None));
    assert_eq!(answer(&mut a, ok(b"one"), 2, &store), Ok(Some(b"one".to_vec())));
    assert_eq!(pick_up(&mut a, 3, &store), None);
    assert_eq!(pick_up(&mut b, 3, &store), Some(b"one".to_vec()));
    assert_eq!(pick_up(&mut b, 4, &store), None);
    // Its age is that of the fetch, not of the finding.
    assert_eq!((a.confirmed_at(), b.confirmed_at()), (Some(at(2)), Some(at(2))));
    assert_eq!(store.len(), 2);
}

#[test]
fn refreshed_ahead_of_the_interval_by_one_of_them() {
    for (random, due) in [(0, 24), (u64::MAX, 28)] {
        let store = MemoryStore::default();
        let (mut a, mut b) = (worker(), worker());
        assert!(a.due(at(0), &store, random).is_some());
        answer(&mut a, ok(b"one"), 0, &store).unwrap();
        pick_up(&mut b, 1, &store);
        let calls = |worker: &mut Worker, secs| worker.due(at(secs), &store, random);
        for secs in 1..due {
            assert_eq!((calls(&mut a, secs), calls(&mut b, secs)), (None, None), "{secs}");
        }
        // Either may; who has the document asks only whether it changed.
        let call = calls(&mut b, due).unwrap();
        assert_eq!(call.headers[1], ("if-none-match", "\"v1\"".to_owned()));
        assert_eq!(calls(&mut a, due), None);
        assert_eq!(answer(&mut b, ok(b"two"), due, &store), Ok(Some(b"two".to_vec())));
        assert_eq!(pick_up(&mut a, due, &store), Some(b"two".to_vec()));
    }
}

#[test]
fn not_modified_confirms_for_all() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (fetched(&store), worker());
    pick_up(&mut b, 1, &store);
    assert!(a.due(at(24), &store, 0).is_some());
    assert_eq!(answer(&mut a, status(304), 25, &store), Ok(None));
    assert_eq!(pick_up(&mut b, 26, &store), None);
    assert_eq!((a.confirmed_at(), b.confirmed_at()), (Some(at(25)), Some(at(25))));
    // Who starts now finds it, as fresh as that.
    let mut late = worker();
    assert_eq!(pick_up(&mut late, 26, &store), Some(b"one".to_vec()));
    assert_eq!(late.confirmed_at(), Some(at(25)));
    // Not asked for, it is an error.
    let store = MemoryStore::default();
    let mut c = worker();
    assert!(c.due(at(0), &store, 0).is_some());
    assert_eq!(answer(&mut c, status(304), 0, &store), Err(FetchError::NoBody(NoBody::Status(304))));
}

#[test]
fn the_same_bytes_again_are_nothing_new() {
    let store = MemoryStore::default();
    let mut a = fetched(&store);
    assert!(a.due(at(24), &store, 0).is_some());
    assert_eq!(answer(&mut a, ok(b"one"), 24, &store), Ok(None));
    assert_eq!(a.confirmed_at(), Some(at(24)));
}

#[test]
fn a_bad_answer_keeps_the_last_good_one_and_backs_off() {
    let large = vec![b'x'; 1001];
    let limit = [b'x'; 1000];
    for (outcome, expected) in [
        (Outcome::Failed, FetchError::NoBody(NoBody::Failed)),
        (status(404), FetchError::NoBody(NoBody::Status(404))),
        (status(302), FetchError::NoBody(NoBody::Status(302))),
        (status(201), FetchError::NoBody(NoBody::Status(201))),
        (ok(b"bad"), FetchError::Refused),
        (ok(&large), FetchError::NoBody(NoBody::TooLarge { max: 1000 })),
    ] {
        let store = MemoryStore::default();
        let (mut a, mut b) = (fetched(&store), worker());
        let mut secs = next_fetch(&mut a, &store, 1, 100).unwrap();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(answer(&mut a, outcome, secs, &store), Err(expected));
            let next = next_fetch(&mut a, &store, secs, secs + 100).unwrap();
            pauses.push(next - secs);
            secs = next;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
        assert_eq!(pick_up(&mut b, secs, &store), Some(b"one".to_vec()));
        assert_eq!((a.confirmed_at(), b.confirmed_at()), (Some(at(0)), Some(at(0))));
        // The nearest that is taken.
        assert_eq!(answer(&mut a, ok(&limit), secs, &store), Ok(Some(limit.to_vec())));
        assert_eq!(pick_up(&mut b, secs, &store), Some(limit.to_vec()));
    }
}

#[test]
fn a_dead_holder_blocks_nobody_for_long_and_late_answers_are_ignored() {
    let store = MemoryStore::default();
    let (mut slow, mut quick) = (worker(), worker());
    assert!(slow.due(at(0), &store, 0).is_some());
    assert_eq!(next_fetch(&mut quick, &store, 1, 100), Some(10));
    assert_eq!(answer(&mut slow, ok(b"old"), 11, &store), Ok(None));
    assert_eq!(slow.confirmed_at(), None);
    assert_eq!(answer(&mut quick, ok(b"new"), 12, &store), Ok(Some(b"new".to_vec())));
    assert_eq!(pick_up(&mut slow, 12, &store), Some(b"new".to_vec()));
    // Nor what nobody asked for.
    assert_eq!(answer(&mut slow, ok(b"old"), 13, &store), Ok(None));
    assert_eq!(slow.confirmed_at(), Some(at(12)));
}

#[test]
fn a_document_that_was_lost_is_fetched_again() {
    let store = MemoryStore::default();
    let a = fetched(&store);
    let [document, _] = a.store_keys();
    let version = store.get(document).unwrap().unwrap().version;
    store.replace(document, b"garbage", Expected::Version(version)).unwrap();
    let mut b = worker();
    assert_eq!(next_fetch(&mut b, &store, 0, 100), Some(1));
    assert_eq!(answer(&mut b, ok(b"one"), 1, &store), Ok(Some(b"one".to_vec())));
    assert_eq!(pick_up(&mut worker(), 2, &store), Some(b"one".to_vec()));
}

#[test]
fn half_of_a_publication_is_not_taken_and_the_whole_is() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (fetched(&store), worker());
    let [document, schedule] = a.store_keys().map(str::to_owned);
    let before = store.get(&schedule).unwrap().unwrap();
    let call = next_fetch(&mut a, &store, 1, 100).unwrap();
    answer(&mut a, ok(b"two"), call, &store).unwrap();
    let after = store.get(&schedule).unwrap().unwrap();
    // The document is there already, the schedule not yet.
    store.replace(&schedule, &before.value, Expected::Version(after.version)).unwrap();
    assert!(store.get(&document).unwrap().unwrap().value.ends_with(b"two"));
    assert_eq!(pick_up(&mut b, call, &store), None);
    let version = store.get(&schedule).unwrap().unwrap().version;
    store.replace(&schedule, &after.value, Expected::Version(version)).unwrap();
    assert_eq!(pick_up(&mut b, call, &store), Some(b"two".to_vec()));
}

#[test]
fn foreign_bytes_in_the_store() {
    let far = u64::MAX.to_be_bytes();
    let one = sha256(b"one");
    for value in [
        vec![],
        b"garbage".to_vec(),
        vec![0xff; 100_000],
        // A schedule that would stop all fetching, and make the document good for ever.
        [b"pfs1".as_slice(), &far, &far, &far, &far, &[0xff; 4], &one].concat(),
    ] {
        let store = MemoryStore::default();
        let (mut a, mut b) = (fetched(&store), worker());
        for key in a.store_keys().map(str::to_owned) {
            let version = store.get(&key).unwrap().unwrap().version;
            store.replace(&key, &value, Expected::Version(version)).unwrap();
        }
        assert_eq!(pick_up(&mut a, 1, &store), None);
        assert_eq!(a.confirmed_at(), Some(at(0)));
        let due = next_fetch(&mut b, &store, 1, 10).expect("not blocked");
        assert_eq!(answer(&mut b, ok(b"two"), due, &store), Ok(Some(b"two".to_vec())));
        assert_eq!(pick_up(&mut a, due, &store), Some(b"two".to_vec()));
        assert_eq!(next_fetch(&mut a, &store, due + 1, due + 23), None);
    }
}

#[test]
fn what_is_fetched_elsewhere_is_kept_elsewhere() {
    let keys = |url: &str, cluster: &str, topic: &str, namespace: &str| {
        elsewhere(url, cluster, topic, namespace).store_keys().map(str::to_owned)
    };
    let places = [
        keys(URL, "lists", "topic", "test"),
        keys(URL, "lists-staging", "topic", "test"),
        keys(URL, "lists", "topics", "test"),
        keys(URL, "lists", "topic", "other"),
        keys("http://lists.example/revoked?x=1", "lists", "topic", "test"),
        keys("https://lists.example/revoked?x=2", "lists", "topic", "test"),
        keys("https://lists.example:443/revoked?x=1", "lists", "topic", "test"),
        // The same text, cut elsewhere.
        keys("http://b/c", "a", "topic", "test"),
        keys("ttp://b/c", "ah", "topic", "test"),
    ];
    let mut flat: Vec<String> = places.concat();
    flat.sort();
    flat.dedup();
    assert_eq!(flat.len(), places.len() * 2);

    let store = MemoryStore::default();
    fetched(&store);
    let mut other = elsewhere(URL, "lists-staging", "topic", "test");
    assert_eq!(pick_up(&mut other, 1, &store), None);
    assert_eq!(other.due(at(1), &store, 0).map(|call| call.cluster), Some("lists-staging".into()));
}

#[test]
fn etags_that_can_be_sent_back() {
    for (etag, good) in [
        ("\"v1\"", true),
        ("W/\"v1\"", true),
        ("\"\"", true),
        ("v1", false),
        ("\"v\"1\"", false),
        ("\"v 1\"", false),
        ("\"v1\r\nx: y\"", false),
        ("\"", false),
        ("", false),
    ] {
        assert_eq!(valid_etag(etag.as_bytes()).is_some(), good, "{etag:?}");
    }
    assert!(valid_etag(format!("\"{}\"", "x".repeat(254)).as_bytes()).is_some());
    assert!(valid_etag(format!("\"{}\"", "x".repeat(255)).as_bytes()).is_none());
    assert_eq!(only(&[(b"etag", b"a"), (b"x", b"y")], "etag"), Some(b"a".as_slice()));
    assert_eq!(only(&[(b"etag", b"a"), (b"etag", b"a")], "etag"), None);
}

/// A store that does not answer, or where every write loses.
struct BadStore(StoreError);

impl SharedStore for BadStore {
    fn get(&self, _: &str) -> Result<Option<Versioned>, StoreError> {
        if self.0 == StoreError::Unavailable { Err(self.0) } else { Ok(None) }
    }

    fn replace(&self, _: &str, _: &[u8], _: Expected) -> Result<(), StoreError> {
        Err(self.0)
    }
}

#[test]
fn a_store_that_fails() {
    for error in [StoreError::Unavailable, StoreError::Conflict] {
        assert_eq!(worker().due(at(0), &BadStore(error), 0), None);
    }
    // It fails while the answer is on its way: the worker has the document all the same.
    let mut a = worker();
    assert!(a.due(at(0), &MemoryStore::default(), 0).is_some());
    let bad = BadStore(StoreError::Unavailable);
    assert_eq!(answer(&mut a, ok(b"one"), 1, &bad), Ok(Some(b"one".to_vec())));
    assert_eq!(pick_up(&mut a, 2, &bad), None);
    assert_eq!(a.confirmed_at(), Some(at(1)));
}

/// A tag says something about one place: when a signpost leads elsewhere, the whole document is asked for.
#[test]
fn an_etag_is_sent_to_the_place_that_gave_it() {
    let store = MemoryStore::default();
    let new = || Worker::of(spec(signpost(0)), "topic", &[URL], "test");
    let (mut a, mut b) = (new(), new());
    let mut secs = 0;
    for (path, tag) in
        [(&b"one"[..], None), (b"one", Some("\"v1\"")), (b"two", None), (b"two", Some("\"v1\""))]
    {
        secs = next_fetch(&mut a, &store, secs, secs + 30).unwrap();
        pick_up(&mut b, secs, &store);
        assert_eq!(answer(&mut a, ok(path), secs, &store), Ok(None));
        let call = a.due(at(secs), &store, 0).unwrap();
        let sent = call.headers.iter().find(|(name, _)| *name == "if-none-match");
        assert_eq!(sent.map(|(_, value)| value.as_str()), tag, "{secs}");
        let outcome = if tag.is_some() { status(304) } else { ok(path) };
        assert!(answer(&mut a, outcome, secs, &store).is_ok());
        assert_eq!(a.confirmed_at(), Some(at(secs)));
    }
    assert_eq!((pick_up(&mut b, secs, &store), b.confirmed_at()), (None, Some(at(secs))));
}

/// A worker that was stopped for long begins nothing else before it has seen what came of its call: that may be from
/// before another one published.
#[test]
fn the_outcome_of_one_fetch_does_not_pass_for_that_of_the_next() {
    let store = MemoryStore::default();
    let (mut slow, mut quick) = (worker(), worker());
    assert!(slow.due(at(0), &store, 0).is_some());
    assert_eq!(next_fetch(&mut quick, &store, 1, 100), Some(10));
    assert_eq!(answer(&mut quick, ok(b"new"), 11, &store), Ok(Some(b"new".to_vec())));
    // The next one is due, and the slow one comes first.
    assert_eq!(slow.due(at(40), &store, 0), None);
    assert_eq!(answer(&mut slow, ok(b"old"), 41, &store), Ok(None));
    assert!(slow.due(at(42), &store, 0).is_some());
    assert_eq!(pick_up(&mut quick, 43, &store), None);
    assert_eq!(pick_up(&mut worker(), 43, &store), Some(b"new".to_vec()));
    // An outcome that never comes stops nobody for good.
    let mut alone = fetched(&MemoryStore::default());
    let store = MemoryStore::default();
    assert!(alone.due(at(50), &store, 0).is_some());
    assert_eq!(next_fetch(&mut alone, &store, 51, 1000), Some(150));
}

/// Between the look at the lease and the end of it somebody else takes over.
#[test]
fn a_lease_that_is_lost_in_the_last_moment() {
    let store = MemoryStore::default();
    let (mut slow, mut quick) = (worker(), worker());
    assert!(slow.due(at(0), &store, 0).is_some());
    let fetching = slow.fetched.fetching.clone().unwrap();
    assert_eq!(next_fetch(&mut quick, &store, 1, 100), Some(10));
    let FetchStep::Document(place) = &fetching.step else { unreachable!() };
    let Worker { fetched, owner } = &mut slow;
    fetched.take(ok(b"old"), place, None, at(12), &store, owner).unwrap();
    assert_eq!(answer(&mut quick, ok(b"new"), 11, &store), Ok(Some(b"new".to_vec())));
    slow.fetched.end_lease(&fetching, Some(Duration::from_secs(24)), at(12), &store);
    slow.owner.taken = None;
    assert_eq!(pick_up(&mut slow, 12, &store), Some(b"new".to_vec()));
    assert_eq!(pick_up(&mut worker(), 12, &store), Some(b"new".to_vec()));
}
