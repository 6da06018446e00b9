//! How long to hold a lease, and how long to wait for the next fetch: the arithmetic of everything that is fetched
//! once for all workers.

use std::time::Duration;

use crate::{
    store::{Expected, Versioned},
    time::nanos,
};

/// How much longer than all calls of a fetch a lease lasts; then its holder is taken for dead.
pub(crate) const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// After the first failure in a row; doubled with each further one.
pub(crate) const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// 3/4 to 7/8 of `lifetime`: ahead of its end, and not all Envoys at once.
pub(crate) fn ahead_of(lifetime: Duration, random: u64) -> Duration {
    let eighth = lifetime.checked_div(8).unwrap_or_default();
    eighth.saturating_mul(6).saturating_add(fraction(eighth, random))
}

/// After `failures` earlier ones: doubled each time up to `longest`, plus up to a half.
pub(crate) fn backoff(failures: u32, longest: Duration, random: u64) -> Duration {
    let pause = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(failures)).min(longest);
    pause.saturating_add(fraction(pause.checked_div(2).unwrap_or_default(), random))
}

/// What a writer who read `stored` expects to find.
pub(crate) fn expected(stored: Option<&Versioned>) -> Expected {
    stored.map_or(Expected::Absent, |stored| Expected::Version(stored.version))
}

/// `of` times a number from 0 to 1 that `random` gives.
fn fraction(of: Duration, random: u64) -> Duration {
    // The upper 64 bits of a 128-bit product.
    let product = u128::from(nanos(of)).saturating_mul(u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(product).unwrap_or(0))
}
