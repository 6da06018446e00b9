//! Complete answers.

use std::fmt;

use serde_json::Value;

use super::{Challenges, Reason, reason::Challenge};

const RETRY_AFTER: &str = "retry-after";

const NO_STORE: &str = "no-store";

const ANY_ORIGIN: (&str, &str) = ("access-control-allow-origin", "*");

/// A complete answer. Its `Debug` shows neither body nor cookies of one that nobody may keep: it may hold a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// Lower-case names; a name may occur more than once.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for none.
    pub body: String,
    /// Shown as `%RESPONSE_CODE_DETAILS%`.
    pub details: &'static str,
    /// For callers that speak gRPC.
    pub grpc_status: i32,
}

/// A document that anyone may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// What is told of an API (RFC 9728).
    ResourceMetadata,
    /// The public halves of the gateway's keys (RFC 7517).
    KeySet,
    /// The pages that may use passkeys (WebAuthn Level 3, section 5.11).
    RelatedOrigins,
}

impl Document {
    const fn details(self) -> &'static str {
        match self {
            Self::ResourceMetadata => "resource_metadata",
            Self::KeySet => "key_set",
            Self::RelatedOrigins => "related_origins",
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_private =
            self.headers.iter().any(|(name, value)| *name == "cache-control" && value == NO_STORE);
        let is_shown = |name: &str| !is_private || name != "set-cookie";
        let headers: Vec<_> = self.headers.iter().filter(|(name, _)| is_shown(name)).collect();
        let mut debug = f.debug_struct("Reply");
        debug.field("status", &self.status).field("details", &self.details).field("headers", &headers);
        if is_private { debug.finish_non_exhaustive() } else { debug.field("body", &self.body).finish() }
    }
}

impl Reply {
    /// The answer to a refused request.
    pub fn refusal(reason: Reason, challenges: Challenges<'_>) -> Self {
        let (status, code) = (reason.status(), reason.public_code());
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        if status == 503 {
            // RFC 9110 section 10.2.3; whoever knows better says so by [`Reply::set_retry_after`].
            headers.push((RETRY_AFTER, "1".to_owned()));
        }
        headers.extend(challenges.to(reason).map(|challenge| ("www-authenticate", challenge)));
        // For pages, which read no header of another origin unless they are let (RFC 9457 section 3.2).
        let options = challenges.passkey_options.filter(|_| reason.challenge() == Challenge::StepUp);
        let options = options.map(|path| [",\"passkeyOptions\":", &Value::from(path).to_string()].concat());
        let body = [
            "{\"type\":\"urn:portcullis:reason:",
            code,
            "\",\"title\":\"",
            reason.title(),
            "\",\"status\":",
            &status.to_string(),
            ",\"reason\":\"",
            code,
            "\"",
            options.as_deref().unwrap_or_default(),
            "}",
        ]
        .concat();
        Self { status, headers, body, details: reason.code(), grpc_status: reason.grpc_status() }
    }

    /// The same for a gRPC client. Envoy makes `grpc-message` of the body, percent-encoded, and sets the content type: so
    /// the body is words and no document.
    #[cold]
    #[must_use]
    pub fn in_grpc(&self, reason: Reason) -> Self {
        let headers = self.headers.iter().filter(|(name, _)| *name != "content-type");
        let body = match self.body.as_str() {
            "" => String::new(),
            _ => [reason.title(), " (", reason.public_code(), ")"].concat(),
        };
        Self {
            status: self.status,
            headers: headers.cloned().collect(),
            body,
            details: self.details,
            grpc_status: self.grpc_status,
        }
    }

    /// A document of ours that anyone may read.
    pub fn document(document: Document, json: &str) -> Self {
        let (content_type, cache_control) = match document {
            Document::ResourceMetadata | Document::RelatedOrigins => {
                ("application/json", "public, max-age=3600")
            }
            // RFC 7517 section 8.5.2. Whoever keeps it does not know a new key so long.
            Document::KeySet => ("application/jwk-set+json", "public, max-age=300"),
        };
        Self {
            status: 200,
            headers: [
                ("content-type", content_type),
                ("cache-control", cache_control),
                // Nothing in it is for some readers alone, so pages of every origin may read it.
                ANY_ORIGIN,
            ]
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec(),
            body: json.to_owned(),
            details: document.details(),
            grpc_status: 0,
        }
    }

    /// An answer for whoever asked alone, which nobody keeps (RFC 9111 section 5.2.2.5); `None`: that it is done is all
    /// there is to say. For old caches `Pragma` says so, too, as RFC 6749 section 5.1 wants.
    pub fn private(details: &'static str, json: Option<&Value>) -> Self {
        let kept = [("cache-control", NO_STORE), ("pragma", "no-cache")];
        let of_body = json.map(|_| ("content-type", "application/json"));
        Self {
            status: if json.is_some() { 200 } else { 204 },
            headers: of_body.into_iter().chain(kept).map(|(name, value)| (name, value.to_owned())).collect(),
            body: json.map(Value::to_string).unwrap_or_default(),
            details,
            grpc_status: 0,
        }
    }

    /// Lets pages of every origin ask for [`Reply::document`], whatever headers they ask with (Fetch standard,
    /// section 3.3.3).
    pub fn document_preflight(document: Document) -> Self {
        let headers = [
            ANY_ORIGIN,
            ("access-control-allow-methods", "GET, HEAD"),
            ("access-control-allow-headers", "*"),
            ("access-control-max-age", "3600"),
        ];
        Self {
            status: 204,
            headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
            body: String::new(),
            details: document.details(),
            grpc_status: 0,
        }
    }

    /// Says when to come back, in seconds.
    pub fn set_retry_after(&mut self, seconds: u64) {
        self.headers.retain(|(name, _)| *name != RETRY_AFTER);
        self.headers.push((RETRY_AFTER, seconds.to_string()));
    }

    /// A permanent redirect that keeps the method (RFC 9110 section 15.4.9).
    pub fn redirect(location: String) -> Self {
        Self {
            status: 308,
            headers: vec![("location", location)],
            body: String::new(),
            details: "tls_redirect",
            grpc_status: Reason::TlsRequired.grpc_status(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_need_no_escapes() {
        for reason in Reason::ALL {
            let body = Reply::refusal(reason, Challenges::default()).body;
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["title"], reason.title());
        }
    }

    #[test]
    fn whoever_needs_a_passkey_is_told_where_to_ask() {
        let path = "/a\"b/step-up/options";
        let told = |reason, passkey_options| {
            let body = Reply::refusal(reason, Challenges { passkey_options, ..Challenges::default() }).body;
            let body: Value = serde_json::from_str(&body).unwrap();
            body.get("passkeyOptions").cloned()
        };
        assert_eq!(told(Reason::InsufficientUserAuthentication, Some(path)), Some(path.into()));
        assert_eq!(told(Reason::InsufficientUserAuthentication, None), None);
        assert_eq!(told(Reason::TokenExpired, Some(path)), None);
    }

    #[test]
    fn grpc_clients_are_told_in_words() {
        for reason in Reason::ALL {
            let reply = Reply::refusal(reason, Challenges { bearer: true, ..Challenges::default() });
            let told = reply.in_grpc(reason);
            assert_eq!(
                (told.status, told.details, told.grpc_status),
                (reply.status, reply.details, reply.grpc_status)
            );
            assert_eq!(told.body, format!("{} ({})", reason.title(), reason.public_code()));
            // What the gRPC protocol sends as it is.
            assert!(told.body.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'), "{reason:?}");
            let others =
                |reply: &Reply| reply.headers.iter().filter(|(name, _)| *name != "content-type").count();
            assert_eq!((told.headers.len(), others(&told)), (others(&reply), others(&reply)));
        }
        let redirect = Reply::redirect("https://a/".to_owned());
        assert_eq!(redirect.in_grpc(Reason::TlsRequired), redirect);
    }

    #[test]
    fn clients_cannot_tell_unknown_keys_from_disabled_ones() {
        let body = |reason| Reply::refusal(reason, Challenges::default()).body;
        assert_eq!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyDisabled));
        assert_eq!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyNotYetValid));
        assert_ne!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyExpired));
    }

    #[test]
    fn whatever_is_not_the_request_s_fault_says_when_to_come_back() {
        for reason in Reason::ALL {
            let mut reply = Reply::refusal(reason, Challenges::default());
            let waits = |reply: &Reply| {
                let values = reply.headers.iter().filter(|(name, _)| *name == "retry-after");
                values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
            };
            let expected = if reason.status() == 503 { vec!["1".to_owned()] } else { vec![] };
            assert_eq!(waits(&reply), expected, "{reason:?}");
            reply.set_retry_after(7);
            assert_eq!(waits(&reply), ["7"]);
        }
    }
}
