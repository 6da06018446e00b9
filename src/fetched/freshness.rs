//! How long an answer says that it is fresh (RFC 9111 section 4.2).

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::time::Timestamp;

pub(super) type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

/// What is left of an answer's lifetime at `now`; `None` where it says nothing that can be read. Zero where it must
/// not be kept at all; the caller has bounds of its own.
pub(super) fn lifetime(headers: Headers<'_>, now: Timestamp) -> Option<Duration> {
    let total = match cache_control(headers) {
        Some(Control::DoNotKeep) => return Some(Duration::ZERO),
        Some(Control::MaxAge(seconds)) => Duration::from_secs(seconds),
        None => {
            let expires = only(headers, "expires")?;
            let date = only(headers, "date").and_then(http_date).unwrap_or(now);
            // Section 5.3: what is no date means that it has expired, `0` above all.
            return Some(
                http_date(expires)
                    .map_or(Duration::ZERO, |expires| expires.since(date))
                    .saturating_sub(age(headers)),
            );
        }
    };
    Some(total.saturating_sub(age(headers)))
}

enum Control {
    /// `no-store` or `no-cache`.
    DoNotKeep,
    MaxAge(u64),
}

/// The strictest of all directives that concern us; `s-maxage` speaks to shared caches.
fn cache_control(headers: Headers<'_>) -> Option<Control> {
    let lines = headers.iter().filter(|(name, _)| *name == b"cache-control");
    let directives =
        lines.filter_map(|(_, value)| str::from_utf8(value).ok()).flat_map(|line| line.split(','));
    let mut max_age: Option<u64> = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Control::DoNotKeep),
            // Section 4.2.1: what cannot be read counts as stale.
            "max-age" => {
                let seconds = seconds(value.trim().trim_matches('"')).unwrap_or(0);
                max_age = Some(max_age.map_or(seconds, |earlier| earlier.min(seconds)));
            }
            _ => {}
        }
    }
    max_age.map(Control::MaxAge)
}

/// Section 5.1: how long the answer stood in caches on its way.
fn age(headers: Headers<'_>) -> Duration {
    let age = only(headers, "age").and_then(|value| seconds(str::from_utf8(value).ok()?.trim()));
    Duration::from_secs(age.unwrap_or(0))
}

/// Section 1.2.2: delta-seconds; too many are very many.
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::from(u32::MAX)))
}

/// RFC 9110 section 5.6.7, in its one form that is still sent.
fn http_date(value: &[u8]) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(str::from_utf8(value).ok()?.trim(), &Rfc2822).ok()?;
    Some(Timestamp::from_nanos(u64::try_from(date.unix_timestamp_nanos()).ok()?))
}

pub(super) fn only<'a>(headers: Headers<'a>, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.iter().filter(|(given, _)| *given == name.as_bytes());
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (&'static [(&'static str, &'static str)], Option<u64>);

    #[test]
    fn lifetimes() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = Timestamp::from_secs(784_111_777);
        let rows: &[Row] = &[
            (&[], None),
            (&[("etag", "x")], None),
            (&[("cache-control", "public")], None),
            (&[("cache-control", "max-age=300")], Some(300)),
            (&[("cache-control", "public, Max-Age=\"300\" , must-revalidate")], Some(300)),
            (&[("cache-control", "max-age=300"), ("cache-control", "max-age=60")], Some(60)),
            (&[("cache-control", "max-age=300, no-cache")], Some(0)),
            (&[("cache-control", "no-store")], Some(0)),
            (&[("cache-control", "max-age=-1")], Some(0)),
            (&[("cache-control", "max-age=1.5")], Some(0)),
            (&[("cache-control", "s-maxage=9")], None),
            (&[("cache-control", "max-age=99999999999999999999999")], Some(4_294_967_295)),
            (&[("cache-control", "max-age=300"), ("age", "100")], Some(200)),
            (&[("cache-control", "max-age=300"), ("age", "301")], Some(0)),
            (&[("cache-control", "max-age=300"), ("age", "soon")], Some(300)),
            (&[("cache-control", "max-age=9"), ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], Some(9)),
            (&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], Some(60)),
            (&[("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), ("age", "10")], Some(50)),
            // The server's own clock counts: it is not ours.
            (
                &[("expires", "Sun, 06 Nov 1994 08:50:37 GMT"), ("date", "Sun, 06 Nov 1994 08:50:07 GMT")],
                Some(30),
            ),
            (&[("expires", "Sun, 06 Nov 1994 08:49:00 GMT")], Some(0)),
            (&[("expires", "0")], Some(0)),
            (&[("expires", "-1"), ("date", "x")], Some(0)),
        ];
        for (headers, expected) in rows {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            assert_eq!(lifetime(&headers, now).map(|left| left.as_secs()), *expected, "{headers:?}");
        }
        assert_eq!(lifetime(&[(b"cache-control", b"\xff"), (b"age", b"\xff")], now), None);
    }
}
