//! `content-digest` (RFC 9530): what of a body is signed.

use super::{
    SignatureError,
    fields::{self, Entry, Value},
};
use crate::{
    crypto::{sha256, sha512},
    request::RequestHead,
};

/// The header.
pub const HEADER: &str = "content-digest";

/// The digests that a request says its body has, of those that are strong (RFC 9530 section 5); at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl Digests {
    /// What `head` says.
    pub fn of(head: &RequestHead<'_>) -> Result<Self, SignatureError> {
        let field = fields::field(head, HEADER).map_err(SignatureError::Digest)?;
        let field = field.ok_or(SignatureError::Digest("there is no content-digest"))?;
        let members =
            fields::dictionary(&field).ok_or(SignatureError::Digest("content-digest cannot be read"))?;
        let mut digests = Self::default();
        for member in members {
            let place = match member.name {
                "sha-256" => &mut digests.sha256,
                "sha-512" => &mut digests.sha512,
                // Whoever knows it better may look at it.
                _ => continue,
            };
            let Entry::One(Value::Bytes(digest)) = member.entry else {
                return Err(SignatureError::Digest("content-digest has a digest that is none"));
            };
            *place = Some(digest);
        }
        if digests == Self::default() {
            return Err(SignatureError::Digest("content-digest has neither sha-256 nor sha-512"));
        }
        Ok(digests)
    }

    /// Whether `body` has all of them.
    pub fn are_of(&self, body: &[u8]) -> bool {
        self.sha256.as_ref().is_none_or(|digest| *digest == sha256(body))
            && self.sha512.as_ref().is_none_or(|digest| *digest == sha512(body))
    }
}
