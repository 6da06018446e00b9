//! Sessions: short-lived access tokens of the gateway's own (RFC 9068), for users who signed in at it.
//!
//! Only makes them and the answers that hand them out. To the rest of the policy they are tokens of one more provider:
//! who may sign in, and what a session may do, is decided elsewhere.

mod cookie;
mod issue;
mod reply;

use std::{rc::Rc, time::Duration};

pub use self::issue::{NotIssued, Session};
use crate::{cross_site::Origins, jose::SigningKeys, url::Url};

/// `typ` of their header (RFC 9068 section 2.1): no other token of ours is taken for one.
pub const TYPE: &str = "at+jwt";

/// The longest one, in bytes, as of any provider by default.
pub const MAX_SIZE: usize = 8192;

/// Sessions, as configured.
#[derive(Clone, Debug)]
pub struct SessionsSpec {
    /// The provider's name, which rules refer to.
    pub name: String,
    /// `iss`: an `https` URL, as it was written.
    pub issuer: Url,
    /// `aud`; never empty.
    pub audiences: Vec<String>,
    /// How long one is good, in whole seconds; never zero.
    pub lifetime: Duration,
    /// The cookie that browsers get it in. `None`: whoever signs in gets it as text, and shows it as a bearer token.
    pub cookie: Option<CookieSpec>,
}

/// A cookie with a session.
#[derive(Clone, Debug)]
pub struct CookieSpec {
    /// Its name, which begins with `__Host-`.
    pub name: String,
    /// On which requests browsers send it.
    pub same_site: SameSite,
    /// Whose pages may have it sent with requests that change something.
    pub origins: Origins,
}

/// On which requests from other sites browsers send a cookie (RFC 6265bis section 5.6.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// On none. The default.
    Strict,
    /// Where a user follows a link.
    Lax,
}

/// Sessions, ready to be made.
#[derive(Clone, Debug)]
pub struct Sessions {
    spec: SessionsSpec,
    keys: Rc<SigningKeys>,
}

impl Sessions {
    /// Those that `spec` describes, signed with `keys`.
    pub fn new(spec: SessionsSpec, keys: Rc<SigningKeys>) -> Self {
        Self { spec, keys }
    }

    /// What rules call them.
    pub fn name(&self) -> &str {
        &self.spec.name
    }
}
