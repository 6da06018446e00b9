//! API keys in etcd: read by one worker of each Envoy, looked up by all.
//!
//! At first all keys are listed, in pages as of one revision. From then on the store is asked for its revision, and for
//! what was changed since where that has moved. Where the numbers do not fit (another cluster, a revision that went back,
//! a key that is gone), all keys are listed anew; until that has come to its end, those of the listing before count.

mod reading;
mod shared;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;
mod use_records;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod use_records_tests;
mod watch;

use std::{fmt, rc::Rc, time::Duration};

use self::{reading::Reading, shared::Head, watch::Watch};
pub use self::{
    use_records::UseRecords,
    watch::{QUICK_TICK, Unwatched, WatchEvent, WatchStep},
};
use crate::{
    calls::{Call, Counts, Outcome},
    crypto::short_digest,
    etcd::{Client, EtcdError, Server, end_of},
    store::{Expected, SharedStore, StoreError},
    text::{base64url, hex},
    time::Timestamp,
    url::Url,
};

/// What stands behind the prefix, before the ids of keys: the version of what is kept there, and what it is.
pub const SCHEMA: &str = "v1/keys/";

/// The same before their ids in entries of uses.
pub const USES_SCHEMA: &str = "v1/used/";

/// The longest value that is read as a key's.
pub const MAX_VALUE: usize = 8 * 1024;

/// The longest id.
pub const MAX_ID: usize = 128;

/// Where the keys are, and how they are read.
#[derive(Clone, Debug)]
pub struct EtcdSpec {
    /// The etcd.
    pub server: Server,
    /// The one that reaches it by gRPC, for a watch; `None`: the store is asked now and then, no more.
    pub watch_cluster: Option<String>,
    /// How often the store is asked what has changed.
    pub poll_interval: Duration,
    /// How long what was read counts after the store last confirmed it; `None`: for good.
    pub max_stale: Option<Duration>,
}

/// One worker's side of a store.
#[derive(Debug)]
pub struct KeyStore {
    spec: EtcdSpec,
    etcd: Rc<Client>,
    /// What all of its entries in the shared store begin with.
    place: String,
    /// As it was read last.
    head: Head,
    /// The stored value that `head` was read from.
    stored: Expected,
    /// `None`: this worker reads nothing.
    reading: Option<Reading>,
    watch: Option<Watch>,
    /// The most keys that are asked for at once.
    page: u32,
    /// How often that was halved, for an answer was too large; one less after each that was not.
    halvings: u32,
    counts: Counts,
}

/// What a key is looked for by.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// Its id.
    Id(&'a str),
    /// The SHA-256 of the key.
    Digest(&'a [u8; 32]),
}

/// A key as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its id: what stands behind the prefix.
    pub id: String,
    /// Its fields, in JSON; not looked into. Empty where the store has something that is no key.
    pub value: Vec<u8>,
}

/// Why the store was not read, or not written, and what else operators have to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// There is no answer that could be read.
    Etcd(EtcdError),
    /// What was read could not be put where all workers see it.
    Unshared,
    /// More keys than are read.
    TooMany,
    /// Others wrote the same entries each time.
    Outrun,
    /// It is read on, but is not the one that was read before, or not as far.
    WentBack,
}

impl KeyStore {
    /// `etcd` is the worker's client of the server in `spec`; `namespace` tells policies apart that share one store.
    pub fn new(spec: EtcdSpec, etcd: Rc<Client>, namespace: &str) -> Self {
        // The shared store forgets nothing, so its keys come from the policy and from etcd alone.
        let Server { cluster, prefix, endpoint: Url { scheme, authority, .. }, .. } = &spec.server;
        let place = [cluster.as_str(), scheme, authority, prefix.as_str()];
        let place = short_digest(&place.map(str::as_bytes));
        Self {
            place: format!("{namespace}/keys/{place}/"),
            watch: spec.watch_cluster.as_deref().map(|cluster| Watch::new(cluster, Rc::clone(&etcd))),
            spec,
            etcd,
            head: Head::default(),
            stored: Expected::Absent,
            reading: None,
            page: reading::PAGE,
            halvings: 0,
            counts: Counts::default(),
        }
    }

    /// To be called before keys are looked up. A worker that is new, with a policy or after a crash, finds the keys that were
    /// read before, without waiting for its first tick.
    pub fn catch_up(&mut self, now: Timestamp, store: &dyn SharedStore) {
        if !self.is_ready() {
            // Without the store there are no keys, which is found then.
            let _ = self.look(now, store);
        }
    }

    /// Whether the keys were ever read.
    pub fn is_ready(&self) -> bool {
        self.head.epoch > 0
    }

    /// Whether what was read may be used.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        let is_fresh = |max_stale| now.since(self.head.confirmed_at) <= max_stale;
        self.is_ready() && self.spec.max_stale.is_none_or(is_fresh)
    }

    /// When the store last said that nothing else had changed; `None`: never.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.is_ready().then_some(self.head.confirmed_at)
    }

    /// Counts changes of the store: what is remembered of a key counts while this stays.
    pub fn generation(&self) -> u64 {
        self.head.changes
    }

    /// How many keys there are.
    #[cfg(test)]
    fn len(&self) -> u64 {
        self.head.count
    }

    /// The readings of this worker since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// The key that is looked for; `None`: there is none. Whether it is the one that was presented, its fields say.
    pub fn find(&self, wanted: Wanted<'_>, store: &dyn SharedStore) -> Result<Option<Found>, StoreError> {
        let since = self.head.epoch;
        let id = match wanted {
            Wanted::Id(id) => id.to_owned(),
            Wanted::Digest(digest) => {
                let id = shared::get(store, &self.by_digest(digest), since)?;
                let Some(id) = id.and_then(|id| String::from_utf8(id).ok()) else { return Ok(None) };
                id
            }
        };
        let value = shared::get(store, &self.by_id(id.as_bytes()), since)?;
        Ok(value.map(|value| Found { id, value }))
    }

    /// To be called a few times a second: looks what the reader has read, and says what this worker has to send, if
    /// anything. `random` spreads the calls of many Envoys.
    ///
    /// A reading with several calls hands out the next one at the first tick after the outcome of the one before.
    pub fn tick(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        self.look(now, store).ok()?;
        self.read_on(now, store, random)
    }

    /// Takes the outcome of the call that [`KeyStore::tick`] asked for. One that nobody asked for is ignored, and so is
    /// one that comes when another worker has taken over. On an error what was read before stays, for now.
    pub fn on_answer(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), ReadError> {
        self.take(outcome, now, store)
    }

    /// Whether there is to be a watch. Then [`KeyStore::tick`] is due every [`QUICK_TICK`].
    pub fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// To be called a few times a second: what the host is to do for the watch, if anything.
    pub fn watch(&mut self, now: Timestamp, store: &dyn SharedStore) -> Option<WatchStep> {
        let prefix = self.prefix();
        let key = format!("{}watch", self.place);
        self.watch.as_mut()?.tick(&key, [&prefix, &end_of(&prefix)], now, store)
    }

    /// Takes what came of a step of [`KeyStore::watch`]. A tick right behind saves time.
    pub fn on_watched(&mut self, event: WatchEvent<'_>, now: Timestamp, random: u64) -> Option<Unwatched> {
        self.watch.as_mut()?.take(event, now, random)
    }

    /// Reads where reading stands.
    fn look(&mut self, now: Timestamp, store: &dyn SharedStore) -> Result<(), StoreError> {
        let stored = store.get(&self.head_key())?;
        self.stored = Expected::of(stored.as_ref());
        let head = stored.and_then(|stored| Head::decode(&stored.value)).unwrap_or_default();
        self.head = self.plausible(head, now);
        Ok(())
    }

    /// A head whose times fit the clock: one that was set back must not stop all reading, nor let anything count as
    /// confirmed later than now.
    fn plausible(&self, head: Head, now: Timestamp) -> Head {
        let ahead = |time: Timestamp, longest| {
            if time.lies_ahead(now, longest) { time } else { Timestamp::default() }
        };
        Head {
            lease_until: ahead(head.lease_until, self.lease()),
            due_at: ahead(head.due_at, reading::LONGEST_PAUSE.max(self.spec.poll_interval)),
            confirmed_at: head.confirmed_at.min(now),
            listed_at: head.listed_at.min(now),
            ..head
        }
    }

    fn head_key(&self) -> String {
        format!("{}head", self.place)
    }

    /// What is no id of a key is counted all the same, by its hash.
    fn by_id(&self, id: &[u8]) -> String {
        match str::from_utf8(id) {
            Ok(id) if (1..=MAX_ID).contains(&id.len()) => format!("{}i/{id}", self.place),
            _ => format!("{}x/{}", self.place, short_digest(&[id])),
        }
    }

    fn by_digest(&self, digest: &[u8; 32]) -> String {
        format!("{}d/{}", self.place, base64url::encode(digest))
    }
}

/// The hash in the fields of a key, which are JSON.
fn digest_in(value: &[u8]) -> Option<[u8; 32]> {
    let fields: serde_json::Value = serde_json::from_slice(value).ok()?;
    hex::decode_digest(fields.get("hash")?.as_str()?.strip_prefix("sha256:")?)
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd(why) => why.fmt(f),
            Self::Unshared => f.write_str("the keys could not be shared with all workers"),
            Self::WentBack => f.write_str(
                "etcd is not as far as it was, or is another one, so all keys are read anew. If nobody has restored or \
                 replaced it, its members differ",
            ),
            Self::Outrun => f.write_str("others write the same entries all the time"),
            Self::TooMany => write!(f, "more than {} keys", reading::MOST_KEYS),
        }
    }
}
