//! What a path may hold that some servers read as structure and others as text, and what each of them makes of it.

use std::borrow::Cow;

use crate::text::percent;

/// What of a path is read as part of its segment, although some servers read it as structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// `%2F`, which others read as a slash.
    pub encoded_slash: bool,
    /// `;` and what follows it in its segment (RFC 3986 section 3.3), which others drop.
    pub matrix_parameters: bool,
}

impl Kept {
    /// Both.
    pub const ALL: Self = Self { encoded_slash: true, matrix_parameters: true };

    /// Which of them `path`, which is canonical, holds.
    pub fn of(path: &str) -> Self {
        Self { encoded_slash: path.contains(ESCAPED_SLASH), matrix_parameters: path.contains(';') }
    }

    /// Neither.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// What one of the two has.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            encoded_slash: self.encoded_slash || other.encoded_slash,
            matrix_parameters: self.matrix_parameters || other.matrix_parameters,
        }
    }
}

/// An encoded slash in a canonical path.
pub(super) const ESCAPED_SLASH: &str = "%2F";

/// Stands for an encoded slash in decoded text. Controls never survive canonical form, so nothing else is decoded to it.
const ENCODED_SLASH: char = '\0';

/// A canonical path with the escapes that are left decoded, as an application behind us reads it.
///
/// No escape becomes structure: controls and `%5C` never survive canonical form, and `%2F`, where it is kept, becomes a
/// character of its own, as long as a slash ([`with_slashes`], [`with_escapes`]). Text that is not canonical and cannot
/// be decoded is returned as it is.
pub(crate) fn decode(canonical: &str) -> Cow<'_, str> {
    percent::decode_with(canonical, false, b'\0').unwrap_or(Cow::Borrowed(canonical))
}

/// The slashes that are meant by a decoded path's encoded ones; `None` where it has none.
pub(crate) fn with_slashes(decoded: &str) -> Option<String> {
    decoded.contains(ENCODED_SLASH).then(|| decoded.replace(ENCODED_SLASH, "/"))
}

/// The encoded slashes of a decoded path as they are written; `None` where it has none.
pub(crate) fn with_escapes(decoded: &str) -> Option<String> {
    decoded.contains(ENCODED_SLASH).then(|| decoded.replace(ENCODED_SLASH, ESCAPED_SLASH))
}

/// A canonical path as it is to those who read `%2F` as a slash. It is canonical.
pub(crate) fn with_decoded_slashes(canonical: &str) -> String {
    canonical.replace(ESCAPED_SLASH, "/")
}

/// A canonical path as it is to those who drop parameters. It is canonical.
pub(crate) fn without_parameters(canonical: &str) -> String {
    let mut left = String::with_capacity(canonical.len());
    for segment in canonical.split_inclusive('/') {
        match segment.split_once(';') {
            None => left.push_str(segment),
            Some((name, parameters)) => {
                left.push_str(name);
                left.push_str(if parameters.ends_with('/') { "/" } else { "" });
            }
        }
    }
    left
}
