//! Requests exactly as they go over the wire, and their answers.

use std::fmt;

use serde_json::Value;

/// Nothing of it is normalized, reordered or checked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) authority: String,
    /// In order; over HTTP/1.1 in the given case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    /// Sent over HTTP/2 alone.
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

pub(crate) fn request(method: &str, target: &str) -> Request {
    Request {
        method: method.to_owned(),
        target: target.to_owned(),
        authority: "localhost".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        trailers: Vec::new(),
    }
}

pub(crate) fn get(target: &str) -> Request {
    request("GET", target)
}

pub(crate) fn post(target: &str) -> Request {
    request("POST", target).body("{}")
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn api_key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    pub(crate) fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_owned();
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }
}

/// What came back.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The reason code of a refusal by the filter; `None` for every other answer.
    pub(crate) fn reason(&self) -> Option<String> {
        if self.header("content-type") != Some("application/problem+json") {
            return None;
        }
        let problem: Value = serde_json::from_slice(&self.body).ok()?;
        problem.get("reason")?.as_str().map(str::to_owned)
    }

    /// What the upstream says it received.
    pub(crate) fn seen(&self) -> Seen {
        match serde_json::from_slice(&self.body) {
            Ok(seen) => Seen(seen),
            Err(error) => panic!("the upstream's answer: {error}: {self:?}"),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// A request as the upstream received it.
pub(crate) struct Seen(Value);

impl Seen {
    pub(crate) fn path(&self) -> &str {
        self.0["path"].as_str().expect("a path")
    }

    pub(crate) fn body(&self) -> &str {
        self.0["body"].as_str().expect("a body")
    }

    pub(crate) fn trailer_names(&self) -> Vec<&str> {
        self.0["trailers"].as_object().expect("trailers").keys().map(String::as_str).collect()
    }

    /// Every value of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        match &self.0["headers"][name] {
            Value::String(value) => vec![value],
            Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn header_names(&self) -> Vec<&str> {
        self.0["headers"].as_object().expect("headers").keys().map(String::as_str).collect()
    }
}
