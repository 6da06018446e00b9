//! The form of the keys that `portcullis key new` makes: `pcl_<id>_<secret><checksum>`.
//!
//! The beginning says whose key it is to whoever finds one, and the checksum tells a key from what only looks like one:
//! to scanners of sources, and to the filter before it looks anything up. Neither proves anything.

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};

/// What keys begin with unless the policy says otherwise, without the `_` behind it.
pub const DEFAULT_PREFIX: &str = "pcl";

/// The longest prefix.
pub const MAX_PREFIX: usize = 16;

/// The longest id.
pub const MAX_ID: usize = 48;

/// Digits of the secret: log2(62^32) is 190 bits.
pub const SECRET_DIGITS: usize = 32;

/// Digits of the checksum: 62^6 is more than 2^32.
const CHECKSUM_DIGITS: usize = 6;

/// Of secret and checksum. `_` is none of them, nor a character of an id, so that a key has one reading.
pub const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The polynomial of zip, gzip and PNG. The way without a table is short, and runs once for a key that is new.
const CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Whether `prefix` may begin keys: a lower-case letter, then more of them and digits.
pub fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= MAX_PREFIX
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether `id` may stand in a key: letters, digits and `-`.
pub fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// What the form of a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'k> {
    /// It does not begin with the prefix: somebody else made it.
    Foreign,
    /// It begins with the prefix, and is not all of a key, or has another checksum: nobody has such a key.
    Broken,
    /// It may be a key, of this id.
    Whole(&'k str),
}

/// The form of `key`, where our own keys begin with `prefix`.
pub fn form_of<'k>(key: &'k [u8], prefix: &str) -> Form<'k> {
    let rest = key.strip_prefix(prefix.as_bytes()).and_then(|rest| rest.strip_prefix(b"_"));
    let Some(rest) = rest else { return Form::Foreign };
    whole(key, rest).map_or(Form::Broken, Form::Whole)
}

fn whole<'k>(key: &[u8], rest: &'k [u8]) -> Option<&'k str> {
    let at = rest.iter().position(|byte| *byte == b'_')?;
    let (id, secret) = (rest.get(..at)?, rest.get(at.checked_add(1)?..)?);
    let id = str::from_utf8(id).ok().filter(|id| is_id(id))?;
    let is_secret = secret.len() == SECRET_DIGITS.checked_add(CHECKSUM_DIGITS)?
        && secret.iter().all(u8::is_ascii_alphanumeric);
    let (checked, checksum) = key.split_at_checked(key.len().checked_sub(CHECKSUM_DIGITS)?)?;
    (is_secret && checksum == checksum_of(checked)).then_some(id)
}

/// A key; `secret` is [`SECRET_DIGITS`] of [`DIGITS`] at random.
#[cfg(any(test, feature = "cli"))]
pub fn assemble(prefix: &str, id: &str, secret: &str) -> String {
    let mut key = format!("{prefix}_{id}_{secret}");
    let checksum = checksum_of(key.as_bytes());
    key.extend(checksum.map(char::from));
    key
}

/// CRC-32 as digits, the highest first.
fn checksum_of(checked: &[u8]) -> [u8; CHECKSUM_DIGITS] {
    let mut rest = CRC.checksum(checked);
    let mut digits = [b'0'; CHECKSUM_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(rest % 62).ok().and_then(|place| DIGITS.get(place).copied()).unwrap_or(b'0');
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUV";

    #[test]
    fn a_key_is_whole_or_broken_or_foreign() {
        let key = assemble("pcl", "billing-1", SECRET);
        // The checksum by another implementation: zlib's crc32 in Python.
        assert_eq!(key, "pcl_billing-1_0123456789ABCDEFGHIJKLMNOPQRSTUV4NSQNJ");
        assert_eq!(form_of(key.as_bytes(), "pcl"), Form::Whole("billing-1"));
        for (key, expected) in [
            (key.replace("pcl_", "acme_"), Form::Foreign),
            (key.replace("pcl_", "pclx_"), Form::Foreign),
            (key.replace("pcl_", "PCL_"), Form::Foreign),
            (key.replace("pcl_", "pcl"), Form::Foreign),
            ("pcl".to_owned(), Form::Foreign),
            (String::new(), Form::Foreign),
            ("pcl_".to_owned(), Form::Broken),
            ("pcl__".to_owned(), Form::Broken),
            (format!("pcl__{SECRET}000000"), Form::Broken),
            (format!("{key}0"), Form::Broken),
            (key.replacen("UV", "U", 1), Form::Broken),
            (key.replace("billing-1", "billing-2"), Form::Broken),
            (key.replace("billing-1", "billing_1"), Form::Broken),
            (key.replace("billing-1", "billing 1"), Form::Broken),
            (assemble("pcl", "", SECRET), Form::Broken),
            (assemble("pcl", &"a".repeat(MAX_ID + 1), SECRET), Form::Broken),
            (assemble("pcl", "é", SECRET), Form::Broken),
            (assemble("pcl", "a", "0123456789ABCDEFGHIJKLMNOPQRST_V"), Form::Broken),
        ] {
            assert_eq!(form_of(key.as_bytes(), "pcl"), expected, "{key}");
        }
        // Each character counts.
        for at in 0..key.len() {
            let mut other = key.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert!(!matches!(form_of(&other, "pcl"), Form::Whole(_)), "{at}");
        }
    }

    #[test]
    fn prefixes_and_ids() {
        for (text, prefix, id) in [
            ("pcl", true, true),
            ("a", true, true),
            ("a2345678901234-6", false, true),
            ("a23456789012345", true, true),
            ("a234567890123456789", false, true),
            ("", false, false),
            ("1a", false, true),
            ("Ab", false, true),
            ("a_b", false, false),
            ("a b", false, false),
            ("é", false, false),
        ] {
            assert_eq!((is_prefix(text), is_id(text)), (prefix, id), "{text}");
        }
    }
}
