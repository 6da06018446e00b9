//! URLs.

use hashbrown::HashSet;

use super::{faults::quoted, reader::Node, scalar::text};
use crate::url::Url;

/// An absolute `http` or `https` URL; or `https` alone. Of one with a fault nothing is shown: it may hold a password.
pub(super) fn url(node: Node<'_>, https: bool) -> Option<Url> {
    let (path, faults) = (node.path, node.faults);
    let message = match Url::parse(&text(node)?) {
        Ok(url) if https && url.scheme != "https" => "must be an https URL",
        Ok(url) => return Some(url),
        Err(message) => message,
    };
    faults.add(&path, message);
    None
}

/// A list of different URLs, never empty; `empty` says what is wrong with that.
pub(super) fn urls(node: Node<'_>, empty: &str, https: bool) -> Option<Vec<Url>> {
    let mut seen = HashSet::new();
    node.filled(empty)?.all(|item| {
        let (path, faults) = (item.path, item.faults);
        let url = url(item, https)?;
        if !seen.insert(url.as_str().to_owned()) {
            faults.add(&path, format!("{} is listed twice", quoted(url.as_str())));
            return None;
        }
        Some(url)
    })
}
