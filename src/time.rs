//! Wall-clock time as a value. Nothing in the core reads the machine's clock: time is an argument.

use std::{cell::Cell, time::Duration};

use ::time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A second in nanoseconds.
pub const NANOS_PER_SEC: u64 = 1_000_000_000;

/// An instant on the wall clock, in nanoseconds since the Unix epoch (good until the year 2554).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// Why text names no [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeError {
    /// It is not RFC 3339 with an offset.
    Form,
    /// It lies before 1970 or after 2554.
    Range,
}

impl Timestamp {
    /// The instant `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `secs` seconds after the epoch; saturates at the far end of the range.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// The instant that RFC 3339 text with its offset names.
    ///
    /// # Errors
    /// Other text, or a time that a timestamp cannot be.
    ///
    /// ```
    /// use portcullis::time::{TimeError, Timestamp};
    ///
    /// let instant = Timestamp::from_rfc3339("2027-01-15T08:00:00Z");
    /// assert_eq!(instant.map(Timestamp::as_secs), Ok(1_800_000_000));
    /// assert_eq!(Timestamp::from_rfc3339("2027-01-15T08:00:00"), Err(TimeError::Form), "without an offset");
    /// assert_eq!(Timestamp::from_rfc3339("1969-12-31T23:59:59Z"), Err(TimeError::Range));
    /// ```
    pub fn from_rfc3339(text: &str) -> Result<Self, TimeError> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimeError::Form)?;
        u64::try_from(parsed.unix_timestamp_nanos()).map(Self).map_err(|_| TimeError::Range)
    }

    /// As RFC 3339 in UTC, in whole seconds.
    ///
    /// ```
    /// # use portcullis::time::Timestamp;
    /// assert_eq!(Timestamp::from_nanos(1_800_000_000_999_999_999).to_rfc3339(), "2027-01-15T08:00:00Z");
    /// ```
    pub fn to_rfc3339(self) -> String {
        let at = i64::try_from(self.as_secs())
            .ok()
            .and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
        let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, (hour, minute, second)) = (at.date(), at.to_hms());
        // A date shows itself as RFC 3339 has it.
        format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// This instant plus `by`; saturates.
    pub fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// This instant minus `by`; saturates at the epoch.
    pub fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }

    /// Whether this instant, which was put no more than `longest` ahead of its time, is still to come at `now`. One that
    /// lies further ahead is from before the clock was set back, and over.
    pub fn lies_ahead(self, now: Self, longest: Duration) -> bool {
        now < self && self <= now.saturating_add(longest)
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The time of one decision: read when somebody first asks for it, and the same from then on. Many a refusal, and a rule
/// that lets anyone pass, is decided without.
#[derive(Clone, Debug)]
pub struct Clock {
    source: fn() -> Timestamp,
    read: Cell<Option<Timestamp>>,
}

impl Clock {
    /// Not read yet; `source` tells the time.
    pub const fn new(source: fn() -> Timestamp) -> Self {
        Self { source, read: Cell::new(None) }
    }

    /// It is `now`.
    pub const fn at(now: Timestamp) -> Self {
        Self { source: Timestamp::default, read: Cell::new(Some(now)) }
    }

    /// The time of the decision.
    pub fn now(&self) -> Timestamp {
        self.read.get().unwrap_or_else(|| {
            let now = (self.source)();
            self.read.set(Some(now));
            now
        })
    }
}

/// A duration in nanoseconds, saturating at `u64::MAX` (584 years).
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_ahead_further_than_it_was_put_is_over() {
        let longest = Duration::from_secs(10);
        for (at, expected) in
            [(99, false), (100, false), (101, true), (110, true), (111, false), (u64::MAX, false)]
        {
            let lies_ahead = Timestamp::from_secs(at).lies_ahead(Timestamp::from_secs(100), longest);
            assert_eq!(lies_ahead, expected, "{at}");
        }
    }
}
