//! Answers that come late, and early, over every kind of document that workers share.

use std::{sync::Arc, time::Duration};

use crate::{
    calls::{Call, Counts, Outcome},
    jwt::{JwksLocation, RemoteJwks, RemoteKeys, tests::tokens},
    revocation::{RemoteListSpec, RevocationSpec, Revocations, WhenStale},
    store::{MemoryStore, SharedStore},
    time::Timestamp,
    url::Url,
};

const ISSUER: &str = "https://idp.example";
const SIGNPOST: &[u8] = br#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/keys"}"#;

/// One worker's side.
enum Kind {
    Keys(RemoteKeys),
    List(Revocations),
}

fn keys(location: JwksLocation) -> Kind {
    let spec = RemoteJwks {
        location,
        cluster: "idp".into(),
        cache_duration: Duration::from_secs(600),
        timeout: Duration::from_secs(5),
        max_stale: Duration::from_secs(3600),
        min_refetch_interval: Duration::from_secs(30),
        wait_timeout: Duration::from_secs(2),
    };
    Kind::Keys(RemoteKeys::new(&spec, ISSUER, "corp", "test"))
}

fn list() -> Kind {
    let remote = RemoteListSpec {
        endpoint: Url::parse("https://lists.example/revoked").unwrap(),
        cluster: "lists".into(),
        poll_interval: Duration::from_secs(600),
        timeout: Duration::from_secs(5),
        max_stale: Duration::from_secs(3600),
        when_stale: WhenStale::Deny,
    };
    Kind::List(Revocations::new(&RevocationSpec { inline: Arc::default(), remote: Some(remote) }, "test"))
}

/// A name, a new worker, and how many calls a fetch takes.
type Row = (&'static str, fn() -> Kind, u32);

const KINDS: [Row; 3] = [
    ("key set", || keys(JwksLocation::Uri(Url::parse("https://idp.example/keys").unwrap())), 1),
    ("discovered key set", || keys(JwksLocation::Discovery(Box::new(tokens::discovered(ISSUER)))), 2),
    ("revocation list", list, 1),
];

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

impl Kind {
    fn tick(&mut self, secs: u64, store: &dyn SharedStore) -> Option<Call> {
        match self {
            Self::Keys(keys) => keys.tick(at(secs), store, 0),
            Self::List(list) => list.tick(at(secs), store, 0),
        }
    }

    fn answer(&mut self, body: &[u8], secs: u64, store: &dyn SharedStore) {
        let outcome = Outcome::Answer { status: 200, headers: &[], body };
        match self {
            Self::Keys(keys) => assert_eq!(keys.on_fetched(outcome, at(secs), store), Ok(vec![])),
            Self::List(list) => assert_eq!(list.on_answer(outcome, at(secs), store), Ok(())),
        }
    }

    /// A document with so many entries.
    fn document(&self, entries: usize) -> Vec<u8> {
        match self {
            Self::Keys(_) => {
                let names = ["es256", "ed25519"];
                tokens::keys().only(&names[..entries]).to_string().into()
            }
            Self::List(_) => {
                let entries: Vec<String> = (0..entries).map(|n| n.to_string()).collect();
                serde_json::json!({"jti": entries}).to_string().into()
            }
        }
    }

    /// How many entries the document in use has; 0 without one.
    fn entries(&self, secs: u64) -> usize {
        match self {
            Self::Keys(keys) => keys.keys(at(secs)).map_or(0, |keys| keys.len()),
            Self::List(list) => list.fetched_entries(),
        }
    }

    fn take_counts(&mut self) -> Counts {
        match self {
            Self::Keys(keys) => keys.take_counts(),
            Self::List(list) => list.take_counts().unwrap(),
        }
    }
}

/// One worker takes the lease at 0. The next takes over when it has run out, and both have their answer: the first one's
/// is the older, with one entry, the other's the newer, with two.
#[test]
fn the_newer_document_stays() {
    // When the answer of each comes after the lease was taken over, and what is in use in the end.
    for (old_after, new_after, expected) in [
        (Some(1), Some(2), 2),
        (Some(2), Some(1), 2),
        (Some(1), None, 0),
        (None, Some(1), 2),
        // At the same second, first the one and then the other.
        (Some(1), Some(1), 2),
        (Some(9), Some(8), 2),
        (Some(600), Some(1), 2),
    ] {
        for (name, new, calls) in KINDS {
            let row = format!("{name}: {old_after:?} {new_after:?}");
            let store = MemoryStore::default();
            let (mut slow, mut quick) = (new(), new());
            assert!(slow.tick(0, &store).is_some());
            if calls > 1 {
                slow.answer(SIGNPOST, 0, &store);
                assert!(slow.tick(0, &store).is_some());
            }
            let taken_over = (1..100).find(|secs| quick.tick(*secs, &store).is_some()).unwrap();
            if calls > 1 {
                quick.answer(SIGNPOST, taken_over, &store);
                assert!(quick.tick(taken_over, &store).is_some());
            }
            let (old, new_one) = (slow.document(1), slow.document(2));
            let last = old_after.max(new_after).unwrap();
            for after in 1..=last {
                let secs = taken_over + after;
                if old_after == Some(after) {
                    slow.answer(&old, secs, &store);
                }
                if new_after == Some(after) {
                    quick.answer(&new_one, secs, &store);
                }
            }
            let mut late = new();
            for secs in [taken_over + last, taken_over + last + 1] {
                for worker in [&mut slow, &mut quick, &mut late] {
                    worker.tick(secs, &store);
                    assert_eq!(worker.entries(secs), expected, "{row}");
                }
            }
            let ended = u32::from(old_after.is_some());
            let counts = slow.take_counts();
            assert_eq!((counts.succeeded, counts.failed), (0, ended), "{row}");
        }
    }
}

/// Run out or not: where nobody took over, an answer is as good as any.
#[test]
fn an_answer_that_nobody_was_quicker_than_counts() {
    for secs in [0, 4, 9, 10, 13, 19, 500] {
        for (name, new, calls) in KINDS {
            let store = MemoryStore::default();
            let (mut slow, mut other) = (new(), new());
            assert!(slow.tick(0, &store).is_some());
            if calls > 1 {
                slow.answer(SIGNPOST, 0, &store);
                assert!(slow.tick(0, &store).is_some());
            }
            let document = slow.document(2);
            slow.answer(&document, secs, &store);
            // What comes on top of it was not asked for.
            let other_one = slow.document(1);
            slow.answer(&other_one, secs, &store);
            other.tick(secs, &store);
            assert_eq!((slow.entries(secs), other.entries(secs)), (2, 2), "{name} {secs}");
            assert_eq!(slow.take_counts(), Counts { started: 1, succeeded: 1, failed: 0 });
        }
    }
}
