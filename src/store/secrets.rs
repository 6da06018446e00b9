//! Secrets of ours that the store keeps for all workers: made by whoever is first, then the same for all.

use std::cell::OnceCell;

use super::{SharedStore, StoreError, update};

/// How often a lost race is run again. All that can be lost to is another worker that makes the same secret.
const TRIES: usize = 8;

/// A secret that a worker reads when it first needs it. `T` is what is made of its bytes.
#[derive(Debug)]
pub struct SharedSecret<T> {
    made: OnceCell<T>,
}

impl<T> Default for SharedSecret<T> {
    fn default() -> Self {
        Self { made: OnceCell::new() }
    }
}

impl<T> SharedSecret<T> {
    /// The secret, which `load` reads where this worker does not have it yet.
    #[inline]
    pub fn get(&self, load: impl FnOnce() -> Result<T, StoreError>) -> Result<&T, StoreError> {
        match self.made.get() {
            Some(secret) => Ok(secret),
            None => self.first(load),
        }
    }

    #[cold]
    #[inline(never)]
    fn first(&self, load: impl FnOnce() -> Result<T, StoreError>) -> Result<&T, StoreError> {
        let secret = load()?;
        Ok(self.made.get_or_init(|| secret))
    }
}

/// `N` bytes from `draw`, which gives 16 unpredictable ones at a time, or none.
pub fn random_bytes<const N: usize>(draw: &dyn Fn() -> Option<[u8; 16]>) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    for part in bytes.chunks_mut(16) {
        let drawn = draw().ok_or(StoreError::Unavailable)?;
        part.copy_from_slice(drawn.get(..part.len()).ok_or(StoreError::Unavailable)?);
    }
    Ok(bytes)
}

/// The secret that the store holds under `key`, or `random` after storing it there.
///
/// `random` must come from a good source of randomness and is used by at most one worker: of several that start at
/// once, all end up with the same secret. Stored bytes of another length are no secret and are replaced.
/// [`StoreError::Unavailable`] if the store does not answer, or other workers always write first; try again with the
/// next request.
pub fn shared_secret<const N: usize>(
    store: &dyn SharedStore,
    key: &str,
    random: [u8; N],
) -> Result<[u8; N], StoreError> {
    let mut secret = None;
    // Read again after a success, too, because what the store holds counts, not what was written.
    for _ in 0..2 {
        update(store, key, TRIES, &mut |stored| {
            secret = stored.and_then(|stored| stored.try_into().ok());
            secret.is_none().then(|| random.to_vec())
        })
        .map_err(|_| StoreError::Unavailable)?;
        if let Some(secret) = secret {
            return Ok(secret);
        }
    }
    Err(StoreError::Unavailable)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn the_store_is_asked_once_and_again_after_a_failure() {
        let (store, secret) = (MemoryStore::default(), SharedSecret::default());
        let (draws, dry) = (Cell::new(0_usize), Cell::new(true));
        let draw = || {
            draws.set(draws.get().saturating_add(1));
            (!dry.get()).then_some([7; 16])
        };
        let load = || shared_secret::<24>(&store, "secret", random_bytes(&draw)?);
        assert_eq!(secret.get(load), Err(StoreError::Unavailable));
        dry.set(false);
        assert_eq!(secret.get(load), Ok(&[7; 24]));
        assert_eq!(secret.get(|| Err(StoreError::Unavailable)), Ok(&[7; 24]));
        assert_eq!(draws.get(), 3);
        // Another worker draws in vain: the first one's counts.
        assert_eq!(SharedSecret::default().get(|| shared_secret(&store, "secret", [8; 24])), Ok(&[7; 24]));
    }
}
