//! From a JOSE ECDSA signature (`r || s`, RFC 7518 section 3.4) to the DER form that hosts take (RFC 3279
//! section 2.2.3).

/// Re-encodes `signature`; `None` unless it is exactly two integers of `field_len` bytes, neither of them zero.
///
/// Zero is refused here and not left to the verifier: libraries have accepted it before (CVE-2022-21449).
/// That both are below the group's order is for the verifier to check.
pub(super) fn from_jose(signature: &[u8], field_len: usize) -> Option<Vec<u8>> {
    if signature.len() != field_len.checked_mul(2)? {
        return None;
    }
    let (r, s) = signature.split_at_checked(field_len)?;
    let mut body = integer(r)?;
    body.extend(integer(s)?);
    wrap(SEQUENCE, &body)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// A positive DER INTEGER: no leading zeros but the one that keeps the sign bit clear.
fn integer(big_endian: &[u8]) -> Option<Vec<u8>> {
    let first = big_endian.iter().position(|byte| *byte != 0)?;
    let magnitude = big_endian.get(first..)?;
    let mut content = Vec::with_capacity(magnitude.len().saturating_add(1));
    if magnitude.first()? & 0x80 != 0 {
        content.push(0);
    }
    content.extend_from_slice(magnitude);
    wrap(INTEGER, &content)
}

/// Tag, length in the short form, content. P-384 needs 104 bytes at most, so no longer form is ever due.
fn wrap(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let len = u8::try_from(content.len()).ok().filter(|len| *len < 0x80)?;
    let mut der = vec![tag, len];
    der.extend_from_slice(content);
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimal_integers() {
        for (jose, der) in [
            (&[1, 2][..], Some(&[0x30, 6, 2, 1, 1, 2, 1, 2][..])),
            (&[0x7f, 0x80], Some(&[0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80])),
            (&[0, 1, 0xff, 0xff], Some(&[0x30, 8, 2, 1, 1, 2, 3, 0, 0xff, 0xff])),
            (&[0, 0, 0, 1], None),
            (&[0, 1, 0, 0], None),
            (&[0, 0, 0, 0], None),
            (&[1, 2, 3], None),
            (&[], None),
        ] {
            assert_eq!(from_jose(jose, jose.len() / 2).as_deref(), der, "{jose:?}");
        }
    }

    #[test]
    fn only_the_exact_length() {
        for len in [0, 1, 63, 65, 66, 70, 71, 72, 96, 128] {
            assert_eq!(from_jose(&vec![1; len], 32), None, "{len}");
        }
        assert_eq!(from_jose(&[1; 64], 32).unwrap().len(), 70);
        assert_eq!(from_jose(&[0xff; 64], 32).unwrap().len(), 72);
        assert_eq!(from_jose(&[0xff; 96], 48).unwrap().len(), 104);
    }
}
