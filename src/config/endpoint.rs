//! URLs that calls go to.

use super::{reader::Node, scalar::text};
use crate::call::Endpoint;

/// An absolute `http` or `https` URL.
pub(super) fn endpoint(node: Node<'_>) -> Option<Endpoint> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    match Endpoint::parse(&text) {
        Ok(endpoint) => Some(endpoint),
        // Not shown: an address with a user may hold a password.
        Err(fault) => {
            faults.add(&path, format!("is not a URL to call: {fault}"));
            None
        }
    }
}

/// As [`endpoint`], for calls that carry secrets.
pub(super) fn https_endpoint(node: Node<'_>) -> Option<Endpoint> {
    let (path, faults) = (node.path, node.faults);
    let endpoint = endpoint(node)?;
    if endpoint.scheme != "https" {
        faults.add(&path, "must be an https URL: tokens and secrets go there");
        return None;
    }
    Some(endpoint)
}
