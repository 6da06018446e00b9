//! Private keys as JWKs (RFC 7517): what those of every kind have in common.

use serde_json::Value;

use super::Algorithm;
use crate::text::base64url;

/// A private JWK that is meant for signing with one algorithm.
pub(super) struct PrivateJwk<'a>(&'a Value);

impl<'a> PrivateJwk<'a> {
    /// `None` for a JWK of another type than `kty`, and for one that says that it is for another algorithm or for
    /// anything but signing (RFC 7517 sections 4.2 to 4.4).
    pub(super) fn of(jwk: &'a Value, kty: &str, algorithm: Algorithm) -> Option<Self> {
        let this = Self(jwk);
        let is_or_absent =
            |name: &str, expected: &str| jwk.get(name).is_none() || this.text(name) == Some(expected);
        let of_algorithm = is_or_absent("alg", algorithm.name())
            || algorithm.other_name().is_some_and(|name| is_or_absent("alg", name));
        let signs = jwk.get("key_ops").is_none_or(|operations| {
            operations
                .as_array()
                .is_some_and(|operations| operations.iter().any(|operation| operation == "sign"))
        });
        let fits = this.text("kty") == Some(kty) && of_algorithm && is_or_absent("use", "sig") && signs;
        fits.then_some(this)
    }

    /// Whether there is a member of this name, whatever it says.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// A member that is text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A member that is bytes.
    pub(super) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        base64url::decode_secret(self.text(name)?)
    }

    /// Whether the member says just these bytes.
    pub(super) fn is(&self, name: &str, bytes: &[u8]) -> bool {
        self.text(name) == Some(&base64url::encode(bytes))
    }
}
