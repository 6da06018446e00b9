//! Times in claims, said by how far they are from now.

use serde_json::{Map, Value};

use crate::time::Timestamp;

/// The claims whose values are times (RFC 7519 section 4.1, OpenID Connect Core section 2).
const TIMES: [&str; 4] = ["exp", "nbf", "iat", "auth_time"];

/// `claims` with texts such as `+5m` and `-1h` in place of times replaced by what they come to at `now`.
pub(super) fn at(claims: &Map<String, Value>, now: Timestamp) -> Map<String, Value> {
    let time = |name: &str, value: &Value| {
        let text = value.as_str().filter(|_| TIMES.contains(&name))?;
        let (earlier, text) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
            (Some(text), _) => (false, text),
            (None, Some(text)) => (true, text),
            (None, None) => return None,
        };
        let by = humantime::parse_duration(text).ok()?;
        let time = if earlier { now.saturating_sub(by) } else { now.saturating_add(by) };
        Some(Value::from(time.as_secs()))
    };
    claims
        .iter()
        .map(|(name, value)| (name.clone(), time(name, value).unwrap_or_else(|| value.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_told_from_now() {
        let claims =
            json!({"exp": "+5m", "iat": "-10s", "nbf": 7, "auth_time": "-1h", "sub": "+5m", "x": "-1s"});
        let at = at(claims.as_object().unwrap(), Timestamp::from_secs(10_000));
        let expected =
            json!({"exp": 10_300, "iat": 9_990, "nbf": 7, "auth_time": 6_400, "sub": "+5m", "x": "-1s"});
        assert_eq!(Value::Object(at), expected);
    }
}
