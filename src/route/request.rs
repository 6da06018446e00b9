//! A request as rules see it, and which of them it falls under.

use std::{borrow::Cow, fmt};

use super::{conditions::Part, given::Doubt, pattern::Path};
use crate::request::{RequestHead, path};

/// What a rule is chosen by. Its `Debug` does not show the query: it may hold credentials.
#[derive(Clone, Copy)]
pub struct RouteRequest<'a> {
    /// As [`authority::host`](crate::request::authority::host) returns it: lower case, no port.
    pub host: &'a str,
    /// As sent; methods are compared with case (RFC 9110 section 9.1).
    pub method: &'a str,
    /// As [`CanonicalPath`](crate::request::path::CanonicalPath) returns it.
    pub path: &'a str,
    /// Without `?`.
    pub query: Option<&'a str>,
    /// For header matchers.
    pub head: &'a RequestHead<'a>,
}

impl fmt::Debug for RouteRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteRequest")
            .field("host", &self.host)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The rule that a request falls under.
#[derive(Clone, Debug)]
pub struct RouteMatch<'a> {
    /// Its place in the list of rules.
    pub rule: usize,
    pattern: &'a Path,
    path: Cow<'a, str>,
    /// The path with slashes for encoded ones, where it has such.
    with_slashes: Option<Box<str>>,
    has_parameters: bool,
}

/// A request whose rule nobody can tell: some server may see what a rule asks for, and others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclear<'a> {
    /// The place of the rule that may apply.
    pub rule: usize,
    /// Why nobody can tell.
    pub doubt: Doubt,
    /// The header or parameter that the rule asks for; `None`: it is the path.
    pub name: Option<(Part, &'a str)>,
}

impl fmt::Display for Unclear<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some((part, name)) => write!(f, "{part} \"{name}\""),
            None => f.write_str(match self.doubt {
                Doubt::EncodedSlash => "an encoded slash, which others read as a slash",
                Doubt::MatrixParameters => "matrix parameters, which others drop",
                _ => "path",
            }),
        }
    }
}

impl<'a> RouteMatch<'a> {
    /// The rule at `rule`, by the match with this `pattern` for the decoded `path`.
    pub(super) fn new(rule: usize, pattern: &'a Path, path: Cow<'a, str>) -> Self {
        let with_slashes = match &path {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => path::with_slashes(path).map(String::into_boxed_str),
        };
        Self { rule, pattern, path, with_slashes, has_parameters: false }
    }

    /// The same match of a path that holds matrix parameters.
    pub(crate) fn with_parameters(self) -> Self {
        Self { has_parameters: true, ..self }
    }

    /// The value of a path variable, decoded and never empty; `None` where the match has no such variable, or where it
    /// may hold matrix parameters, without which it is another value. An encoded slash in it is a slash.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !(self.has_parameters && value.contains(';')))
    }

    /// The value of a path variable without its matrix parameters.
    pub fn variable_without_parameters(&self, name: &str) -> Option<&str> {
        let value = self.value(name)?;
        if self.has_parameters { value.split(';').next() } else { Some(value) }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.variables().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// All path variables in the order of the path.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pattern.values(&self.path, self.with_slashes.as_deref().unwrap_or(&self.path))
    }
}
