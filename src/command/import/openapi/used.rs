//! What of security schemes a policy needs, once it is known which ones its rules take.

use std::ops::Range;

use serde_json::{Value as Json, json};

use super::schemes::{KeyPlace, Meaning, Provider, Scheme, Schemes};
use crate::command::import::draft::lists_of_places;

impl Schemes {
    /// The issuer by which tokens are told apart; `None` where there are many.
    pub(super) fn issuer(&self, provider: &str) -> Option<String> {
        let provider = self.providers.iter().find(|one| one.name == provider)?;
        (!provider.issuer.contains('{')).then(|| provider.issuer.clone())
    }

    fn is_used(&self, name: &str) -> bool {
        self.schemes.iter().any(|scheme| scheme.is_used && scheme.name == name)
    }

    /// Those whose tokens some rule takes.
    pub(super) fn providers(&self) -> impl Iterator<Item = (&Provider, Range<usize>)> {
        self.providers
            .iter()
            .filter(|provider| provider.schemes.iter().any(|scheme| self.is_used(scheme)))
            .map(|provider| {
                let own = |scheme: &&Scheme| provider.schemes.first() == Some(&scheme.name);
                (provider, self.schemes.iter().find(own).map_or(0..0, |scheme| scheme.at.clone()))
            })
    }

    /// Where the keys of used schemes stand.
    pub(super) fn key_places(&self) -> Vec<&KeyPlace> {
        let used = self.schemes.iter().filter(|scheme| scheme.is_used);
        used.filter_map(
            |scheme| if let Meaning::ApiKey(place) = &scheme.meaning { Some(place) } else { None },
        )
        .collect()
    }

    /// The role that keys of each used scheme have, where there are several.
    pub(super) fn key_roles(&self) -> Vec<String> {
        let is_key = |scheme: &&Scheme| scheme.is_used && matches!(scheme.meaning, Meaning::ApiKey(_));
        let keys = self.schemes.iter().filter(|_| self.has_several_keys).filter(is_key);
        keys.map(|scheme| scheme.name.clone()).collect()
    }

    pub(super) fn first_key(&self) -> Range<usize> {
        let mut used = self.schemes.iter().filter(|scheme| scheme.is_used);
        used.find(|scheme| matches!(scheme.meaning, Meaning::ApiKey(_)))
            .map_or(0..0, |scheme| scheme.at.clone())
    }

    pub(super) fn has_certificates(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.is_used && scheme.meaning == Meaning::Certificate)
    }
}

/// `apiKeys.extractFrom` of these places.
pub(super) fn extract_from(places: &[&KeyPlace]) -> Json {
    let (mut headers, mut cookies, mut params) = (Vec::new(), Vec::new(), Vec::new());
    for place in places {
        let (list, item) = match place {
            KeyPlace::Header(name, None) => (&mut headers, json!({"name": name})),
            KeyPlace::Header(name, Some(prefix)) => {
                (&mut headers, json!({"name": name, "valuePrefix": prefix}))
            }
            KeyPlace::Query(name) => (&mut params, json!(name)),
            KeyPlace::Cookie(name) => (&mut cookies, json!(name)),
        };
        if !list.contains(&item) {
            list.push(item);
        }
    }
    lists_of_places(headers, cookies, params)
}
