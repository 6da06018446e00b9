//! Challenges of ceremonies (WebAuthn Level 3, section 13.4.3), of which nothing is kept: a challenge says itself when it
//! was made and what for, and a keyed hash vouches for that and for what it is bound to.

use std::time::Duration;

use crate::{
    crypto::{Algorithm, SecretKey, constant_time_eq, sha256},
    time::Timestamp,
};

/// How far the clock of the gateway may be ahead that made it.
const FUTURE: Duration = Duration::from_secs(60);

/// The form of a challenge: change it with the form.
const VERSION: u8 = 1;

const HEAD: usize = 3 + 8 + RANDOM;
const RANDOM: usize = 16;
const TAG: usize = 32;

/// What a ceremony is for. A challenge that was made for one is good for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To make a passkey.
    Registration,
    /// To make one without a dialogue of its own (conditional mediation).
    ConditionalRegistration,
    /// To sign in.
    SignIn,
    /// To confirm one operation.
    Operation,
    /// To confirm one operation, and its body.
    OperationWithBody,
}

/// What a challenge is bound to. Whoever answers it must be given the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoundTo<'a> {
    /// The relying party.
    pub rp_id: &'a str,
    /// The origin of the page that asked for it: one that begins a ceremony may not have it ended by another. `None`: what
    /// asked said no origin, as programs do.
    pub origin: Option<&'a str>,
    /// Whose account it is for; empty: anybody's.
    pub account: &'a str,
    /// The operation; empty: none.
    pub operation: &'a [u8],
}

/// Keys for challenges: the first makes them, all of them vouch. `Debug` shows none.
#[derive(Clone, Debug)]
pub struct ChallengeKeys(Vec<SecretKey>);

/// What a challenge says of itself, before anybody has vouched for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    bytes: &'a [u8],
    /// What it was made for.
    pub purpose: Purpose,
    has_origin: bool,
    issued_at: Timestamp,
}

/// Why a challenge is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeError {
    /// None of ours, or for something else.
    Unknown,
    /// Its time is over.
    Expired,
}

impl Purpose {
    const ALL: [(u8, Self); 5] = [
        (1, Self::Registration),
        (2, Self::ConditionalRegistration),
        (3, Self::SignIn),
        (4, Self::Operation),
        (5, Self::OperationWithBody),
    ];

    fn code(self) -> u8 {
        Self::ALL.iter().find(|(_, purpose)| *purpose == self).map_or(0, |(code, _)| *code)
    }

    fn of(code: u8) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == code).map(|(_, purpose)| *purpose)
    }
}

impl ChallengeKeys {
    /// `secrets`: the one that makes challenges first. None: no challenge is good.
    pub fn new(secrets: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self(secrets.into_iter().map(|secret| SecretKey::new(&secret)).collect())
    }

    /// A challenge for `purpose`; `None` without a key.
    pub fn make(
        &self,
        purpose: Purpose,
        to: &BoundTo<'_>,
        now: Timestamp,
        random: [u8; RANDOM],
    ) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(HEAD.saturating_add(TAG));
        bytes.extend([VERSION, purpose.code(), u8::from(to.origin.is_some())]);
        bytes.extend(now.as_nanos().to_be_bytes());
        bytes.extend(random);
        let tag = tag(self.0.first()?, &bytes, to)?;
        bytes.extend(tag);
        Some(bytes)
    }

    /// Under what the use of `challenge` is noted: a keyed hash, so that nobody can fill one place with challenges.
    pub fn place(&self, challenge: &[u8]) -> Option<[u8; 32]> {
        let message = [&b"passkey challenge used:"[..], challenge].concat();
        self.0.first()?.tag(Algorithm::Hs256, &message)?.try_into().ok()
    }

    /// Whether `challenge` is one of ours, bound to the same, and not older than `lifetime`: until when it is good.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(
        &self,
        challenge: Challenge<'_>,
        to: &BoundTo<'_>,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Timestamp, ChallengeError> {
        let to = BoundTo { origin: to.origin.filter(|_| challenge.has_origin), ..*to };
        let (head, given) = challenge.bytes.split_at_checked(HEAD).ok_or(ChallengeError::Unknown)?;
        let vouches = |key: &SecretKey| tag(key, head, &to).is_some_and(|tag| constant_time_eq(&tag, given));
        if !self.0.iter().any(vouches) {
            return Err(ChallengeError::Unknown);
        }
        let until = challenge.issued_at.saturating_add(lifetime);
        if challenge.issued_at > now.saturating_add(FUTURE) || until < now {
            return Err(ChallengeError::Expired);
        }
        Ok(until)
    }
}

impl<'a> Challenge<'a> {
    /// Reads what a challenge says of itself; `None`: it is none of ours.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() != HEAD.saturating_add(TAG) {
            return None;
        }
        let ([version, purpose, origin], rest) = bytes.split_first_chunk()?;
        let (issued_at, _) = rest.split_first_chunk()?;
        if *version != VERSION || *origin > 1 {
            return None;
        }
        Some(Self {
            bytes,
            purpose: Purpose::of(*purpose)?,
            has_origin: *origin == 1,
            issued_at: Timestamp::from_nanos(u64::from_be_bytes(*issued_at)),
        })
    }

    /// The challenge.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Every part has its length before it, or is of fixed length, so that no two bindings give the same bytes.
fn tag(key: &SecretKey, head: &[u8], to: &BoundTo<'_>) -> Option<Vec<u8>> {
    let parts =
        [to.rp_id.as_bytes(), to.origin.unwrap_or_default().as_bytes(), to.account.as_bytes(), to.operation];
    let mut message = b"passkey challenge:".to_vec();
    message.extend(head);
    parts.iter().for_each(|part| message.extend(sha256(part)));
    key.tag(Algorithm::Hs256, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const LIFETIME: Duration = Duration::from_secs(300);
    const HERE: BoundTo<'_> = BoundTo {
        rp_id: "example.org",
        origin: Some("https://example.org"),
        account: "alice",
        operation: b"o1",
    };

    fn keys(secrets: &[u8]) -> ChallengeKeys {
        ChallengeKeys::new(secrets.iter().map(|secret| [*secret; 32]))
    }

    fn verify(
        keys: &ChallengeKeys,
        bytes: &[u8],
        to: &BoundTo<'_>,
        now: Timestamp,
    ) -> Result<Timestamp, ChallengeError> {
        let challenge = Challenge::read(bytes).ok_or(ChallengeError::Unknown)?;
        keys.verify(challenge, to, LIFETIME, now)
    }

    #[test]
    fn a_challenge_is_good_for_what_it_was_made_for_alone() {
        let ours = keys(&[1]);
        let made = ours.make(Purpose::SignIn, &HERE, NOW, [7; 16]).unwrap();
        assert_eq!(verify(&ours, &made, &HERE, NOW), Ok(NOW.saturating_add(LIFETIME)));
        assert_eq!(Challenge::read(&made).unwrap().purpose, Purpose::SignIn);
        for other in [
            BoundTo { rp_id: "example.com", ..HERE },
            BoundTo { origin: Some("https://evil.example.org"), ..HERE },
            BoundTo { origin: None, ..HERE },
            BoundTo { account: "mallory", ..HERE },
            BoundTo { account: "", ..HERE },
            BoundTo { operation: b"o2", ..HERE },
            BoundTo { account: "aliceo", operation: b"1", ..HERE },
        ] {
            assert_eq!(verify(&ours, &made, &other, NOW), Err(ChallengeError::Unknown), "{other:?}");
        }
        for place in 0..made.len() {
            let mut changed = made.clone();
            *changed.get_mut(place).unwrap() ^= 1;
            assert_eq!(verify(&ours, &changed, &HERE, NOW), Err(ChallengeError::Unknown), "byte {place}");
        }
        for wrong in [&made[1..], &made[..made.len() - 1], &[], &[&made[..], b"x"].concat()] {
            assert_eq!(verify(&ours, wrong, &HERE, NOW), Err(ChallengeError::Unknown));
        }
    }

    #[test]
    fn what_asked_without_an_origin_may_answer_with_any_that_is_allowed() {
        let ours = keys(&[1]);
        let made = ours.make(Purpose::SignIn, &BoundTo { origin: None, ..HERE }, NOW, [7; 16]).unwrap();
        assert!(verify(&ours, &made, &HERE, NOW).is_ok());
    }

    #[test]
    fn a_challenge_has_its_time() {
        let ours = keys(&[1]);
        let made = ours.make(Purpose::Registration, &HERE, NOW, [7; 16]).unwrap();
        let later = |secs| NOW.saturating_add(Duration::from_secs(secs));
        for (now, expected) in [
            (later(300), Ok(later(300))),
            (later(301), Err(ChallengeError::Expired)),
            (NOW.saturating_sub(FUTURE), Ok(later(300))),
            (NOW.saturating_sub(Duration::from_secs(61)), Err(ChallengeError::Expired)),
        ] {
            assert_eq!(verify(&ours, &made, &HERE, now), expected, "{now:?}");
        }
    }

    #[test]
    fn keys_overlap() {
        let made = |keys: &ChallengeKeys| keys.make(Purpose::SignIn, &HERE, NOW, [7; 16]).unwrap();
        let (old, both, new) = (keys(&[1]), keys(&[2, 1]), keys(&[2]));
        assert!(verify(&both, &made(&old), &HERE, NOW).is_ok());
        assert!(verify(&new, &made(&both), &HERE, NOW).is_ok());
        assert_eq!(verify(&new, &made(&old), &HERE, NOW), Err(ChallengeError::Unknown));
        assert_eq!(keys(&[]).make(Purpose::SignIn, &HERE, NOW, [7; 16]), None);
        assert!(!format!("{both:?}").contains('2'));
    }
}
