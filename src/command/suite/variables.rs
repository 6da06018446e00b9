//! `${name}` in suites.

use serde_json::{Map, Value};

use crate::command::offline::filled;

/// A value as text: strings as they are.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// `value` with variables replaced. Where a variable stands alone, its value keeps its kind; one that is not defined stays.
pub(super) fn put_into(value: &Value, variables: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => match alone(text).and_then(|name| variables.get(name)) {
            Some(value) => value.clone(),
            None => Value::String(filled(text, &|name| variables.get(name).map(self::text))),
        },
        Value::Array(items) => items.iter().map(|item| put_into(item, variables)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), put_into(value, variables))).collect()
        }
        other => other.clone(),
    }
}

fn alone(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains(['$', '}'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_alone_and_within_text() {
        let variables = json!({"n": 7, "base": "https://a", "list": ["x"]});
        let variables = variables.as_object().unwrap();
        for (given, expected) in [
            (json!("${base}/orders/${n}"), json!("https://a/orders/7")),
            (json!("${n}"), json!(7)),
            (json!({"a": ["${list}"]}), json!({"a": [["x"]]})),
            (json!("${unknown} ${n} ${"), json!("${unknown} 7 ${")),
            (json!("$n {n} ${n"), json!("$n {n} ${n")),
        ] {
            assert_eq!(put_into(&given, variables), expected, "{given}");
        }
    }
}
