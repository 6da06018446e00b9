//! `portcullis import openapi`: rules of the operations in an OpenAPI document.

mod document;
mod extensions;
mod operations;
mod order;
mod paths;
#[cfg(test)]
mod properties;
mod schemes;
mod servers;
mod used;

use serde_json::{Map, Value as Json, json};

use self::{
    document::{Document, get},
    operations::Reading,
    schemes::Schemes,
    used::extract_from,
};
use super::{
    arguments::OpenapiOptions,
    draft::{Draft, There},
    told::Told,
};
use crate::command::{refusal::Refusal, source::Source, tree::Node};

/// A draft of what the document says, for a policy in which something is there.
///
/// # Errors
/// It is no document that is read, or the options are not for it.
pub(super) fn draft(
    root: &Node,
    source: &Source,
    options: &OpenapiOptions,
    there: &There,
    told: &mut Told,
) -> Result<Draft, Refusal> {
    let document = Document::new(root, &source.name)?;
    let mut schemes = Schemes::read(&document, options, &there.issuers, told)?;
    let mut sections = match extensions::sections(root) {
        Ok(sections) => sections,
        Err(why) => return Err(Refusal::unusable(format!("{}: {why}", source.name))),
    };
    let (schemes_read, names) = (&mut schemes, Vec::new());
    let mut reading =
        Reading { document: &document, schemes: schemes_read, options, told, names, operations: 0 };
    let all = reading.all();
    let all = order::ordered(all, reading.told);
    let mut rules = Vec::new();
    for path in &all {
        rules.extend(path.rules(&mut |name| reading.unique(name)));
    }
    let mut draft = Draft { sections: Map::new(), comments: Vec::new(), rules };
    let asked = Asked::of(&draft);
    add_providers(&mut draft, &schemes, &asked, there, told);
    add_keys(&mut draft, &schemes, &asked, there, told);
    if schemes.has_certificates() {
        draft.sections.insert("clientCertificates".to_owned(), json!({}));
    }
    add_roles(&mut draft, sections.shift_remove("roles"), &schemes, &asked);
    if let Some(limits) = sections.shift_remove("rateLimits") {
        draft.sections.insert("rateLimits".to_owned(), limits);
    }
    Ok(draft)
}

/// What the document is called.
pub(super) fn title(root: &Node) -> String {
    let info =
        |name| get(root, "info").and_then(|info| get(info, name)).and_then(Node::text).unwrap_or_default();
    let text = format!("{} {}", info("title"), info("version"));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Names that rules ask for.
#[derive(Default)]
struct Asked {
    roles: Vec<String>,
    has_permissions: bool,
    /// Of rules that take API keys.
    key_scopes: Vec<String>,
    key_roles: Vec<String>,
}

impl Asked {
    fn of(draft: &Draft) -> Self {
        let mut asked = Self::default();
        for rule in &draft.rules {
            let takes_keys =
                rule.value.get("authenticate").is_some_and(|ways| ways.to_string().contains("\"apiKey\""));
            if let Some(authorize) = rule.value.get("authorize") {
                asked.within(authorize, takes_keys);
            }
        }
        asked
    }

    fn within(&mut self, authorize: &Json, takes_keys: bool) {
        let Json::Object(members) = authorize else { return };
        for (name, value) in members {
            let names = || extensions::names(value).into_iter().map(str::to_owned);
            match name.as_str() {
                "roles" => {
                    add_all(&mut self.roles, names());
                    if takes_keys {
                        add_all(&mut self.key_roles, names());
                    }
                }
                "scopes" if takes_keys => add_all(&mut self.key_scopes, names()),
                "permissions" => self.has_permissions = true,
                "actor" => self.within(value, takes_keys),
                "anyOf" => {
                    let Json::Array(alternatives) = value else { continue };
                    alternatives.iter().for_each(|alternative| self.within(alternative, takes_keys));
                }
                _ => {}
            }
        }
    }
}

fn add_all(list: &mut Vec<String>, names: impl Iterator<Item = String>) {
    for name in names {
        if !list.contains(&name) {
            list.push(name);
        }
    }
}

fn add_providers(draft: &mut Draft, schemes: &Schemes, asked: &Asked, there: &There, told: &mut Told) {
    let own_roles = schemes.key_roles();
    let has_roles = asked.has_permissions || asked.roles.iter().any(|role| !own_roles.contains(role));
    let mut providers = Vec::new();
    for (provider, at) in schemes.providers() {
        let mut said = json!({
            "name": provider.name,
            "issuer": provider.issuer,
            "audiences": provider.audiences,
            "algorithms": ["RS256", "ES256"],
            "discovery": {"cluster": provider.cluster},
        });
        let claim = provider.roles_claim.clone().or_else(|| has_roles.then(|| "roles".to_owned()));
        if let (Some(claim), Some(members)) = (claim, said.as_object_mut()) {
            members.insert("claims".to_owned(), json!({"roles": claim}));
        }
        let is_there = there.issuers.iter().any(|(name, _)| *name == provider.name);
        if !provider.made_up.is_empty() && !is_there {
            let line = format!(
                "Complete {}: {} {} made up, for the document does not say.",
                provider.name,
                provider.made_up.join(", "),
                if provider.made_up.len() == 1 { "is" } else { "are" },
            );
            told.note(
                &at,
                &provider.name,
                format!("{} must be completed in jwt.providers", provider.made_up.join(", ")),
            );
            draft.comments.push(("jwt".to_owned(), line));
        }
        providers.push(said);
    }
    if !providers.is_empty() {
        draft.sections.insert("jwt".to_owned(), json!({"providers": providers}));
    }
}

fn add_keys(draft: &mut Draft, schemes: &Schemes, asked: &Asked, there: &There, told: &mut Told) {
    let places = schemes.key_places();
    if places.is_empty() {
        return;
    }
    // The policy needs a key. Nobody has one of this hash, and it is disabled.
    let mut key = Map::from_iter([
        ("id".to_owned(), json!("placeholder")),
        ("hash".to_owned(), json!(format!("sha256:{}", "0".repeat(64)))),
        ("disabled".to_owned(), json!(true)),
    ]);
    for (name, names) in [("scopes", &asked.key_scopes), ("roles", &asked.key_roles)] {
        if !names.is_empty() {
            key.insert(name.to_owned(), json!(names));
        }
    }
    draft.sections.insert("apiKeys".to_owned(), json!({"extractFrom": extract_from(&places), "keys": [key]}));
    let line = "Make keys with `portcullis key new --store FILE`, then take the placeholder away, which opens nothing.";
    draft.comments.push(("apiKeys".to_owned(), line.to_owned()));
    if !there.has_keys {
        told.note(
            &schemes.first_key(),
            "apiKeys",
            "there are no keys yet: make some with `portcullis key new`",
        );
    }
    let roles = schemes.key_roles();
    if !roles.is_empty() {
        let line = format!(
            "A key of one scheme is none of another: each has the role of its own, {}.",
            roles.join(" or ")
        );
        draft.comments.push(("apiKeys".to_owned(), line));
    }
}

/// The document's own roles, and those that are only named.
fn add_roles(draft: &mut Draft, own: Option<Json>, schemes: &Schemes, asked: &Asked) {
    let mut roles = match own {
        Some(Json::Array(roles)) => roles,
        _ => Vec::new(),
    };
    let is_there =
        |roles: &[Json], name: &str| roles.iter().any(|role| role.get("name") == Some(&Json::from(name)));
    for name in asked.roles.iter().chain(&schemes.key_roles()) {
        if !is_there(&roles, name) {
            roles.push(json!({"name": name}));
        }
    }
    if !roles.is_empty() {
        draft.sections.insert("roles".to_owned(), Json::Array(roles));
    }
}
