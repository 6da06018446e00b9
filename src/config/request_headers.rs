//! `requestHeaders`.

use super::{
    RequestHeadersSpec,
    http_names::header_name,
    names::Definitions,
    reader::{Node, quoted},
};
use crate::request::{alike::is_alike, overriding};

/// More would make each header of a request be held against many.
const MOST: usize = 100;

/// They carry the message itself, or the filter writes them where it must.
const NEEDED: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// To be read when all headers that the filter sets are known.
pub(super) fn request_headers(node: Node<'_>, defs: &Definitions) -> Option<RequestHeadersSpec> {
    node.object(|o| {
        let remove = o.optional("remove", |n| {
            names(n, "removes nothing more; leave the field out", defs, |name| {
                let needed = NEEDED.iter().any(|needed| is_alike(name.as_bytes(), needed.as_bytes()));
                needed.then(|| format!("{} is needed to read the request; it is never removed", quoted(name)))
            })
        });
        let remove = remove.unwrap_or_default();
        let keep = o.optional("keep", |n| {
            names(n, "keeps nothing; leave the field out", defs, |name| {
                if !overriding::is_overriding(name.as_bytes()) {
                    let all = overriding::NAMES.join(", ");
                    return Some(format!("{} is not removed by default; what is: {all}", quoted(name)));
                }
                has(&remove, name).then(|| format!("{} is listed under remove", quoted(name)))
            })
        });
        let keep = keep.unwrap_or_default();
        Some(RequestHeadersSpec { remove, keep })
    })
}

/// Names of headers, each in one spelling. `judge` says what is wrong with one.
fn names(
    node: Node<'_>,
    empty: &str,
    defs: &Definitions,
    judge: impl Fn(&str) -> Option<String>,
) -> Option<Vec<String>> {
    if node.items() > MOST {
        return node.fault(format!("must be at most {MOST} names; there are {}", node.items()));
    }
    let mut seen: Vec<String> = Vec::new();
    node.filled(empty, |n| {
        let (path, faults) = (n.path, n.faults);
        let name = header_name(n)?;
        defs.headers.refuse(&name, &path, faults);
        if let Some(fault) = judge(&name) {
            faults.add(&path, fault);
            return None;
        }
        if has(&seen, &name) {
            faults.add(&path, format!("{} is listed twice", quoted(&name)));
            return None;
        }
        seen.push(name.clone());
        Some(name)
    })
}

/// In any spelling.
fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|other| is_alike(other.as_bytes(), name.as_bytes()))
}
