//! Tokens for which there is no key: whether to fetch for their sake, and whether to wait for it.

use std::time::Duration;

use super::RemoteKeys;
use crate::{store::SharedStore, time::Timestamp};

/// How often one worker brings a fetch forward, at most.
const WANTED_PAUSE: Duration = Duration::from_secs(1);
/// The least `retry-after`.
const LEAST_RETRY_AFTER: Duration = Duration::from_secs(1);

impl RemoteKeys {
    /// To be told of a token with the provider's `iss` and otherwise good claims that names a `kid` which no key has.
    /// Brings the next fetch forward, at most once in `min_refetch_interval` over all workers, and not while fetches
    /// fail.
    ///
    /// First picks up what other workers published since the last tick, so that a key that one of them has found is
    /// known to all. Answers whether that brought another set, which may have the key.
    pub fn note_unknown_kid(&mut self, kid: &str, now: Timestamp, store: &dyn SharedStore) -> bool {
        let Ok(is_another) = self.fetched.look_again(now, store, &mut self.kept) else { return false };
        if !self.is_quiet(kid, now) {
            self.bring_forward(kid, now, store);
        }
        is_another
    }

    /// To be told of a token with the provider's `iss` and otherwise good claims that names a key of the set, or
    /// none, and whose signature none of the keys made: its key may have been replaced by another of the same name.
    /// As an unknown `kid` does, this brings the next fetch forward, within the same bounds, and the answer is the
    /// same.
    ///
    /// Anyone can make such tokens by changing a token that they have seen. So nearly all of them are passed over,
    /// without a look into the store.
    pub fn note_wrong_signature(
        &mut self,
        kid: Option<&str>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> bool {
        let kid = kid.unwrap_or_default();
        if self.is_quiet(kid, now) {
            return false;
        }
        match self.fetched.look_again(now, store, &mut self.kept) {
            // It is to be held against the other set first.
            Ok(true) => true,
            Ok(false) => {
                self.bring_forward(kid, now, store);
                false
            }
            Err(_) => {
                self.quiet_until = now.saturating_add(WANTED_PAUSE);
                false
            }
        }
    }

    /// Until when a request that comes at `now` may wait for keys: `wait_timeout`, while a fetch is due or under
    /// way. `None` where waiting is pointless: the last fetch failed, and the next one is not due.
    ///
    /// It goes by what the last tick saw. A request keeps the deadline that it was given first.
    pub fn may_come(&self, now: Timestamp) -> Option<Timestamp> {
        let until = now.saturating_add(self.wait_timeout);
        self.fetched.may_bring(now, until).then_some(until)
    }

    /// Until when a request may wait of whose token [`RemoteKeys::note_wrong_signature`] was told: only while a fetch
    /// is due now or under way and none fails, and only until one was made for the sake of its `kid` and brought
    /// nothing. So the first token of a new key finds it, and forged tokens wait for a moment now and then.
    pub fn may_be_replaced(&self, kid: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        let in_vain = self.kept.wanted.is_in_vain(kid.unwrap_or_default(), self.fetched_at(now)?, now);
        (self.fetched.is_coming(now) && !in_vain).then(|| now.saturating_add(self.wait_timeout))
    }

    /// When to come back for a request that found no keys: until the next fetch, at least a second.
    pub fn retry_after(&self, now: Timestamp) -> Duration {
        self.fetched.next_at(now).since(now).max(LEAST_RETRY_AFTER)
    }

    /// Whether nothing is to be brought forward for the sake of `kid` now.
    fn is_quiet(&self, kid: &str, now: Timestamp) -> bool {
        self.quiet_until.lies_ahead(now, WANTED_PAUSE) || self.kept.wanted.is_quiet(kid, now)
    }

    fn bring_forward(&mut self, kid: &str, now: Timestamp, store: &dyn SharedStore) {
        self.quiet_until = now.saturating_add(WANTED_PAUSE);
        if let Some(due_at) = self.fetched.bring_forward(now, store) {
            self.kept.wanted.note(kid, due_at);
        }
    }
}
