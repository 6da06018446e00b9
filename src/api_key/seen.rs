//! Which keys were presented before, so that SHA-256 is worked out once for a key and not on each of its requests.
//!
//! A key is known again by a keyed hash of 128 bits whose secret nobody knows: whoever wants to pass for a key that was
//! seen has to guess such a hash. No key is kept.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Keys that were found, each with what is known of it.
#[derive(Debug)]
pub(crate) struct SeenKeys<T> {
    /// `None` while there was no randomness to make it with; then no key is known again.
    secret: Option<[u8; 16]>,
    /// Each tag leads to one place, which holds the last key that was put there. Empty until the first one.
    places: Vec<Option<Seen<T>>>,
    /// How many there are to be: a power of two.
    wanted: usize,
}

#[derive(Clone, Debug)]
struct Seen<T> {
    tag: [u64; 2],
    known: T,
}

/// What a key is known by.
#[derive(Clone, Copy)]
pub(crate) struct Tag([u64; 2]);

impl<T: Clone> SeenKeys<T> {
    /// With so many places, or some more. With twice as many as there are keys, few share one.
    pub(crate) fn new(places: usize) -> Self {
        let wanted = places.next_power_of_two();
        Self { secret: None, places: Vec::new(), wanted }
    }

    /// `None`: it cannot be known again.
    pub(crate) fn tag(&mut self, key: &[u8], random: &dyn Fn() -> Option<[u8; 16]>) -> Option<Tag> {
        if self.secret.is_none() {
            self.secret = random();
        }
        let mut hasher = SipHasher24::new_with_key(&self.secret?);
        hasher.write(key);
        let tag = hasher.finish128();
        Some(Tag([tag.h1, tag.h2]))
    }

    /// What is known of the key of `tag`.
    pub(crate) fn find(&self, tag: Tag) -> Option<T> {
        let seen = self.places.get(self.index(tag))?.as_ref()?;
        (seen.tag == tag.0).then(|| seen.known.clone())
    }

    /// Knows the key of `tag` from now on.
    pub(crate) fn insert(&mut self, tag: Tag, known: T) {
        if self.places.is_empty() {
            self.places.resize(self.wanted, None);
        }
        let index = self.index(tag);
        if let Some(free) = self.places.get_mut(index) {
            *free = Some(Seen { tag: tag.0, known });
        }
    }

    /// Knows none from now on.
    pub(crate) fn clear(&mut self) {
        self.places.clear();
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
        let mut seen = SeenKeys::new(6);
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
    fn places_are_a_power_of_two() {
        for (wanted, places) in [(0, 1), (1, 1), (2, 2), (20, 32), (1 << 18, 1 << 18)] {
            let mut seen = SeenKeys::new(wanted);
            let tag = seen.tag(b"one", &|| Some([7; 16])).unwrap();
            seen.insert(tag, 0);
            assert_eq!((seen.places.len(), seen.find(tag)), (places, Some(0)), "{wanted}");
            seen.clear();
            assert_eq!(seen.find(tag), None);
            seen.insert(tag, 1);
            assert_eq!((seen.places.len(), seen.find(tag)), (places, Some(1)), "{wanted}");
        }
    }

    #[test]
    fn the_secret_stays() {
        let mut seen = SeenKeys::<u32>::new(1);
        let mut tag = |secret| seen.tag(b"one", &|| Some([secret; 16])).unwrap().0;
        assert_eq!(tag(1), tag(2));
    }
}
