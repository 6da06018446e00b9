//! Client data (WebAuthn section 5.8.1): what the client says of the ceremony. The authenticator signs its hash.

use std::fmt;

use crate::{
    crypto::sha256,
    json::{self, Json, JsonFault},
    text::base64url,
};

/// The longest client data that are read, in bytes. Challenge and origins take some hundred; the rest is for members
/// that are yet to come.
const MAX_LEN: usize = 4096;

/// What a credential is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceremony {
    /// It is made.
    Registration,
    /// It signs an assertion.
    Authentication,
}

/// Client data, of which nothing is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientData {
    /// `type`; `None`: for something else than the two ceremonies, such as a payment.
    pub ceremony: Option<Ceremony>,
    /// `challenge`.
    pub challenge: Vec<u8>,
    /// `origin`, as it stands.
    pub origin: Box<str>,
    /// `crossOrigin`: in a frame whose ancestors are of another origin. False where the client does not say.
    pub cross_origin: bool,
    /// `topOrigin`: the page that the frame is in, as it stands; `None`: the client does not say.
    pub top_origin: Option<Box<str>>,
    /// SHA-256 of all the bytes as they came, since members that nobody here knows are signed too.
    pub hash: [u8; 32],
}

/// Why bytes are no client data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientDataFault {
    /// Not an object with unique members.
    Json(JsonFault),
    /// A member that is missing, or has a wrong form.
    Member(&'static str),
    /// Longer than is read.
    TooLong,
}

impl ClientData {
    /// Reads client data. Members may stand in any order, and those that are not known are ignored (section 5.8.1).
    pub fn read(bytes: &[u8]) -> Result<Self, ClientDataFault> {
        if bytes.len() > MAX_LEN {
            return Err(ClientDataFault::TooLong);
        }
        // UTF-8 decode strips a byte order mark: sections 7.1 step 5 and 7.2 step 8.
        let members =
            json::parse_object(json::without_byte_order_mark(bytes)).map_err(ClientDataFault::Json)?;
        let optional = |name| match members.get(name) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(ClientDataFault::Member(name)),
        };
        let text = |name| optional(name)?.ok_or(ClientDataFault::Member(name));
        let ceremony = Ceremony::of_type(text("type")?);
        let challenge = base64url::decode(text("challenge")?.as_bytes());
        let cross_origin = match members.get("crossOrigin") {
            None => false,
            Some(Json::Bool(cross_origin)) => cross_origin,
            Some(_) => return Err(ClientDataFault::Member("crossOrigin")),
        };
        Ok(Self {
            ceremony,
            challenge: challenge.ok_or(ClientDataFault::Member("challenge"))?,
            origin: text("origin")?.into(),
            cross_origin,
            top_origin: optional("topOrigin")?.map(Into::into),
            hash: sha256(bytes),
        })
    }
}

impl Ceremony {
    fn of_type(name: &str) -> Option<Self> {
        match name {
            "webauthn.create" => Some(Self::Registration),
            "webauthn.get" => Some(Self::Authentication),
            _ => None,
        }
    }
}

impl fmt::Display for ClientDataFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => fault.fmt(f),
            Self::Member(name) => write!(f, "`{name}` is missing or has a wrong form"),
            Self::TooLong => write!(f, "longer than {MAX_LEN} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"type":"webauthn.get","challenge":"AQID","origin":"https://a.example"}"#;

    #[test]
    fn members() {
        let member = |name| Err(ClientDataFault::Member(name));
        let read = |text: &str| {
            ClientData::read(text.as_bytes())
                .map(|data| (data.cross_origin, data.top_origin.map(String::from)))
        };
        for (from, to, expected) in [
            ("", "", Ok((false, None))),
            // In another order, with more, and with a byte order mark.
            (GOOD, r#"{"x":{"type":"y"},"origin":"o","challenge":"AQID","type":"t"}"#, Ok((false, None))),
            (r#"{"type"#, "\u{feff}{\"type", Ok((false, None))),
            (r#"{"type"#, r#"{"crossOrigin":true,"type"#, Ok((true, None))),
            (r#"{"type"#, r#"{"crossOrigin":false,"topOrigin":"t","type"#, Ok((false, Some("t".into())))),
            (r#"{"type"#, r#"{"crossOrigin":null,"type"#, member("crossOrigin")),
            (r#"{"type"#, r#"{"crossOrigin":"true","type"#, member("crossOrigin")),
            (r#"{"type"#, r#"{"topOrigin":null,"type"#, member("topOrigin")),
            (r#"{"type"#, r#"{"topOrigin":["t"],"type"#, member("topOrigin")),
            (r#"type"#, "kind", member("type")),
            (r#""webauthn.get""#, "1", member("type")),
            (r#"challenge"#, "Challenge", member("challenge")),
            (r#""AQID""#, "[1,2,3]", member("challenge")),
            (r#""AQID""#, r#""AQ==""#, member("challenge")),
            (r#""AQID""#, r#""AR""#, member("challenge")),
            (r#""AQID""#, r#""+/8""#, member("challenge")),
            (r#"origin"#, "origins", member("origin")),
            (r#""https://a.example""#, "{}", member("origin")),
            (
                r#"{"type"#,
                r#"{"type":"webauthn.create","type"#,
                Err(ClientDataFault::Json(JsonFault::DuplicateMember)),
            ),
            (
                r#"{"type"#,
                r#"{"\u0074ype":"webauthn.create","type"#,
                Err(ClientDataFault::Json(JsonFault::DuplicateMember)),
            ),
            ("}", "", Err(ClientDataFault::Json(JsonFault::Syntax))),
            (GOOD, "[]", Err(ClientDataFault::Json(JsonFault::NotAnObject))),
        ] {
            let text = if from.is_empty() { GOOD.to_owned() } else { GOOD.replacen(from, to, 1) };
            assert_eq!(read(&text), expected, "{text}");
        }
        assert_eq!(ClientData::read(b"{\"type\":\"\xff\"}"), Err(ClientDataFault::Json(JsonFault::Syntax)));
    }

    #[test]
    fn what_they_say() {
        let data = ClientData::read(GOOD.as_bytes()).unwrap();
        assert_eq!((data.ceremony, &*data.origin), (Some(Ceremony::Authentication), "https://a.example"));
        assert_eq!((data.challenge, data.hash), (vec![1, 2, 3], sha256(GOOD.as_bytes())));
        // All that came is signed, a byte order mark too.
        let marked = format!("\u{feff}{GOOD}");
        assert_eq!(ClientData::read(marked.as_bytes()).unwrap().hash, sha256(marked.as_bytes()));
        for (kind, expected) in [
            ("webauthn.create", Some(Ceremony::Registration)),
            ("payment.get", None),
            ("Webauthn.get", None),
            ("webauthn.get\0", None),
            ("", None),
        ] {
            let text = serde_json::json!({"type": kind, "challenge": "", "origin": ""}).to_string();
            assert_eq!(ClientData::read(text.as_bytes()).unwrap().ceremony, expected, "{kind}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let padded = |len: usize| GOOD.replacen('{', &format!("{{{}", " ".repeat(len - GOOD.len())), 1);
        assert!(ClientData::read(padded(MAX_LEN).as_bytes()).is_ok());
        assert_eq!(ClientData::read(padded(MAX_LEN + 1).as_bytes()), Err(ClientDataFault::TooLong));
    }
}
