//! A window of a limit as checked numbers: how often a request is due, and how much may be owed.

use std::time::Duration;

use super::WindowSpec;
use crate::fault::Fault;

/// The longest window, and the longest time that an empty bucket may take to fill.
///
/// It keeps every sum of an instant and a debt far inside `u64` nanoseconds until the year 2553.
pub const MAX_WINDOW: Duration = Duration::from_secs(366 * 86_400);

/// The highest rate: one request per microsecond.
///
/// Intervals are whole nanoseconds, rounded up; from a microsecond on that takes less than 0.1 % off the
/// promised rate. Below, a rate could come out at half of what was asked for.
pub const MAX_REQUESTS_PER_SECOND: u32 = 1_000_000;

/// What a window promises, as GCRA counts it.
///
/// The interval between requests is `per / requests` rounded **up** to a nanosecond, so rounding can only
/// withhold: a full bucket admits exactly `burst` requests at once, and any span of time `s` admits at most
/// `burst + s / interval` requests, which is never more than `burst + requests * s / per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    requests: u32,
    window_secs: u32,
    burst: u32,
    // INVARIANT: 1000 <= interval, burst >= 1, full_debt == interval * burst.
    interval: u64,
    full_debt: u64,
    /// It is one of several for the same window, which is counted in shares.
    varies: bool,
}

impl Quota {
    /// What a window comes to; the path of a fault is relative to it.
    pub fn compile(spec: &WindowSpec) -> Result<Self, Fault> {
        let per = spec.per.as_nanos();
        let highest = u128::from(MAX_REQUESTS_PER_SECOND).saturating_mul(spec.per.as_secs().into());
        let longest = MAX_WINDOW.as_nanos().saturating_mul(spec.requests.into());
        if spec.per.subsec_nanos() != 0 {
            return Err(Fault::new("window", "a window must be a whole number of seconds"));
        }
        if u128::from(spec.requests) > highest {
            return Err(Fault::new(
                "requests",
                format!("must be at most {MAX_REQUESTS_PER_SECOND} a second"),
            ));
        }
        if per.saturating_mul(spec.burst.into()) > longest {
            return Err(Fault::new("burst", "must be reached again within 366 days at this rate"));
        }
        Self::from_checked(spec, per)
            .ok_or_else(|| Fault::new("requests", "does not make a rate that can be counted"))
    }

    /// `None` where a number does not fit, which the checks of `compile` exclude.
    fn from_checked(spec: &WindowSpec, per: u128) -> Option<Self> {
        let interval = per.checked_add(u128::from(spec.requests).checked_sub(1)?)?;
        let interval = u64::try_from(interval.checked_div(spec.requests.into())?).ok()?;
        Some(Self {
            requests: spec.requests,
            window_secs: u32::try_from(spec.per.as_secs()).ok()?,
            burst: spec.burst,
            interval,
            full_debt: interval.checked_mul(spec.burst.into())?,
            varies: false,
        })
    }

    /// What the window comes to for the highest number that a caller may have, where each may have a number of its own. The
    /// path of a fault is relative to the window.
    pub fn of_most(spec: &WindowSpec, most: u32) -> Result<Self, Fault> {
        let spec = WindowSpec { requests: most, burst: most, per: spec.per, own: None };
        let quota = Self::compile(&spec).map_err(|fault| match fault.path.as_str() {
            "window" => fault,
            _ => Fault { path: "ownRequests.max".to_owned(), ..fault },
        })?;
        // A nanosecond more, so that any share is at least as long as it should be although it is rounded down.
        let interval = quota.interval.saturating_add(1);
        let full_debt = interval.saturating_mul(most.into());
        Ok(Self { interval, full_debt, varies: true, ..quota })
    }

    /// The same window for a caller with this number, all of which may come at once: at least 1, and never more than the
    /// highest. Each request takes a share of what `self`, the one of the highest number, has for all.
    ///
    /// The shares are rounded down, so they fit; each is at least `per / requests`, since `self` has a nanosecond more for
    /// each of its requests.
    #[must_use]
    pub fn share(&self, requests: u32) -> Self {
        let requests = requests.clamp(1, self.requests.max(1));
        let interval = self.full_debt.checked_div(requests.into()).unwrap_or(self.full_debt);
        let full_debt = interval.saturating_mul(requests.into());
        Self { requests, burst: requests, interval, full_debt, ..*self }
    }

    /// Whether it is one of several for the same window.
    pub const fn varies(&self) -> bool {
        self.varies
    }

    /// Requests per window, as configured; never 0.
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// The window's length in seconds; never 0.
    pub const fn window_secs(&self) -> u32 {
        self.window_secs
    }

    /// How many requests a full bucket admits at once; never 0.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Nanoseconds between two requests at the steady rate.
    pub const fn interval(&self) -> u64 {
        self.interval
    }

    /// Nanoseconds that an empty bucket takes to be full again: `interval * burst`.
    pub const fn full_debt(&self) -> u64 {
        self.full_debt
    }
}

/// How many requests a worker charges ahead for one client under all of these windows, at least 2; `None`: a burst is too
/// small, and each request is charged by itself.
///
/// A 64th of the smallest burst, because what workers hold unspent is missing to others.
pub fn prepaid_requests(windows: &[Quota]) -> Option<u64> {
    windows.iter().map(|quota| u64::from(quota.burst / 64)).min().filter(|requests| *requests > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(requests: u32, secs: u64, burst: u32) -> WindowSpec {
        WindowSpec { requests, per: Duration::from_secs(secs), burst, own: None }
    }

    #[test]
    fn intervals_are_rounded_up() {
        for (spec, interval, full_debt) in [
            (window(1, 1, 1), 1_000_000_000, 1_000_000_000),
            (window(3, 1, 3), 333_333_334, 1_000_000_002),
            (window(7, 60, 2), 8_571_428_572, 17_142_857_144),
            (window(1_000_000, 1, 1), 1_000, 1_000),
            (window(999_999, 1, 1), 1_001, 1_001),
            (window(u32::MAX, 86_400, u32::MAX), 20_117, 86_401_857_073_515),
            (window(1, 31_622_400, 1), 31_622_400_000_000_000, 31_622_400_000_000_000),
        ] {
            let quota = Quota::compile(&spec).unwrap();
            assert_eq!((quota.interval(), quota.full_debt()), (interval, full_debt), "{spec:?}");
        }
    }

    #[test]
    fn faults_name_the_field() {
        for (spec, path) in [
            (WindowSpec { requests: 1, per: Duration::from_millis(1500), burst: 1, own: None }, "window"),
            (window(1, 366 * 86_400 + 1, 1), "burst"),
            (WindowSpec { requests: 1, per: Duration::from_secs(u64::MAX), burst: 1, own: None }, "burst"),
            (window(1_000_001, 1, 1), "requests"),
            (window(1, 86_400, 367), "burst"),
            (window(1, 1, u32::MAX), "burst"),
        ] {
            assert_eq!(Quota::compile(&spec).unwrap_err().path, path, "{spec:?}");
        }
        Quota::compile(&window(1, 86_400, 366)).unwrap();
    }
}
