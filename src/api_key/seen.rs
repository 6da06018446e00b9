//! Which keys were presented before, so that SHA-256 is worked out once for a key and not on each of its requests.
//!
//! A key is known again by a keyed hash of 128 bits whose secret nobody knows: whoever wants to pass for a key that was
//! seen has to guess such a hash. No key is kept.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// How many keys are known again. A power of two.
const PLACES: usize = 4096;

/// Keys that were found, each with its place in the list of keys.
#[derive(Default)]
pub(super) struct SeenKeys {
    /// `None` while there was no randomness to make it with; then no key is known again.
    secret: Option<[u8; 16]>,
    /// Each tag has one place, which the last key has that came there. Empty until the first one.
    places: Vec<Option<(u128, u32)>>,
}

/// What a key is known by.
#[derive(Clone, Copy)]
pub(super) struct Tag(u128);

impl SeenKeys {
    /// `None`: it cannot be known again.
    pub(super) fn tag(&mut self, key: &[u8], random: &dyn Fn() -> Option<[u8; 16]>) -> Option<Tag> {
        if self.secret.is_none() {
            self.secret = random();
        }
        let mut hasher = SipHasher24::new_with_key(&self.secret?);
        hasher.write(key);
        Some(Tag(hasher.finish128().as_u128()))
    }

    /// The place in the list of keys of the one that is known by `tag`.
    pub(super) fn find(&self, tag: Tag) -> Option<u32> {
        let (seen, place) = (*self.places.get(index(tag))?)?;
        (seen == tag.0).then_some(place)
    }

    /// Knows from now on where the key of `tag` is.
    pub(super) fn insert(&mut self, tag: Tag, place: u32) {
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        if let Some(free) = self.places.get_mut(index(tag)) {
            *free = Some((tag.0, place));
        }
    }
}

fn index(tag: Tag) -> usize {
    let low = tag.0 & 0xffff_ffff;
    usize::try_from(low).unwrap_or_default() & (PLACES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_again_by_all_of_it() {
        let mut seen = SeenKeys::default();
        assert!(seen.tag(b"one", &|| None).is_none(), "no secret");
        let mut tag = |key: &[u8]| seen.tag(key, &|| Some([7; 16])).unwrap();
        let (one, other) = (tag(b"one"), tag(b"One"));
        assert_eq!(seen.find(one), None);
        seen.insert(one, 5);
        assert_eq!((seen.find(one), seen.find(other)), (Some(5), None));
        // Another key at the same place.
        let same_place = Tag(one.0 ^ (1 << 100));
        assert_eq!(seen.find(same_place), None);
        seen.insert(same_place, 6);
        assert_eq!((seen.find(one), seen.find(same_place)), (None, Some(6)));
        assert_eq!(seen.places.len(), PLACES);
    }

    #[test]
    fn the_secret_stays() {
        let mut seen = SeenKeys::default();
        let mut tag = |secret| seen.tag(b"one", &|| Some([secret; 16])).unwrap().0;
        assert_eq!(tag(1), tag(2));
    }
}
