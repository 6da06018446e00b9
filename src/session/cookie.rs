//! The cookie with a session.

use super::{CookieSpec, SameSite, Sessions};

/// The most bytes of name and value that browsers keep (RFC 6265bis section 5.7).
const MOST_BYTES: usize = 4096;

/// A cookie with what it holds.
pub(super) struct Cookie<'a> {
    spec: &'a CookieSpec,
    value: &'a str,
}

impl Sessions {
    /// The cookie that holds `value`; `None`: there are no cookies.
    pub(super) fn cookie<'a>(&'a self, value: &'a str) -> Option<Cookie<'a>> {
        self.spec.cookie.as_ref().map(|spec| Cookie { spec, value })
    }
}

impl Cookie<'_> {
    /// Whether browsers keep it.
    pub(super) fn is_kept(&self) -> bool {
        self.spec.name.len().saturating_add(self.value.len()) <= MOST_BYTES
    }

    /// `set-cookie`, for so many seconds; 0: the browser forgets it.
    pub(super) fn set(&self, max_age: u64) -> String {
        let Self { spec: CookieSpec { name, same_site, .. }, value } = self;
        let same_site = match same_site {
            SameSite::Strict => "Strict",
            SameSite::Lax => "Lax",
        };
        format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite={same_site}; Max-Age={max_age}")
    }
}
