//! To whom a token is bound: the `cnf` claim (RFC 7800), with the two kinds of proof that are understood.
//!
//! Reads only. Whether the sender has what the token asks for is decided with the request at hand.

use std::fmt;

use serde_json::{Map, Value};

use crate::{
    json::{Json, Object},
    text::base64url,
};

/// What a provider asks of its tokens, for one kind of binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingMode {
    /// Tokens that are bound must be proven; others pass as bearer tokens.
    Accepted,
    /// Every token must be bound and proven.
    Required,
}

/// What the sender of a token must prove. Neither: a bearer token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt`: the SHA-256 thumbprint of the key that signs DPoP proofs (RFC 9449 section 6.1).
    pub key: Option<[u8; 32]>,
    /// `x5t#S256`: the SHA-256 of the client's certificate (RFC 8705 section 3.1).
    pub certificate: Option<[u8; 32]>,
}

/// Why a token is not accepted from whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingError {
    /// It is bound to another certificate than that of the connection, or there is none.
    Certificate,
    /// `cnf` has a form that is not understood. Such a token is bound to something: it is no bearer token.
    Confirmation,
    /// It is bound to another key than that of the proof.
    Key,
    /// It is not bound to a certificate where the provider says that tokens must be.
    NoCertificate,
    /// It is not bound to a key where the provider says that tokens must be, or under the DPoP scheme.
    NoKey,
    /// It is bound to a key and was not sent under the DPoP scheme, or the provider takes no DPoP.
    Scheme,
}

impl Confirmation {
    /// Reads `cnf` of a token's claims, or of an introspection response (RFC 8705 section 3.2, RFC 9449 section 6.2).
    ///
    /// Members that are not understood are passed over (RFC 7800 section 3.1), but not where there is no other: that
    /// token is bound in a way that nobody here can check.
    pub fn of(claims: Object<'_>) -> Result<Self, BindingError> {
        let cnf = match claims.get("cnf") {
            // Some servers write null for what a token has none of: the same as absent.
            None | Some(Json::Null) => return Ok(Self::default()),
            Some(Json::Object(cnf)) => cnf,
            Some(_) => return Err(BindingError::Confirmation),
        };
        let read = |name| cnf.get(name).map(digest).transpose();
        let confirmation = Self { key: read("jkt")?, certificate: read("x5t#S256")? };
        if confirmation == Self::default() { Err(BindingError::Confirmation) } else { Ok(confirmation) }
    }

    /// `cnf` as claims say it; `None`: a bearer token has none.
    pub fn to_json(self) -> Option<Value> {
        let mut members = Map::new();
        for (name, digest) in [("jkt", self.key), ("x5t#S256", self.certificate)] {
            if let Some(digest) = digest {
                members.insert(name.to_owned(), base64url::encode(&digest).into());
            }
        }
        (!members.is_empty()).then_some(Value::Object(members))
    }

    /// Whether a token with this confirmation may come from a connection whose client showed the certificate with
    /// the SHA-256 `shown`; `None`: none was shown, or nobody looked. `mode` is what the provider asks for; `None`:
    /// nothing.
    pub fn check_certificate(
        self,
        mode: Option<BindingMode>,
        shown: Option<[u8; 32]>,
    ) -> Result<(), BindingError> {
        match (self.certificate, mode) {
            // Even where the provider says nothing: whoever bound the token did not mean it for everybody.
            (Some(due), _) if shown != Some(due) => Err(BindingError::Certificate),
            (None, Some(BindingMode::Required)) => Err(BindingError::NoCertificate),
            _ => Ok(()),
        }
    }

    /// The key that must sign a proof for the token; `None`: it is a bearer token and was sent as one.
    ///
    /// `under_dpop`: it was sent under the DPoP scheme, which the provider takes (RFC 9449 sections 7.1 and 7.2).
    pub fn proof_key(
        self,
        mode: Option<BindingMode>,
        under_dpop: bool,
    ) -> Result<Option<[u8; 32]>, BindingError> {
        match (self.key, under_dpop) {
            (Some(key), true) => Ok(Some(key)),
            (Some(_), false) => Err(BindingError::Scheme),
            (None, true) => Err(BindingError::NoKey),
            (None, false) if mode == Some(BindingMode::Required) => Err(BindingError::NoKey),
            (None, false) => Ok(None),
        }
    }
}

fn digest(value: Json<'_>) -> Result<[u8; 32], BindingError> {
    let digest = value.as_str().and_then(|text| base64url::decode(text.as_bytes()));
    digest.and_then(|digest| digest.try_into().ok()).ok_or(BindingError::Confirmation)
}

impl fmt::Display for BindingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "bound to another client certificate than that of the connection",
            Self::Confirmation => "claim `cnf` has a form that is not understood",
            Self::Key => "bound to another key than that of the DPoP proof",
            Self::NoCertificate => "not bound to a client certificate",
            Self::NoKey => "not bound to a DPoP key",
            Self::Scheme => "bound to a DPoP key and sent without proof",
        })
    }
}

impl std::error::Error for BindingError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// SHA-256 of nothing.
    const TEXT: &str = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

    #[test]
    fn claims() {
        let sum = crate::crypto::sha256(b"");
        let bad = Err(BindingError::Confirmation);
        let (key, certificate) = (Some(sum), Some(sum));
        for (claims, expected) in [
            (json!({}), Ok(Confirmation::default())),
            (json!({"cnf": null}), Ok(Confirmation::default())),
            (json!({"cnf": {"jkt": TEXT}}), Ok(Confirmation { key, certificate: None })),
            (json!({"cnf": {"x5t#S256": TEXT}}), Ok(Confirmation { key: None, certificate })),
            (json!({"cnf": {"jkt": TEXT, "x5t#S256": TEXT}}), Ok(Confirmation { key, certificate })),
            (json!({"cnf": {"jkt": TEXT, "kid": "k"}}), Ok(Confirmation { key, certificate: None })),
            (json!({"cnf": {}}), bad),
            (json!({"cnf": {"kid": "k"}}), bad),
            (json!({"cnf": {"jwk": {"kty": "EC"}}}), bad),
            (json!({"cnf": {"x5t#s256": TEXT}}), bad),
            (json!({"cnf": TEXT}), bad),
            (json!({"cnf": []}), bad),
            (json!({"cnf": {"jkt": null}}), bad),
            (json!({"cnf": {"jkt": 1}}), bad),
            (json!({"cnf": {"jkt": ""}}), bad),
            (json!({"cnf": {"jkt": TEXT.to_owned() + "="}}), bad),
            (json!({"cnf": {"jkt": TEXT.get(1..)}}), bad),
            (json!({"cnf": {"jkt": TEXT, "x5t#S256": "?"}}), bad),
        ] {
            assert_eq!(Confirmation::of(crate::json::members(&claims).object()), expected, "{claims}");
        }
        // What we say ourselves is read as it was meant.
        for confirmation in [
            Confirmation { key, certificate },
            Confirmation { key, certificate: None },
            Confirmation { key: None, certificate },
        ] {
            let claims = json!({"cnf": confirmation.to_json()});
            assert_eq!(Confirmation::of(crate::json::members(&claims).object()), Ok(confirmation));
        }
        assert_eq!(Confirmation::default().to_json(), None);
    }

    #[test]
    fn bound_tokens_are_never_bearer_tokens() {
        use BindingMode::{Accepted, Required};
        let (ours, theirs) = ([1; 32], [2; 32]);
        let bound = Confirmation { key: Some(ours), certificate: Some(ours) };
        let free = Confirmation::default();
        for (confirmation, mode, shown, expected) in [
            (bound, Some(Accepted), Some(ours), Ok(())),
            (bound, Some(Required), Some(ours), Ok(())),
            (bound, None, Some(ours), Ok(())),
            (bound, Some(Accepted), Some(theirs), Err(BindingError::Certificate)),
            (bound, Some(Accepted), None, Err(BindingError::Certificate)),
            (bound, None, None, Err(BindingError::Certificate)),
            (free, None, None, Ok(())),
            (free, Some(Accepted), Some(theirs), Ok(())),
            (free, Some(Required), Some(ours), Err(BindingError::NoCertificate)),
        ] {
            let outcome = confirmation.check_certificate(mode, shown);
            assert_eq!(outcome, expected, "{confirmation:?} {mode:?} {shown:?}");
        }
        for (confirmation, mode, under_dpop, expected) in [
            (bound, Some(Accepted), true, Ok(Some(ours))),
            (bound, Some(Accepted), false, Err(BindingError::Scheme)),
            (bound, None, false, Err(BindingError::Scheme)),
            (free, Some(Accepted), false, Ok(None)),
            (free, None, false, Ok(None)),
            (free, Some(Accepted), true, Err(BindingError::NoKey)),
            (free, Some(Required), false, Err(BindingError::NoKey)),
            (free, Some(Required), true, Err(BindingError::NoKey)),
        ] {
            let outcome = confirmation.proof_key(mode, under_dpop);
            assert_eq!(outcome, expected, "{confirmation:?} {mode:?} {under_dpop}");
        }
    }
}
