//! Where credentials stand in requests, by what a policy says.

use serde_json::Value;

use super::Asked;

/// A place, and what is to stand there.
pub(in crate::command) enum Place {
    Header(String, String),
    Cookie(String, String),
    Parameter(String, String),
}

/// Where a token of `provider` stands, by the first of the places that the policy names.
pub(in crate::command) fn of_token(document: &Value, provider: &str, text: &str) -> Place {
    let providers = document.pointer("/jwt/providers").and_then(Value::as_array);
    let is_called = |spec: &&Value| spec.get("name").and_then(Value::as_str) == Some(provider);
    let spec = providers.and_then(|providers| providers.iter().find(is_called));
    first(spec.and_then(|spec| spec.get("extractFrom")), text)
        .unwrap_or_else(|| Place::Header("authorization".to_owned(), format!("Bearer {text}")))
}

/// Where an API key stands, likewise.
pub(in crate::command) fn of_key(document: &Value, text: &str) -> Place {
    first(document.pointer("/apiKeys/extractFrom"), text)
        .unwrap_or_else(|| Place::Header("x-api-key".to_owned(), text.to_owned()))
}

/// The first place of `extractFrom`.
fn first(places: Option<&Value>, text: &str) -> Option<Place> {
    let list = |name: &str| places?.get(name)?.as_array()?.first();
    if let Some(header) = list("headers") {
        let name = header.get("name")?.as_str()?.to_ascii_lowercase();
        let prefix = header.get("valuePrefix").and_then(Value::as_str).unwrap_or_default();
        return Some(Place::Header(name, format!("{prefix}{text}")));
    }
    let named = |name: &str| Some(list(name)?.as_str()?.to_owned());
    match (named("cookies"), named("params")) {
        (Some(name), _) => Some(Place::Cookie(name, text.to_owned())),
        (None, Some(name)) => Some(Place::Parameter(name, text.to_owned())),
        (None, None) => None,
    }
}

/// `asked` with a credential at its place.
pub(in crate::command) fn put(asked: Asked, place: Place) -> Asked {
    match place {
        Place::Header(name, value) => asked.with_header(&name, &value),
        Place::Cookie(name, value) => asked.with_header("cookie", &format!("{name}={value}")),
        Place::Parameter(name, value) => {
            let mark = if asked.target.contains('?') { '&' } else { '?' };
            let target = format!("{}{mark}{name}={value}", asked.target);
            Asked { target, ..asked }
        }
    }
}
