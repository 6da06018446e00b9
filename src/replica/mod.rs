//! What etcd has below a prefix: read by one worker of each Envoy, looked up by all. What it means is the business of whoever
//! looks it up.
//!
//! At first all keys are listed, in pages as of one revision. From then on the store is asked for its revision, and for
//! what was changed since where that has moved. Where the numbers do not fit (another cluster, a revision that went back,
//! a key that is gone), all keys are listed anew; until that has come to its end, those of the listing before count.

mod reading;
mod shared;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;
mod watch;

use std::{fmt, rc::Rc, time::Duration};

pub use self::watch::{QUICK_TICK, Unwatched, WatchEvent, WatchStep};
use self::{reading::Reading, shared::Head, watch::Watch};
use crate::{
    calls::{Call, Counts, Outcome},
    crypto::short_digest,
    etcd::{Client, EtcdError, Server, end_of},
    store::{Expected, SharedStore, StoreError},
    text::{base64url, hex},
    time::Timestamp,
    url::Url,
};

/// The longest value that is read.
pub const MAX_VALUE: usize = 8 * 1024;

/// The longest id that stands in the shared store as it is.
const MAX_ID: usize = 128;

/// What is read, and how.
#[derive(Clone, Debug)]
pub struct ReplicaSpec {
    /// The etcd.
    pub server: Server,
    /// What stands behind the server's prefix, before ids: the version of what is kept there, and what it is.
    pub schema: &'static str,
    /// The one that reaches it by gRPC, for a watch; `None`: the store is asked now and then, no more.
    pub watch_cluster: Option<String>,
    /// How often the store is asked what has changed.
    pub poll_interval: Duration,
    /// How long what was read counts after the store last confirmed it; `None`: for good.
    pub max_stale: Option<Duration>,
}

/// One worker's side of a store.
#[derive(Debug)]
pub struct Replica {
    spec: ReplicaSpec,
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

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// What is called so: this stands behind the schema.
    Id(&'a str),
    /// What has a field `hash` with this SHA-256.
    Digest(&'a [u8; 32]),
}

/// A key of etcd with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What stands behind the schema.
    pub id: String,
    /// Not looked into, but for `hash`. Empty where it is longer than [`MAX_VALUE`].
    pub value: Vec<u8>,
}

/// Why the store was not read, and what else operators have to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// There is no answer that could be read.
    Etcd(EtcdError),
    /// What was read could not be put where all workers see it.
    Unshared,
    /// More keys than are read.
    TooMany,
    /// It is read on, but is not the one that was read before, or not as far.
    WentBack,
}

impl Replica {
    /// `etcd` is the worker's client of the server in `spec`; `namespace` tells policies apart that share one store.
    pub fn new(spec: ReplicaSpec, etcd: Rc<Client>, namespace: &str) -> Self {
        // The shared store forgets nothing, so its keys come from the policy and from etcd alone.
        let Server { cluster, prefix, endpoint: Url { scheme, authority, .. }, .. } = &spec.server;
        let place = [cluster.as_str(), scheme, authority, prefix.as_str(), spec.schema];
        let place = short_digest(&place.map(str::as_bytes));
        Self {
            place: format!("{namespace}/etcd/{place}/"),
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

    /// Counts changes of the store: what is remembered of a key counts while this stays. 0: nothing was read yet.
    pub fn generation(&self) -> u64 {
        self.head.changes
    }

    /// Tells apart what may be found at different times: it is the same while this stays the same.
    pub fn version(&self, now: Timestamp) -> u64 {
        self.generation().wrapping_mul(2).wrapping_add(u64::from(self.is_usable(now)))
    }

    /// How many keys there are.
    #[cfg(test)]
    fn len(&self) -> u64 {
        self.head.count
    }

    /// Whether there is none, or none was read yet.
    pub fn is_empty(&self) -> bool {
        self.head.count == 0
    }

    /// The readings of this worker since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// What is looked for; `None`: there is no such key. What was found by its hash may have another one meanwhile.
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

    /// Takes the outcome of the call that [`Replica::tick`] asked for. One that nobody asked for is ignored, and so is
    /// one that comes when another worker has taken over. On an error what was read before stays, for now.
    pub fn on_answer(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), ReadError> {
        self.take(outcome, now, store)
    }

    /// Whether there is to be a watch. Then [`Replica::tick`] is due every [`QUICK_TICK`].
    pub fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    /// To be called a few times a second: what the host is to do for the watch, if anything.
    pub fn watch(&mut self, now: Timestamp, store: &dyn SharedStore) -> Option<WatchStep> {
        let prefix = self.prefix();
        let key = format!("{}watch", self.place);
        self.watch.as_mut()?.tick(&key, [&prefix, &end_of(&prefix)], now, store)
    }

    /// Takes what came of a step of [`Replica::watch`]. A tick right behind saves time.
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

    /// What is too long for an id, or no text, has its hash in the place of it.
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

/// The hash in fields, which are JSON.
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
            Self::TooMany => write!(f, "more than {} keys", reading::MOST_KEYS),
        }
    }
}
