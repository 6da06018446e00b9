//! Which keys were presented before, so that SHA-256 is worked out once for a key and not on each of its requests.
//!
//! A key is known again by a keyed hash of 128 bits whose secret nobody knows: whoever wants to pass for a key that was
//! seen has to guess such a hash. No key is kept.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// The most places, 8 MiB of them.
const MOST_PLACES: usize = 1 << 18;

/// Keys that were found, each with its place in the list of keys.
pub(super) struct SeenKeys {
    /// `None` while there was no randomness to make it with; then no key is known again.
    secret: Option<[u8; 16]>,
    /// Each tag leads to one place, which holds the last key that was put there. Empty until the first one.
    places: Vec<Option<Seen>>,
    /// How many there are to be: a power of two, twice the number of keys, so that few share one.
    wanted: usize,
}

#[derive(Clone, Copy)]
struct Seen {
    tag: [u64; 2],
    place: u32,
}

/// What a key is known by.
#[derive(Clone, Copy)]
pub(super) struct Tag([u64; 2]);

impl SeenKeys {
    /// For a list of so many keys. Only keys of the list are ever remembered.
    pub(super) fn new(keys: usize) -> Self {
        let wanted = keys.saturating_mul(2).min(MOST_PLACES).next_power_of_two();
        Self { secret: None, places: Vec::new(), wanted }
    }

    /// `None`: it cannot be known again.
    pub(super) fn tag(&mut self, key: &[u8], random: &dyn Fn() -> Option<[u8; 16]>) -> Option<Tag> {
        if self.secret.is_none() {
            self.secret = random();
        }
        let mut hasher = SipHasher24::new_with_key(&self.secret?);
        hasher.write(key);
        let tag = hasher.finish128();
        Some(Tag([tag.h1, tag.h2]))
    }

    /// The place in the list of keys of the one that is known by `tag`.
    pub(super) fn find(&self, tag: Tag) -> Option<u32> {
        let seen = (*self.places.get(self.index(tag))?)?;
        (seen.tag == tag.0).then_some(seen.place)
    }

    /// Knows from now on where the key of `tag` is.
    pub(super) fn insert(&mut self, tag: Tag, place: u32) {
        if self.places.is_empty() {
            self.places.resize(self.wanted, None);
        }
        let index = self.index(tag);
        if let Some(free) = self.places.get_mut(index) {
            *free = Some(Seen { tag: tag.0, place });
        }
    }

    fn index(&self, tag: Tag) -> usize {
        let [first, _] = tag.0;
        usize::try_from(first & 0xffff_ffff).unwrap_or_default() & self.wanted.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_again_by_all_of_it() {
        let mut seen = SeenKeys::new(3);
        assert!(seen.tag(b"one", &|| None).is_none(), "no secret");
        let mut tag = |key: &[u8]| seen.tag(key, &|| Some([7; 16])).unwrap();
        let (one, other) = (tag(b"one"), tag(b"One"));
        assert_eq!(seen.find(one), None);
        seen.insert(one, 5);
        assert_eq!((seen.find(one), seen.find(other)), (Some(5), None));
        // Another key at the same place.
        let same_place = Tag([one.0[0] ^ (1 << 40), one.0[1]]);
        assert_eq!(seen.find(same_place), None);
        seen.insert(same_place, 6);
        assert_eq!((seen.find(one), seen.find(same_place)), (None, Some(6)));
        assert_eq!(seen.places.len(), 8);
        // The other half counts too.
        assert_eq!(seen.find(Tag([same_place.0[0], !same_place.0[1]])), None);
    }

    #[test]
    fn places_for_the_keys_that_there_are() {
        assert_eq!(size_of::<Option<Seen>>() * MOST_PLACES, 8 << 20);
        for (keys, places) in [(0, 1), (1, 2), (10, 32), (100_000, 1 << 18), (usize::MAX, MOST_PLACES)] {
            let mut seen = SeenKeys::new(keys);
            let tag = seen.tag(b"one", &|| Some([7; 16])).unwrap();
            seen.insert(tag, 0);
            assert_eq!((seen.places.len(), seen.find(tag)), (places, Some(0)), "{keys}");
        }
    }

    #[test]
    fn the_secret_stays() {
        let mut seen = SeenKeys::new(1);
        let mut tag = |secret| seen.tag(b"one", &|| Some([secret; 16])).unwrap().0;
        assert_eq!(tag(1), tag(2));
    }
}
