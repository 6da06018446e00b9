//! The filter `api_key_auth`: keys, where they stand, and which of them a route takes.

use serde_json::{Value as Json, json};

use super::fields::{get, is_true, items, place, tell_unknown, text};
use crate::{
    command::{
        import::{draft::named, told::Told},
        tree::Node,
    },
    crypto::sha256,
    text::hex,
};

#[derive(Default)]
pub(super) struct ApiKeyAuth {
    /// `apiKeys` of the policy; `None`: there are no keys.
    pub(super) section: Option<Json>,
    /// The header in which the upstream is told who is calling.
    pub(super) forwarding: Option<String>,
}

pub(super) fn api_key_auth(filter: &Node, about: &str, told: &mut Told) -> ApiKeyAuth {
    tell_unknown(
        filter,
        &["@type", "credentials", "key_sources", "forwarding"],
        about,
        "it is left out",
        told,
    );
    let mut keys: Vec<Json> = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    for credential in items(filter, "credentials") {
        let (Some(key), Some(client)) = (text(credential, "key"), text(credential, "client")) else {
            told.left(&place(credential), about, "a credential without a key or a client is left out");
            continue;
        };
        let hash = format!("sha256:{}", hex::encode(&sha256(key.as_bytes())));
        let id = named(client);
        let number = ids.iter().filter(|own| **own == id).count();
        ids.push(id.clone());
        let unique = if number == 0 { id.clone() } else { format!("{id}-{}", number.saturating_add(1)) };
        keys.push(match unique == client {
            true => json!({"id": unique, "hash": hash}),
            false => json!({"id": unique, "client": client, "hash": hash}),
        });
    }
    let (mut headers, mut params, mut cookies) = (Vec::new(), Vec::new(), Vec::new());
    for source in items(filter, "key_sources") {
        tell_unknown(source, &["header", "query", "cookie"], about, "it is left out", told);
        if let Some(header) = text(source, "header") {
            let header = header.to_ascii_lowercase();
            headers.push(match header.as_str() {
                "authorization" => json!({"name": header, "valuePrefix": "Bearer "}),
                _ => json!({"name": header}),
            });
        } else if let Some(query) = text(source, "query") {
            params.push(json!(query));
        } else if let Some(cookie) = text(source, "cookie") {
            cookies.push(json!(cookie));
        }
    }
    let lists = [("headers", headers), ("cookies", cookies), ("params", params)];
    let from: Json = lists
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| (name.to_owned(), Json::Array(list)))
        .collect();
    let forwarding = get(filter, "forwarding");
    let hides = forwarding.is_some_and(|forwarding| is_true(forwarding, "hide_credentials"));
    let section = (!keys.is_empty() && from.as_object().is_some_and(|from| !from.is_empty())).then(|| {
        let mut section = json!({"extractFrom": from, "keys": keys});
        if let (false, Some(members)) = (hides, section.as_object_mut()) {
            members.insert("forward".to_owned(), json!(true));
        }
        section
    });
    let forwarding =
        forwarding.and_then(|forwarding| text(forwarding, "header")).map(str::to_ascii_lowercase);
    ApiKeyAuth { section, forwarding }
}

/// Which clients a route takes; `None`: every one. An error: it cannot be said.
pub(super) fn allowed_clients(
    of_route: &Node,
    about: &str,
    told: &mut Told,
) -> Result<Option<Vec<String>>, ()> {
    if tell_unknown(of_route, &["@type", "allowed_clients"], about, "the route is closed", told) {
        return Err(());
    }
    let clients: Vec<String> =
        items(of_route, "allowed_clients").iter().filter_map(Node::text).map(str::to_owned).collect();
    Ok((!clients.is_empty()).then_some(clients))
}
