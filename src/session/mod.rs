//! Sessions: short-lived access tokens of the gateway's own (RFC 9068), for users who signed in at it.
//!
//! Only makes them and the answers that hand them out. To the rest of the policy they are tokens of one more provider:
//! who may sign in, and what a session may do, is decided elsewhere.

mod issue;
mod reply;

use std::{rc::Rc, time::Duration};

pub use self::issue::{NotIssued, Session};
use crate::{jose::SigningKeys, url::Url};

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
}
