//! Each proof is accepted once: a bounded table of used proofs in shared state (RFC 9449 section 11.1).
//!
//! A proof's place is a keyed hash of its key and `jti`, so no client can aim at a slot. An entry stays until the
//! proof would be too old anyway. Of two workers that see the same proof at once, exactly one can write it.
//!
//! **Errs on the safe side:** a slot whose entries are all still needed takes no other proof, and a store that does
//! not answer none at all: the request is refused, never let through. A false *refusal* also comes from two proofs
//! with the same 64-bit fingerprint in one slot, which does not happen by chance.
//!
//! **Bounds:** [`SLOTS`] slots of [`ENTRIES`] entries of 16 bytes, made as they are needed: 262,144 proofs within
//! `maxAge`, at most 4.2 MB and the host's own. At 60 s that is enough for 2000 proofs a second on average, where a
//! slot holds 29 of them; one in some ten million is full then.
//!
//! **What it cannot know:** proofs of before Envoy was started, and, after `maxAge` was made longer by a new
//! policy, proofs that had expired under the old one. A nonce closes the first gap: its secret is new as well.

use std::{fmt, time::Duration};

use super::{DpopSecret, FUTURE, LONGEST_MAX_AGE, Proof, secret::Use};
use crate::{
    store::{SharedStore, update},
    time::Timestamp,
};

/// Slots of the table. A power of two.
pub const SLOTS: u64 = 4096;

/// Proofs that one slot can hold.
pub const ENTRIES: usize = 64;

/// Names the layout. Change it with the layout.
const MAGIC: &[u8; 8] = b"dpop-rt1";
const WORD: usize = 8;
const ENTRY: usize = 16;

/// How often a slot is read again after somebody else wrote it.
const ATTEMPTS: usize = 16;

/// Why it cannot be known whether a proof is new.
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
            Self::Unavailable => "the table of used proofs is not available",
        })
    }
}

impl std::error::Error for ReplayError {}

/// Takes `proof` for used, and says whether it was not so before: `Ok(true)` exactly once for a key and `jti`, over
/// all workers, as long as the proof is accepted.
pub fn claim(
    proof: &Proof,
    secret: &DpopSecret,
    store: &dyn SharedStore,
    namespace: &str,
    now: Timestamp,
) -> Result<bool, ReplayError> {
    let hash = secret.hash(Use::Replay, &[&proof.key, proof.jti.as_bytes()]);
    let (slot, fingerprint) = hash.and_then(|hash| place(&hash)).ok_or(ReplayError::Unavailable)?;
    let key = format!("{namespace}/dpop/{slot:03x}");
    let mut outcome = Err(ReplayError::Unavailable);
    let updated = update(store, &key, ATTEMPTS, &mut |stored| {
        let mut used =
            stored.map_or(Some(UsedProofs::default()), UsedProofs::read).unwrap_or(UsedProofs::CLOSED);
        outcome = used.take(fingerprint, proof.not_after, now);
        (outcome == Ok(true) || used.changed).then(|| used.write())
    });
    // Of a proof that could not be noted nobody knows whether it is used again.
    updated.map_err(|_| ReplayError::Unavailable).and(outcome)
}

/// The slot and the fingerprint within.
fn place(hash: &[u8; 32]) -> Option<(u64, u64)> {
    let (slot, rest) = hash.split_first_chunk()?;
    let slot = u64::from_le_bytes(*slot) & SLOTS.wrapping_sub(1);
    Some((slot, u64::from_le_bytes(*rest.first_chunk()?)))
}

/// The used proofs of one slot.
#[derive(Debug, Default)]
struct UsedProofs {
    /// Nanoseconds since the epoch; up to then the slot takes nothing. 0 for a slot that is in order.
    closed_until: u64,
    /// Fingerprints, and until when each is needed in nanoseconds since the epoch; at most [`ENTRIES`].
    entries: Vec<(u64, u64)>,
    /// It must be written even if the proof is refused.
    changed: bool,
}

impl UsedProofs {
    /// What stands for bytes that make no sense: nobody knows which proofs were used.
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

    /// Notes a proof; false if it is noted already.
    fn take(&mut self, fingerprint: u64, not_after: Timestamp, now: Timestamp) -> Result<bool, ReplayError> {
        self.expire(now);
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

    /// Forgets what is over. No proof is accepted for longer than [`horizon`], so what claims to be needed longer
    /// was damaged, or noted while the clock was wrong, and is kept just as long.
    fn expire(&mut self, now: Timestamp) {
        let latest = now.saturating_add(horizon()).as_nanos();
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
        // On `until` itself the proof is still accepted.
        self.entries.retain(|(_, until)| *until >= now.as_nanos());
    }
}

/// The longest time from now that any proof can be accepted.
fn horizon() -> Duration {
    LONGEST_MAX_AGE.saturating_add(FUTURE)
}

#[cfg(test)]
#[path = "replay_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
