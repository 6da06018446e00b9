//! How bytes are written as text, and read: each way once. And how text becomes a header's value.

pub(crate) mod base64;
pub(crate) mod base64url;
pub(crate) mod header;
pub(crate) mod hex;
pub(crate) mod percent;
