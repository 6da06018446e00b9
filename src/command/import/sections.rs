//! What a draft adds to the sections of a policy that is there. What stands there is left as it is.

use serde_json::{Map, Value as Json};

use super::told::Told;
use crate::command::{
    edit::{Edit, Writing},
    policies::Found,
};

/// An addition to a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Addition {
    /// A section that there was not.
    Section(String, Json),
    /// Items at the end of a list, which is there or not.
    Items(Vec<String>, Vec<Json>),
}

/// Lists of which each item has a name.
const NAMED: [&[&str]; 3] = [&["jwt", "providers"], &["roles"], &["rateLimits"]];

/// What `sections` say and `policy` does not.
pub(super) fn additions(policy: &Json, sections: &Map<String, Json>, told: &mut Told) -> Vec<Addition> {
    let mut additions = Vec::new();
    for path in NAMED {
        let list = |root: Option<&Json>| {
            let inner = path.iter().skip(1).try_fold(root?, |node, name| node.get(name))?;
            inner.as_array().cloned()
        };
        let name = path.first().copied().unwrap_or_default();
        let (own, wanted) = (list(policy.get(name)), list(sections.get(name)));
        let (own, wanted) = (own.unwrap_or_default(), wanted.unwrap_or_default());
        let called = |item: &Json| item.get("name").cloned();
        let new: Vec<Json> =
            wanted.into_iter().filter(|item| !own.iter().any(|own| called(own) == called(item))).collect();
        if !new.is_empty() {
            additions.push(Addition::Items(path.iter().map(|name| (*name).to_owned()).collect(), new));
        }
    }
    for (name, value) in sections {
        match (name.as_str(), policy.get(name)) {
            ("jwt" | "roles" | "rateLimits", _) => {}
            (_, None) => additions.push(Addition::Section(name.clone(), value.clone())),
            ("apiKeys", Some(own)) => tell_of_places(own, value, told),
            _ => {}
        }
    }
    additions
}

/// Where the document's keys stand and the policy's do not.
fn tell_of_places(own: &Json, wanted: &Json, told: &mut Told) {
    let default = serde_json::json!({"headers": [{"name": "x-api-key"}]});
    let own = own.get("extractFrom").unwrap_or(&default);
    let lists = wanted.get("extractFrom").and_then(Json::as_object).into_iter().flatten();
    for (kind, places) in lists {
        let has =
            |place: &Json| own.get(kind).and_then(Json::as_array).is_some_and(|own| own.contains(place));
        for place in places.as_array().into_iter().flatten().filter(|place| !has(place)) {
            let message = format!(
                "keys stand in {place}, too: add it to apiKeys.extractFrom.{kind}, which is left as it is"
            );
            told.left(&(0..0), "apiKeys", message);
        }
    }
}

impl Addition {
    pub(super) fn make(&self, policy: &mut Json) -> Option<()> {
        let members = policy.as_object_mut()?;
        match self {
            Self::Section(name, value) => _ = members.insert(name.clone(), value.clone()),
            Self::Items(path, items) => {
                let mut node = policy;
                for name in path {
                    let members = node.as_object_mut()?;
                    node = members.entry(name.clone()).or_insert_with(|| match path.last() == Some(name) {
                        true => Json::Array(Vec::new()),
                        false => Json::Object(Map::new()),
                    });
                }
                node.as_array_mut()?.extend(items.iter().cloned());
            }
        }
        Some(())
    }

    pub(super) fn edit(&self, policy: &Found, text: &str) -> Option<Edit> {
        let (root, dialect) = (&policy.node, policy.dialect);
        let writing = Writing { text, dialect, is_json: false };
        match self {
            Self::Section(name, value) => writing.set(root, name, value),
            Self::Items(path, items) => {
                let mut node = root;
                for (depth, name) in path.iter().enumerate() {
                    match node.get(dialect, name) {
                        Some(inner) => node = inner,
                        None => {
                            let rest: Vec<&str> = path.iter().skip(depth).map(String::as_str).collect();
                            return writing.add_list(node, &rest, items);
                        }
                    }
                }
                writing.append(node, items)
            }
        }
    }
}
