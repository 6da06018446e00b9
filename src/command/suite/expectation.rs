//! Whether what became of a request is what was expected.

use serde_json::{Map, Value};

use super::{model::Expected, variables::text};
use crate::command::offline::Outcome;

/// Where it is not, each in a line; empty: it is.
pub(super) fn unlike(expected: &Expected, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_allowed = outcome.reason.is_none();
    let told = || match (outcome.reason, outcome.recorded("detail")) {
        (None, _) => format!("allowed by {}", outcome.rule().unwrap_or("an endpoint of the filter")),
        (Some(reason), detail) => {
            let rule = outcome.rule().map(|rule| format!(" by {rule}")).unwrap_or_default();
            let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("denied{rule}: {}{detail}", reason.code())
        }
    };
    match expected.allowed {
        Some(true) if !is_allowed => wrong.push(format!("expected to be allowed, but {}", told())),
        Some(false) if is_allowed => wrong.push(format!("expected to be denied, but {}", told())),
        _ => {}
    }
    let mut compare = |what: &str, expected: Option<String>, found: Option<String>| {
        if expected.is_some() && expected != found {
            let found = found.unwrap_or_else(|| "none".to_owned());
            wrong.push(format!("{what}: expected {}, found {found}", expected.unwrap_or_default()));
        }
    };
    compare("reason", expected.reason.clone(), outcome.reason.map(|reason| reason.code().to_owned()));
    compare("rule", expected.rule.clone(), outcome.rule().map(str::to_owned));
    let status = outcome.reply.as_ref().map(|reply| reply.status.to_string());
    compare("status", expected.status.map(|status| status.to_string()), status);
    let upstream = outcome.upstream.as_deref().unwrap_or_default();
    headers("upstream", &expected.upstream, upstream, &mut wrong);
    let reply = outcome.reply.iter().flat_map(|reply| &reply.headers);
    let answered: Vec<_> =
        reply.map(|(name, value)| ((*name).to_owned(), value.clone())).chain(outcome.added.clone()).collect();
    headers("response", &expected.response, &answered, &mut wrong);
    for (name, value) in &expected.record {
        let found = outcome.record.get(name).unwrap_or(&Value::Null);
        if found != value {
            wrong.push(format!("record {name}: expected {value}, found {found}"));
        }
    }
    wrong
}

/// Headers of the same name are joined by commas (RFC 9110 section 5.3).
fn headers(what: &str, expected: &Map<String, Value>, found: &[(String, String)], wrong: &mut Vec<String>) {
    for (name, value) in expected {
        let lower = name.to_ascii_lowercase();
        let own: Vec<_> =
            found.iter().filter(|(name, _)| *name == lower).map(|(_, value)| value.as_str()).collect();
        let own = (!own.is_empty()).then(|| own.join(", "));
        match (value, own) {
            (Value::Null, Some(_)) => wrong.push(format!("{what} {name}: expected none, but it is there")),
            (Value::Null, None) => {}
            (value, None) => wrong.push(format!("{what} {name}: expected {}, found none", text(value))),
            (value, Some(own)) if text(value) != own => {
                wrong.push(format!("{what} {name}: expected {}, found {own}", text(value)));
            }
            _ => {}
        }
    }
}
