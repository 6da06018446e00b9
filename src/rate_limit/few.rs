//! A list whose first elements need no heap: most requests meet one limit with one or two windows.

/// A list in order of insertion, with room for `N` before it allocates.
#[derive(Clone, Debug)]
pub(super) struct Few<T, const N: usize> {
    // INVARIANT: filled from the front; `rest` is empty while one of them is free.
    first: [Option<T>; N],
    rest: Vec<T>,
}

impl<T, const N: usize> Default for Few<T, N> {
    fn default() -> Self {
        Self { first: [const { None }; N], rest: Vec::new() }
    }
}

impl<T, const N: usize> Few<T, N> {
    /// Adds to the end.
    pub(super) fn push(&mut self, value: T) {
        match self.first.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(value),
            None => self.rest.push(value),
        }
    }

    /// The elements in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().flatten().chain(&self.rest)
    }

    /// The elements in order, to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().flatten().chain(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_across_the_heap() {
        let mut few = Few::<u8, 2>::default();
        for n in 0..5 {
            few.push(n);
            assert_eq!(few.rest.len(), usize::from(n).saturating_sub(1));
        }
        few.iter_mut().for_each(|n| *n += 1);
        assert_eq!(few.iter().copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }
}
