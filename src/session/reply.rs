//! The answers to whoever signs in and out.

use serde_json::json;

use super::Sessions;
use crate::answer::Reply;

/// What it is called in access logs (`%RESPONSE_CODE_DETAILS%`).
const SIGNED_IN: &str = "signed_in";

impl Sessions {
    /// The answer that hands `token` out: in a cookie, which no script of a page can read, or else as text.
    pub fn signed_in(&self, token: &str) -> Reply {
        let expires_in = self.spec.lifetime.as_secs();
        let Some(cookie) = self.cookie(token) else { return self.as_text(token, "Bearer") };
        let mut reply = Reply::private(SIGNED_IN, Some(&json!({"expires_in": expires_in})));
        reply.headers.push(("set-cookie", cookie.set(expires_in)));
        reply
    }

    /// The same of one that wants proofs of a key: in no cookie, with which nobody proves anything.
    pub fn signed_in_with_proof(&self, token: &str) -> Reply {
        self.as_text(token, "DPoP")
    }

    /// As RFC 6749 section 5.1 has it.
    fn as_text(&self, token: &str, token_type: &str) -> Reply {
        let expires_in = self.spec.lifetime.as_secs();
        let body = json!({"access_token": token, "token_type": token_type, "expires_in": expires_in});
        Reply::private(SIGNED_IN, Some(&body))
    }

    /// The answer after which a browser has no cookie any more. Whoever has kept a session as text forgets it by himself.
    pub fn signed_out(&self) -> Reply {
        let mut reply = Reply::private("signed_out", None);
        reply.headers.extend(self.cookie("").map(|cookie| ("set-cookie", cookie.set(0))));
        reply
    }
}
