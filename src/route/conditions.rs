//! What a match asks of headers and query parameters.

use std::borrow::Cow;

use super::{MatchSpec, ValueSpec, expression::Expression};
use crate::{
    fault::Fault,
    request::{Lookup, RequestHead, query},
};

/// Longest value that a regular expression is tried on, in bytes.
const MAX_VALUE: usize = 8192;

/// All must hold; none always do.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    headers: Box<[(Box<str>, Value)]>,
    query: Box<[(Box<str>, Value)]>,
}

#[derive(Debug)]
enum Value {
    Exact(Box<str>),
    Regex(Expression),
    Present,
}

impl Conditions {
    /// Compiles the conditions of `spec`; faults are relative to it.
    pub(super) fn compile(spec: &MatchSpec, faults: &mut Vec<Fault>) -> Self {
        let headers = compile_list("headers", &spec.headers, faults, |name| {
            if name.starts_with(':') {
                return Err("a pseudo-header: use path, methods or hostnames");
            }
            if !is_token(name) {
                return Err("not a header name");
            }
            match name.to_ascii_lowercase() {
                name if name == "host" => Err("use hostnames"),
                name => Ok(name),
            }
        });
        let query = compile_list("queryParams", &spec.query, faults, |name| match name {
            "" => Err("must not be empty"),
            name => Ok(name.to_owned()),
        });
        Self { headers, query }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }

    pub(super) fn hold(&self, head: &RequestHead<'_>, query: Option<&str>) -> bool {
        self.headers.iter().all(|(name, value)| {
            header(head, name).is_some_and(|given| value.admits(str::from_utf8(&given).ok(), &given))
        }) && self.query.iter().all(|(name, value)| match query::single(query.unwrap_or_default(), name) {
            Lookup::Absent => false,
            Lookup::One(given) => value.admits(Some(&given), given.as_bytes()),
            Lookup::Many | Lookup::Malformed => matches!(value, Value::Present),
        })
    }

    /// Whether these hold wherever `other` do. False when in doubt.
    pub(super) fn cover(&self, other: &Self) -> bool {
        let implied = |mine: &[(Box<str>, Value)], theirs: &[(Box<str>, Value)]| {
            mine.iter().all(|(name, value)| theirs.iter().any(|(n, v)| n == name && value.covers(v)))
        };
        implied(&self.headers, &other.headers) && implied(&self.query, &other.query)
    }
}

impl Value {
    fn compile(spec: &ValueSpec) -> Result<Self, String> {
        Ok(match spec {
            ValueSpec::Exact(text) => Self::Exact(text.as_str().into()),
            ValueSpec::RegularExpression(text) => Self::Regex(Expression::compile(text)?),
            ValueSpec::Present => Self::Present,
        })
    }

    /// `text` is `bytes` where they are UTF-8.
    fn admits(&self, text: Option<&str>, bytes: &[u8]) -> bool {
        match self {
            Self::Exact(own) => own.as_bytes() == bytes,
            Self::Regex(expression) => {
                text.is_some_and(|text| text.len() <= MAX_VALUE && expression.is_match(text))
            }
            Self::Present => true,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (Self::Regex(own), Self::Regex(other)) => own.text() == other.text(),
            (_, Self::Exact(value)) => self.admits(Some(value), value.as_bytes()),
            _ => false,
        }
    }
}

/// The values of all lines of a header as one; `None` where it is absent.
fn header<'a>(head: &RequestHead<'a>, name: &str) -> Option<Cow<'a, [u8]>> {
    let mut values = head.values(name);
    let mut joined = Cow::Borrowed(values.next()?);
    // RFC 6265 section 5.4 for cookies, RFC 9110 section 5.3 for everything else.
    let separator: &[u8] = if name == "cookie" { b"; " } else { b"," };
    for value in values {
        let joined = joined.to_mut();
        joined.extend_from_slice(separator);
        joined.extend_from_slice(value);
    }
    Some(joined)
}

fn compile_list(
    list: &str,
    specs: &[(String, ValueSpec)],
    faults: &mut Vec<Fault>,
    read_name: impl Fn(&str) -> Result<String, &'static str>,
) -> Box<[(Box<str>, Value)]> {
    let mut compiled = Vec::with_capacity(specs.len());
    for (at, (name, spec)) in specs.iter().enumerate() {
        let name =
            read_name(name).map_err(|error| faults.push(Fault::new(format!("{list}[{at}].name"), error)));
        let value = Value::compile(spec)
            .map_err(|error| faults.push(Fault::new(format!("{list}[{at}].value"), error)));
        if let (Ok(name), Ok(value)) = (name, value) {
            compiled.push((name.into(), value));
        }
    }
    compiled.into()
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
