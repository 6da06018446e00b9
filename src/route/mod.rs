//! Which rule a request falls under: ordered rules, first match wins, at a cost that does not grow with their number.
//!
//! Decides which rule applies, never what it does. Paths are held against the canonical path
//! ([`crate::request::path`]) with the escapes that are left in it decoded, once: to a rule `/admin%3Adelete`
//! and `/admin:delete` are the same path, as they are to the application behind us. An encoded slash is part of its
//! segment, and `%2F` to expressions.

mod conditions;
mod coverage;
mod given;
mod index;
mod pattern;
mod place;
mod request;
mod router;
#[cfg(test)]
mod tests;

pub use conditions::Part;
pub use given::Doubt;
pub use request::{RouteMatch, RouteRequest, Unclear};
pub use router::Router;

use crate::request::path::Kept;

/// When a rule applies, as configured. Hosts, methods and names are in the form that is said here; nobody checks that
/// again.
#[derive(Clone, Debug, Default)]
pub struct RouteSpec {
    /// `api.example.com` or `*.example.com` (one or more labels), lower case, without port; addresses in their shortest
    /// form. Empty: every host.
    pub hostnames: Vec<String>,
    /// Any one must match. Empty: every request.
    pub matches: Vec<MatchSpec>,
    /// What its paths may hold that others may read in another way. The router finds it whatever it holds.
    pub kept: Kept,
}

/// Conditions that must all hold (the shape of Gateway API's `HTTPRouteMatch`).
#[derive(Clone, Debug, Default)]
pub struct MatchSpec {
    /// `None`: every path.
    pub path: Option<PathSpec>,
    /// The letters of ASCII in the path's literal text stand for either case. Expressions say that themselves.
    pub ignores_case: bool,
    /// Upper case as on the wire; empty: every method.
    pub methods: Vec<String>,
    /// All must match. Names are lower case and compared without case; the values of several lines are joined with `,`
    /// (RFC 9110 section 5.3), those of `cookie` with `; `.
    pub headers: Vec<(String, ValueSpec)>,
    /// All must match. Names are not empty and compared with case, after decoding; to whom a parameter is given more than once,
    /// or cannot be decoded, every condition but [`ValueSpec::Present`] is in doubt.
    pub query: Vec<(String, ValueSpec)>,
}

/// How a path is matched. Patterns are written in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSpec {
    /// The whole path.
    Exact(String),
    /// Whole segments from the start: `/orders` matches `/orders` and `/orders/7`, not `/ordersX`. A slash
    /// at its end means nothing, as in Gateway API; `/` is every path.
    PathPrefix(String),
    /// `/orders/{id}`: a variable is one whole, non-empty segment; `{path=**}` as the last one takes the
    /// rest (at least one segment, not empty).
    PathTemplate(String),
    /// The whole path matches, in the syntax of RE2. It sees decoded text: `@`, never `%40`.
    RegularExpression(String),
}

/// How a header's or query parameter's value is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSpec {
    /// The whole value.
    Exact(String),
    /// The whole value matches. For values that are not UTF-8 or longer than 8192 bytes that is in doubt.
    RegularExpression(String),
    /// Any value, also an empty one.
    Present,
}
