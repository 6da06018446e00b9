//! The answers to whoever signs in and out.

use serde_json::json;

use super::Sessions;
use crate::answer::Reply;

impl Sessions {
    /// The answer that hands `token` out: in a cookie, which no script of a page can read, or else as RFC 6749 section 5.1
    /// has it.
    pub fn signed_in(&self, token: &str) -> Reply {
        let expires_in = self.spec.lifetime.as_secs();
        let Some(cookie) = self.cookie(token) else {
            let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in});
            return Reply::private("signed_in", Some(&body));
        };
        let mut reply = Reply::private("signed_in", Some(&json!({"expires_in": expires_in})));
        reply.headers.push(("set-cookie", cookie.set(expires_in)));
        reply
    }

    /// The answer after which a browser has no cookie any more. Whoever has kept a session as text forgets it by himself.
    pub fn signed_out(&self) -> Reply {
        let mut reply = Reply::private("signed_out", None);
        reply.headers.extend(self.cookie("").map(|cookie| ("set-cookie", cookie.set(0))));
        reply
    }
}
