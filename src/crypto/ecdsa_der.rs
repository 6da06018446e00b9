//! The two forms of ECDSA signatures: `r || s` of JOSE (RFC 7518 section 3.4), and the DER form that hosts take and
//! authenticators make (RFC 3279 section 2.2.3).

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

/// The same signature in its JOSE form; `None` unless it is DER, in its one encoding, of two positive integers of at most
/// `field_len` bytes.
///
/// BER would be read by some libraries and not by others: integers with leading zeros, or lengths that are longer than they
/// need be.
pub(super) fn to_jose(der: &[u8], field_len: usize) -> Option<Vec<u8>> {
    let body = unwrap(SEQUENCE, der).filter(|(_, rest)| rest.is_empty())?.0;
    let (r, rest) = unwrap(INTEGER, body)?;
    let (s, rest) = unwrap(INTEGER, rest)?;
    let mut jose = Vec::with_capacity(field_len.checked_mul(2)?);
    for integer in [r, s] {
        // A zero in front keeps the sign bit clear, and there is no other; without it a set bit makes the number negative.
        let magnitude = match integer {
            [0, magnitude @ ..] if magnitude.first().is_some_and(|first| *first >= 0x80) => magnitude,
            [1..=0x7f, ..] => integer,
            _ => return None,
        };
        jose.resize(jose.len().checked_add(field_len.checked_sub(magnitude.len())?)?, 0);
        jose.extend_from_slice(magnitude);
    }
    rest.is_empty().then_some(jose)
}

/// The content of the first element, which has `tag` and a length in the short form, and what follows it.
fn unwrap(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    match der {
        [first, len @ ..=0x7f, rest @ ..] if *first == tag => rest.split_at_checked(usize::from(*len)),
        _ => None,
    }
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
    fn one_encoding_of_der() {
        for (der, jose) in [
            (&[0x30, 6, 2, 1, 1, 2, 1, 2][..], Some(&[0, 1, 0, 2][..])),
            (&[0x30, 8, 2, 2, 0x7f, 0xff, 2, 2, 1, 0], Some(&[0x7f, 0xff, 1, 0])),
            (&[0x30, 8, 2, 1, 0x7f, 2, 3, 0, 0x80, 0], Some(&[0, 0x7f, 0x80, 0])),
            // A zero too many, or one too few.
            (&[0x30, 7, 2, 2, 0, 1, 2, 1, 2], None),
            (&[0x30, 6, 2, 1, 1, 2, 1, 0x80], None),
            (&[0x30, 8, 2, 3, 0, 0, 0x80, 2, 1, 2], None),
            // Zero, and nothing.
            (&[0x30, 6, 2, 1, 1, 2, 1, 0], None),
            (&[0x30, 6, 2, 1, 0, 2, 1, 1], None),
            (&[0x30, 5, 2, 1, 1, 2, 0], None),
            // Longer than the field.
            (&[0x30, 8, 2, 3, 1, 0, 0, 2, 1, 1], None),
            // Bytes within, behind, and missing.
            (&[0x30, 7, 2, 1, 1, 2, 1, 2, 0], None),
            (&[0x30, 6, 2, 1, 1, 2, 1, 2, 0], None),
            (&[0x30, 6, 2, 1, 1, 2, 1], None),
            (&[0x30, 3, 2, 1, 1], None),
            // Long and indefinite lengths.
            (&[0x30, 0x81, 6, 2, 1, 1, 2, 1, 2], None),
            (&[0x30, 0x80, 2, 1, 1, 2, 1, 2, 0, 0], None),
            (&[0x30, 7, 2, 0x81, 1, 1, 2, 1, 2], None),
            // Other tags.
            (&[0x31, 6, 2, 1, 1, 2, 1, 2], None),
            (&[0x30, 6, 3, 1, 1, 2, 1, 2], None),
            (&[], None),
        ] {
            assert_eq!(to_jose(der, 2).as_deref(), jose, "{der:02x?}");
            assert!(jose.is_none_or(|jose| from_jose(jose, 2).as_deref() == Some(der)), "{der:02x?}");
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
