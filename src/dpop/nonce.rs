//! Nonces that clients must put into their proofs (RFC 9449 sections 8 and 9).
//!
//! A nonce is a keyed hash of the time, so nobody can make one for later, every worker knows it without being
//! told, and nothing is stored. With nonces a proof cannot be prepared long before it is used, whatever `iat` says.

use std::time::Duration;

use super::{DpopSecret, secret::Use};
use crate::{
    crypto::constant_time_eq,
    text::base64url,
    time::{Timestamp, nanos},
};

/// The nonces of one moment.
#[derive(Clone, Debug)]
pub struct Nonces {
    current: String,
    previous: Option<String>,
}

/// How a nonce stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// The one that is handed out now.
    Current,
    /// The one before: accepted, but the client should be given the current one.
    Previous,
    /// Any other text.
    Unknown,
}

impl Nonces {
    /// The nonces at `now`. A nonce is handed out for `lifetime` and accepted for as long again. `None` for a
    /// lifetime of zero.
    pub fn at(secret: &DpopSecret, lifetime: Duration, now: Timestamp) -> Option<Self> {
        let slot = now.as_nanos().checked_div(nanos(lifetime))?;
        // The lifetime is hashed, too, so that a nonce that was made for a shorter lifetime is not accepted for longer.
        let nonce = |slot: u64| {
            let parts: [&[u8]; 2] = [&nanos(lifetime).to_le_bytes(), &slot.to_le_bytes()];
            Some(base64url::encode(&secret.hash(Use::Nonce, &parts)?))
        };
        Some(Self { current: nonce(slot)?, previous: slot.checked_sub(1).and_then(nonce) })
    }

    /// The nonce to hand out.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// How `nonce` stands.
    pub fn judge(&self, nonce: &str) -> Freshness {
        let is = |ours: &str| constant_time_eq(ours.as_bytes(), nonce.as_bytes());
        match &self.previous {
            _ if is(&self.current) => Freshness::Current,
            Some(previous) if is(previous) => Freshness::Previous,
            _ => Freshness::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_nonce_lives_for_one_to_two_lifetimes() {
        let secret = |random| DpopSecret::load_or_create(&MemoryStore::default(), "t", random).unwrap();
        let lifetime = Duration::from_secs(60);
        let at = |secs| Nonces::at(&secret([1; 32]), lifetime, Timestamp::from_secs(secs)).unwrap();
        let given = at(600).current().to_owned();
        assert_eq!(given.len(), 43);
        for (secs, expected) in [
            (599, Freshness::Unknown),
            (600, Freshness::Current),
            (659, Freshness::Current),
            (660, Freshness::Previous),
            (719, Freshness::Previous),
            (720, Freshness::Unknown),
        ] {
            assert_eq!(at(secs).judge(&given), expected, "{secs}");
        }
        for wrong in ["", "x", &given.to_lowercase(), &format!("{given}="), given.get(1..).unwrap()] {
            assert_eq!(at(600).judge(wrong), Freshness::Unknown, "{wrong}");
        }
        // Other workers agree, other secrets and lifetimes do not.
        let other =
            |random, lifetime| Nonces::at(&secret(random), lifetime, Timestamp::from_secs(600)).unwrap();
        assert_eq!(other([1; 32], lifetime).judge(&given), Freshness::Current);
        assert_eq!(other([2; 32], lifetime).judge(&given), Freshness::Unknown);
        assert_eq!(other([1; 32], Duration::from_secs(600)).judge(&given), Freshness::Unknown);
        assert!(Nonces::at(&secret([1; 32]), Duration::ZERO, Timestamp::from_secs(1)).is_none());
        assert_eq!(
            Nonces::at(&secret([1; 32]), lifetime, Timestamp::default()).unwrap().judge(""),
            Freshness::Unknown
        );
    }
}
