//! Keys of our own in place of those that a policy takes, and credentials that are made with them: tokens by their
//! claims, API keys by their ids.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value, json};

use crate::{
    crypto::{Algorithm, SigningKey, new_private_jwk, sha256},
    jose::{self, OwnKey},
    text::{base64url, hex, percent},
    time::Timestamp,
};

/// How long tokens are good that do not say it, in seconds.
const LIFETIME: u64 = 300;

/// What sessions are called where the policy does not say.
const SESSIONS: &str = "sessions";

/// Whose keys are taken in place of a provider's own.
#[derive(Clone, Debug)]
pub(in crate::command) enum Keys {
    /// Those of this JWK set.
    Given(Value),
    /// Made ones, with which tokens are signed here.
    Made,
}

/// A token, by what it says. Members replace what a token of its provider says anyhow; null takes one out.
#[derive(Clone, Debug, Default)]
pub(in crate::command) struct Described {
    pub(in crate::command) provider: String,
    pub(in crate::command) claims: Map<String, Value>,
    /// `typ`; `None`: the first that the provider takes.
    pub(in crate::command) typ: Option<String>,
    /// Signed with a key that is not the provider's.
    pub(in crate::command) forged: bool,
}

/// What makes credentials.
#[derive(Default)]
pub(in crate::command) struct Minted {
    issuers: BTreeMap<String, Issuer>,
    api_keys: BTreeMap<String, String>,
    /// Tokens that were made before, by what they say.
    made: RefCell<BTreeMap<String, String>>,
    /// Tokens that their issuers are asked about, with what they answer.
    issued: RefCell<BTreeMap<String, Value>>,
}

struct Issuer {
    issuer: String,
    audiences: Vec<String>,
    typ: String,
    kid: String,
    /// `None`: tokens are texts that the issuer knows.
    key: Option<SigningKey>,
    /// The issuer is asked about tokens.
    is_asked: bool,
    /// Longest lifetime in seconds, where the policy bounds it.
    lifetime: u64,
}

impl Minted {
    /// Puts keys of ours into `document`: those that `keys` names for a provider, and made ones for the API keys with the ids
    /// of `api_keys`.
    ///
    /// # Errors
    /// `document` has no such provider or key, or no key could be made.
    pub(in crate::command) fn put_into(
        document: &mut Value,
        keys: &BTreeMap<String, Keys>,
        api_keys: &[String],
    ) -> Result<Self, String> {
        let mut minted = Self::default();
        let mut unknown: Vec<_> = keys.keys().map(String::as_str).collect();
        let providers = document.pointer_mut("/jwt/providers").and_then(Value::as_array_mut);
        for provider in providers.into_iter().flatten().filter_map(Value::as_object_mut) {
            let Some(name) = provider.get("name").and_then(Value::as_str).map(str::to_owned) else {
                continue;
            };
            let Some(given) = keys.get(&name) else { continue };
            unknown.retain(|unknown| *unknown != name);
            match given {
                Keys::Given(set) => put_keys(provider, set.clone()),
                Keys::Made => {
                    let issuer = Issuer::put_into(provider).ok_or("no key could be made")?;
                    minted.issuers.insert(name, issuer);
                }
            }
        }
        if let Some(issuer) = Issuer::of_sessions(document, keys)? {
            unknown.retain(|unknown| *unknown != issuer.0);
            minted.issuers.insert(issuer.0, issuer.1);
        }
        if let Some(name) = unknown.first() {
            return Err(format!("the policy has no token provider {name:?}"));
        }
        let prefix =
            document.pointer("/apiKeys/prefix").and_then(Value::as_str).unwrap_or_default().to_owned();
        let listed = document.pointer_mut("/apiKeys/keys").and_then(Value::as_array_mut);
        let mut listed: Vec<_> = listed.into_iter().flatten().filter_map(Value::as_object_mut).collect();
        for id in api_keys {
            let is_called =
                |key: &&mut &mut Map<String, Value>| key.get("id").and_then(Value::as_str) == Some(id);
            let Some(key) = listed.iter_mut().find(is_called) else {
                return Err(format!("the policy has no API key with the id {id:?}"));
            };
            let text = format!("{prefix}made-for-{id}");
            key.insert("hash".to_owned(), format!("sha256:{}", hex::encode(&sha256(text.as_bytes()))).into());
            minted.api_keys.insert(id.clone(), text);
        }
        Ok(minted)
    }

    /// The names of all providers of a policy whose tokens can be made.
    pub(in crate::command) fn providers_of(document: &Value) -> Vec<String> {
        let providers = document.pointer("/jwt/providers").and_then(Value::as_array);
        let names = providers.into_iter().flatten().filter_map(|provider| provider.get("name")?.as_str());
        let sessions = document
            .get("sessions")
            .map(|sessions| sessions.get("name").and_then(Value::as_str).unwrap_or(SESSIONS));
        names.chain(sessions).map(str::to_owned).collect()
    }

    /// The ids of all API keys of a policy.
    pub(in crate::command) fn api_keys_of(document: &Value) -> Vec<String> {
        let keys = document.pointer("/apiKeys/keys").and_then(Value::as_array);
        let ids = keys.into_iter().flatten().filter_map(|key| key.get("id")?.as_str());
        ids.map(str::to_owned).collect()
    }

    /// The key that was made for this id.
    pub(in crate::command) fn api_key(&self, id: &str) -> Option<&str> {
        self.api_keys.get(id).map(String::as_str)
    }

    /// A token, good from now on but for what its description says otherwise.
    ///
    /// # Errors
    /// No keys were made for its provider.
    pub(in crate::command) fn token(&self, described: &Described, now: Timestamp) -> Result<String, String> {
        let Described { provider, claims, typ, forged } = described;
        let unknown = || format!("tokens of {provider:?} cannot be made: the policy has no such provider");
        let issuer = self.issuers.get(provider).ok_or_else(unknown)?;
        let all = issuer.claims(claims, now);
        let name = format!("{provider} {typ:?} {forged} {}", Value::Object(all.clone()));
        if let Some(text) = self.made.borrow().get(&name) {
            return Ok(text.clone());
        }
        let text = match &issuer.key {
            None => {
                let said = base64url::encode(&sha256(Value::Object(all.clone()).to_string().as_bytes()));
                format!("opaque-{said}")
            }
            Some(key) => {
                let other = if *forged { Some(new_key().ok_or("no key could be made")?) } else { None };
                let typ = typ.as_deref().unwrap_or(&issuer.typ);
                let signed = jose::sign(
                    other.as_ref().map_or(key, |(key, _)| key),
                    typ,
                    Some(&issuer.kid),
                    all.clone(),
                );
                signed.ok_or("the token could not be signed")?
            }
        };
        self.made.borrow_mut().insert(name, text.clone());
        if issuer.is_asked && !forged {
            let mut answer = all;
            answer.entry("active").or_insert(true.into());
            self.issued.borrow_mut().insert(text.clone(), Value::Object(answer));
        }
        Ok(text)
    }

    /// What an issuer answers about the token that a form names (RFC 7662 section 2).
    pub(super) fn introspected(&self, form: &[u8]) -> Value {
        let form = String::from_utf8_lossy(form);
        let token = form.split('&').find_map(|field| field.strip_prefix("token="));
        let token = token.and_then(|token| percent::decode(token, true));
        let issued = self.issued.borrow();
        token.and_then(|token| issued.get(&*token).cloned()).unwrap_or_else(|| json!({"active": false}))
    }
}

/// What our keys are called.
const KID: &str = "made";

fn new_key() -> Option<(SigningKey, Value)> {
    let mut jwk = new_private_jwk(Algorithm::Es256)?;
    let key = SigningKey::from_jwk(Algorithm::Es256, &jwk).ok()?;
    jwk = key.public_jwk()?;
    jwk.as_object_mut()?.insert("kid".to_owned(), KID.into());
    Some((key, jwk))
}

fn put_keys(provider: &mut Map<String, Value>, set: Value) {
    for name in ["discovery", "symmetricKeys", "jwks"] {
        provider.shift_remove(name);
    }
    provider.insert("jwks".to_owned(), json!({"inline": set}));
}

impl Issuer {
    /// Its keys take the place of the provider's own; `None`: none could be made.
    fn put_into(provider: &mut Map<String, Value>) -> Option<Self> {
        let has_keys = ["jwks", "discovery", "symmetricKeys"].iter().any(|name| provider.contains_key(*name));
        let key = match has_keys {
            false => None,
            true => {
                let (key, jwk) = new_key()?;
                put_keys(provider, json!({"keys": [jwk]}));
                provider.insert("algorithms".to_owned(), json!(["ES256"]));
                Some(key)
            }
        };
        let texts = |name: &str| -> Vec<String> {
            let list = provider.get(name).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let issuer = provider.get("issuer").and_then(Value::as_str).unwrap_or_default();
        Some(Self {
            issuer: with_tenant(issuer, texts("tenants").first().map_or("tenant", String::as_str)),
            audiences: texts("audiences"),
            typ: texts("types").into_iter().next().unwrap_or_else(|| "JWT".to_owned()),
            kid: KID.to_owned(),
            key,
            is_asked: provider.contains_key("introspection"),
            lifetime: LIFETIME,
        })
    }

    /// The gateway itself, whose sessions are tokens like any other; `None`: they are not wanted.
    fn of_sessions(
        document: &mut Value,
        keys: &BTreeMap<String, Keys>,
    ) -> Result<Option<(String, Self)>, String> {
        let Some(sessions) = document.get("sessions") else { return Ok(None) };
        let name = sessions.get("name").and_then(Value::as_str).unwrap_or(SESSIONS).to_owned();
        if !matches!(keys.get(&name), Some(Keys::Made)) {
            return Ok(None);
        }
        let jwk = new_private_jwk(Algorithm::Es256).ok_or("no key could be made")?;
        let own = OwnKey::from_jwk(&jwk).map_err(|fault| fault.to_string())?;
        let key = SigningKey::from_jwk(Algorithm::Es256, &jwk).map_err(|fault| fault.to_string())?;
        let audiences = sessions.get("audiences").and_then(Value::as_array).into_iter().flatten();
        let issuer = Self {
            issuer: sessions.get("issuer").and_then(Value::as_str).unwrap_or_default().to_owned(),
            audiences: audiences.filter_map(|text| text.as_str().map(str::to_owned)).collect(),
            typ: "at+jwt".to_owned(),
            kid: own.kid().to_owned(),
            key: Some(key),
            is_asked: false,
            lifetime: LIFETIME,
        };
        if let Some(own) = document.get_mut("signingKeys").and_then(Value::as_object_mut) {
            own.insert("keys".to_owned(), json!([jwk]));
        }
        Ok(Some((name, issuer)))
    }

    /// What a token of it says: who issued it for whom and when, and `own`.
    fn claims(&self, own: &Map<String, Value>, now: Timestamp) -> Map<String, Value> {
        let now = now.as_secs();
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), self.issuer.as_str().into());
        claims.insert("sub".to_owned(), "somebody".into());
        match self.audiences.as_slice() {
            [] => {}
            [one] => _ = claims.insert("aud".to_owned(), one.as_str().into()),
            several => _ = claims.insert("aud".to_owned(), json!(several)),
        }
        claims.insert("iat".to_owned(), now.into());
        claims.insert("exp".to_owned(), now.saturating_add(self.lifetime).into());
        for (name, value) in own {
            match value {
                Value::Null => _ = claims.shift_remove(name),
                value => _ = claims.insert(name.clone(), value.clone()),
            }
        }
        claims
    }
}

/// An issuer with its variable replaced, if it has one.
fn with_tenant(issuer: &str, tenant: &str) -> String {
    match (issuer.split_once('{'), issuer.split_once('}')) {
        (Some((before, _)), Some((_, behind))) => [before, tenant, behind].concat(),
        _ => issuer.to_owned(),
    }
}
