//! Formats of the proxy-wasm ABI: header pairs and addresses, as bytes.
//!
//! The host is trusted, what it passes on is not: everything here is total over arbitrary bytes.

use std::net::{IpAddr, SocketAddr};

/// Reads serialized header pairs: a count, then the sizes of each name and value, then the bytes, each ended
/// by a NUL. All numbers are little-endian 32-bit. `None` for anything else.
pub fn parse_pairs(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let (count, rest) = read_u32(bytes)?;
    // Each pair takes at least two sizes and two terminators: a count beyond that is not ours to allocate for.
    if count > rest.len() / 10 {
        return None;
    }
    let (mut sizes, mut data) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_size, after_name) = read_u32(sizes)?;
        let (value_size, after_value) = read_u32(after_name)?;
        sizes = after_value;
        let (name, after_name) = read_text(data, name_size)?;
        let (value, after_value) = read_text(after_name, value_size)?;
        data = after_value;
        pairs.push((name, value));
    }
    data.is_empty().then_some(pairs)
}

/// Writes header pairs in the form that [`parse_pairs`] reads. `None` when a size does not fit.
pub fn write_pairs<'a>(pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone) -> Option<Vec<u8>> {
    let texts = || pairs.clone().flat_map(|(name, value)| [name, value]);
    let size = texts().try_fold(4_usize, |size, text| size.checked_add(text.len())?.checked_add(5))?;
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(&u32::try_from(pairs.len()).ok()?.to_le_bytes());
    for text in texts() {
        bytes.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
    }
    for text in texts() {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    Some(bytes)
}

fn read_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn read_text(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(size)?;
    Some((text, rest.strip_prefix(&[0])?))
}

/// The address in Envoy's `source.address`: with a port, or without where there is none to know.
/// `None` for sockets that have no address, such as pipes.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    text.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| text.parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("192.0.2.1:49896", Some("192.0.2.1")),
            ("192.0.2.1:0", Some("192.0.2.1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("/run/envoy.sock", None),
            ("", None),
        ] {
            assert_eq!(parse_address(text.as_bytes()), expected.map(|ip| ip.parse().unwrap()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn pairs_survive_the_wire(pairs in prop::collection::vec(("[a-z:-]{0,9}", "\\PC{0,9}"), 0..9)) {
            let written =
                write_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            let read = parse_pairs(&written).unwrap();
            let expected: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_pairs(&bytes);
            let _ = parse_address(&bytes);
        }
    }
}
