//! Times as people write them.

use std::time::{Duration, SystemTime};

use super::refusal::Refusal;

/// RFC 3339 in whole seconds, in UTC.
pub(super) fn written(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// A time (RFC 3339) or how long from now (`90d`), as RFC 3339.
///
/// # Errors
/// Anything else.
pub(in crate::command) fn later(text: &str) -> Result<String, Refusal> {
    if humantime::parse_rfc3339(text).is_ok() {
        return Ok(text.to_owned());
    }
    let Ok(from_now) = text.parse::<humantime::Duration>() else {
        let message =
            format!("{text:?} is no time, as in 2027-01-31T08:00:00Z, nor how long from now, as in 90d");
        return Err(Refusal::usage(message));
    };
    after(SystemTime::now(), *from_now)
}

/// `by` after `start`, as RFC 3339.
///
/// # Errors
/// A time that a policy cannot hold.
pub(super) fn after(start: SystemTime, by: Duration) -> Result<String, Refusal> {
    // Four digits of a year are all that RFC 3339 has, and nobody needs as many.
    const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);
    let end = start.checked_add(by).filter(|_| by <= LONGEST);
    end.map(written).ok_or_else(|| Refusal::usage("so long lives no key; the most is 100 years".to_owned()))
}

/// The instant that the text names; `None` where it names none.
pub(super) fn read(text: &str) -> Option<SystemTime> {
    let time = crate::time::Timestamp::from_rfc3339(text).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(time.as_nanos()))
}
