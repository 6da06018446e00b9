//! Where an API is: host names and what stands before its paths.

use std::ops::Range;

use super::document::{get, members};
use crate::command::{
    import::{arguments::OpenapiOptions, told::Told},
    tree::Node,
};

/// So many addresses are made of one server's variables.
const MOST_ADDRESSES: usize = 64;

/// A host that no name server knows (RFC 2606, section 2).
const NOWHERE: &str = "host.invalid";

/// Hosts that have the same paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Empty: every host.
    pub(super) hostnames: Vec<String>,
    /// Empty, or begins with a slash and ends with none.
    pub(super) base: String,
}

/// Where an operation is, by its own `servers`, those of its path, or those of the document.
pub(super) fn places(
    servers: Option<&Node>,
    about: &str,
    options: &OpenapiOptions,
    told: &mut Told,
) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    let list = servers.map(Node::items).unwrap_or_default();
    for server in list {
        for (host, base) in addresses(server, about, told) {
            let base = options.base_path.as_deref().map_or(base, |own| own.trim_end_matches('/').to_owned());
            let hostnames = match host {
                _ if options.any_hostname => Vec::new(),
                _ if !options.hostname.is_empty() => options.hostname.clone(),
                Some(host) => vec![host],
                None => Vec::new(),
            };
            add(&mut places, hostnames, base);
        }
    }
    if places.is_empty() {
        let base = options.base_path.as_deref().map(|own| own.trim_end_matches('/')).unwrap_or_default();
        let hostnames = match list.is_empty() || options.any_hostname {
            // Without servers a document speaks of the host that it comes from: `/`.
            true => options.hostname.clone(),
            false if options.hostname.is_empty() => vec![NOWHERE.to_owned()],
            false => options.hostname.clone(),
        };
        add(&mut places, hostnames, base.to_owned());
    }
    places
}

fn add(places: &mut Vec<Place>, hostnames: Vec<String>, base: String) {
    let Some(place) = places.iter_mut().find(|place| place.base == base) else {
        places.push(Place { hostnames, base });
        return;
    };
    if place.hostnames.is_empty() || hostnames.is_empty() {
        place.hostnames.clear();
        return;
    }
    for host in hostnames {
        if !place.hostnames.contains(&host) {
            place.hostnames.push(host);
        }
    }
}

/// Host and base of every address that a server's URL stands for.
fn addresses(server: &Node, about: &str, told: &mut Told) -> Vec<(Option<String>, String)> {
    let Some(url) = get(server, "url") else { return Vec::new() };
    let mut texts = vec![url.text().unwrap_or_default().to_owned()];
    for variable in get(server, "variables").map(members).unwrap_or_default() {
        let name = format!("{{{}}}", variable.name.text);
        if !texts.iter().any(|text| text.contains(&name)) {
            continue;
        }
        let values: Vec<&str> = get(&variable.value, "enum")
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .filter_map(Node::text)
            .collect();
        let default = get(&variable.value, "default").and_then(Node::text).unwrap_or_default();
        let values = match values.is_empty() {
            true => {
                let message =
                    format!("of {name} in the server's URL the default alone is taken: {default:?}");
                told.left(&variable.name_span, about, message);
                vec![default]
            }
            false => values,
        };
        texts = texts.iter().flat_map(|text| values.iter().map(|value| text.replace(&name, value))).collect();
        if texts.len() > MOST_ADDRESSES {
            told.left(
                &url.span,
                about,
                format!("the server has more than {MOST_ADDRESSES} addresses; those behind are left out"),
            );
            texts.truncate(MOST_ADDRESSES);
        }
    }
    texts.iter().filter_map(|text| address(text, &url.span, about, told)).collect()
}

fn address(text: &str, at: &Range<usize>, about: &str, told: &mut Told) -> Option<(Option<String>, String)> {
    let behind = text.split_once("://").map(|(_, rest)| rest).or_else(|| text.strip_prefix("//"));
    let (host, path) = match behind {
        Some(rest) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
            let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            if host.is_empty() || !host.chars().all(fits) {
                told.left(at, about, format!("{host:?} is no host name; the server is left out"));
                return None;
            }
            (Some(host), path)
        }
        None => (None, text),
    };
    let path = path.trim_matches('/');
    if path.contains(['?', '#', '{']) || path.split('/').any(|part| part == "..") {
        told.left(
            at,
            about,
            format!("{text:?} is no address that a path can stand behind; the server is left out"),
        );
        return None;
    }
    let base = if path.is_empty() || path == "." { String::new() } else { format!("/{path}") };
    Some((host, base))
}
