//! Senders of webhooks, by another implementation of HMAC than the filter's.

use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};

use super::request::Request;

/// In hexadecimal.
pub(crate) fn tag(secret: &[u8], message: &[u8]) -> String {
    bytes(secret, message).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn bytes(secret: &[u8], message: &[u8]) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, secret), message).as_ref().to_vec()
}

/// What the documentation of GitHub uses.
pub(crate) const HUB_SECRET: &str = "It's a Secret to Everybody";

/// The source `hub`, which signs as GitHub does; `members` are added to it.
pub(crate) fn hub(members: Value) -> Value {
    let mut source = json!({"name": "hub", "preset": "GitHub", "secrets": [HUB_SECRET]});
    super::policy::merge(&mut source, members);
    source
}

pub(crate) const HUB_HEADER: &str = "x-hub-signature-256";

/// Signs as GitHub does.
pub(crate) fn hub_signature(body: &[u8]) -> String {
    format!("sha256={}", tag(HUB_SECRET.as_bytes(), body))
}

impl Request {
    /// With its signature as of GitHub.
    pub(crate) fn signed_by_hub(self) -> Self {
        let signature = hub_signature(&self.body);
        self.header(HUB_HEADER, signature)
    }
}
