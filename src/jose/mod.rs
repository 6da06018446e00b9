//! Signed JSON: compact JWS with claims in them, keys and key sets, and what can be wrong with either (RFC 7515 to 7519).
//!
//! A text becomes a [`CompactToken`] (well-formed, not believed), and a [`KeySet`] says whether one of its keys signed it.
//! What a signature is good for is decided above: by `jwt` of access tokens, by `dpop` of proofs. [`sign`] makes tokens
//! of our own, and [`SigningKeys`] are the keys for those that others verify.

mod bounds;
mod compact;
mod error;
mod issuer;
mod jwk;
mod jwks;
mod own_keys;
mod sign;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, clippy::string_slice, reason = "test code may panic")]
pub(crate) mod tests;
mod thumbprint;

pub use self::{
    bounds::{MAX_JWKS_SIZE, MAX_KEYS, MAX_KID_LEN, MAX_TRIES},
    compact::{CompactToken, is_compact_jws},
    error::{KeyError, Malformed, TokenError},
    issuer::IssuerTemplate,
    jwk::{Unusable, lone_key},
    jwks::{KeySet, KeySetError, SymmetricKey, UnusableKey},
    own_keys::{OWN_ALGORITHMS, OwnKey, OwnKeyFault, SigningKeys},
    thumbprint::thumbprint,
};
pub(crate) use self::{compact::without_media_type_prefix, sign::sign};
