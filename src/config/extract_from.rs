//! `extractFrom`: where in a request a credential stands. The same for tokens and API keys.

use super::{
    http_names::header_name,
    names::Definitions,
    reader::Node,
    scalar::{text, unique},
};
use crate::request::Location;

/// Headers first, then cookies, then query parameters; never empty.
pub(super) fn extract_from(node: Node<'_>, defs: &mut Definitions) -> Option<Vec<Location>> {
    node.object(|o| {
        let mut locations = Vec::new();
        let given = o.has("headers") || o.has("cookies") || o.has("params");
        if let Some(headers) =
            o.optional("headers", |n| n.filled("no headers; leave the field out", |n| header(n, defs)))
        {
            locations.extend(headers);
        }
        if let Some(cookies) = o.optional("cookies", |n| unique(n, "no cookies; leave the field out", text)) {
            locations.extend(cookies.into_iter().map(Location::Cookie));
        }
        if let Some(params) = o.optional("params", |n| unique(n, "no parameters; leave the field out", text))
        {
            locations.extend(params.into_iter().map(Location::Query));
        }
        if !given {
            return o.fault("names no place to look in; give headers, cookies or params");
        }
        (!locations.is_empty()).then_some(locations)
    })
}

fn header(node: Node<'_>, defs: &mut Definitions) -> Option<Location> {
    node.object(|o| {
        let name = o.required("name", |n| {
            let path = n.path;
            let faults = n.faults;
            let name = header_name(n)?;
            if name == "cookie" {
                faults.add(&path, "cookies are read by name; list them under cookies");
                return None;
            }
            defs.headers.note_read(&name, &path);
            Some(name)
        });
        let prefix = o.optional("valuePrefix", text);
        if prefix.is_none() && name.as_deref() == Some("authorization") {
            return o.fault_at(
                "valuePrefix",
                "required for authorization, as in \"Bearer \" (RFC 9110 section 11.6.2)",
            );
        }
        Some(Location::Header { name: name?, prefix: prefix.unwrap_or_default() })
    })
}
