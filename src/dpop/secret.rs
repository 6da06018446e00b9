//! The key behind nonces and the replay table: one for all workers, unknown to clients.

use crate::{
    crypto::{Algorithm, SecretKey},
    store::{SharedStore, StoreError, shared_secret},
};

/// A key for HMAC-SHA-256. Its `Debug` never shows it.
#[derive(Clone, Debug)]
pub struct DpopSecret(SecretKey);

/// What a keyed hash is for; two uses never give the same one.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Nonce,
    Replay,
}

impl DpopSecret {
    /// The secret that the store holds under `{namespace}/dpop-secret`, or `random` after storing it there. See
    /// [`shared_secret`].
    pub fn load_or_create(
        store: &dyn SharedStore,
        namespace: &str,
        random: [u8; 32],
    ) -> Result<Self, StoreError> {
        let secret = shared_secret(store, &format!("{namespace}/dpop-secret"), random)?;
        Ok(Self(SecretKey::new(&secret)))
    }

    /// The keyed hash of `parts`, all of which but the last have a fixed length.
    pub(super) fn hash(&self, purpose: Use, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let tag: &[u8] = match purpose {
            Use::Nonce => b"dpop nonce:",
            Use::Replay => b"dpop proof:",
        };
        let message = [tag, &parts.concat()].concat();
        self.0.tag(Algorithm::Hs256, &message)?.try_into().ok()
    }
}
