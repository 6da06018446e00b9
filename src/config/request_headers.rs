//! `requestHeaders`.

use super::{
    RequestHeadersSpec,
    faults::quoted,
    http_names::header_name,
    model::{Form, Kind, Shape, optional},
    names::Definitions,
    reader::Object,
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

pub(super) static REQUEST_HEADERS: Shape = Shape::new(&[
    optional(
        "remove",
        Kind::Few(MOST, "removes nothing more; leave the field out", &Kind::Text(Form::Header)),
        "absent: none",
        "These are removed too. Refused for headers without which the request could not be read (`content-length`, \
         `content-type`, `cookie` and the like) and for one in which a provider with `forward: true` looks for \
         tokens, or `apiKeys` for keys.",
    ),
    optional(
        "keep",
        Kind::Few(MOST, "keeps nothing; leave the field out", &Kind::Text(Form::Header)),
        "absent: none",
        "Of those that are removed by default, these reach the upstream: each as it is spelled here, and in no other way.",
    ),
]);

/// To be read when all headers that the filter sets are known.
pub(super) fn request_headers(mut o: Object<'_>, defs: &Definitions) -> RequestHeadersSpec {
    let remove = names(&mut o, "remove", defs, &|name| {
        let needed = NEEDED.iter().any(|needed| is_alike(name.as_bytes(), needed.as_bytes()));
        needed.then(|| format!("{} is needed to read the request; it is never removed", quoted(name)))
    });
    let keep = names(&mut o, "keep", defs, &|name| {
        if !overriding::is_overriding(name.as_bytes()) {
            let all = overriding::NAMES.join(", ");
            return Some(format!("{} is not removed by default; what is: {all}", quoted(name)));
        }
        has(&remove, name).then(|| format!("{} is listed under remove", quoted(name)))
    });
    RequestHeadersSpec { remove, keep }
}

/// Names of headers, each in one spelling. `judge` says what is wrong with one.
fn names(
    o: &mut Object<'_>,
    field: &'static str,
    defs: &Definitions,
    judge: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    let Some(items) = o.list(field) else { return Vec::new() };
    let mut seen: Vec<String> = Vec::new();
    let names = items.all(|n| {
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
    });
    names.unwrap_or_default()
}

/// In any spelling.
fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|other| is_alike(other.as_bytes(), name.as_bytes()))
}
