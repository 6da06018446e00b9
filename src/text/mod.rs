//! How bytes are written as text, and read: each way once.

pub(crate) mod base64url;
pub(crate) mod hex;
pub(crate) mod percent;
