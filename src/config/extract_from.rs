//! `extractFrom`: where in a request a credential stands. The same for tokens and API keys.

use super::{
    http_names::header_name,
    names::Definitions,
    reader::{Node, Object},
    scalar::{text, unique},
};
use crate::request::{
    Location,
    protocol::{self, ProtocolForm},
};

/// Headers first, then cookies, then query parameters; never empty.
pub(super) fn extract_from(node: Node<'_>, defs: &mut Definitions) -> Option<Vec<Location>> {
    node.object(|o| {
        let mut locations = Vec::new();
        let given = o.has("headers") || o.has("cookies") || o.has("params");
        if let Some(headers) =
            o.optional("headers", |n| n.filled("no headers; leave the field out", |n| header(n, defs)))
        {
            locations.extend(headers.into_iter().flatten());
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

fn header(node: Node<'_>, defs: &mut Definitions) -> Option<Vec<Location>> {
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
        if name.as_deref() == Some(protocol::HEADER) {
            return protocols(o);
        }
        let prefix = o.optional("valuePrefix", text);
        if prefix.is_none() && name.as_deref() == Some("authorization") {
            return o.fault_at(
                "valuePrefix",
                "required for authorization, as in \"Bearer \" (RFC 9110 section 11.6.2)",
            );
        }
        Some(vec![Location::Header { name: name?, prefix: prefix.unwrap_or_default() }])
    })
}

/// Of the list of protocols only whole ones can be told, so a prefix is one of two forms.
fn protocols(o: &mut Object<'_>) -> Option<Vec<Location>> {
    let both = [ProtocolForm::Next, ProtocolForm::Encoded].map(Location::WebSocketProtocol);
    if !o.has("valuePrefix") {
        // Known, for the sake of suggestions.
        o.optional("valuePrefix", |_| Some(()));
        return Some(both.into());
    }
    let form = o.optional("valuePrefix", |n| {
        let (path, faults) = (n.path, n.faults);
        let prefix = text(n)?;
        if prefix.replace(' ', "").eq_ignore_ascii_case("bearer,") {
            return Some(ProtocolForm::Next);
        }
        if prefix.eq_ignore_ascii_case(protocol::ENCODED) {
            return Some(ProtocolForm::Encoded);
        }
        faults.add(
            &path,
            format!("must be \"bearer, \" or \"{}\" there; leave it out for both", protocol::ENCODED),
        );
        None
    });
    Some(vec![Location::WebSocketProtocol(form?)])
}
