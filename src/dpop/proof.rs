//! One proof against one request: RFC 9449 section 4.3.

use std::time::Duration;

use serde_json::Value;

use super::{DpopError, DpopSpec, TargetUri};
use crate::{
    crypto::{HostCrypto, constant_time_eq, sha256},
    identity::numeric_date,
    jose::{CompactToken, Malformed, TokenError, lone_key, thumbprint},
    json::{Json, Object},
    request::{Lookup, RequestHead},
    text::base64url,
    time::Timestamp,
};

/// The longest proof that is read, in bytes. One of an RSA key with 4096 bits takes about 2000.
pub const MAX_PROOF_LEN: usize = 8192;

/// The longest `jti` and `nonce` that are read, in bytes. A UUID has 36.
const MAX_TEXT_LEN: usize = 256;

const NO_TOKEN: DpopError = DpopError::Malformed(TokenError::Malformed(Malformed::Segments));

/// How far a client's clock may be ahead (RFC 9449 section 11.1: "few seconds").
pub const FUTURE: Duration = Duration::from_secs(5);

/// The request that a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Compared exactly with `htm`.
    pub method: &'a str,
    /// Compared with `htu`.
    pub target: &'a TargetUri<'a>,
    /// The access token, as it was sent; `None`: one is asked for (RFC 9449 section 5), so no proof can name it.
    pub token: Option<&'a str>,
    /// The thumbprint of the key that the token is bound to; `None`: it is going to be bound to that of the proof.
    pub key: Option<[u8; 32]>,
}

/// A proof that fits its request. Whether it is the first time that it is used, only [`super::replay`] knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The thumbprint of its key.
    pub key: [u8; 32],
    /// Unique for its key. Never empty, at most 256 bytes.
    pub jti: Box<str>,
    /// `None`: it carries none.
    pub nonce: Option<Box<str>>,
    /// The last instant at which it is accepted.
    pub not_after: Timestamp,
}

impl Proof {
    /// The text of the one proof that a request carries.
    pub fn find<'a>(head: &RequestHead<'a>) -> Result<&'a str, DpopError> {
        match head.single(super::HEADER) {
            Lookup::Absent => Err(DpopError::Missing),
            Lookup::Many => Err(DpopError::Several),
            Lookup::One(value) => str::from_utf8(value).map_err(|_| NO_TOKEN),
            Lookup::Malformed => Err(NO_TOKEN),
        }
    }

    /// All checks but nonce and replay, the cheap ones first: what could not pass anyway costs no signature.
    pub fn verify(
        text: &str,
        spec: &DpopSpec,
        presented: &Presented<'_>,
        host: &dyn HostCrypto,
        now: Timestamp,
    ) -> Result<Self, DpopError> {
        let proof = Unverified::parse(text)?;
        let key = proof.check_header(spec, presented.key)?;
        proof.check_request(presented.method, presented.target)?;
        let not_after = proof.check_time(spec.max_age, now)?;
        if let Some(token) = presented.token {
            proof.check_token(token)?;
        }
        let jti = proof.text("jti")?;
        let nonce = match proof.claims().get("nonce") {
            None => None,
            Some(_) => Some(proof.text("nonce")?.into()),
        };
        proof.verify_signature(host)?;
        Ok(Self { key, jti: jti.into(), nonce, not_after })
    }
}

/// A proof taken apart, nothing of it verified.
pub(super) struct Unverified<'a> {
    token: CompactToken<'a>,
    jwk: Value,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, DpopError> {
        let token = CompactToken::parse(text, MAX_PROOF_LEN).map_err(DpopError::Malformed)?;
        let jwk = token.parameter("jwk").ok_or(DpopError::Claim("jwk"))?.to_value();
        Ok(Self { token, jwk })
    }

    fn claims(&self) -> Object<'_> {
        self.token.claims().object()
    }

    fn text(&self, name: &'static str) -> Result<&str, DpopError> {
        let text = self.claims().get(name).and_then(Json::as_str);
        text.filter(|text| (1..=MAX_TEXT_LEN).contains(&text.len())).ok_or(DpopError::Claim(name))
    }

    /// Type, algorithm, and whether the key is the one with this thumbprint, if it must be one; the thumbprint that it has.
    pub(super) fn check_header(&self, spec: &DpopSpec, due: Option<[u8; 32]>) -> Result<[u8; 32], DpopError> {
        if self.token.typ() != Some("dpop+jwt") {
            return Err(DpopError::Type);
        }
        let algorithm = self.token.algorithm();
        // A symmetric algorithm is never listed; a key that the sender brings along would prove nothing with it.
        if algorithm.is_symmetric() || !spec.algorithms.contains(&algorithm) {
            return Err(DpopError::Algorithm);
        }
        match thumbprint(&self.jwk) {
            // Reading the key tells more exactly what is wrong with it.
            None => lone_key(&self.jwk, algorithm).map_err(DpopError::Key).and(Err(DpopError::KeyMismatch)),
            Some(found) if due.is_none_or(|due| constant_time_eq(&found, &due)) => Ok(found),
            Some(_) => Err(DpopError::KeyMismatch),
        }
    }

    pub(super) fn check_request(&self, method: &str, target: &TargetUri<'_>) -> Result<(), DpopError> {
        let claim = |name| self.claims().get(name).and_then(Json::as_str).ok_or(DpopError::Claim(name));
        if claim("htm")? != method {
            return Err(DpopError::Method);
        }
        match TargetUri::parse(claim("htu")?) {
            Some(htu) if htu == *target => Ok(()),
            _ => Err(DpopError::Url),
        }
    }

    /// The last instant at which the proof is accepted.
    pub(super) fn check_time(&self, max_age: Duration, now: Timestamp) -> Result<Timestamp, DpopError> {
        let issued = self.claims().get("iat").and_then(numeric_date).ok_or(DpopError::Claim("iat"))?;
        let not_after = issued.saturating_add(max_age);
        if now > not_after || issued > now.saturating_add(FUTURE) {
            return Err(DpopError::Time);
        }
        Ok(not_after)
    }

    /// `ath` is the hash of the token, so that the proof is of no use with another one.
    pub(super) fn check_token(&self, token: &str) -> Result<(), DpopError> {
        let ath = self.claims().get("ath").and_then(Json::as_str).ok_or(DpopError::Claim("ath"))?;
        let due = base64url::encode(&sha256(token.as_bytes()));
        if constant_time_eq(ath.as_bytes(), due.as_bytes()) { Ok(()) } else { Err(DpopError::Token) }
    }

    /// Whether the key in its header signed it.
    pub(super) fn verify_signature(&self, host: &dyn HostCrypto) -> Result<(), DpopError> {
        let algorithm = self.token.algorithm();
        let key = lone_key(&self.jwk, algorithm).map_err(DpopError::Key)?;
        let signed = key.verify(algorithm, self.token.signing_input(), self.token.signature(), host);
        if signed { Ok(()) } else { Err(DpopError::Signature) }
    }
}
