//! URLs that calls go to.

use super::{reader::Node, scalar::text};
use crate::calls::Endpoint;

/// An absolute `http` or `https` URL; or `https` alone, for calls that carry secrets.
pub(super) fn endpoint(node: Node<'_>, https: bool) -> Option<Endpoint> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    match Endpoint::parse(&text) {
        Ok(endpoint) if https && endpoint.scheme != "https" => {
            faults.add(&path, "must be an https URL: tokens and secrets go there");
            None
        }
        Ok(endpoint) => Some(endpoint),
        // Not shown: an address with a user may hold a password.
        Err(fault) => {
            faults.add(&path, format!("is not a URL to call: {fault}"));
            None
        }
    }
}

/// An absolute `http` or `https` URL in plain ASCII, without user and fragment, which are never sent.
pub(super) fn uri(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    let good = authority.is_some_and(|a| !a.is_empty() && !a.contains('@'))
        && text.chars().all(|c| c.is_ascii_graphic())
        && !text.contains(['#', '\\', '"', '<', '>']);
    if good {
        return Some(text);
    }
    // Not shown: an address with a user may hold a password.
    faults.add(&path, "must be an absolute http or https URL without user and fragment");
    None
}
