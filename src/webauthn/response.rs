//! What clients send at the end of a ceremony, as `PublicKeyCredential.toJSON()` writes it (WebAuthn section 5.1).
//!
//! Members that are not known are ignored, and so are copies of what the signed bytes say themselves, such as
//! `publicKey`: nothing has two readings. Binary members are base64url without padding (section 3); padded ones are refused.

use std::fmt;

use super::client_data::{ClientData, ClientDataFault};
use crate::{
    json::{self, Json, JsonFault, Members, Object},
    text::base64url,
};

/// The longest response that is read, in bytes. Those with the longest attestations, of TPMs, take about 10,000.
pub const MAX_RESPONSE_LEN: usize = 65_536;

/// How many transports of a credential are kept.
const MAX_TRANSPORTS: usize = 8;
/// The longest name of a transport that is kept.
const MAX_TRANSPORT_LEN: usize = 32;
/// The longest user handle (section 5.4.3).
const MAX_USER_HANDLE_LEN: usize = 64;

/// `RegistrationResponseJSON`: a new credential, of which nothing is verified.
#[derive(Clone)]
pub struct RegistrationResponse {
    /// `rawId`.
    pub credential_id: Vec<u8>,
    /// `response.clientDataJSON`.
    pub client_data: ClientData,
    /// `response.attestationObject`.
    pub attestation_object: Vec<u8>,
    /// `response.transports`: how the authenticator can be reached, known names and others (section 5.8.4); the first eight that
    /// differ and are at most 32 visible ASCII characters long. Empty: the client does not know.
    pub transports: Vec<Box<str>>,
    /// `clientExtensionResults.credProps.rk`: whether the credential is discoverable (section 10.1.3); `None`: the client does
    /// not say, which is not false.
    pub is_discoverable: Option<bool>,
}

/// `AuthenticationResponseJSON`: an assertion, of which nothing is verified.
#[derive(Clone)]
pub struct AuthenticationResponse {
    /// `rawId`.
    pub credential_id: Vec<u8>,
    /// `response.clientDataJSON`.
    pub client_data: ClientData,
    /// `response.authenticatorData`.
    pub authenticator_data: Vec<u8>,
    /// `response.signature`.
    pub signature: Vec<u8>,
    /// `response.userHandle`; `None` also where it is `null` or empty, as some clients write what they have not.
    pub user_handle: Option<Vec<u8>>,
}

/// Why a body is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFault {
    /// The client data.
    ClientData(ClientDataFault),
    /// Not an object with unique members.
    Json(JsonFault),
    /// A member that is missing or has a wrong form.
    Member(&'static str),
    /// Longer than is read.
    TooLong,
}

impl RegistrationResponse {
    /// Reads the body of a request.
    pub fn read(body: &[u8]) -> Result<Self, ResponseFault> {
        let members = parse(body)?;
        let response = response(&members)?;
        let is_discoverable = members.get("clientExtensionResults").and_then(Json::as_object);
        let is_discoverable =
            is_discoverable.and_then(|results| results.get("credProps")?.as_object()?.get("rk"));
        Ok(Self {
            credential_id: credential_id(&members)?,
            client_data: client_data(response)?,
            attestation_object: octets(response, "attestationObject")?,
            transports: transports(response)?,
            is_discoverable: if let Some(Json::Bool(rk)) = is_discoverable { Some(rk) } else { None },
        })
    }
}

impl AuthenticationResponse {
    /// Reads the body of a request.
    pub fn read(body: &[u8]) -> Result<Self, ResponseFault> {
        let members = parse(body)?;
        let response = response(&members)?;
        let user_handle = match response.get("userHandle") {
            None | Some(Json::Null | Json::String("")) => None,
            Some(_) => Some(octets(response, "userHandle")?),
        };
        if user_handle.as_ref().is_some_and(|handle| handle.len() > MAX_USER_HANDLE_LEN) {
            return Err(ResponseFault::Member("userHandle"));
        }
        Ok(Self {
            credential_id: credential_id(&members)?,
            client_data: client_data(response)?,
            authenticator_data: octets(response, "authenticatorData")?,
            signature: octets(response, "signature")?,
            user_handle,
        })
    }
}

fn parse(body: &[u8]) -> Result<Members, ResponseFault> {
    if body.len() > MAX_RESPONSE_LEN {
        return Err(ResponseFault::TooLong);
    }
    let members = json::parse_object(body).map_err(ResponseFault::Json)?;
    match members.get("type").and_then(Json::as_str) {
        Some("public-key") => Ok(members),
        _ => Err(ResponseFault::Member("type")),
    }
}

fn response(members: &Members) -> Result<Object<'_>, ResponseFault> {
    members.get("response").and_then(Json::as_object).ok_or(ResponseFault::Member("response"))
}

/// `id` is the same text as `rawId` (section 5.1).
fn credential_id(members: &Members) -> Result<Vec<u8>, ResponseFault> {
    let (id, raw_id) = (octets(members.object(), "id")?, octets(members.object(), "rawId")?);
    if id == raw_id { Ok(raw_id) } else { Err(ResponseFault::Member("rawId")) }
}

fn client_data(response: Object<'_>) -> Result<ClientData, ResponseFault> {
    ClientData::read(&octets(response, "clientDataJSON")?).map_err(ResponseFault::ClientData)
}

/// Never empty.
fn octets(object: Object<'_>, name: &'static str) -> Result<Vec<u8>, ResponseFault> {
    let octets = object.get(name).and_then(Json::as_str).and_then(|text| base64url::decode(text.as_bytes()));
    octets.filter(|octets| !octets.is_empty()).ok_or(ResponseFault::Member(name))
}

/// Names of transports are for the client alone, who gets them back. So what is too much is left out, and no reason to
/// refuse the credential.
fn transports(response: Object<'_>) -> Result<Vec<Box<str>>, ResponseFault> {
    const FAULT: ResponseFault = ResponseFault::Member("transports");
    let mut kept: Vec<Box<str>> = Vec::new();
    let list = match response.get("transports") {
        None | Some(Json::Null) => return Ok(kept),
        Some(list) => list.as_list().ok_or(FAULT)?,
    };
    for name in list.iter() {
        let name = name.as_str().ok_or(FAULT)?;
        let fits =
            (1..=MAX_TRANSPORT_LEN).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && kept.len() < MAX_TRANSPORTS && !kept.iter().any(|other| **other == *name) {
            kept.push(name.into());
        }
    }
    Ok(kept)
}

/// Shows no more than where it comes from: until its challenge is used, an assertion is a credential.
impl fmt::Debug for RegistrationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrationResponse")
            .field("origin", &self.client_data.origin)
            .finish_non_exhaustive()
    }
}

/// Shows no more than where it comes from: until its challenge is used, an assertion is a credential.
impl fmt::Debug for AuthenticationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticationResponse")
            .field("origin", &self.client_data.origin)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ResponseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientData(fault) => write!(f, "client data: {fault}"),
            Self::Json(fault) => fault.fmt(f),
            Self::Member(name) => write!(f, "`{name}` is missing or has a wrong form"),
            Self::TooLong => write!(f, "longer than {MAX_RESPONSE_LEN} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::{ALGORITHMS, client_data::Ceremony, tests::authenticator::parts},
        *,
    };

    fn registration() -> Value {
        parts(Ceremony::Registration, ALGORITHMS[0]).registration()
    }

    fn assertion() -> Value {
        parts(Ceremony::Authentication, ALGORITHMS[0]).assertion()
    }

    fn read_registration(body: &Value) -> Result<RegistrationResponse, ResponseFault> {
        RegistrationResponse::read(body.to_string().as_bytes())
    }

    fn read_assertion(body: &Value) -> Result<AuthenticationResponse, ResponseFault> {
        AuthenticationResponse::read(body.to_string().as_bytes())
    }

    #[test]
    fn members_of_both() {
        let member = |name| Some(ResponseFault::Member(name));
        for (pointer, value, expected) in [
            ("/type", json!("public-key"), None),
            ("/type", json!("password"), member("type")),
            ("/type", json!(null), member("type")),
            ("/future", json!({"a": 1}), None),
            ("/authenticatorAttachment", json!("none that is known"), None),
            ("/clientExtensionResults", json!({"appid": true}), None),
            ("/id", json!("AA"), member("rawId")),
            ("/rawId", json!("AA"), member("rawId")),
            ("/rawId", json!(null), member("rawId")),
            // Padding is refused, in all of them.
            ("/id", json!("AA=="), member("id")),
            ("/id", json!("AB"), member("id")),
            ("/id", json!("+/8"), member("id")),
            ("/id", json!(""), member("id")),
            ("/id", json!([1, 2]), member("id")),
            ("/response", json!(null), member("response")),
            ("/response", json!("x"), member("response")),
            ("/response/future", json!(1), None),
            ("/response/publicKey", json!("not looked at"), None),
            ("/response/publicKeyAlgorithm", json!(-65535), None),
            ("/response/clientDataJSON", json!(null), member("clientDataJSON")),
            ("/response/clientDataJSON", json!(""), member("clientDataJSON")),
            (
                "/response/clientDataJSON",
                json!("e30"),
                Some(ResponseFault::ClientData(ClientDataFault::Member("type"))),
            ),
        ] {
            let change = |mut body: Value| {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                body.pointer_mut(parent).unwrap()[name] = value.clone();
                body
            };
            let found = read_registration(&change(registration())).err();
            assert_eq!(found, expected, "{pointer} {value}");
            assert_eq!(read_assertion(&change(assertion())).err(), expected, "{pointer} {value}");
        }
    }

    #[test]
    fn members_of_either() {
        for name in ["attestationObject"] {
            let mut body = registration();
            for value in [json!(null), json!(""), json!("AA=="), json!(7)] {
                body["response"][name] = value;
                assert_eq!(read_registration(&body).err(), Some(ResponseFault::Member(name)), "{body}");
            }
        }
        for name in ["authenticatorData", "signature"] {
            let mut body = assertion();
            for value in [json!(null), json!(""), json!("AA=="), json!(7)] {
                body["response"][name] = value;
                assert_eq!(read_assertion(&body).err(), Some(ResponseFault::Member(name)), "{body}");
            }
        }
    }

    #[test]
    fn not_json() {
        let twice = registration().to_string().replacen('{', r#"{"type":"public-key","#, 1);
        for (body, expected) in [
            ("", ResponseFault::Json(JsonFault::Syntax)),
            ("[]", ResponseFault::Json(JsonFault::NotAnObject)),
            (&twice, ResponseFault::Json(JsonFault::DuplicateMember)),
        ] {
            assert_eq!(RegistrationResponse::read(body.as_bytes()).err(), Some(expected), "{body}");
            assert_eq!(AuthenticationResponse::read(body.as_bytes()).err(), Some(expected), "{body}");
        }
        let padded = |len: usize| {
            let text = assertion().to_string();
            format!("{text}{}", " ".repeat(len - text.len())).into_bytes()
        };
        assert!(AuthenticationResponse::read(&padded(MAX_RESPONSE_LEN)).is_ok());
        let too_long = padded(MAX_RESPONSE_LEN + 1);
        assert_eq!(AuthenticationResponse::read(&too_long).err(), Some(ResponseFault::TooLong));
    }

    #[test]
    fn user_handles() {
        for (handle, expected) in [
            (json!("dXNlcg"), Ok(Some(&b"user"[..]))),
            (json!(null), Ok(None)),
            (json!(""), Ok(None)),
            (json!("dXNlcg=="), Err(ResponseFault::Member("userHandle"))),
            (json!(7), Err(ResponseFault::Member("userHandle"))),
            (json!(base64url::encode(&[7; 64])), Ok(Some(&[7; 64][..]))),
            (json!(base64url::encode(&[7; 65])), Err(ResponseFault::Member("userHandle"))),
        ] {
            let mut body = assertion();
            body["response"]["userHandle"] = handle.clone();
            let found = read_assertion(&body).map(|response| response.user_handle);
            assert_eq!(found.as_ref().map(Option::as_deref), expected.as_ref().copied(), "{handle}");
        }
        let mut body = assertion();
        body["response"].as_object_mut().unwrap().remove("userHandle");
        assert_eq!(read_assertion(&body).unwrap().user_handle, None);
    }

    #[test]
    fn transports_are_kept_within_bounds() {
        let many: Vec<_> = (0..200).map(|n| format!("t{n}")).collect();
        for (sent, expected) in [
            (
                json!(["internal", "cable", "one-of-the-future"]),
                Ok(vec!["internal", "cable", "one-of-the-future"]),
            ),
            (json!(["usb", "usb", "nfc"]), Ok(vec!["usb", "nfc"])),
            (json!([]), Ok(vec![])),
            (json!(null), Ok(vec![])),
            (json!(many), Ok(vec!["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"])),
            (json!(["", "x".repeat(33), "a b", "é", "\u{0}", "x"]), Ok(vec!["x"])),
            (json!("usb"), Err(ResponseFault::Member("transports"))),
            (json!([7]), Err(ResponseFault::Member("transports"))),
        ] {
            let mut body = registration();
            body["response"]["transports"] = sent.clone();
            let found = read_registration(&body).map(|response| response.transports);
            let expected = expected.map(|names| names.into_iter().map(Into::into).collect::<Vec<Box<str>>>());
            assert_eq!(found, expected, "{sent}");
        }
    }

    #[test]
    fn whether_it_is_discoverable() {
        for (results, expected) in [
            (json!({"credProps": {"rk": true}}), Some(true)),
            (json!({"credProps": {"rk": false}}), Some(false)),
            // Not known, which is not false.
            (json!({"credProps": {}}), None),
            (json!({"credProps": {"rk": "true"}}), None),
            (json!({}), None),
            (json!(null), None),
        ] {
            let mut body = registration();
            body["clientExtensionResults"] = results.clone();
            assert_eq!(read_registration(&body).unwrap().is_discoverable, expected, "{results}");
        }
    }

    #[test]
    fn what_proves_something_is_not_shown() {
        let body = assertion();
        let shown = format!("{:?}", read_assertion(&body).unwrap());
        let signature = read_assertion(&body).unwrap().signature;
        assert!(
            !shown.contains(&format!("{signature:?}")) && shown.contains("https://app.example"),
            "{shown}"
        );
    }
}
