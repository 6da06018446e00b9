//! Clients that hold a key of their own and prove it (RFC 9449).

use jsonwebtoken::Algorithm;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::{
    now,
    signing::{Kind, SigningKey, base64url},
};

/// A client's key.
pub(crate) struct Holder(SigningKey);

/// A proof to be: good for one request, unless a test makes it otherwise.
#[derive(Clone)]
pub(crate) struct Proof<'a> {
    holder: &'a Holder,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Holder {
    pub(crate) fn generate() -> Self {
        let mut key = SigningKey::generate(Kind::P256, "").unwrap();
        key.jwk.as_object_mut().unwrap().retain(|name, _| ["kty", "crv", "x", "y"].contains(&name.as_str()));
        Self(key)
    }

    /// Without a token, as for a token endpoint.
    pub(crate) fn proof(&self, method: &str, url: &str) -> Proof<'_> {
        let jti = base64url(&rcgen::KeyPair::generate().unwrap().public_key_raw()[1..17]).unwrap();
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.0.jwk});
        let claims = json!({"jti": jti, "htm": method, "htu": url, "iat": now()});
        let (Value::Object(header), Value::Object(claims)) = (header, claims) else {
            unreachable!("objects");
        };
        Proof { holder: self, header, claims }
    }
}

impl Proof<'_> {
    /// `null` leaves the claim out.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => self.claims.remove(name),
            value => self.claims.insert(name.to_owned(), value),
        };
        self
    }

    /// `null` leaves the member out.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        match value.into() {
            Value::Null => self.header.remove(name),
            value => self.header.insert(name.to_owned(), value),
        };
        self
    }

    /// For a request with `token` (RFC 9449 section 4.2: `ath`).
    pub(crate) fn with(self, token: &str) -> Self {
        self.claim("ath", base64url(digest(&SHA256, token.as_bytes()).as_ref()).unwrap())
    }

    pub(crate) fn sign(&self) -> String {
        let part = |map: &Map<String, Value>| base64url(&serde_json::to_vec(map).unwrap()).unwrap();
        let signed = format!("{}.{}", part(&self.header), part(&self.claims));
        let key = SigningKey::encoding_key(Kind::P256, &self.holder.0.pem).unwrap();
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::ES256).unwrap();
        format!("{signed}.{signature}")
    }
}
