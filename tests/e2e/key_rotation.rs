//! A real authorization server changes its keys: new ones are found, removed ones end, and neither costs it more
//! requests than the policy says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    gateway::{Builder, Gateway, gateway},
    idp::{Idp, until, with_kid},
    policy::{rule, with_token},
    request::{Answer, get},
};

const CACHE: Duration = Duration::from_secs(2);
/// `minRefetchInterval`.
const INTERVAL: Duration = Duration::from_secs(1);
/// From the moment when a fetch is due to the moment when every worker has its outcome: each looks after its key
/// sets four times a second. With room for a machine that is busy.
const PROPAGATION: Duration = Duration::from_millis(1000);
/// A new key is found by the first token that names it, once another fetch is allowed.
const FIRST_USE: Duration = INTERVAL.saturating_add(PROPAGATION);
/// A removed key is used no longer than the set that held it is fresh.
const LAST_USE: Duration = CACHE.saturating_add(PROPAGATION);

fn before(idp: &Idp, jwks: Value) -> Builder {
    let mut keys =
        json!({"cacheDuration": "2s", "minRefetchInterval": "1s", "timeout": "500ms", "maxStale": "10s"});
    crate::harness::policy::merge(&mut keys, jwks);
    let policy = json!({
        "jwt": {"providers": [idp.provider(keys)]},
        "rules": [rule("closed", "PathPrefix", "/closed", with_token())],
        "defaultAction": "Deny",
    });
    gateway(&policy).jwks(idp.address).https_only()
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    gateway.send(&get("/closed").bearer(token)).await
}

/// The key set is under way when the first request comes.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_waits_for_the_keys() {
    let idp = Idp::start().await;
    let token = idp.token("urn:api:es256").await;
    // 700 ms; the policy allows for it.
    idp.keys_are("late").await;
    let gateway = before(&idp, json!({"timeout": "5s"})).workers(2).start().await;
    let answers = tokio::join!(
        ask(&gateway, &token),
        ask(&gateway, &token),
        ask(&gateway, &token),
        ask(&gateway, &token)
    );
    for answer in [answers.0, answers.1, answers.2, answers.3] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(idp.fetches().await, 1);
    // What is wrong in itself waits for nothing, and what needs keys that never come is refused in the end.
    idp.keys_are("slow").await;
    let gateway = before(&idp, json!({"timeout": "5s"})).workers(1).start().await;
    let asked = Instant::now();
    assert_eq!(ask(&gateway, "nonsense").await.status, 401);
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    let answer = ask(&gateway, &token).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("keys_unavailable")), "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!((1500..4000).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_found_and_removed_ones_end() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).workers(2).start().await;
    for (resource, algorithm) in [("urn:api:rs256", "RS256"), ("urn:api:eddsa", "EdDSA")] {
        let old = idp.token(resource).await;
        assert_eq!(ask(&gateway, &old).await.status, 200);
        idp.rotate(algorithm).await;
        let new = idp.token(resource).await;
        until(FIRST_USE, async || {
            let answer = ask(&gateway, &new).await;
            assert!(answer.status == 200 || answer.reason().as_deref() == Some("token_key"), "{answer:?}");
            answer.status == 200
        })
        .await;
        let with_old = get("/closed").bearer(&old);
        let statuses = gateway.send_eight(&with_old).await.map(|answer| answer.status);
        assert_eq!(statuses, [200; 8], "both are published");
        idp.retire().await;
        tokio::time::sleep(LAST_USE).await;
        for answer in gateway.send_eight(&with_old).await {
            assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("token_key")), "{answer:?}");
        }
        assert_eq!(ask(&gateway, &new).await.status, 200);
    }
}

/// The worker that fetched a set is not the only one that has it, even where the next fetch is far away.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_worker_has_found_is_known_to_all() {
    let idp = Idp::start().await;
    let pace =
        json!({"cacheDuration": "1m", "maxStale": "1m", "minRefetchInterval": "2s", "waitTimeout": "1s"});
    let gateway = before(&idp, pace).workers(2).start().await;
    let mut workers = [gateway.http1(), gateway.http1()];
    for round in 0..4 {
        idp.rotate("ES256").await;
        let new = get("/closed").bearer(&idp.token("urn:api:es256").await);
        tokio::time::sleep(Duration::from_millis(2050)).await;
        for turn in 0..2 {
            let answer = workers[(round + turn) % 2].send(&new).await.unwrap();
            assert_eq!(answer.status, 200, "round {round}, turn {turn}: {answer:?}");
        }
    }
}

const ROTATIONS: usize = 20;
const REQUESTS: usize = 50_000;
const TASKS: usize = 6;

/// A token of each generation of keys, and what has happened to its key.
struct Generation {
    token: String,
    /// When a request with it first passed; before that it may be refused.
    passed: Mutex<Option<Instant>>,
    /// When its key began to be removed, and when it was gone.
    removal: Mutex<Option<Instant>>,
    removed: Mutex<Option<Instant>>,
}

impl Generation {
    fn new(token: String) -> Arc<Self> {
        Arc::new(Self {
            token,
            passed: Mutex::default(),
            removal: Mutex::default(),
            removed: Mutex::default(),
        })
    }
}

fn mark(instant: &Mutex<Option<Instant>>) {
    instant.lock().unwrap().get_or_insert_with(Instant::now);
}

fn is_before(instant: &Mutex<Option<Instant>>, moment: Instant) -> bool {
    instant.lock().unwrap().is_some_and(|instant| instant < moment)
}

/// Which tokens a task sends.
#[derive(Clone, Copy)]
enum Sends {
    /// Those whose keys are published and were found; if there are none, the newest.
    Current,
    /// Those whose keys were removed, one after the other.
    Removed,
}

#[derive(Default)]
struct Load {
    generations: Mutex<Vec<Arc<Generation>>>,
    over: AtomicBool,
    sent: AtomicUsize,
    /// Requests whose key was published and in use, and those whose key was removed longer ago than the bound.
    judged: [AtomicUsize; 2],
}

impl Load {
    fn pick(&self, what: Sends, turn: usize) -> Option<Arc<Generation>> {
        let generations = self.generations.lock().unwrap();
        match what {
            Sends::Current => {
                let good = |one: &&Arc<Generation>| {
                    one.passed.lock().unwrap().is_some() && one.removal.lock().unwrap().is_none()
                };
                let current: Vec<_> = generations.iter().filter(good).collect();
                let newest = generations.last();
                if current.is_empty() { newest.cloned() } else { Some(current[turn % current.len()].clone()) }
            }
            Sends::Removed => {
                let removed: Vec<_> =
                    generations.iter().filter(|one| is_before(&one.removed, Instant::now())).collect();
                (!removed.is_empty()).then(|| removed[turn % removed.len()].clone())
            }
        }
    }

    /// Sends until it is over; an error is an answer that must not be.
    async fn send(self: Arc<Self>, gateway: Arc<Gateway>, what: Sends, task: usize) -> Result<(), String> {
        let mut connection = gateway.http1();
        for turn in task.. {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            // A load, not a race: the machine is shared with the server and everybody else.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let Some(generation) = self.pick(what, turn) else { continue };
            let asked = Instant::now();
            let answer = connection.send(&get("/closed").bearer(&generation.token)).await;
            let judged = answer
                .map_err(|error| error.to_string())
                .and_then(|answer| self.judge(&generation, asked, &answer));
            if judged.is_err() {
                self.over.store(true, Ordering::SeqCst);
                return judged;
            }
        }
        Ok(())
    }

    fn judge(&self, generation: &Generation, asked: Instant, answer: &Answer) -> Result<(), String> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let fault = |what: &str| Err(format!("{what}: {answer:?}"));
        match (answer.status, answer.reason().as_deref()) {
            (200, _) => mark(&generation.passed),
            (401, Some("token_key")) => {}
            _ => return fault("neither passed nor for want of a key"),
        }
        if is_before(&generation.passed, asked) && generation.removal.lock().unwrap().is_none() {
            self.judged[0].fetch_add(1, Ordering::SeqCst);
            if answer.status != 200 {
                return fault("refused, though its key is published and was in use");
            }
        }
        if asked.checked_sub(LAST_USE).is_some_and(|then| is_before(&generation.removed, then)) {
            self.judged[1].fetch_add(1, Ordering::SeqCst);
            if answer.status == 200 {
                return fault("passed, though its key was removed");
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_under_load() {
    let idp = Idp::start().await;
    let gateway = Arc::new(before(&idp, json!({"waitTimeout": "1s"})).workers(2).start().await);
    let load = Arc::new(Load::default());
    let token = idp.token("urn:api:es256").await;
    load.generations.lock().unwrap().push(Generation::new(token));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let what = if task < TASKS - 2 { Sends::Current } else { Sends::Removed };
        tasks.spawn(load.clone().send(gateway.clone(), what, task));
    }
    let (started, fetched) = (Instant::now(), idp.fetches().await);
    let mut slowest = Duration::ZERO;
    let stopped = || load.over.load(Ordering::SeqCst);
    for _ in 0..ROTATIONS {
        idp.rotate("ES256").await;
        let new = Generation::new(idp.token("urn:api:es256").await);
        load.generations.lock().unwrap().push(new.clone());
        let took = until(FIRST_USE, async || {
            let asked = Instant::now();
            let answer = ask(&gateway, &new.token).await;
            load.judge(&new, asked, &answer).unwrap();
            stopped() || answer.status == 200
        })
        .await;
        slowest = slowest.max(took);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let earlier: Vec<_> = load.generations.lock().unwrap().iter().rev().skip(1).cloned().collect();
        earlier.iter().for_each(|generation| mark(&generation.removal));
        idp.retire().await;
        earlier.iter().for_each(|generation| mark(&generation.removed));
        if stopped() {
            break;
        }
    }
    // Long enough for the last removal to be judged, too.
    let last = Instant::now();
    while !stopped() && (last.elapsed() < 2 * LAST_USE || load.sent.load(Ordering::SeqCst) < REQUESTS) {
        assert!(last.elapsed() < Duration::from_secs(60), "{} requests", load.sent.load(Ordering::SeqCst));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.over.store(true, Ordering::SeqCst);
    for result in tasks.join_all().await {
        result.unwrap();
    }
    let (elapsed, fetches) = (started.elapsed(), idp.fetches().await - fetched);
    let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
    println!(
        "{ROTATIONS} rotations, {} requests in {elapsed:.1?}: {} with keys in use, all passed; {} with keys removed \
         for longer than {LAST_USE:?}, none passed; a new key was first used after at most {slowest:.2?}; {fetches} \
         fetches",
        count(&load.sent),
        count(&load.judged[0]),
        count(&load.judged[1]),
    );
    assert!(count(&load.judged[0]) > REQUESTS / 2 && count(&load.judged[1]) > 20);
    assert!(fetches <= elapsed.as_secs() + 2, "more than one fetch in {INTERVAL:?}");
    let log = gateway.log();
    assert!(!log.contains("Wasm VM failed") && !log.contains("panicked"), "{log}");
}

const BOGUS: usize = 10_000;
const BOGUS_TASKS: usize = 50;

/// One Envoy with the given number of workers asks its own server: how often in a while without, and with, tokens
/// that name keys which nobody has.
async fn fetches_with(workers: u32) -> (u64, u64) {
    let idp = Idp::start().await;
    // Without waiting, so that the flood is one.
    let gateway = Arc::new(before(&idp, json!({"waitTimeout": "0s"})).workers(workers).start().await);
    let good = idp.token("urn:api:es256").await;
    let mut connections: Vec<_> = (0..4).map(|_| gateway.http1()).collect();
    let good_passes = async |connections: &mut Vec<crate::harness::client::Http1>| {
        for connection in connections {
            assert_eq!(connection.send(&get("/closed").bearer(&good)).await.unwrap().status, 200);
        }
    };
    until(PROPAGATION, async || ask(&gateway, &good).await.status == 200).await;
    // On every worker.
    tokio::time::sleep(PROPAGATION).await;

    let (started, before) = (Instant::now(), idp.fetches().await);
    while started.elapsed() < Duration::from_secs(6) {
        good_passes(&mut connections).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let quiet = idp.fetches().await - before;

    let mut flood = Vec::new();
    for _ in 0..4 {
        flood.push(gateway.http2().await);
    }
    let (started, before) = (Instant::now(), idp.fetches().await);
    let mut tasks = JoinSet::new();
    for task in 0..BOGUS_TASKS {
        let (mut connection, good) = (flood[task % flood.len()].clone(), good.clone());
        tasks.spawn(async move {
            for i in 0..BOGUS / BOGUS_TASKS {
                let bogus = get("/closed").bearer(&with_kid(&good, &format!("nobody-{task}-{i}")));
                let answer = connection.send(&bogus).await.unwrap();
                assert_eq!(answer.reason().as_deref(), Some("token_key"), "{answer:?}");
            }
        });
    }
    // In the middle of it a key that is real, and new.
    idp.rotate("ES256").await;
    let new = idp.token("urn:api:es256").await;
    let found = until(FIRST_USE, async || ask(&gateway, &new).await.status == 200).await;
    tasks.join_all().await;
    let (elapsed, bogus) = (started.elapsed(), idp.fetches().await - before);
    good_passes(&mut connections).await;
    println!(
        "{workers} workers: {quiet} fetches in 6 s, {bogus} in {elapsed:.1?} of bogus kids; new key after {found:.1?}"
    );
    assert!(bogus <= elapsed.as_secs() + 1, "{workers} workers: {bogus} fetches in {elapsed:?}");
    (quiet, bogus)
}

#[tokio::test(flavor = "multi_thread")]
async fn fetches_depend_neither_on_workers_nor_on_bogus_kids() {
    let ((one, _), (two, _)) = tokio::join!(fetches_with(1), fetches_with(2));
    // Every 1.5 to 2 seconds: at 3/4 to 7/8 of the time that a set is fresh.
    for quiet in [one, two] {
        assert!((2..=4).contains(&quiet), "{one} and {two} fetches in 6 s");
    }
}

/// The same token with a signature that no key made.
fn with_another_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (first, rest) = signature.split_at(10);
    format!(
        "{signed}.{}{rest}",
        first.bytes().map(|byte| if byte == b'A' { 'B' } else { 'A' }).collect::<String>()
    )
}

/// Hundreds of requests for keys that nobody has, waiting at once and refused at once: Envoy answers each from within
/// the one before, which must not get too deep for the VM.
#[tokio::test(flavor = "multi_thread")]
async fn many_requests_can_wait_at_once() {
    let idp = Idp::start().await;
    let gateway = Arc::new(before(&idp, json!({})).workers(1).start().await);
    let good = idp.token("urn:api:es256").await;
    assert_eq!(ask(&gateway, &good).await.status, 200);
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(gateway.http2().await);
    }
    let mut tasks = JoinSet::new();
    for i in 0..800 {
        let mut connection = connections[i % connections.len()].clone();
        // Under a name that nobody has, and under the one that somebody has.
        let (bogus, reason) = match i % 2 {
            0 => (with_kid(&good, &format!("nobody-{i}")), "token_key"),
            _ => (with_another_signature(&good), "token_signature"),
        };
        let bogus = get("/closed").bearer(&bogus);
        tasks.spawn(async move { (connection.send(&bogus).await.unwrap(), reason) });
    }
    for (answer, reason) in tasks.join_all().await {
        assert_eq!((answer.status, answer.reason().as_deref()), (401, Some(reason)), "{answer:?}");
    }
    assert_eq!(ask(&gateway, &good).await.status, 200);
    let log = gateway.log();
    assert!(!log.contains("failed: Uncaught") && !log.contains("Wasm VM failed"), "{log}");
}
