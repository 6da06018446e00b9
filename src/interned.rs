//! Equal values of a policy, kept once: of many rules in use, what they have in common is then read from a cache.

use std::rc::Rc;

/// How many different values are looked through, the latest first. More are kept, and may be kept twice: with
/// thousands of different ones the time to compile a policy would grow with their square.
const LOOKED_THROUGH: usize = 64;

/// What there is so far; by default nothing.
#[derive(Debug)]
pub(crate) struct Interned<T>(Vec<Rc<T>>);

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Interned<T> {
    /// The one that equals `value`; `value` itself, which joins the others, where none was found.
    pub(crate) fn one(&mut self, value: T) -> Rc<T> {
        let mut others = self.0.iter().rev().take(LOOKED_THROUGH);
        if let Some(other) = others.find(|other| ***other == value) {
            return Rc::clone(other);
        }
        let new = Rc::new(value);
        self.0.push(Rc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one() {
        let mut numbers = Interned::default();
        let (first, other) = (numbers.one(1), numbers.one(2));
        assert!(Rc::ptr_eq(&numbers.one(1), &first));
        assert!(Rc::ptr_eq(&numbers.one(2), &other));
        assert!(!Rc::ptr_eq(&first, &other));
        // Not looked for any more, and still right.
        (100..200).for_each(|number| _ = numbers.one(number));
        assert_eq!(*numbers.one(1), 1);
    }
}
