//! What is found at one place where a credential may stand, whatever kind of place that is.

use super::Lookup;

/// What stands at one place.
#[derive(Debug)]
pub(super) struct Sighting<T> {
    pub(super) found: Lookup<T>,
    /// Looser servers find something there besides.
    pub(super) has_alike: bool,
}

impl<T> Default for Sighting<T> {
    fn default() -> Self {
        Self { found: Lookup::Absent, has_alike: false }
    }
}

impl<T> Sighting<T> {
    /// Takes what was found; `None` stands for what cannot be decoded.
    pub(super) fn note(&mut self, value: Option<T>) {
        self.found = match (&self.found, value) {
            (Lookup::Absent, Some(value)) => Lookup::One(value),
            (Lookup::Absent, None) => Lookup::Malformed,
            _ => Lookup::Many,
        };
    }
}
