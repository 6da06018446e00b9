//! Claims as header text for the upstream.

use crate::{
    identity::ClaimPath,
    json::{Json, Object},
};

/// The longest header value made of a claim, in bytes.
pub const MAX_HEADER_LEN: usize = 4096;

/// The claim at `path` as header text: a string as it is, a number or boolean as JSON, a list of these joined by
/// commas.
///
/// `None`, so that no header is sent, for what a header cannot carry unchanged and in one reading: a claim that
/// is missing, null, empty or an object; text with other than visible ASCII and inner spaces; a list with an
/// element that holds a comma, or is itself no text, number or boolean; more than [`MAX_HEADER_LEN`] bytes.
pub fn header_value(claims: Object<'_>, path: &ClaimPath) -> Option<String> {
    let value = match path.find(claims)? {
        Json::List(list) => {
            let elements: Option<Vec<String>> =
                list.iter().map(|element| scalar(element).filter(|text| !text.contains(','))).collect();
            elements?.join(",")
        }
        value => scalar(value)?,
    };
    (!value.is_empty() && value.len() <= MAX_HEADER_LEN).then_some(value)
}

fn scalar(value: Json<'_>) -> Option<String> {
    let text = match value {
        Json::String(text) => text.to_owned(),
        Json::Number(number) => number.to_string(),
        Json::Bool(flag) => flag.to_string(),
        Json::Null | Json::List(_) | Json::Object(_) => return None,
    };
    // Spaces at the ends are lost on the way (RFC 9110 section 5.5).
    let carried = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (carried && !text.is_empty() && !text.starts_with(' ') && !text.ends_with(' ')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Members, members};
    use serde_json::json;

    #[test]
    fn values() {
        for (claim, expected) in [
            (json!("alice"), Some("alice")),
            (json!("Alice Smith, Ltd."), Some("Alice Smith, Ltd.")),
            (json!("al\u{00ec}ce"), None),
            (json!("alice\r\nx-admin: 1"), None),
            (json!("alice\0"), None),
            (json!("alice\u{7f}"), None),
            (json!("alice\t"), None),
            (json!(" alice"), None),
            (json!("alice "), None),
            (json!(""), None),
            (json!(" "), None),
            (json!(7), Some("7")),
            (json!(1.5), Some("1.5")),
            (json!(-3), Some("-3")),
            (json!(true), Some("true")),
            (json!(null), None),
            (json!({"a": 1}), None),
            (json!(["a", "b c", 3, false]), Some("a,b c,3,false")),
            (json!(["a,b", "c"]), None),
            (json!(["a", ""]), None),
            (json!(["a", null]), None),
            (json!(["a", ["b"]]), None),
            (json!(["a", "b\n"]), None),
            (json!([]), None),
        ] {
            let claims = json!({"deep": {"claim": claim}});
            let path = ClaimPath::dotted("deep.claim");
            assert_eq!(header_value(members(&claims).object(), &path).as_deref(), expected, "{claims}");
        }
        assert_eq!(header_value(Members::default().object(), &ClaimPath::dotted("sub")), None);
    }

    #[test]
    fn length() {
        for (len, sent) in [(MAX_HEADER_LEN, true), (MAX_HEADER_LEN + 1, false)] {
            let claims =
                json!({"a": "x".repeat(len), "l": ["x".repeat(len / 2), "x".repeat(len - len / 2 - 1)]});
            let claims = members(&claims);
            assert_eq!(header_value(claims.object(), &ClaimPath::dotted("a")).is_some(), sent);
            assert_eq!(header_value(claims.object(), &ClaimPath::dotted("l")).is_some(), sent);
        }
    }
}
