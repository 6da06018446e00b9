//! What is good once: a bounded table of what was used, in shared state.
//!
//! A place in it is a keyed hash of what is used, so no client can aim at a slot. An entry stays until what it stands for
//! would be too old anyway. Of two workers that see the same at once, exactly one can write it.
//!
//! **Errs on the safe side:** a slot whose entries are all still needed takes nothing else, and a store that does not
//! answer nothing at all: the request is refused, never let through. A false *refusal* also comes from two things with the
//! same 64-bit fingerprint in one slot, which does not happen by chance.
//!
//! **Bounds:** [`SLOTS`] slots of [`ENTRIES`] entries of 16 bytes, made as they are needed: 262,144 within the time that
//! they are needed, at most 4.2 MB and the host's own. At 60 s that is enough for 2000 a second on average, where a slot
//! holds 29 of them; one in some ten million is full then.
//!
//! **What it cannot know:** what was used before Envoy was started, and, after the time was made longer by a new policy,
//! what had expired under the old one.

use std::{fmt, time::Duration};

use crate::{
    crypto::HmacSha256Key,
    store::{SharedStore, StoreError, shared_secret, update},
    time::Timestamp,
};

/// Slots of the table. A power of two.
pub const SLOTS: u64 = 4096;

/// How much one slot can hold.
pub const ENTRIES: usize = 64;

/// Names the layout. Change it with the layout.
const MAGIC: &[u8; 8] = b"dpop-rt1";
const WORD: usize = 8;
const ENTRY: usize = 16;

/// How often a slot is read again after somebody else wrote it.
const ATTEMPTS: usize = 16;

/// One kind of what is good once.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, which keeps it apart from others.
    pub name: &'static str,
    /// The longest time from now that any of it can be good.
    pub horizon: Duration,
}

/// The key of the hashes by which things have their places: one for all workers, unknown to clients.
#[derive(Clone, Debug)]
pub struct ReplaySecret(HmacSha256Key);

impl ReplaySecret {
    /// The secret that the store holds under `{namespace}/replay-secret`, or `random` after storing it there. See
    /// [`shared_secret`].
    pub fn load_or_create(
        store: &dyn SharedStore,
        namespace: &str,
        random: [u8; 32],
    ) -> Result<Self, StoreError> {
        let secret = shared_secret(store, &format!("{namespace}/replay-secret"), random)?;
        HmacSha256Key::new(&secret).map(Self).ok_or(StoreError::Unavailable)
    }

    /// The keyed hash of something of `table`: of `parts`, which no other things have when they stand one behind the other.
    pub fn hash(&self, table: &Table, parts: &[&[u8]]) -> [u8; 32] {
        self.0.hash(&[&[table.name.as_bytes(), b":"], parts].concat())
    }
}

/// Why it cannot be known whether something is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// The table has no room for it now.
    Full,
    /// The table cannot be read or written.
    Unavailable,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "no room to remember it",
            Self::Unavailable => "the table of what was used is not available",
        })
    }
}

impl std::error::Error for ReplayError {}

impl Table {
    /// Takes for used what `hash`, a keyed hash, stands for, and says whether it was not so before: `Ok(true)` exactly once,
    /// over all workers, up to `not_after`.
    ///
    /// # Errors
    /// It cannot be known.
    pub fn claim(
        &self,
        hash: &[u8; 32],
        not_after: Timestamp,
        store: &dyn SharedStore,
        namespace: &str,
        now: Timestamp,
    ) -> Result<bool, ReplayError> {
        let (slot, fingerprint) = place(hash).ok_or(ReplayError::Unavailable)?;
        let key = format!("{namespace}/{}/{slot:03x}", self.name);
        let mut outcome = Err(ReplayError::Unavailable);
        let updated = update(store, &key, ATTEMPTS, &mut |stored| {
            let mut used = stored.map_or(Some(Used::default()), Used::read).unwrap_or(Used::CLOSED);
            outcome = used.take(fingerprint, not_after, now, self.horizon);
            (outcome == Ok(true) || used.changed).then(|| used.write())
        });
        // Of what could not be noted nobody knows whether it is used again.
        updated.map_err(|_| ReplayError::Unavailable).and(outcome)
    }
}

/// The slot and the fingerprint within.
fn place(hash: &[u8; 32]) -> Option<(u64, u64)> {
    let (slot, rest) = hash.split_first_chunk()?;
    let slot = u64::from_le_bytes(*slot) & SLOTS.wrapping_sub(1);
    Some((slot, u64::from_le_bytes(*rest.first_chunk()?)))
}

/// What was used, of one slot.
#[derive(Debug, Default)]
struct Used {
    /// Nanoseconds since the epoch; up to then the slot takes nothing. 0 for a slot that is in order.
    closed_until: u64,
    /// Fingerprints, and until when each is needed in nanoseconds since the epoch; at most [`ENTRIES`].
    entries: Vec<(u64, u64)>,
    /// It must be written even if what is claimed is refused.
    changed: bool,
}

impl Used {
    /// What stands for bytes that make no sense: nobody knows what was used.
    const CLOSED: Self = Self { closed_until: u64::MAX, entries: Vec::new(), changed: false };

    /// `None` when the bytes are of another form.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (closed_until, entries) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<WORD>()?;
        let (pairs, rest) = entries.as_chunks::<ENTRY>();
        if !rest.is_empty() || pairs.len() > ENTRIES {
            return None;
        }
        let entry = |pair: &[u8; ENTRY]| {
            let (fingerprint, until) = pair.split_first_chunk::<WORD>()?;
            Some((u64::from_le_bytes(*fingerprint), u64::from_le_bytes(*until.first_chunk()?)))
        };
        let entries = pairs.iter().map(entry).collect::<Option<_>>()?;
        Some(Self { closed_until: u64::from_le_bytes(*closed_until), entries, changed: false })
    }

    fn write(&self) -> Vec<u8> {
        let words = self.entries.iter().flat_map(|(fingerprint, until)| [*fingerprint, *until]);
        let words = std::iter::once(self.closed_until).chain(words).flat_map(u64::to_le_bytes);
        MAGIC.iter().copied().chain(words).collect()
    }

    /// Notes a fingerprint; false if it is noted already.
    fn take(
        &mut self,
        fingerprint: u64,
        not_after: Timestamp,
        now: Timestamp,
        horizon: Duration,
    ) -> Result<bool, ReplayError> {
        self.expire(now, horizon);
        if self.closed_until >= now.as_nanos() {
            return Err(ReplayError::Unavailable);
        }
        self.closed_until = 0;
        if self.entries.iter().any(|(noted, _)| *noted == fingerprint) {
            return Ok(false);
        }
        if self.entries.len() >= ENTRIES {
            return Err(ReplayError::Full);
        }
        self.entries.push((fingerprint, not_after.as_nanos()));
        Ok(true)
    }

    /// Forgets what is over. Nothing is good for longer than `horizon`, so what claims to be needed longer was damaged, or
    /// noted while the clock was wrong, and is kept just as long.
    fn expire(&mut self, now: Timestamp, horizon: Duration) {
        let latest = now.saturating_add(horizon).as_nanos();
        if self.closed_until > latest {
            self.closed_until = latest;
            self.changed = true;
        }
        for (_, until) in &mut self.entries {
            if *until > latest {
                *until = latest;
                self.changed = true;
            }
        }
        // On `until` itself it is still good.
        self.entries.retain(|(_, until)| *until >= now.as_nanos());
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
