//! Places in lists as 32 bits: with thousands of rules a look-up costs what it misses in the caches.

/// No place in any list.
pub(super) const NONE: u32 = u32::MAX;

/// A place as an index; past the end of every list for [`NONE`].
pub(super) fn at(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// The place that the next item of a list gets. [`NONE`], which finds nothing, after four thousand
/// million; a policy document is far smaller.
pub(super) fn place_after<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(NONE)
}
