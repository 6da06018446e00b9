//! Who is calling: what every way of authenticating comes down to.

use std::{sync::Arc, time::Duration};

use serde_json::Number;

use crate::{
    json::{Json, List, Members, Object},
    time::{Timestamp, nanos},
};

/// The longest subject, tier or token id, in bytes. OpenID Connect allows 255 for `sub`.
pub const MAX_NAME_LEN: usize = 512;

/// How a principal proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrincipalKind {
    /// An OAuth2 access token (JWT).
    Jwt,
    /// An API key.
    ApiKey,
    /// The certificate of a TLS client.
    ClientCertificate,
    /// A shared secret that signs the body of a webhook.
    Hmac,
    /// A key that signs the request (RFC 9421).
    MessageSignature,
}

impl PrincipalKind {
    /// The name that upstreams and the decision record see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api-key",
            Self::ClientCertificate => "client-certificate",
            Self::Hmac => "hmac",
            Self::MessageSignature => "message-signature",
        }
    }
}

/// Which of the two whose credentials a request carries, where a rule takes both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Party {
    /// Whose request it is; where a rule takes one credential there is nobody else.
    #[default]
    Principal,
    /// Who acts for the principal (RFC 8693 section 4.1).
    Actor,
}

/// An authenticated caller. Only a verifier makes one; no field is ever taken from an unverified header.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The token's subject, the API key's client, the certificate's name, or that of the source of webhooks or of the signer. Never
    /// empty.
    pub subject: Box<str>,
    /// How it authenticated.
    pub kind: PrincipalKind,
    /// The provider's name for a JWT; which of its names it is for a certificate (`uri`, `dns`, `subject`); empty
    /// for anything else. Two providers may know the same subject, so whatever is counted per principal is counted
    /// per `(kind, authority, subject)`.
    pub authority: Arc<str>,
    /// The API key's id, the token's `jti`, the certificate's SHA-256 in hexadecimal, the webhook's id or that of the key that
    /// signed; empty when there is none.
    pub credential_id: Box<str>,
    /// Granted OAuth2 scopes, in the order given.
    pub scopes: Vec<Box<str>>,
    /// Roles as the credential names them; unknown ones grant nothing.
    pub roles: Vec<Box<str>>,
    /// The credential names roles in a form that cannot be read, and the policy lets that pass: nobody knows which others it
    /// has than `roles`.
    pub roles_unclear: bool,
    /// Permissions granted directly, by an API key's level.
    pub permissions: Vec<Box<str>>,
    /// Selects tiered rate limits; `None` means the limit's own windows.
    pub tier: Option<Box<str>>,
    /// How many requests an API key has of its own, by the names of limits, each once; empty for anything else. A limit that
    /// nobody knows is none.
    pub own_requests: Vec<(Box<str>, u32)>,
    /// All claims of the token; empty for anything else.
    pub claims: Members,
}

/// Where a claim stands: one name for a top-level claim, several to descend into objects.
///
/// Written `realm_access.roles`, or as a list of names where a name itself holds dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<String>);

impl ClaimPath {
    /// Splits dotted text.
    pub fn dotted(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }

    /// The claim's value; `None` where any step is missing or is not an object.
    pub fn find<'a>(&self, claims: Object<'a>) -> Option<Json<'a>> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }
}

impl Principal {
    /// Whether a claim is `text`, or a list that holds it: as a string, or as the whole number that `text` is in decimal.
    /// Fractions and whatever else stands there are no text. What is no token has one claim, `sub`.
    pub fn claim_is(&self, path: &ClaimPath, text: &str) -> bool {
        self.claim(path).is_some_and(|claim| is_or_holds(claim, text))
    }

    /// The name of the provider of its token; `None` for anything else. Where it has tenants, `authority` goes on with `#`.
    pub fn provider(&self) -> Option<&str> {
        let name = self.authority.split('#').next();
        name.filter(|_| self.kind == PrincipalKind::Jwt)
    }

    /// A claim's value. What is no token has one claim, `sub`: its client or name.
    pub fn claim(&self, path: &ClaimPath) -> Option<Json<'_>> {
        match (self.kind, path.0.as_slice()) {
            (PrincipalKind::Jwt, _) => path.find(self.claims.object()),
            (_, [name]) if name == "sub" => Some(Json::String(&self.subject)),
            _ => None,
        }
    }
}

#[cfg(test)]
impl Principal {
    /// Alice, by a token of corp or what else `kind` says.
    pub(crate) fn alice(kind: PrincipalKind, claims: &serde_json::Value) -> Self {
        Self {
            subject: "alice".into(),
            kind,
            authority: Arc::from("corp"),
            credential_id: Box::default(),
            scopes: vec![],
            roles: vec![],
            roles_unclear: false,
            permissions: vec![],
            tier: None,
            own_requests: vec![],
            claims: crate::json::members(claims),
        }
    }
}

/// Of a claim that is a longer list the rest is not looked at. Tokens of the default size hold no more.
pub(crate) const MAX_MEMBERS: usize = 4096;

fn is_or_holds(claim: Json<'_>, text: &str) -> bool {
    match claim {
        Json::String(own) => own == text,
        Json::Number(own) => whole_number(text).is_some_and(|number| number == *own),
        Json::List(list) => holds(list, text),
        Json::Null | Json::Bool(_) | Json::Object(_) => false,
    }
}

#[inline(never)]
fn holds(list: List<'_>, text: &str) -> bool {
    let number = whole_number(text);
    list.iter().take(MAX_MEMBERS).any(|member| match member {
        Json::String(own) => own == text,
        Json::Number(own) => number.as_ref() == Some(own),
        _ => false,
    })
}

/// The number that `text` is in the one way of writing it: without leading zeros and without a sign but `-`. `None` beyond
/// 64 bits, where JSON readers round.
fn whole_number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !digits.starts_with('0'));
    if !is_plain {
        return None;
    }
    text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)).ok()
}

/// 9999-12-31T23:59:59Z, the last that RFC 3339 can write. Milliseconds given for seconds lie behind it, and are
/// refused rather than taken for a token that never ends.
pub(crate) const LAST_SECOND: u64 = 253_402_300_799;

/// A NumericDate (RFC 7519 section 2): seconds since the epoch, possibly with a fraction. `None` for anything else.
pub fn numeric_date(value: Json<'_>) -> Option<Timestamp> {
    let number = value.as_number()?;
    match (number.as_u64(), number.as_f64()) {
        (Some(secs), _) => (secs <= LAST_SECOND).then(|| Timestamp::from_secs(secs)),
        // Refuses what is negative or not finite; a fraction below a nanosecond is lost.
        (None, secs) => Duration::try_from_secs_f64(secs?)
            .ok()
            .filter(|since_epoch| since_epoch.as_secs() <= LAST_SECOND)
            .map(|since_epoch| Timestamp::from_nanos(nanos(since_epoch))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_text_or_holds_it() {
        let long = |at: usize| {
            let mut members = vec!["b"; MAX_MEMBERS + 10];
            members[at] = "a";
            json!(members)
        };
        for (claim, text, expected) in [
            (json!("acme"), "acme", true),
            (json!("acme"), "Acme", false),
            (json!("acme"), "acm", false),
            (json!(["b", "acme"]), "acme", true),
            (json!(["b", "acme2"]), "acme", false),
            (json!([["acme"]]), "acme", false),
            (json!({"acme": true}), "acme", false),
            (json!([]), "acme", false),
            (json!(null), "null", false),
            (json!(true), "true", false),
            (json!(7), "7", true),
            (json!("7"), "7", true),
            (json!(7), "07", false),
            (json!(7), "+7", false),
            (json!(7), " 7", false),
            (json!(7), "7.0", false),
            (json!(7), "8", false),
            (json!(7.0), "7", false),
            (json!(7.5), "7.5", false),
            (json!(1e3), "1000", false),
            (json!(0), "0", true),
            (json!(0), "-0", false),
            (json!(0), "00", false),
            (json!(-7), "-7", true),
            (json!(-7), "7", false),
            (json!(-7), "-07", false),
            (json!(u64::MAX), "18446744073709551615", true),
            (json!(u64::MAX - 1), "18446744073709551615", false),
            (json!(i64::MIN), "-9223372036854775808", true),
            // Beyond 64 bits two numbers could be read as one.
            (serde_json::from_str("18446744073709551616").unwrap(), "18446744073709551616", false),
            (json!(["a", 7, "b"]), "7", true),
            (json!(["a", 7.0, "b"]), "7", false),
            (json!(["a", true, null, {"x": 7}, 8]), "8", true),
            (json!([7]), "", false),
            (long(MAX_MEMBERS - 1), "a", true),
            (long(MAX_MEMBERS), "a", false),
        ] {
            let principal = Principal::alice(PrincipalKind::Jwt, &json!({"of": {"it": claim}}));
            let path = ClaimPath::dotted("of.it");
            assert_eq!(principal.claim_is(&path, text), expected, "{text} in {claim}");
            assert!(!principal.claim_is(&ClaimPath::dotted("of.other"), text));
            let key = Principal { kind: PrincipalKind::ApiKey, claims: Members::default(), ..principal };
            assert!(!key.claim_is(&path, text));
            assert!(key.claim_is(&ClaimPath::dotted("sub"), "alice"));
            assert!(!key.claim_is(&ClaimPath::dotted("sub"), "alic"));
        }
    }
}
