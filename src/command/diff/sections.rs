//! What two policies say otherwise beside their rules, place by place. What stands there is not shown: it may be secret.

use std::collections::BTreeSet;

use serde_json::Value;

/// Members by which items of a list are known.
const NAMES: [&str; 4] = ["name", "id", "kid", "source"];

/// Places that decide nothing by themselves, or of which the comparison of the rules tells.
const HARMLESS: [&str; 11] = [
    "realm",
    "shadow",
    "decisionLog",
    "metrics",
    "rateLimitHeaders",
    "identityHeaders",
    "apiKeys.keys",
    "apiKeys.levels",
    "apiKeys.usage",
    "clientCertificates.principals",
    "transport.hsts",
];

/// Whether what changed at a place, as [`changed`] tells it, may decide requests otherwise.
pub(super) fn may_decide(told: &str) -> bool {
    let place = told.get(2..).unwrap_or(told);
    !HARMLESS.iter().any(|harmless| {
        place.strip_prefix(harmless).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ':']))
    })
}

/// Most places that are told of one section.
const MOST: usize = 40;

/// The places that are not the same, and how: `+` there is one more, `-` it is gone, `~` it is another.
pub(super) fn changed(old: &Value, new: &Value) -> Vec<String> {
    let mut told = Vec::new();
    let names: BTreeSet<&String> =
        [old, new].into_iter().filter_map(Value::as_object).flat_map(|own| own.keys()).collect();
    for name in names {
        let mut places = Vec::new();
        compare(name, old.get(name), new.get(name), &mut places);
        let left_out = places.len().saturating_sub(MOST);
        places.truncate(MOST);
        told.extend(places);
        if left_out > 0 {
            told.push(format!("~ {name}: {left_out} places more"));
        }
    }
    told
}

/// Recursion is bounded by the depth of the documents, which were read within bounds.
fn compare(place: &str, old: Option<&Value>, new: Option<&Value>, told: &mut Vec<String>) {
    match (old, new) {
        (None, None) => {}
        (None, Some(_)) => told.push(format!("+ {place}")),
        (Some(_), None) => told.push(format!("- {place}")),
        (Some(old), Some(new)) if old == new => {}
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                compare(&format!("{place}.{name}"), old.get(name), new.get(name), told);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => lists(place, old, new, told),
        (Some(_), Some(_)) => told.push(format!("~ {place}")),
    }
}

fn lists(place: &str, old: &[Value], new: &[Value], told: &mut Vec<String>) {
    fn name(item: &Value) -> Option<&str> {
        NAMES.iter().find_map(|name| item.get(name)?.as_str())
    }
    let is_named = |list: &[Value]| list.iter().all(|item| name(item).is_some());
    if !is_named(old) || !is_named(new) {
        told.push(format!("~ {place}"));
        return;
    }
    let find = |list: &'_ [Value], wanted: &str| list.iter().position(|item| name(item) == Some(wanted));
    let names: BTreeSet<&str> = old.iter().chain(new).filter_map(name).collect();
    for wanted in names {
        let own = |list: &'_ [Value]| find(list, wanted).and_then(|at| list.get(at)).cloned();
        compare(&format!("{place}[{wanted}]"), own(old).as_ref(), own(new).as_ref(), told);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_that_are_not_the_same() {
        let old = json!({
                "transport": {"requireTls": true, "hsts": {"maxAge": "1h"}},
            "jwt": {"providers": [{"name": "corp", "audiences": ["a"]}, {"name": "gone"}]},
            "realm": "a"
        });
        let new = json!({
            "transport": {"requireTls": false, "hsts": {"maxAge": "1h"}},
            "jwt": {"providers": [{"name": "more"}, {"name": "corp", "audiences": ["b"]}]}
        });
        let told = [
            "~ jwt.providers[corp].audiences",
            "- jwt.providers[gone]",
            "+ jwt.providers[more]",
            "- realm",
            "~ transport.requireTls",
        ];
        assert_eq!(changed(&old, &new), told);
        assert!(changed(&old, &old).is_empty());
        for (place, expected) in [
            ("~ jwt.providers[corp].audiences", true),
            ("- realm", false),
            ("+ realms", true),
            ("~ apiKeys.keys[a].hash", false),
            ("~ apiKeys.prefix", true),
        ] {
            assert_eq!(may_decide(place), expected, "{place}");
        }
    }
}
