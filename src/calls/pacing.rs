//! How long to wait for the next call: the arithmetic of everything that calls.

use std::time::Duration;

use crate::time::nanos;

/// Of fetched documents, after the first failure in a row; doubled with each further one.
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// `first`, doubled so many `times`, but no more than `longest`.
pub(crate) fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

/// After `failures` earlier ones: doubled each time up to `longest`, plus up to a half.
pub(crate) fn backoff(failures: u32, longest: Duration, random: u64) -> Duration {
    let pause = doubled(FIRST_BACKOFF, failures, longest);
    pause.saturating_add(fraction(pause.checked_div(2).unwrap_or_default(), random))
}

/// 3/4 to 7/8 of `lifetime`: ahead of its end, and not all Envoys at once.
pub(crate) fn ahead_of(lifetime: Duration, random: u64) -> Duration {
    let eighth = lifetime.checked_div(8).unwrap_or_default();
    eighth.saturating_mul(6).saturating_add(fraction(eighth, random))
}

/// `of` times a number from 0 to 1 that `random` gives.
fn fraction(of: Duration, random: u64) -> Duration {
    // The upper 64 bits of a 128-bit product.
    let product = u128::from(nanos(of)).saturating_mul(u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(product).unwrap_or(0))
}
