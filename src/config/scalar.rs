//! The forms of single values: names, numbers, durations, times, claim paths.

use std::time::Duration;

use serde_json::Value;

use super::{
    faults::quoted,
    model::{Form, Kind, Shape, required},
    reader::Node,
};
use crate::{
    api_key::format::is_prefix,
    identity::ClaimPath,
    jose::IssuerTemplate,
    rate_limit::MAX_NAME as MAX_LIMIT_NAME,
    time::{TimeError, Timestamp},
};

/// Longest text that a policy may hold in one string, secrets and key sets aside.
const MAX_TEXT: usize = 4096;

/// Longest name of something that the document defines; it goes into records and headers.
pub(super) const MAX_NAME: usize = 128;

/// Text that is not empty, has no control characters, and is of bounded length.
pub(super) fn text(node: Node<'_>) -> Option<String> {
    text_like(node, "a string")
}

/// As [`text`], or empty.
pub(super) fn text_or_nothing(node: Node<'_>) -> Option<String> {
    if node.value.as_str() == Some("") { Some(String::new()) } else { text(node) }
}

/// As [`text`], where `expected` says what kind of text is due.
#[inline(never)]
fn text_like(mut node: Node<'_>, expected: &str) -> Option<String> {
    // What YAML makes of words and digits without quotes.
    if let Some(found) = match &node.value {
        Value::Bool(_) => Some("a boolean, for which YAML takes y, n, yes, no, on and off, too"),
        Value::Number(_) => Some("a number"),
        _ => None,
    } {
        return node.fault(format!("expected {expected}, found {found}; put it in quotes"));
    }
    let text = node.text(expected)?;
    if text.is_empty() {
        return node.fault("must not be empty");
    }
    if text.len() > MAX_TEXT {
        return node.fault(format!("is {} bytes long; at most {MAX_TEXT} are allowed", text.len()));
    }
    if text.chars().any(char::is_control) {
        return node.fault("must not hold control characters");
    }
    Some(text)
}

/// Text that keeps to `allowed`; `rule` says in words what that is.
fn text_of(node: Node<'_>, max: usize, rule: &str, allowed: impl Fn(char) -> bool) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    if text.len() > max || !text.chars().all(allowed) {
        faults.add(&path, format!("{} is not valid here: {rule}", quoted(&text)));
        return None;
    }
    Some(text)
}

/// The name of a provider, key or rule. It stands bare in log lines, headers and metrics.
#[inline(never)]
pub(super) fn name(node: Node<'_>) -> Option<String> {
    text_of(node, MAX_NAME, "a name is 1 to 128 letters, digits and . _ - : / @", |c| {
        c.is_ascii_alphanumeric() || "._-:/@".contains(c)
    })
}

/// The name of a rate limit. It stands in keys of the store and, unescaped, in a String of RFC 9651.
#[inline(never)]
pub(super) fn limit_name(node: Node<'_>) -> Option<String> {
    text_of(node, MAX_LIMIT_NAME, "a limit's name is 1 to 64 letters, digits and . _ -", |c| {
        c.is_ascii_alphanumeric() || "._-".contains(c)
    })
}

/// What keys begin with whose form is checked, without the `_` behind it.
pub(super) fn checked_prefix(node: Node<'_>) -> Option<String> {
    let rule = "a checked prefix is 1 to 16 lower-case letters and digits, a letter first";
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    if !is_prefix(&text) {
        faults.add(&path, format!("{} is not valid here: {rule}", quoted(&text)));
        return None;
    }
    Some(text)
}

/// What stands in an issuer in place of the tenant.
pub(super) fn tenant(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    if !IssuerTemplate::is_tenant(&text) {
        let rule = "a tenant is 1 to 128 letters, digits and . _ -, at least one letter or digit among them";
        faults.add(&path, format!("{} is not valid here: {rule}", quoted(&text)));
        return None;
    }
    Some(text)
}

/// A role, tier or subject: whatever identity providers call it, without blanks at either end.
#[inline(never)]
pub(super) fn label(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    if text.len() > MAX_NAME || text.trim() != text {
        faults.add(&path, "must be at most 128 bytes long, without blanks at either end");
        return None;
    }
    Some(text)
}

/// RFC 6749 section 3.3: a scope-token is printable ASCII without space, `"` and `\`.
#[inline(never)]
pub(super) fn scope(node: Node<'_>) -> Option<String> {
    text_of(node, MAX_NAME, "a scope is printable ASCII without space, \" and \\", |c| {
        c.is_ascii_graphic() && c != '"' && c != '\\'
    })
}

/// A permission. One that is asked for is exact, since asking for `orders:*` could mean any or all of them; `wildcards`
/// are for those that are granted.
#[inline(never)]
pub(super) fn permission(node: Node<'_>, wildcards: bool) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let rule = "a permission is parts of letters, digits and . _ - / joined by :, as in orders:read";
    let text = text_of(node, MAX_NAME, rule, |c| c.is_ascii_alphanumeric() || "._-/:*".contains(c))?;
    let fault = |message: String| {
        faults.add(&path, message);
        None
    };
    let stem = match text.strip_suffix('*') {
        Some(_) if !wildcards => {
            return fault(format!(
                "{} asks for a wildcard: a rule names single permissions; roles and levels grant wildcards",
                quoted(&text)
            ));
        }
        Some("") => return Some(text),
        Some(stem) => match stem.strip_suffix(':') {
            Some(stem) => stem,
            None => {
                return fault(format!(
                    "{}: * stands alone or as the last part, as in orders:*",
                    quoted(&text)
                ));
            }
        },
        None => text.as_str(),
    };
    if stem.contains('*') {
        return fault(format!("{}: * stands alone or as the last part, as in orders:*", quoted(&text)));
    }
    if stem.split(':').any(str::is_empty) {
        return fault(format!("{} has an empty part", quoted(&text)));
    }
    Some(text)
}

/// Stands in a quoted string of `WWW-Authenticate` (RFC 9110 section 5.6.4).
pub(super) fn realm(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let realm = text(node)?;
    if realm.len() <= 128 && realm.chars().all(|c| matches!(c, ' '..='~') && c != '"' && c != '\\') {
        return Some(realm);
    }
    faults.add(&path, "must be at most 128 characters of printable ASCII without \" and \\");
    None
}

/// `true` or `false`.
#[inline(never)]
pub(super) fn boolean(node: Node<'_>) -> Option<bool> {
    node.value.as_bool().or_else(|| node.mismatch("true or false"))
}

/// `true`, which is all that is allowed; `otherwise` says what to do instead.
pub(super) fn only_true(node: Node<'_>, otherwise: &str) -> Option<()> {
    match node.value {
        Value::Bool(false) => node.fault(otherwise),
        Value::Bool(true) => Some(()),
        _ => node.mismatch("true or false"),
    }
}

/// A whole number from `least` to `most`.
pub(super) fn number(node: Node<'_>, least: u32, most: u32) -> Option<u32> {
    if !node.value.is_number() {
        return node.mismatch("a whole number");
    }
    let number = node.value.as_u64().and_then(|n| u32::try_from(n).ok());
    number.filter(|n| (least..=most).contains(n)).or_else(|| {
        node.fault(format!("must be a whole number from {least} to {most}, found {}", node.value))
    })
}

/// A duration from `least` to `most` milliseconds, written as in Gateway API (GEP-2257).
pub(super) fn duration(mut node: Node<'_>, least: u64, most: u64) -> Option<Duration> {
    let expected = "a duration such as \"500ms\", \"30s\" or \"1h30m\"";
    let text = node.text(expected)?;
    let Some(duration) = parse_duration(&text) else {
        return node.fault(format!("expected {expected}, found {}", quoted(&text)));
    };
    if (u128::from(least)..=u128::from(most)).contains(&duration.as_millis()) {
        return Some(duration);
    }
    let (least, most) = (show_duration(least), show_duration(most));
    node.fault(format!("must be from {least} to {most}, found {}", quoted(&text)))
}

/// GEP-2257: one to four groups of one to five digits and a unit of `h`, `m`, `s` or `ms`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    for _ in 0..4 {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|d| (1..=5).contains(d))?;
        let (number, unit) = rest.split_at_checked(digits)?;
        let number: u64 = number.parse().ok()?;
        let (group, after) = match unit {
            _ if unit.starts_with("ms") => (Duration::from_millis(number), unit.get(2..)?),
            _ if unit.starts_with('s') => (Duration::from_secs(number), unit.get(1..)?),
            _ if unit.starts_with('m') => (Duration::from_secs(number.checked_mul(60)?), unit.get(1..)?),
            _ if unit.starts_with('h') => (Duration::from_secs(number.checked_mul(3600)?), unit.get(1..)?),
            _ => return None,
        };
        total = total.checked_add(group)?;
        if after.is_empty() {
            return Some(total);
        }
        rest = after;
    }
    None
}

/// Milliseconds in the largest unit that says it without a fraction.
pub(super) fn show_duration(millis: u64) -> String {
    let whole = |unit: u64| millis.is_multiple_of(unit).then(|| millis.checked_div(unit)).flatten();
    match (whole(3_600_000), whole(60_000), whole(1000)) {
        (Some(hours), ..) if hours > 0 => format!("{hours}h"),
        (_, Some(minutes), _) if minutes > 0 => format!("{minutes}m"),
        (_, _, Some(seconds)) => format!("{seconds}s"),
        _ => format!("{millis}ms"),
    }
}

/// RFC 3339 with its offset: an instant, whatever zone the policy's author lives in.
#[inline(never)]
pub(super) fn timestamp(mut node: Node<'_>) -> Option<Timestamp> {
    let expected = "a time such as \"2027-01-31T08:00:00Z\" (RFC 3339, with offset)";
    let text = node.text(expected)?;
    match Timestamp::from_rfc3339(&text) {
        Ok(time) => Some(time),
        Err(TimeError::Form) => node.fault(format!("expected {expected}, found {}", quoted(&text))),
        Err(TimeError::Range) => node.fault(format!("must be from 1970 to 2554, found {}", quoted(&text))),
    }
}

/// Which of a closed set of words stands there; `what` says what they are.
#[inline(never)]
pub(super) fn word(mut node: Node<'_>, what: &str, words: &[&str]) -> Option<usize> {
    if !node.value.is_string() {
        return node.mismatch(&format!("{what} (one of {})", words.join(", ")));
    }
    let text = node.text(what)?;
    words.iter().position(|word| *word == text).or_else(|| {
        let hint = node.faults.hint(&text, words.iter().copied());
        node.fault(format!("{} is not {what} (one of {}){hint}", quoted(&text), words.join(", ")))
    })
}

/// Of a claim that is named by the names on the way to it.
pub(super) static CLAIM: Shape = Shape::new(&[required(
    "path",
    Kind::List("must name a claim", &Kind::Text(Form::ClaimName)),
    "Its names, literally.",
)]);

/// `realm_access.roles`, or `{path: [..]}` where a name itself holds dots.
#[inline(never)]
pub(super) fn claim_path(node: Node<'_>) -> Option<ClaimPath> {
    if node.value.is_object() {
        let mut o = node.object(&CLAIM)?;
        // A name may come twice on the way.
        return o.list("path")?.all(text).map(ClaimPath);
    }
    let (path, faults) = (node.path, node.faults);
    let dotted = text_like(node, "a claim such as \"realm_access.roles\", or {path: [..]}")?;
    let claim = ClaimPath::dotted(&dotted);
    if claim.0.iter().any(String::is_empty) {
        faults.add(&path, "has an empty part; write {path: [..]} for names that hold dots");
        return None;
    }
    Some(claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_gep_2257() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("0s", ms(0)),
            ("500ms", ms(500)),
            ("1h30m", ms(5_400_000)),
            ("1m1s1ms", ms(61_001)),
            ("1s2s3s4s", ms(10_000)),
            ("99999h", ms(99_999 * 3_600_000)),
            ("", None),
            ("1", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("100000s", None),
            ("1s2s3s4s5s", None),
            ("1d", None),
            ("1us", None),
            ("1 s", None),
            ("1s ", None),
            ("١s", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_their_largest_unit() {
        for (text, expected) in
            [("0s", "0s"), ("1500ms", "1500ms"), ("120s", "2m"), ("90m", "90m"), ("48h", "48h")]
        {
            let millis = parse_duration(text).and_then(|d| u64::try_from(d.as_millis()).ok());
            assert_eq!(millis.map(show_duration).as_deref(), Some(expected));
        }
    }
}
