//! Why etcd was not read or written.

use std::fmt;

use serde_json::Value;

use crate::calls::{NoBody, Outcome};

/// Why there is no answer to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtcdError {
    /// Nothing came, or too much.
    NoBody(NoBody),
    /// The revision that was asked about is gone (gRPC `OUT_OF_RANGE`).
    Compacted,
    /// Who asks is not known, or no longer (gRPC `UNAUTHENTICATED`, and some of `INVALID_ARGUMENT`).
    Unauthenticated,
    /// The user or the password is wrong.
    LoginRefused,
    /// There is a login, and etcd has none (gRPC `FAILED_PRECONDITION`).
    NoLogin,
    /// The certificate that was shown has a common name, which etcd's gateway refuses where users log in.
    NamedCertificate,
    /// Who asks may not do this (gRPC `PERMISSION_DENIED`).
    Denied,
    /// 404: etcd's JSON gateway is not switched on (`enable-grpc-gateway`), or something else answers there.
    NoGateway,
    /// Another status.
    Status(u16),
    /// The answer is not of the form that is due.
    Malformed,
}

impl EtcdError {
    /// What an answer with another status than 200 says of the reason.
    pub fn of(status: u16, body: &[u8]) -> Self {
        let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
        let code = answer.get("code").and_then(Value::as_u64);
        let text = answer.get("error").and_then(Value::as_str).unwrap_or_default();
        match (status, code) {
            (_, Some(11)) => Self::Compacted,
            (_, Some(16)) => Self::Unauthenticated,
            (_, Some(3)) if is_about_who_asks(text) => Self::Unauthenticated,
            (_, Some(3)) if text.contains("authentication failed") => Self::LoginRefused,
            (_, Some(9)) if text.contains("authentication is not enabled") => Self::NoLogin,
            (_, Some(7)) => Self::Denied,
            (400, None) if body.starts_with(b"CommonName") => Self::NamedCertificate,
            (404, _) => Self::NoGateway,
            (status, _) => Self::Status(status),
        }
    }

    /// Whether the same question may be answered in a moment, or by another member.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NoBody(NoBody::Failed) | Self::Status(500..))
    }
}

/// Whether etcd says in these words that it does not know who asks: without a token, with one that it knows no more, and
/// with one of before users or roles were changed.
pub fn is_about_who_asks(text: &str) -> bool {
    ["user name is empty", "invalid auth token", "auth store is old"].iter().any(|words| text.contains(words))
}

/// The body of an answer, of `max` bytes at most.
pub(super) fn body_of(outcome: Outcome<'_>, max: usize) -> Result<&[u8], EtcdError> {
    outcome.body(max).map_err(|why| match (why, outcome) {
        (NoBody::Status(status), Outcome::Answer { body, .. }) => EtcdError::of(status, body),
        (why, _) => EtcdError::NoBody(why),
    })
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBody(why) => why.fmt(f),
            Self::Compacted => f.write_str("the revision that was being read is gone"),
            Self::Unauthenticated => f.write_str("etcd does not know who asks"),
            Self::LoginRefused => f.write_str("etcd takes another user or password"),
            Self::NoLogin => f.write_str("there is a user, and etcd's authentication is not enabled"),
            Self::NamedCertificate => f.write_str(
                "etcd's JSON gateway takes no client certificate with a common name (CN) while users log in",
            ),
            Self::Denied => f.write_str("etcd does not let this user do so below the prefix"),
            Self::NoGateway => {
                f.write_str("status 404: is etcd's JSON gateway switched on (enable-grpc-gateway)?")
            }
            Self::Status(status) => write!(f, "status {status}"),
            Self::Malformed => f.write_str("not an answer of etcd's v3 API"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors() {
        for (status, body, expected) in [
            (
                400,
                r#"{"error":"etcdserver: mvcc: required revision has been compacted","code":11}"#,
                EtcdError::Compacted,
            ),
            (401, r#"{"error":"etcdserver: invalid auth token","code":16}"#, EtcdError::Unauthenticated),
            (403, r#"{"error":"etcdserver: permission denied","code":7}"#, EtcdError::Denied),
            (400, r#"{"error":"etcdserver: user name is empty","code":3}"#, EtcdError::Unauthenticated),
            (
                400,
                r#"{"error":"etcdserver: revision of auth store is old","code":3}"#,
                EtcdError::Unauthenticated,
            ),
            (
                400,
                r#"{"error":"etcdserver: authentication failed, invalid user ID or password","code":3}"#,
                EtcdError::LoginRefused,
            ),
            (
                400,
                r#"{"error":"etcdserver: duplicate key given in txn request","code":3}"#,
                EtcdError::Status(400),
            ),
            (412, r#"{"error":"etcdserver: authentication is not enabled","code":9}"#, EtcdError::NoLogin),
            (
                400,
                "CommonName of client sending a request against gateway will be ignored and not used as expected\n",
                EtcdError::NamedCertificate,
            ),
            (404, "404 page not found\n", EtcdError::NoGateway),
            (503, "no healthy upstream", EtcdError::Status(503)),
            (500, r#"{"code":"11"}"#, EtcdError::Status(500)),
        ] {
            assert_eq!(EtcdError::of(status, body.as_bytes()), expected, "{body}");
            let outcome = Outcome::Answer { status, headers: &[], body: body.as_bytes() };
            assert_eq!(body_of(outcome, 8), Err(expected), "however long it is: {body}");
        }
    }

    #[test]
    fn bodies() {
        let answer = |body| Outcome::Answer { status: 200, headers: &[], body };
        assert_eq!(body_of(answer(b"four"), 4), Ok(&b"four"[..]));
        assert_eq!(body_of(answer(b"fives"), 4), Err(EtcdError::NoBody(NoBody::TooLarge { max: 4 })));
        assert_eq!(body_of(Outcome::Failed, 4), Err(EtcdError::NoBody(NoBody::Failed)));
    }
}
