//! The answer to whoever has signed in.

use serde_json::json;

use super::Sessions;
use crate::answer::Reply;

impl Sessions {
    /// The answer that hands `token` out (RFC 6749 section 5.1).
    pub fn signed_in(&self, token: &str) -> Reply {
        let body = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.spec.lifetime.as_secs(),
        });
        Reply::private("signed_in", &body)
    }
}
