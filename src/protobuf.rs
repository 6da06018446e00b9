//! Protobuf messages as bytes, where a type for them would be more than they are.

use prost::encoding::{WireType, encode_key, encode_varint};

/// Appends a field of bytes, a text or a message.
pub(crate) fn append(field: u32, bytes: &[u8], message: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, message);
    encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), message);
    message.extend_from_slice(bytes);
}
