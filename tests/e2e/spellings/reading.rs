//! What an upstream took a request for, held against what was decided on.

use serde_json::Value;

use super::bases::{Base, EACH, FORGED, FORGED_ENCODED, OVERRIDING, PLACES, Place, VOUCHED_FOR};
use crate::harness::request::Answer;

/// As `tests/e2e/upstreams` say it.
struct Reading(Value);

/// Whether the loosest server has both for the same: `_` for every byte that is neither letter nor digit, or for every
/// character of Latin-1.
pub(crate) fn is_alike(name: &str, other: &str) -> bool {
    let folded = |c: char| match c {
        _ if c.is_ascii_alphanumeric() => c.to_ascii_lowercase().to_string(),
        '\0'..='\u{ff}' => "_".to_owned(),
        _ => "_".repeat(c.len_utf8()),
    };
    name.chars()
        .flat_map(|c| folded(c).into_bytes())
        .eq(other.bytes().flat_map(|b| folded(b.into()).into_bytes()))
}

impl Reading {
    /// Every value that is found under `name`, in some spelling.
    fn values(&self, kind: &str, name: &str) -> Vec<&str> {
        let pairs = self.0[kind].as_array().expect("pairs");
        let named = pairs.iter().filter(|pair| is_alike(pair[0].as_str().unwrap(), name));
        named.map(|pair| pair[1].as_str().unwrap()).collect()
    }

    fn at(&self, place: Place) -> Vec<&str> {
        match place {
            Place::Header(name) => self.values("headers", name),
            Place::Cookie(name) => self.values("cookies", name),
            Place::Query(name) => self.values("query", name),
        }
    }
}

/// The first segment of a path, to those who take more for slashes and dots than there are.
fn loosest_segment(path: &str) -> Option<String> {
    let mut segments = Vec::new();
    for segment in path.split(['/', '\\']) {
        let segment = segment.split(';').next().unwrap_or_default();
        let segment = segment.trim_matches(char::is_control);
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    segments.first().map(|segment| (*segment).to_owned())
}

/// What of the answer was not decided on. Nothing, where the request did not reach the upstream. `is_spelt`: the path
/// was written in another way, so that all that is known of it is where it leads.
pub(crate) fn faults(base: &Base, is_spelt: bool, answer: &Answer) -> Vec<String> {
    let is_json = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    if answer.status != 200 || !is_json {
        return Vec::new();
    }
    let seen = Reading(serde_json::from_slice(&answer.body).unwrap());
    let mut faults = Vec::new();
    let mut all = |what: &str, values: Vec<&str>, expected: Option<&str>| {
        if values.iter().any(|value| Some(*value) != expected) || (values.is_empty() && expected.is_some()) {
            faults.push(format!("{what} is {values:?}, not {expected:?}"));
        }
    };
    all("the method", vec![seen.0["method"].as_str().unwrap()], Some("GET"));
    let path = seen.0["path"].as_str().unwrap();
    if is_spelt {
        let segment = loosest_segment(path);
        all("the path's first segment", segment.iter().map(String::as_str).collect(), Some(base.rule));
    } else {
        all("the path", vec![path], Some(base.path));
    }
    for (name, expected) in [
        ("x-portcullis-subject", base.subject),
        ("x-portcullis-kind", base.kind),
        ("x-portcullis-rule", Some(base.rule)),
        ("x-portcullis-scopes", None),
        ("x-portcullis-roles", None),
        ("x-tenant", base.tenant),
    ] {
        all(name, seen.values("headers", name), expected);
    }
    for place in PLACES {
        let expected = base.kept.as_ref().filter(|(kept, _)| *kept == place).map(|(_, text)| text.as_str());
        let mut values = seen.at(place);
        values.retain(|value| !value.is_empty());
        // Whatever else it holds is no credential of this policy.
        if place == Place::Header("authorization") && expected.is_none() {
            values.retain(|value| value.contains(FORGED) || value.to_ascii_lowercase().contains("bearer"));
        }
        all(&format!("{place:?}"), values, expected);
    }
    for name in OVERRIDING {
        all(name, seen.values("headers", name), None);
    }
    for name in VOUCHED_FOR.into_iter().chain(["host", "sec-websocket-protocol"]) {
        let mut values = seen.values("headers", name);
        values.retain(|value| value.contains(FORGED) || value.contains(FORGED_ENCODED));
        all(name, values, None);
    }
    for (name, value) in [("x-debug", Some("1")), ("x-trace", None)] {
        let mut found = seen.values("headers", name);
        found.retain(|found| value.is_none_or(|value| *found == value));
        all(&format!("the header {name} that is denied"), found, None);
    }
    for (name, value) in [("debug", Some("1")), ("deep-link", Some("1")), ("trace", None)] {
        let mut found = seen.values("query", name);
        found.retain(|found| value.is_none_or(|value| *found == value));
        all(&format!("the parameter {name} that is denied"), found, None);
    }
    if base.safe {
        all("x-mode", seen.values("headers", "x-mode"), Some("safe"));
        all("mode", seen.values("query", "mode"), Some("safe"));
    }
    if base.limited {
        let values = seen.values("headers", "x-client-id");
        // Every client is a new one here, unless it was counted as nobody.
        if !values.is_empty() {
            let fresh = format!("r={}", EACH - 1);
            let told = answer.header("ratelimit").unwrap_or_default();
            if !told.split(';').any(|part| part == fresh) {
                faults.push(format!(
                    "x-client-id is {values:?}, but that is not whom it was counted for: {told}"
                ));
            }
        }
    }
    faults
}
