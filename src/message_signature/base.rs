//! What is signed of a request: the signature base (RFC 9421 section 2).

use std::borrow::Cow;

use super::{
    SignatureError,
    fields::{Item, Value},
};
use crate::{
    request::{RequestHead, credential::without_blanks, query::Parameter},
    text::percent,
};

/// What is derived from a request that may have to be covered (RFC 9421 section 2.2). `@query-param` is beside them: it
/// stands for no more than one parameter.
pub const DERIVED: [&str; 7] =
    ["@authority", "@method", "@path", "@query", "@request-target", "@scheme", "@target-uri"];

/// A request as its sender signed it.
#[derive(Clone, Copy)]
pub struct Presented<'m> {
    /// Its header fields.
    pub head: &'m RequestHead<'m>,
    /// Its method.
    pub method: &'m str,
    /// `:authority`.
    pub authority: &'m [u8],
    /// `:path` as it was sent, which begins with a slash.
    pub target: &'m str,
    /// It came over TLS.
    pub secure: bool,
}

impl<'m> Presented<'m> {
    /// The base of a signature that covers `components` with the parameters that `list`, the whole list, ends with.
    pub(super) fn base(&self, components: &[Item<'_>], list: &str) -> Result<String, SignatureError> {
        let mut base = String::new();
        for (place, component) in components.iter().enumerate() {
            // Section 2.5: none stands there twice.
            if components.iter().take(place).any(|other| other.text == component.text) {
                return Err(SignatureError::Malformed("a component is covered twice"));
            }
            let value = self.value(component)?;
            [component.text, ": ", &value, "\n"].iter().for_each(|part| base.push_str(part));
        }
        ["\"@signature-params\": ", list].iter().for_each(|part| base.push_str(part));
        Ok(base)
    }

    fn value(&self, component: &Item<'_>) -> Result<Cow<'m, str>, SignatureError> {
        let name = name(component)?;
        let (path, query) = self.path_and_query();
        match (name, component.parameters.as_slice()) {
            ("@query-param", [("name", Value::Text(parameter))]) => query_parameter(query, parameter),
            // Nothing of a response or of trailers is in a request, and no field is signed in another form than its own.
            (_, [_, ..]) => Err(SignatureError::Unsupported(component.text.to_owned())),
            ("@method", _) => Ok(self.method.into()),
            ("@authority", _) => Ok(self.authority()?.into()),
            ("@scheme", _) => Ok(self.scheme().into()),
            ("@target-uri", _) => Ok([self.scheme(), "://", &self.authority()?, self.target].concat().into()),
            ("@request-target", _) => Ok(self.target.into()),
            ("@path", _) => Ok(path.into()),
            ("@query", _) => Ok(["?", query.unwrap_or_default()].concat().into()),
            (name, _) if name.starts_with('@') => Err(SignatureError::Unsupported(component.text.to_owned())),
            (name, _) => self.header(name),
        }
    }

    pub(super) fn path_and_query(&self) -> (&'m str, Option<&'m str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target, None),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// In lower case, without the port that the scheme has anyway, and without a colon before none (RFC 9110 section 4.2.3).
    fn authority(&self) -> Result<String, SignatureError> {
        let text = str::from_utf8(self.authority).map_err(|_| SignatureError::Malformed("no authority"))?;
        let default = if self.secure { ":443" } else { ":80" };
        let host = text.strip_suffix(default).or_else(|| text.strip_suffix(':'));
        Ok(host.unwrap_or(text).to_ascii_lowercase())
    }

    /// All lines of a field, each without the blanks around it (section 2.1).
    fn header(&self, name: &str) -> Result<Cow<'m, str>, SignatureError> {
        let absent = || SignatureError::Absent(name.to_owned());
        // Envoy keeps it as `:authority`.
        let lines = match name {
            "host" => vec![self.authority],
            _ if name.starts_with(':') => return Err(absent()),
            _ => self.head.values(name).map(without_blanks).collect(),
        };
        let joined = match lines.as_slice() {
            [] => return Err(absent()),
            [one] => Cow::Borrowed(*one),
            several => Cow::Owned(several.join(&b", "[..])),
        };
        // A line break would let what is not signed seem to be.
        if !joined.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            return Err(SignatureError::Malformed(
                "a field that is covered has characters that none can be signed with",
            ));
        }
        let text = match joined {
            Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.ok_or_else(absent)
    }
}

/// What a component is called.
pub(super) fn name<'c>(component: &'c Item<'_>) -> Result<&'c str, SignatureError> {
    match &component.value {
        Value::Text(name) => Ok(name),
        _ => Err(SignatureError::Malformed("a component has a name that is no string")),
    }
}

/// The value of the only parameter that is called `name`, both as section 2.2.8 has them: decoded as those of forms are, and
/// encoded anew.
fn query_parameter<'m>(query: Option<&'m str>, name: &str) -> Result<Cow<'m, str>, SignatureError> {
    let encode = |text: &str| {
        let mut out = String::with_capacity(text.len());
        // <https://url.spec.whatwg.org/#application-x-www-form-urlencoded-percent-encode-set>
        percent::push_encoded(&mut out, text, &|byte| {
            byte.is_ascii_alphanumeric() || b"*-._".contains(&byte)
        });
        out
    };
    let all = query.into_iter().flat_map(|query| query.split('&')).filter(|piece| !piece.is_empty());
    let mut own = all.map(Parameter::new).filter(|one| one.name().is_some_and(|own| encode(&own) == name));
    match (own.next(), own.next()) {
        (Some(one), None) => one
            .value()
            .map(|value| encode(&value).into())
            .ok_or(SignatureError::Malformed("a parameter of the query cannot be decoded")),
        (None, _) => Err(SignatureError::Absent(format!("@query-param {name:?}"))),
        (Some(_), Some(_)) => {
            Err(SignatureError::Malformed("a parameter of the query that is covered is there twice"))
        }
    }
}
