//! Each proof is accepted once (RFC 9449 section 11.1).
//!
//! Proofs of before Envoy was started are not known; a nonce closes that gap, for its secret is new as well.

use std::time::Duration;

use super::{DpopSecret, FUTURE, LONGEST_MAX_AGE, Proof, secret::Use};
use crate::{
    replay::{ReplayError, Table},
    store::SharedStore,
    time::Timestamp,
};

const TABLE: Table = Table {
    name: "dpop",
    // No proof is accepted for longer.
    horizon: Duration::from_secs(LONGEST_MAX_AGE.as_secs().saturating_add(FUTURE.as_secs())),
};

/// Takes `proof` for used, and says whether it was not so before: `Ok(true)` exactly once for a key and `jti`, over all
/// workers, as long as the proof is accepted.
///
/// # Errors
/// It cannot be known.
pub fn claim(
    proof: &Proof,
    secret: &DpopSecret,
    store: &dyn SharedStore,
    namespace: &str,
    now: Timestamp,
) -> Result<bool, ReplayError> {
    let hash =
        secret.hash(Use::Replay, &[&proof.key, proof.jti.as_bytes()]).ok_or(ReplayError::Unavailable)?;
    TABLE.claim(&hash, proof.not_after, store, namespace, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn an_id_is_used_once_for_each_key() {
        let store = MemoryStore::default();
        let secret = DpopSecret::load_or_create(&MemoryStore::default(), "t", [7; 32]).unwrap();
        let at = Timestamp::from_secs;
        let proof =
            |key: u8, jti: &str| Proof { key: [key; 32], jti: jti.into(), nonce: None, not_after: at(160) };
        for (proof, now, expected) in [
            (proof(1, "a"), 100, Ok(true)),
            (proof(1, "a"), 160, Ok(false)),
            (proof(2, "a"), 100, Ok(true)),
            (proof(1, "b"), 100, Ok(true)),
            (proof(1, "A"), 100, Ok(true)),
            // Forgotten when it is too old to be accepted.
            (proof(1, "a"), 161, Ok(true)),
        ] {
            assert_eq!(claim(&proof, &secret, &store, "t", at(now)), expected, "{proof:?} {now}");
        }
    }
}
