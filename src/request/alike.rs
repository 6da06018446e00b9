//! Names that some server reads as the same.
//!
//! CGI, WSGI, PHP and Rack make a variable of each header's name: upper case, with `_` for whatever is neither letter
//! nor digit. There `X.Portcullis.Roles` is `x-portcullis-roles`. So names are the same here when that makes them the
//! same.

/// A byte of a name as the loosest reader sees it: letters in lower case, digits, and `_` for everything else.
pub fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' }
}

/// Whether some server reads both names as the same.
pub fn is_alike(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && name.iter().zip(other).all(|(a, b)| a == b || folded(*a) == folded(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_alike_and_other_names_are_not() {
        let name = b"x-portcullis-roles";
        for spelling in
            ["x-portcullis-roles", "X_Portcullis_Roles", "x.portcullis~roles", "x-portcullis\u{7f}roles"]
        {
            assert!(is_alike(spelling.as_bytes(), name), "{spelling}");
        }
        for other in
            ["x-portcullis-role", "xx-portcullis-role", "x-portcullisroles", "x-portcullis-roles-", ""]
        {
            assert!(!is_alike(other.as_bytes(), name), "{other}");
        }
    }

    #[test]
    fn whatever_is_neither_letter_nor_digit_is_the_same() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_alike(&[byte], b"-"), !byte.is_ascii_alphanumeric(), "{byte}");
        }
    }
}
