//! The part of etcd's v3 API that is read: `KV.Range` by its JSON gateway, which has 64-bit numbers as text, bytes in
//! base64, and leaves out what is zero or empty (ProtoJSON).

use std::fmt;

use ct_codecs::{Base64, Decoder as _, Encoder as _};
use serde_json::{Map, Value, json};

/// A question for the keys from `key` up to `range_end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeRequest<'a> {
    pub(super) key: &'a [u8],
    pub(super) range_end: &'a [u8],
    /// The most that are answered.
    pub(super) limit: u32,
    /// As the store was at this revision; 0: as it is now.
    pub(super) revision: u64,
    /// Only those changed at this revision or later, the first first; 0: all, by their names.
    pub(super) changed_since: u64,
}

/// What a range has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) cluster_id: u64,
    /// Of the whole store, when it answered.
    pub(super) revision: u64,
    /// Counts the elections of leaders.
    pub(super) raft_term: u64,
    pub(super) items: Vec<Item>,
    /// There are more than these.
    pub(super) more: bool,
    /// How many keys lie in the range, whatever was asked of them.
    pub(super) count: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// When it was changed last.
    pub(super) changed_at: u64,
}

/// As whom etcd is asked.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub user: String,
    /// What proves it.
    pub password: Password,
}

/// Its `Debug` never shows it.
#[derive(Clone)]
pub struct Password(pub String);

/// What etcd knows a user by after a login. Its `Debug` never shows it.
pub(super) struct Token(pub(super) String);

/// The longest token: a JWT with room to spare.
const MAX_TOKEN: usize = 8 * 1024;

/// Why there is no range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtcdError {
    /// The revision that was asked about is gone (gRPC `OUT_OF_RANGE`).
    Compacted,
    /// Who asks is not known, or no longer (gRPC `UNAUTHENTICATED`, and some of `INVALID_ARGUMENT`).
    Unauthenticated,
    /// The user or the password is wrong.
    LoginRefused,
    /// There is a login, and etcd has none (gRPC `FAILED_PRECONDITION`).
    NoLogin,
    /// The certificate that Envoy showed has a common name, which etcd's gateway refuses where users log in.
    NamedCertificate,
    /// Who asks may not read this (gRPC `PERMISSION_DENIED`).
    Denied,
    /// 404: etcd's JSON gateway is not switched on (`enable-grpc-gateway`), or something else answers there.
    NoGateway,
    /// Another status.
    Status(u16),
    /// The answer is not of the form that is due.
    Malformed,
}

/// The next key in the order of keys that does not begin with `prefix`: the end of a range of all that do.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    // Nothing lies behind: etcd's name for the end of all keys.
    vec![0]
}

impl Login {
    pub(super) fn body(&self) -> Vec<u8> {
        json!({"name": self.user, "password": self.password.0}).to_string().into_bytes()
    }
}

impl Token {
    /// Reads an answer with status 200. The token becomes the value of a header, so it has no other characters than one may.
    pub(super) fn read(body: &[u8]) -> Result<Self, EtcdError> {
        let answer = serde_json::from_slice::<Value>(body).ok();
        let token = answer.as_ref().and_then(|answer| answer.get("token")?.as_str());
        let is_fit = |token: &&str| {
            (1..=MAX_TOKEN).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        token.filter(is_fit).map(|token| Self(token.to_owned())).ok_or(EtcdError::Malformed)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Password").finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

impl RangeRequest<'_> {
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = json!({
            "key": base64(self.key),
            "range_end": base64(self.range_end),
            "limit": self.limit.to_string(),
        });
        if let Value::Object(members) = &mut body {
            if self.revision > 0 {
                members.insert("revision".to_owned(), self.revision.to_string().into());
            }
            if self.changed_since > 0 {
                members.insert("min_mod_revision".to_owned(), self.changed_since.to_string().into());
                members.insert("sort_target".to_owned(), "MOD".into());
                members.insert("sort_order".to_owned(), "ASCEND".into());
            }
        }
        body.to_string().into_bytes()
    }
}

impl Range {
    /// Reads an answer with status 200.
    pub(super) fn read(body: &[u8]) -> Result<Self, EtcdError> {
        Self::read_object(body).ok_or(EtcdError::Malformed)
    }

    fn read_object(body: &[u8]) -> Option<Self> {
        let Value::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
        let header = answer.get("header")?.as_object()?;
        let items = match answer.get("kvs") {
            None | Some(Value::Null) => Vec::new(),
            Some(items) => items.as_array()?.iter().map(Item::read).collect::<Option<_>>()?,
        };
        let more = match answer.get("more") {
            None | Some(Value::Null) => false,
            Some(more) => more.as_bool()?,
        };
        let range = Self {
            cluster_id: number(header, "cluster_id")?,
            revision: number(header, "revision")?,
            raft_term: number(header, "raft_term")?,
            items,
            more,
            count: number(&answer, "count")?,
        };
        // A store has a revision from its first moment on. Whatever has none is no answer of etcd.
        (range.revision > 0).then_some(range)
    }
}

impl Item {
    pub(super) fn read(item: &Value) -> Option<Self> {
        let members = item.as_object()?;
        Some(Self {
            key: bytes(members, "key")?,
            value: bytes(members, "value")?,
            changed_at: number(members, "mod_revision")?,
        })
    }
}

/// What an answer with another status says of the reason.
pub(super) fn error(status: u16, body: &[u8]) -> EtcdError {
    let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let code = answer.get("code").and_then(Value::as_u64);
    let says =
        |what: &str| answer.get("error").and_then(Value::as_str).is_some_and(|text| text.contains(what));
    match (status, code) {
        (_, Some(11)) => EtcdError::Compacted,
        (_, Some(16)) => EtcdError::Unauthenticated,
        // Without a token, and with one of before users or roles were changed.
        (_, Some(3)) if says("user name is empty") || says("auth store is old") => EtcdError::Unauthenticated,
        (_, Some(3)) if says("authentication failed") => EtcdError::LoginRefused,
        (_, Some(9)) if says("authentication is not enabled") => EtcdError::NoLogin,
        (_, Some(7)) => EtcdError::Denied,
        (400, None) if body.starts_with(b"CommonName") => EtcdError::NamedCertificate,
        (404, _) => EtcdError::NoGateway,
        (status, _) => EtcdError::Status(status),
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    Base64::encode_to_string(bytes).unwrap_or_default()
}

/// Empty where it is left out.
fn bytes(members: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    match members.get(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(value) => Base64::decode_to_vec(value.as_str()?, None).ok(),
    }
}

/// 0 where it is left out.
fn number(members: &Map<String, Value>, name: &str) -> Option<u64> {
    match members.get(name) {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_u64(),
    }
}

impl fmt::Display for EtcdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compacted => f.write_str("the revision that was being read is gone"),
            Self::Unauthenticated => f.write_str("etcd does not know who asks (apiKeys.etcd.user)"),
            Self::LoginRefused => {
                f.write_str("etcd takes another user or password than those of apiKeys.etcd")
            }
            Self::NoLogin => f.write_str("apiKeys.etcd has a user, and etcd's authentication is not enabled"),
            Self::NamedCertificate => f.write_str(
                "etcd's JSON gateway takes no client certificate with a common name (CN) while users log in",
            ),
            Self::Denied => f.write_str("etcd does not let this user do so below the prefix of apiKeys.etcd"),
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
    fn the_end_of_a_prefix() {
        for (prefix, end) in [
            (&b"/k/"[..], &b"/k0"[..]),
            (b"a", b"b"),
            (b"a\xff", b"b"),
            (b"a\xff\xff", b"b"),
            (b"\xff\xff", b"\0"),
            (b"", b"\0"),
        ] {
            assert_eq!(end_of(prefix), end, "{prefix:?}");
        }
    }

    #[test]
    fn questions() {
        let request =
            RangeRequest { key: b"/k/", range_end: b"/k0", limit: 500, revision: 0, changed_since: 0 };
        let read = |request: &RangeRequest<'_>| serde_json::from_slice::<Value>(&request.body()).unwrap();
        assert_eq!(read(&request), json!({"key": "L2sv", "range_end": "L2sw", "limit": "500"}));
        let since = RangeRequest { revision: 7, changed_since: 9_007_199_254_740_993, ..request };
        let expected = json!({
            "key": "L2sv", "range_end": "L2sw", "limit": "500", "revision": "7",
            "min_mod_revision": "9007199254740993", "sort_target": "MOD", "sort_order": "ASCEND",
        });
        assert_eq!(read(&since), expected);
    }

    #[test]
    fn answers() {
        let full = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"1","revision":"9007199254740993","raft_term":"2"},
            "kvs":[{"key":"L2svYQ==","create_revision":"2","mod_revision":"3","version":"2","value":"AP8="},{"key":"L2svYg==","mod_revision":"4"}],
            "more":true,"count":"5"}"#;
        let range = Range::read(full.as_bytes()).unwrap();
        let items = vec![
            Item { key: b"/k/a".to_vec(), value: vec![0, 0xff], changed_at: 3 },
            Item { key: b"/k/b".to_vec(), value: vec![], changed_at: 4 },
        ];
        let expected = Range {
            cluster_id: 14_841_639_068_965_178_418,
            revision: 9_007_199_254_740_993,
            raft_term: 2,
            items,
            more: true,
            count: 5,
        };
        assert_eq!(range, expected);
        let empty = Range::read(br#"{"header":{"cluster_id":"1","revision":"1"}}"#).unwrap();
        assert_eq!((empty.items.len(), empty.more, empty.count), (0, false, 0));
        for broken in [
            "",
            "[]",
            "{}",
            r#"{"header":{}}"#,
            r#"{"header":{"revision":"0"}}"#,
            r#"{"header":{"revision":"x"}}"#,
            r#"{"header":{"revision":"1"},"kvs":{}}"#,
            r#"{"header":{"revision":"1"},"kvs":[{"key":"*"}]}"#,
            r#"{"header":{"revision":"1"},"kvs":[{"key":"L2sv","value":7}]}"#,
            r#"{"header":{"revision":"1"},"more":"yes"}"#,
            r#"{"header":{"revision":"1"},"count":-1}"#,
            r#"{"header":{"revision":"99999999999999999999"}}"#,
            full.strip_suffix('}').unwrap(),
        ] {
            assert_eq!(Range::read(broken.as_bytes()), Err(EtcdError::Malformed), "{broken}");
        }
    }

    #[test]
    fn tokens() {
        let long = "x".repeat(MAX_TOKEN + 1);
        for (token, is_taken) in [
            ("ZwubwmGELtPFXlRh.14", true),
            ("", false),
            ("a b", false),
            ("a\r\nb: c", false),
            ("\u{e9}", false),
            (&long, false),
        ] {
            let body = json!({"header": {"revision": "2"}, "token": token}).to_string();
            assert_eq!(
                Token::read(body.as_bytes()).ok().is_some_and(|read| read.0 == token),
                is_taken,
                "{token}"
            );
        }
        for broken in ["", "{}", r#"{"token":7}"#, "[]"] {
            assert_eq!(Token::read(broken.as_bytes()).err(), Some(EtcdError::Malformed), "{broken}");
        }
        let login = Login { user: "gateway".to_owned(), password: Password("hunter2".to_owned()) };
        assert_eq!(login.body(), br#"{"name":"gateway","password":"hunter2"}"#);
        assert!(!format!("{login:?}{:?}", Token("hunter2".to_owned())).contains("hunter2"));
    }

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
            assert_eq!(error(status, body.as_bytes()), expected, "{body}");
        }
    }
}
