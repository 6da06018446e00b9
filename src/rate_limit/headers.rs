//! `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10) and `Retry-After`.
//!
//! The draft's fields are lists of Strings with parameters (RFC 9651). A policy is named after its limit,
//! `"reads"`; where a limit has several windows, the length tells them apart: `"reads/60s"`. Names of limits
//! hold nothing that a String would have to escape, and no `/`.

use std::{borrow::Cow, fmt::Write, time::Duration};

use super::{admission::Standing, limits::Limiter};

/// Both fields with their names; none where no limit applied.
pub(crate) fn all<'a>(
    limiter: &Limiter,
    standings: &[Standing],
) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> + use<'a> {
    let fields = (!standings.is_empty()).then(|| {
        [
            ("ratelimit-policy", Cow::Owned(policy(limiter, standings))),
            ("ratelimit", Cow::Owned(rate_limit(limiter, standings))),
        ]
    });
    fields.into_iter().flatten()
}

/// The value of `RateLimit-Policy`: `"reads";q=100;w=60`. Empty where there are no standings; do not send it then.
///
/// `burst`, a parameter of our own, says how many requests are admitted at once where that is not `q`.
pub fn policy<'a>(limiter: &Limiter, standings: impl IntoIterator<Item = &'a Standing>) -> String {
    let mut value = String::new();
    for standing in standings {
        write_name(&mut value, limiter, standing);
        let quota = &standing.quota;
        // INVARIANT: writing to a String cannot fail.
        let _ = write!(value, ";q={};w={}", quota.requests(), quota.window_secs());
        if quota.burst() != quota.requests() {
            let _ = write!(value, ";burst={}", quota.burst());
        }
    }
    value
}

/// The value of `RateLimit`: `"reads";r=42;t=17`. Empty where there are no standings; do not send it then.
///
/// `r` is what would be admitted at once; `t` is in how many seconds, rounded up, the whole burst is
/// available again if nothing is sent until then.
pub fn rate_limit<'a>(limiter: &Limiter, standings: impl IntoIterator<Item = &'a Standing>) -> String {
    let mut value = String::new();
    for standing in standings {
        write_name(&mut value, limiter, standing);
        let _ = write!(value, ";r={};t={}", standing.remaining, whole_secs(standing.reset_after));
    }
    value
}

/// The value of `Retry-After` (RFC 9110 section 10.2.3): seconds, rounded up, at least 1.
pub fn retry_after(wait: Duration) -> u64 {
    whole_secs(wait).max(1)
}

fn whole_secs(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() != 0))
}

fn write_name(value: &mut String, limiter: &Limiter, standing: &Standing) {
    if !value.is_empty() {
        value.push_str(", ");
    }
    let name = limiter.name(standing.limit);
    let _ = match standing.only_window {
        true => write!(value, "\"{name}\""),
        false => write!(value, "\"{name}/{}s\"", standing.quota.window_secs()),
    };
}
