//! Claims as header text for the upstream.

use std::fmt::{self, Write as _};

use crate::{
    identity::ClaimPath,
    json::{Json, Object},
    text::{base64url, header::push_header_text},
};

/// The longest header value made of a claim, in bytes.
pub const MAX_HEADER_LEN: usize = 4096;

/// The longest one that is base64url, in bytes: a whole payload of the default size, and a little more.
pub const MAX_ENCODED_LEN: usize = 16_384;

/// How a claim stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderForm {
    /// As text, percent-encoded where that is needed; a list with commas. The default.
    Text,
    /// As JSON, which is ASCII: what is beyond it is escaped.
    Json,
    /// As JSON in base64url without padding.
    Base64Url,
}

/// Why a claim that says something is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// Text with control characters, which somebody behind could take for the end of a line.
    Control,
    /// A list with an element that is empty, or no text, number or boolean.
    Element,
    /// An object.
    Object,
    /// More bytes than this.
    TooLong(usize),
}

impl HeaderForm {
    /// The claim at `path` in this form; of the empty path all claims. `None`: there is nothing to say, for the claim is
    /// missing or null, or its text empty.
    pub(super) fn value(self, claims: Object<'_>, path: &ClaimPath) -> Result<Option<String>, Unsendable> {
        if self == Self::Text {
            return header_value(claims, path);
        }
        let whole = path.0.is_empty().then_some(Json::Object(claims));
        let Some(value) = whole.or_else(|| path.find(claims)).filter(|value| !matches!(value, Json::Null))
        else {
            return Ok(None);
        };
        let json = value.to_value().to_string();
        let (text, most) = match self {
            Self::Base64Url => (base64url::encode(json.as_bytes()), MAX_ENCODED_LEN),
            Self::Text | Self::Json => (in_ascii(&json), MAX_HEADER_LEN),
        };
        if text.len() > most { Err(Unsendable::TooLong(most)) } else { Ok(Some(text)) }
    }
}

/// JSON with every character beyond ASCII as an escape (RFC 8259 section 7), and DEL.
fn in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() && !c.is_ascii_control() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// The claim at `path` as header text: a string, a number or boolean as JSON, a list of these joined by commas.
///
/// What is not visible ASCII or an inner space is percent-encoded UTF-8, and so are `%` and the commas within elements
/// of a list: so the value is safe to send and can be read back in one way. `None`: there is nothing to say, for the
/// claim is missing, null or empty.
pub fn header_value(claims: Object<'_>, path: &ClaimPath) -> Result<Option<String>, Unsendable> {
    let mut out = String::new();
    match path.find(claims) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Object(_)) => return Err(Unsendable::Object),
        Some(Json::List(list)) => {
            for (place, element) in list.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                let before = out.len();
                push(&mut out, element, b",")?;
                if out.len() == before {
                    return Err(Unsendable::Element);
                }
            }
        }
        Some(value) => push(&mut out, value, b"")?,
    }
    match out.len() {
        0 => Ok(None),
        1..=MAX_HEADER_LEN => Ok(Some(out)),
        _ => Err(Unsendable::TooLong(MAX_HEADER_LEN)),
    }
}

fn push(out: &mut String, value: Json<'_>, also: &[u8]) -> Result<(), Unsendable> {
    match value {
        Json::String(text) if text.chars().any(char::is_control) => return Err(Unsendable::Control),
        Json::String(text) => push_header_text(out, text, also),
        Json::Number(number) => out.push_str(&number.to_string()),
        Json::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
        Json::Null | Json::List(_) | Json::Object(_) => return Err(Unsendable::Element),
    }
    Ok(())
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("the claim holds control characters"),
            Self::Element => f.write_str("the claim is a list of more than texts, numbers and booleans"),
            Self::Object => f.write_str("the claim is an object"),
            Self::TooLong(most) => write!(f, "the claim is longer than {most} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{Members, members};
    use serde_json::json;

    #[test]
    fn values() {
        let (control, element) = (Err(Unsendable::Control), Err(Unsendable::Element));
        for (claim, expected) in [
            (json!("alice"), Ok(Some("alice"))),
            (json!("Alice Smith, Ltd."), Ok(Some("Alice Smith, Ltd."))),
            (json!("Jos\u{e9} M\u{fc}ller"), Ok(Some("Jos%C3%A9 M%C3%BCller"))),
            (json!("50%"), Ok(Some("50%25"))),
            (json!("%C3%A9"), Ok(Some("%25C3%25A9"))),
            (json!(" alice"), Ok(Some("%20alice"))),
            (json!("alice "), Ok(Some("alice%20"))),
            (json!(" "), Ok(Some("%20"))),
            (json!("\u{3000}"), Ok(Some("%E3%80%80"))),
            (json!("alice\r\nx-admin: 1"), control),
            (json!("alice\0"), control),
            (json!("alice\u{7f}"), control),
            (json!("alice\u{85}"), control),
            (json!("alice\t"), control),
            (json!(""), Ok(None)),
            (json!(null), Ok(None)),
            (json!([]), Ok(None)),
            (json!(7), Ok(Some("7"))),
            (json!(1.5), Ok(Some("1.5"))),
            (json!(-3), Ok(Some("-3"))),
            (json!(true), Ok(Some("true"))),
            (json!({"a": 1}), Err(Unsendable::Object)),
            (json!({}), Err(Unsendable::Object)),
            (json!(["a", "b c", 3, false]), Ok(Some("a,b c,3,false"))),
            (json!(["a", "b,c"]), Ok(Some("a,b%2Cc"))),
            (json!(["a", "b%2Cc"]), Ok(Some("a,b%252Cc"))),
            (json!(["\u{e9}", " b"]), Ok(Some("%C3%A9,%20b"))),
            (json!(["a", ""]), element),
            (json!([""]), element),
            (json!(["a", null]), element),
            (json!(["a", ["b"]]), element),
            (json!(["a", {"b": 1}]), element),
            (json!(["a", "b\n"]), control),
        ] {
            let claims = json!({"deep": {"claim": claim}});
            let path = ClaimPath::dotted("deep.claim");
            let value = header_value(members(&claims).object(), &path);
            assert_eq!(value.as_ref().map(Option::as_deref).map_err(|why| *why), expected, "{claims}");
        }
        assert_eq!(header_value(Members::default().object(), &ClaimPath::dotted("sub")), Ok(None));
    }

    #[test]
    fn length() {
        for (len, expected) in
            [(MAX_HEADER_LEN, Ok(())), (MAX_HEADER_LEN + 1, Err(Unsendable::TooLong(MAX_HEADER_LEN)))]
        {
            let claims = json!({
                "a": "x".repeat(len),
                "l": ["x".repeat(len / 2), "x".repeat(len - len / 2 - 1)],
                // As sent.
                "e": format!("{}\u{e9}", "x".repeat(len - 6)),
            });
            let claims = members(&claims);
            for name in ["a", "l", "e"] {
                let sent = header_value(claims.object(), &ClaimPath::dotted(name));
                assert_eq!(sent.map(|value| assert_eq!(value.unwrap().len(), len)), expected, "{name}");
            }
        }
    }
}
