//! Changing what all workers share: read, change, write if nobody else wrote meanwhile, and again if somebody did.

use super::{Expected, SharedStore, StoreError};

/// What is to stand in place of what is stored, or `None` where it may stay.
pub type Change<'c> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'c;

/// Makes of the value under `key` what `change` says, at most `tries` times over.
///
/// `change` is given what is stored (`None`: nothing) and answers what is to stand there instead; `None`: it may stay as
/// it is. It is asked anew each time somebody else wrote first, so what it sets aside counts from its last call. Bytes
/// that stand there already are not written again.
///
/// # Errors
/// [`StoreError::Conflict`]: every race was lost, and nothing was written. What that means is for the caller to say: a
/// request that depends on it is refused, a fetch comes late.
/// [`StoreError::Unavailable`]: the store did not answer.
///
/// Slots of rate limits are changed by a loop of their own, since all limits of a request are charged or none
/// (`rate_limit::charging`).
///
/// ```
/// use portcullis::store::{MemoryStore, SharedStore, update};
///
/// let store = MemoryStore::default();
/// let mut count = |stored: Option<&[u8]>| Some(vec![stored.and_then(<[u8]>::first).map_or(1, |n| n + 1)]);
/// update(&store, "visits", 4, &mut count)?;
/// update(&store, "visits", 4, &mut count)?;
/// assert_eq!(store.get("visits")?.map(|stored| stored.value), Some(vec![2]));
/// # Ok::<(), portcullis::store::StoreError>(())
/// ```
#[cold]
#[inline(never)]
pub fn update(
    store: &dyn SharedStore,
    key: &str,
    tries: usize,
    change: &mut Change<'_>,
) -> Result<(), StoreError> {
    for _ in 0..tries {
        let stored = store.get(key)?;
        let before = stored.as_ref().map(|stored| stored.value.as_slice());
        let Some(after) = change(before) else { return Ok(()) };
        if before == Some(&after) {
            return Ok(());
        }
        match store.replace(key, &after, Expected::of(stored.as_ref())) {
            Err(StoreError::Conflict) => {}
            written => return written,
        }
    }
    Err(StoreError::Conflict)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::store::{MemoryStore, Versioned};

    /// A store in which somebody else writes `lost` times between our reading and our writing.
    #[derive(Default)]
    struct Contended {
        store: MemoryStore,
        lost: Cell<usize>,
        reads: Cell<usize>,
        writes: Cell<usize>,
        fails_to: Option<&'static str>,
    }

    impl SharedStore for Contended {
        fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
            self.reads.set(self.reads.get().saturating_add(1));
            if self.fails_to == Some("read") { Err(StoreError::Unavailable) } else { self.store.get(key) }
        }

        fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
            if let Some(left) = self.lost.get().checked_sub(1) {
                self.lost.set(left);
                let stored = self.store.get(key).unwrap();
                self.store.replace(key, b"theirs", Expected::of(stored.as_ref())).unwrap();
            }
            if self.fails_to == Some("write") {
                return Err(StoreError::Unavailable);
            }
            self.writes.set(self.writes.get().saturating_add(1));
            self.store.replace(key, value, expected)
        }
    }

    fn stored(store: &Contended) -> String {
        let stored = store.store.get("k").unwrap();
        stored.map_or("-".to_owned(), |stored| String::from_utf8(stored.value).unwrap())
    }

    #[test]
    fn a_change_is_made_of_what_is_stored_when_it_is_written() {
        // Appends, so that what was read shows.
        let append = |before: Option<&[u8]>| Some([before.unwrap_or_default(), b"+"].concat());
        for (lost, tries, expected, left) in [
            (0, 1, Ok(()), "+"),
            (1, 1, Err(StoreError::Conflict), "theirs"),
            (1, 2, Ok(()), "theirs+"),
            (3, 4, Ok(()), "theirs+"),
            (4, 4, Err(StoreError::Conflict), "theirs"),
            (0, 0, Err(StoreError::Conflict), "-"),
        ] {
            let store = Contended { lost: lost.into(), ..Contended::default() };
            let mut calls = 0_usize;
            let outcome = update(&store, "k", tries, &mut |before| {
                calls += 1;
                append(before)
            });
            assert_eq!((outcome, stored(&store).as_str()), (expected, left), "{lost} of {tries}");
            assert!(store.reads.get() <= tries && calls == store.reads.get(), "{lost} of {tries}");
        }
    }

    #[test]
    fn what_may_stay_is_not_written() {
        let changes: [(Option<&[u8]>, usize); 4] =
            [(None, 0), (Some(b"same"), 0), (Some(b"other"), 1), (Some(b""), 1)];
        for (change, writes) in changes {
            let store = Contended::default();
            store.store.replace("k", b"same", Expected::Absent).unwrap();
            assert_eq!(update(&store, "k", 4, &mut |_| change.map(<[u8]>::to_vec)), Ok(()));
            assert_eq!(store.writes.get(), writes, "{change:?}");
        }
    }

    #[test]
    fn a_store_that_does_not_answer_is_asked_once() {
        for what in ["read", "write"] {
            let store = Contended { fails_to: Some(what), ..Contended::default() };
            let outcome = update(&store, "k", 4, &mut |_| Some(b"ours".to_vec()));
            assert_eq!((outcome, store.reads.get()), (Err(StoreError::Unavailable), 1), "{what}");
            assert_eq!(stored(&store), "-");
        }
    }
}
