//! How much of what others send is read.

/// The longest JWK set that is read, in bytes.
pub const MAX_JWKS_SIZE: usize = 512 * 1024;
/// The most keys of a set that are used; those behind them are reported as unusable.
pub const MAX_KEYS: usize = 100;
/// The most keys that one token is tried with.
pub const MAX_TRIES: usize = 4;
/// The longest `kid` that is read.
pub const MAX_KID_LEN: usize = 256;
/// The longest `issuer` of a key that is read.
pub(super) const MAX_ISSUER_LEN: usize = 1024;
