//! Sets of small numbers: what is held and what is asked, compared by words.

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    /// Numbers up to 63. Most policies need no more, and for them no other memory is read.
    first: u64,
    /// Numbers from 64 on.
    more: Vec<u64>,
}

impl Bits {
    pub(super) const NONE: Self = Self { first: 0, more: Vec::new() };

    pub(super) fn insert(&mut self, bit: usize) {
        let mask = 1_u64.checked_shl(u32::try_from(bit % 64).unwrap_or(0)).unwrap_or(0);
        let stored = match (bit / 64).checked_sub(1) {
            None => &mut self.first,
            Some(word) => {
                if self.more.len() <= word {
                    self.more.resize(word.saturating_add(1), 0);
                }
                let Some(stored) = self.more.get_mut(word) else { return };
                stored
            }
        };
        *stored |= mask;
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.first |= other.first;
        if self.more.len() < other.more.len() {
            self.more.resize(other.more.len(), 0);
        }
        for (mine, theirs) in self.more.iter_mut().zip(&other.more) {
            *mine |= theirs;
        }
    }

    /// What is in this set and not in `other`, in order.
    pub(super) fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let mine = [self.first].into_iter().chain(self.more.iter().copied());
        let theirs = [other.first].into_iter().chain(other.more.iter().copied()).chain(std::iter::repeat(0));
        let words = mine.zip(theirs).map(|(mine, theirs)| mine & !theirs).enumerate();
        words.filter(|(_, word)| *word != 0).flat_map(|(place, word)| {
            let bits = (0_u32..64).filter(move |bit| word.checked_shr(*bit).unwrap_or(0) & 1 == 1);
            bits.filter_map(move |bit| place.checked_mul(64)?.checked_add(usize::try_from(bit).ok()?))
        })
    }

    #[inline]
    pub(super) fn covers(&self, other: &Self) -> bool {
        let mut pairs = other.more.iter().enumerate();
        self.first & other.first == other.first
            && pairs.all(|(i, word)| self.more.get(i).copied().unwrap_or(0) & word == *word)
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.first & other.first != 0 || self.more.iter().zip(&other.more).any(|(a, b)| a & b != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Bits;

    proptest! {
        #[test]
        fn bits_are_sets(
            a in prop::collection::btree_set(0_usize..200, 0..6),
            b in prop::collection::btree_set(0_usize..200, 0..6),
        ) {
            let bits = |set: &std::collections::BTreeSet<usize>| {
                let mut bits = Bits::default();
                set.iter().for_each(|bit| bits.insert(*bit));
                bits
            };
            let mut union = bits(&a);
            union.extend(&bits(&b));
            prop_assert_eq!(&union, &bits(&a.union(&b).copied().collect()));
            prop_assert!(union.covers(&bits(&b)) && union.covers(&bits(&a)));
            prop_assert_eq!(bits(&a).covers(&bits(&b)), a.is_superset(&b));
            prop_assert_eq!(bits(&a).meets(&bits(&b)), !a.is_disjoint(&b));
            let (a_bits, b_bits) = (bits(&a), bits(&b));
            prop_assert!(a_bits.without(&b_bits).eq(a.difference(&b).copied()));
        }
    }
}
