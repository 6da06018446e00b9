//! `hostnames` and `matches` of a rule: the shape of Gateway API's `HTTPRouteMatch`.

use super::{
    http_names::{header_name, hostname, method, methods},
    names::Definitions,
    reader::{Node, quoted},
    scalar::{choice, text, unique},
};
use crate::route::{MatchSpec, PathSpec, ValueSpec};

pub(super) fn hostnames(node: Node<'_>) -> Option<Vec<String>> {
    unique(node, "no host names; leave the field out to mean every host", hostname)
}

pub(super) fn matches(node: Node<'_>, defs: &Definitions) -> Option<Vec<MatchSpec>> {
    node.filled("no matches; leave the field out to mean every request", |n| one_match(n, defs))
}

fn one_match(node: Node<'_>, defs: &Definitions) -> Option<MatchSpec> {
    node.object(|o| {
        let given = ["path", "method", "methods", "headers", "queryParams"].iter().any(|f| o.has(f));
        let path = o.optional("path", path);
        if o.has("method") && o.has("methods") {
            o.fault_at::<()>("method", "contradicts methods; give one of them");
        }
        let methods = o.optional("methods", methods);
        let method = o.optional("method", method);
        let headers = o.optional("headers", |n| {
            values(n, |n| {
                let (path, faults) = (n.path, n.faults);
                let name = header_name(n)?;
                defs.headers.refuse(&name, &path, faults);
                Some(name)
            })
        });
        let query = o.optional("queryParams", |n| values(n, text));
        if !given {
            return o.fault("matches every request; leave matches out to mean that");
        }
        Some(MatchSpec {
            path,
            methods: methods.or(method.map(|m| vec![m])).unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            query: query.unwrap_or_default(),
        })
    })
}

fn path(node: Node<'_>) -> Option<PathSpec> {
    type Make = fn(String) -> PathSpec;
    const TYPES: [(&str, Make); 4] = [
        ("Exact", PathSpec::Exact),
        ("PathPrefix", PathSpec::PathPrefix),
        ("PathTemplate", PathSpec::PathTemplate),
        ("RegularExpression", PathSpec::RegularExpression),
    ];
    if !node.value.is_object() {
        return node.mismatch("a path such as {type: Exact, value: /orders}");
    }
    node.object(|o| {
        let kind = o.required("type", choice("a path type", &TYPES));
        let value = o.required("value", text);
        let spec = kind?(value?);
        match &spec {
            PathSpec::RegularExpression(_) => Some(spec),
            PathSpec::Exact(path) | PathSpec::PathPrefix(path) | PathSpec::PathTemplate(path) => {
                if path.starts_with('/') {
                    Some(spec)
                } else {
                    o.fault_at("value", format!("{} does not begin with /", quoted(path)))
                }
            }
        }
    })
}

/// Conditions on headers or query parameters, each name once.
fn values(node: Node<'_>, name: impl Fn(Node<'_>) -> Option<String>) -> Option<Vec<(String, ValueSpec)>> {
    #[derive(Clone, Copy)]
    enum Type {
        Exact,
        RegularExpression,
        Present,
    }
    const TYPES: [(&str, Type); 3] =
        [("Exact", Type::Exact), ("RegularExpression", Type::RegularExpression), ("Present", Type::Present)];
    let mut seen = hashbrown::HashSet::new();
    node.filled("asks for nothing; leave the field out", |n| {
        n.object(|o| {
            let name = o.required("name", |n| {
                let (path, faults) = (n.path, n.faults);
                let name = name(n)?;
                if !seen.insert(name.clone()) {
                    faults.add(&path, format!("{} is listed twice", quoted(&name)));
                    return None;
                }
                Some(name)
            });
            // As in Gateway API.
            let kind = match o.has("type") {
                true => o.optional("type", choice("a match type", &TYPES)),
                false => {
                    o.optional("type", |_| Some(()));
                    Some(Type::Exact)
                }
            };
            if o.has("value") && matches!(kind, Some(Type::Present)) {
                o.fault_at::<()>("value", "contradicts type: Present, which any value satisfies");
            }
            let value = match kind {
                Some(Type::Exact | Type::RegularExpression) => o.required("value", text),
                _ => o.optional("value", text),
            };
            let value = match kind? {
                Type::Exact => ValueSpec::Exact(value?),
                Type::RegularExpression => ValueSpec::RegularExpression(value?),
                Type::Present => ValueSpec::Present,
            };
            Some((name?, value))
        })
    })
}
