//! A token taken apart, nothing of it verified.

use std::fmt;

use super::{
    bounds::MAX_KID_LEN,
    error::{Malformed, TokenError},
};
use crate::{
    crypto::Algorithm,
    json::{self, Json, Members, Object},
    text::base64url,
};

/// A signed JWT in compact form (RFC 7515 section 7.1), well-formed and not verified: nothing in it may be
/// believed before one who knows its keys says so.
#[derive(Clone)]
pub struct CompactToken<'a> {
    text: &'a str,
    signing_input: &'a [u8],
    algorithm: Algorithm,
    header: Members,
    claims: Members,
    signature: Vec<u8>,
    is_padded: bool,
}

impl<'a> CompactToken<'a> {
    /// Takes `text` apart. `max_size` is the most bytes that are read at all.
    ///
    /// `jku`, `jwk`, `x5u` and `x5c` are ignored: keys come from the policy alone.
    ///
    /// ```
    /// use portcullis::jose::CompactToken;
    ///
    /// // {"alg":"ES256"} . {"sub":"alice"} . nothing that anyone signed
    /// let token = CompactToken::parse("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmVk", 8192);
    /// assert_eq!(token.map(|token| token.algorithm().name()), Ok("ES256"));
    /// // {"alg":"none"}
    /// assert!(CompactToken::parse("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.", 8192).is_err());
    /// ```
    pub fn parse(text: &'a str, max_size: usize) -> Result<Self, TokenError> {
        Self::parse_as(text, max_size, false)
    }

    /// The same of a token whose segments are padded, each of them, which RFC 7515 section 2 has not. The signature is over
    /// the segments as they stand.
    pub fn parse_padded(text: &'a str, max_size: usize) -> Result<Self, TokenError> {
        Self::parse_as(text, max_size, true)
    }

    fn parse_as(text: &'a str, max_size: usize, is_padded: bool) -> Result<Self, TokenError> {
        let decode = |segment| decode(segment, is_padded);
        if text.len() > max_size {
            return Err(TokenError::TooLong { max: max_size });
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(SEGMENTS)?;
        let (header, payload) = signing_input.split_once('.').ok_or(SEGMENTS)?;
        // With a dot in the payload there are more than three segments.
        if header.is_empty() || payload.is_empty() || signature.is_empty() || payload.contains('.') {
            return Err(SEGMENTS);
        }
        let header = json::parse_object(&decode(header)?)
            .map_err(|fault| TokenError::Malformed(Malformed::Header(fault)))?;
        let parameters = header.object();
        let algorithm = algorithm(parameters)?;
        refuse_extensions(parameters)?;
        check_text_parameter(parameters, "kid", MAX_KID_LEN)?;
        check_text_parameter(parameters, "typ", MAX_TYP_LEN)?;
        let claims = json::parse_object(&decode(payload)?)
            .map_err(|fault| TokenError::Malformed(Malformed::Claims(fault)))?;
        let signature = decode(signature)?;
        let signing_input = signing_input.as_bytes();
        Ok(Self { text, signing_input, algorithm, header, claims, signature, is_padded })
    }

    /// The token as it came.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether its segments are padded.
    pub fn is_padded(&self) -> bool {
        self.is_padded
    }

    /// What the signature is over (RFC 7515 section 5.1).
    pub fn signing_input(&self) -> &'a [u8] {
        self.signing_input
    }

    /// What `alg` asks for. Never decides alone: the provider's list does.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `kid`.
    pub fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Json::as_str)
    }

    /// `typ` as it stands.
    pub fn typ(&self) -> Option<&str> {
        self.header.get("typ").and_then(Json::as_str)
    }

    /// A parameter of the header, unverified; for a JWT that brings its own key (RFC 9449 section 4.2).
    pub fn parameter(&self, name: &str) -> Option<Json<'_>> {
        self.header.get(name)
    }

    /// `iss`, unverified, for choosing among providers; `None` when it is missing or no string.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Json::as_str)
    }

    /// The claims, unverified.
    pub fn claims(&self) -> &Members {
        &self.claims
    }

    /// The claims, unverified.
    pub fn into_claims(self) -> Members {
        self.claims
    }

    /// The claims, unverified; none are left.
    pub(crate) fn take_claims(&mut self) -> Members {
        std::mem::take(&mut self.claims)
    }

    /// The signature's bytes; never empty.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// Shows neither the token nor its claims: with its signature it is a credential.
impl fmt::Debug for CompactToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactToken")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid())
            .field("typ", &self.typ())
            .finish_non_exhaustive()
    }
}

/// Whether `text` has the form of a signed JWT (RFC 7515 section 7.1): three parts of base64url, of which the first
/// is a JSON object with `alg`. Whether it can be read any further is another question.
pub fn is_compact_jws(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_base64url =
        |part: &[u8]| part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    is_base64url(payload)
        && is_base64url(signature)
        && str::from_utf8(header)
            .ok()
            .and_then(|header| json::parse_object(&decode(header, false).ok()?).ok())
            .is_some_and(|header| header.object().get("alg").is_some())
}

const SEGMENTS: TokenError = TokenError::Malformed(Malformed::Segments);

/// Refuses a token that would have to be read in another way than this module does. By `crit` it names extensions
/// that must be understood (RFC 7515 section 4.1.11), and none is here. `b64` (RFC 7797) and `zip` change what the
/// payload is; `enc` belongs to an encrypted token (JWE). With `cty: JWT` the payload is another token instead of
/// claims.
fn refuse_extensions(header: Object<'_>) -> Result<(), TokenError> {
    let is_jwt = |cty: &str| without_media_type_prefix(cty).eq_ignore_ascii_case("jwt");
    let is_one = |(name, value): (&str, Json<'_>)| match name {
        "crit" | "b64" | "zip" | "enc" => true,
        "cty" => value.as_str().is_none_or(is_jwt),
        _ => false,
    };
    if header.iter().any(is_one) {
        return Err(TokenError::Malformed(Malformed::Extension));
    }
    Ok(())
}

/// RFC 7515 section 4.1.9: `application/` is left out of `typ` and `cty` where there is no other slash. Both have no
/// case (RFC 2045 section 5.1).
pub(crate) fn without_media_type_prefix(media_type: &str) -> &str {
    const PREFIX: &str = "application/";
    match media_type.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => rest,
        _ => media_type,
    }
}

const MAX_TYP_LEN: usize = 128;

fn algorithm(header: Object<'_>) -> Result<Algorithm, TokenError> {
    let name = header.get("alg").and_then(Json::as_str).ok_or(parameter("alg"))?;
    Algorithm::from_name(name).ok_or(TokenError::AlgorithmUnknown)
}

/// A text that is not too long, if it is there at all.
fn check_text_parameter(header: Object<'_>, name: &'static str, max_len: usize) -> Result<(), TokenError> {
    match header.get(name) {
        None => Ok(()),
        Some(Json::String(text)) if text.len() <= max_len => Ok(()),
        Some(_) => Err(parameter(name)),
    }
}

fn parameter(name: &'static str) -> TokenError {
    TokenError::Malformed(Malformed::HeaderParameter { name })
}

fn decode(segment: &str, is_padded: bool) -> Result<Vec<u8>, TokenError> {
    let text = if is_padded { base64url::without_padding(segment) } else { Some(segment) };
    let bytes = text.and_then(|text| base64url::decode(text.as_bytes()));
    bytes.ok_or(TokenError::Malformed(Malformed::Base64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jose::tests::tokens::{encode, unsigned},
        json::JsonFault,
    };

    const GOOD: &str = r#"{"alg":"RS256","typ":"JWT","kid":"k1"}"#;

    fn header_of(header: &str) -> Result<(), TokenError> {
        CompactToken::parse(&unsigned(header, "{}"), 8192).map(|_| ())
    }

    #[test]
    fn the_form_of_a_signed_jwt() {
        let jws = |header: &str| is_compact_jws(unsigned(header, "{}").as_bytes());
        for header in
            [GOOD, r#"{"alg":"XY1"}"#, r#"{"alg":1,"crit":["b64"],"b64":false}"#, " { \"alg\" : null }"]
        {
            assert!(jws(header), "{header}");
        }
        for header in ["{}", "[]", "\"alg\"", r#"{"ALG":"RS256"}"#, r#"{"alg":"RS256""#, ""] {
            assert!(!jws(header), "{header}");
        }
        let header = encode(GOOD);
        for (text, expected) in [
            (format!("{header}.e30.c2ln"), true),
            // Malformed tokens, not keys.
            (format!("{header}.e30."), true),
            (format!("{header}..c2ln"), true),
            (format!("{header}.x.y"), true),
            (format!("{header}.e30"), false),
            (format!("{header}.e30.c2ln.x"), false),
            (format!("{header}.e30.c2ln=="), false),
            (format!("{header}.e3+.c2ln"), false),
            (format!(" {header}.e30.c2ln"), false),
            (format!("{header}.e30.c2ln,x"), false),
            ("pk_live.abc.def".to_owned(), false),
            ("a.b.c".to_owned(), false),
            ("..".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_compact_jws(text.as_bytes()), expected, "{text}");
        }
        assert!(!is_compact_jws(b"\xff.\xff.\xff"));
    }

    #[test]
    fn parts() {
        let text = unsigned(GOOD, r#"{"iss":"i","n":1}"#);
        let token = CompactToken::parse(&text, text.len()).unwrap();
        assert_eq!(
            (token.algorithm(), token.kid(), token.typ()),
            (Algorithm::Rs256, Some("k1"), Some("JWT"))
        );
        assert_eq!((token.issuer(), token.claims().object().len()), (Some("i"), 2));
        assert_eq!((token.text(), token.signature()), (text.as_str(), &b"signature"[..]));
        assert_eq!(token.signing_input(), text.rsplit_once('.').unwrap().0.as_bytes());
        assert!(!format!("{token:?}").contains("signature"));
        assert_eq!(
            CompactToken::parse(&text, text.len() - 1).unwrap_err(),
            TokenError::TooLong { max: text.len() - 1 }
        );
    }

    #[test]
    fn segments() {
        let (h, p, s) = (encode(GOOD), encode("{}"), encode("signature"));
        assert!(CompactToken::parse(&format!("{h}.{p}.{s}"), 8192).is_ok());
        for text in [
            String::new(),
            ".".into(),
            "..".into(),
            "....".into(),
            h.clone(),
            format!("{h}.{p}"),
            format!("{h}.{p}."),
            format!("{h}..{s}"),
            format!(".{p}.{s}"),
            format!("{h}.{p}.{s}."),
            format!(".{h}.{p}.{s}"),
            format!("{h}.{p}.{s}.{s}"),
            // A JWE has five (RFC 7516 section 7.1).
            format!("{h}.{p}.{s}.{s}.{s}"),
            format!("{h}....{s}"),
        ] {
            assert_eq!(CompactToken::parse(&text, 8192).unwrap_err(), SEGMENTS, "{text}");
        }
    }

    #[test]
    fn base64url_in_its_one_form() {
        let (h, p) = (encode(GOOD), encode("{}"));
        for (signature, fine) in [
            ("c2ln", true),
            ("c2k", true),
            // The last character carries bits beyond the last byte.
            ("c2l", false),
            ("c2k=", false),
            ("c2k==", false),
            ("c2ln\n", false),
            (" c2ln", false),
            ("c2ln ", false),
            ("c", false),
            ("-_-_", true),
            ("+/+/", false),
            ("c2\u{e9}", false),
        ] {
            let outcome = CompactToken::parse(&format!("{h}.{p}.{signature}"), 8192).map(|_| ());
            let expected = if fine { Ok(()) } else { Err(TokenError::Malformed(Malformed::Base64)) };
            assert_eq!(outcome, expected, "{signature}");
        }
    }

    #[test]
    fn header_parameters() {
        let long_kid = |len: usize| format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(len));
        let extension = || Err(TokenError::Malformed(Malformed::Extension));
        for (header, expected) in [
            (r#"{"alg":"ES256"}"#, Ok(())),
            (r#"{"alg":"Ed25519"}"#, Ok(())),
            (r#"{"alg":"none"}"#, Err(TokenError::AlgorithmUnknown)),
            (r#"{"alg":"None"}"#, Err(TokenError::AlgorithmUnknown)),
            (r#"{"alg":"nOnE"}"#, Err(TokenError::AlgorithmUnknown)),
            (r#"{"alg":""}"#, Err(TokenError::AlgorithmUnknown)),
            (r#"{"alg":"es256"}"#, Err(TokenError::AlgorithmUnknown)),
            (r#"{"alg":"ES256 "}"#, Err(TokenError::AlgorithmUnknown)),
            (r#"{"alg":["ES256"]}"#, Err(parameter("alg"))),
            (r#"{"alg":256}"#, Err(parameter("alg"))),
            (r#"{"alg":null}"#, Err(parameter("alg"))),
            ("{}", Err(parameter("alg"))),
            (r#"{"Alg":"ES256"}"#, Err(parameter("alg"))),
            (
                r#"{"alg":"none","alg":"ES256"}"#,
                Err(TokenError::Malformed(Malformed::Header(JsonFault::DuplicateMember))),
            ),
            (r#"["ES256"]"#, Err(TokenError::Malformed(Malformed::Header(JsonFault::NotAnObject)))),
            ("{", Err(TokenError::Malformed(Malformed::Header(JsonFault::Syntax)))),
            (r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, extension()),
            (r#"{"alg":"ES256","crit":["http://example.com/UNDEFINED"]}"#, extension()),
            (r#"{"alg":"ES256","crit":["alg"]}"#, extension()),
            (r#"{"alg":"ES256","crit":[]}"#, extension()),
            (r#"{"alg":"ES256","crit":"alg"}"#, extension()),
            (r#"{"alg":"ES256","crit":null}"#, extension()),
            (r#"{"alg":"ES256","b64":false}"#, extension()),
            (r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#, extension()),
            (r#"{"alg":"ES256","b64":true}"#, extension()),
            (r#"{"alg":"ES256","zip":"DEF"}"#, extension()),
            (r#"{"alg":"ES256","enc":"A128GCM"}"#, extension()),
            (r#"{"alg":"ES256","cty":"JWT"}"#, extension()),
            (r#"{"alg":"ES256","cty":"application/jwt"}"#, extension()),
            (r#"{"alg":"ES256","cty":1}"#, extension()),
            (r#"{"alg":"ES256","cty":"json"}"#, Ok(())),
            (r#"{"alg":"ES256","kid":["k"]}"#, Err(parameter("kid"))),
            (r#"{"alg":"ES256","kid":1}"#, Err(parameter("kid"))),
            (r#"{"alg":"ES256","kid":null}"#, Err(parameter("kid"))),
            (r#"{"alg":"ES256","kid":""}"#, Ok(())),
            (r#"{"alg":"ES256","typ":true}"#, Err(parameter("typ"))),
            // Never used: not even looked at.
            (r#"{"alg":"ES256","jku":7,"jwk":[],"x5u":{},"x5c":null,"x5t":1}"#, Ok(())),
            (&long_kid(MAX_KID_LEN), Ok(())),
            (&long_kid(MAX_KID_LEN + 1), Err(parameter("kid"))),
        ] {
            assert_eq!(header_of(header), expected, "{header}");
        }
    }

    #[test]
    fn payloads() {
        let payload_of = |payload: &str| CompactToken::parse(&unsigned(GOOD, payload), 8192).map(|_| ());
        let claims = |fault| Err(TokenError::Malformed(Malformed::Claims(fault)));
        for (payload, expected) in [
            ("{}", Ok(())),
            (r#"{"sub":"a","sub":"b"}"#, claims(JsonFault::DuplicateMember)),
            (r#"{"act":{"sub":"a","sub":"b"}}"#, claims(JsonFault::DuplicateMember)),
            (r#"["sub"]"#, claims(JsonFault::NotAnObject)),
            ("eyJhbGciOiJub25lIn0.e30.", claims(JsonFault::Syntax)),
            (&"[".repeat(4000), claims(JsonFault::Syntax)),
        ] {
            assert_eq!(payload_of(payload), expected, "{payload}");
        }
    }
}
