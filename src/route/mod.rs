//! Which rule a request falls under: ordered rules, first match wins, at a cost that does not grow with their number.

/// When a rule applies, as configured.
#[derive(Clone, Debug, Default)]
pub struct RouteSpec {
    /// `api.example.com` or `*.example.com` (one or more labels), lower case, without port. Empty: every host.
    pub hostnames: Vec<String>,
    /// Any one must match. Empty: every request.
    pub matches: Vec<MatchSpec>,
}

/// Conditions that must all hold (the shape of Gateway API's `HTTPRouteMatch`).
#[derive(Clone, Debug, Default)]
pub struct MatchSpec {
    /// `None`: every path.
    pub path: Option<PathSpec>,
    /// Upper case as on the wire; empty: every method.
    pub methods: Vec<String>,
    /// All must match.
    pub headers: Vec<(String, ValueSpec)>,
    /// All must match.
    pub query: Vec<(String, ValueSpec)>,
}

/// How a path is matched. Patterns are held against the canonical path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSpec {
    /// The whole path.
    Exact(String),
    /// Whole segments from the start: `/orders` matches `/orders` and `/orders/7`, not `/ordersX`.
    PathPrefix(String),
    /// `/orders/{id}`: a variable is one whole, non-empty segment; `{path=**}` as the last one takes the rest (at least one segment).
    PathTemplate(String),
    /// The whole path matches.
    RegularExpression(String),
}

/// How a header's or query parameter's value is matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSpec {
    /// The whole value.
    Exact(String),
    /// The whole value matches.
    RegularExpression(String),
    /// Any value, also an empty one.
    Present,
}
