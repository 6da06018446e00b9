//! Whole requests: from what routes them and whose they are, to what the engine decides.

use serde_json::{Map, Value, json};

use super::{
    access::{Atom, Caller, Fact, Facts},
    given::written,
    policy::Policy,
    region::Route,
};
use crate::{
    command::offline::{Asked, Described, Outcome, places},
    config::MethodSpec,
    identity::{ClaimPath, Party},
    jwt::RoleForm,
    request::client_certificate::PeerCertificate,
    route::Part,
    text::percent,
};

/// A request, without what stands for credentials.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    pub(super) route: Route,
    pub(super) caller: Caller,
    pub(super) facts: Facts,
    /// Which API key or certificate it is, where it is one.
    pub(super) holder: Option<Holder>,
}

/// One of those that a policy lists.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// By its id.
    Key(String),
    /// By its names.
    Certificate { uri: Option<String>, dns: Option<String>, subject: Option<String> },
}

impl Witness {
    /// As it is sent to a gateway with this policy.
    ///
    /// # Errors
    /// No such credential can be made.
    pub(super) fn asked(&self, policy: &Policy) -> Result<Asked, String> {
        let Route { method, host, given, .. } = &self.route;
        let mut asked = Asked::new(method, &format!("https://{host}{}", self.target()))?;
        asked.tls = self.facts.get(&Atom::Tls) != Some(&Fact::Flag(false));
        if let Some(Fact::Address(address)) = self.facts.get(&Atom::Address) {
            asked.address = Some(*address);
        }
        for named in given.iter().filter(|(part, ..)| *part == Part::Header) {
            for (name, value) in written(named) {
                asked = asked.with_header(&name, &value);
            }
        }
        for party in [Party::Actor, Party::Principal] {
            asked = self.with(asked, policy, party)?;
        }
        Ok(asked)
    }

    /// The path with the query.
    pub(super) fn target(&self) -> String {
        let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte);
        let mut target = String::new();
        percent::push_encoded(&mut target, &self.route.path, &stays);
        let mut mark = '?';
        for named in self.route.given.iter().filter(|(part, ..)| *part == Part::Query) {
            for (name, value) in written(named) {
                target.push(mark);
                mark = '&';
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                percent::push_encoded(&mut target, &name, &plain);
                target.push('=');
                percent::push_encoded(&mut target, &value, &plain);
            }
        }
        target
    }

    fn with(&self, mut asked: Asked, policy: &Policy, party: Party) -> Result<Asked, String> {
        let document = &policy.prepared.document;
        match self.caller.way(party) {
            None => Ok(asked),
            Some(MethodSpec::Jwt(provider)) => {
                let claims = self.claims(policy, provider, party)?;
                let described = Described { provider: provider.clone(), claims, ..Described::default() };
                let text = policy.prepared.minted().token(&described, policy.now());
                // A policy that has no such provider gets what it cannot read.
                let text = text.unwrap_or_else(|_| "e30.e30.AAAA".to_owned());
                Ok(places::put(asked, places::of_token(document, provider, &text)))
            }
            Some(MethodSpec::ApiKey) => {
                let Some(Holder::Key(id)) = &self.holder else {
                    return Err("there is no API key".to_owned());
                };
                let text = policy.prepared.minted().api_key(id).unwrap_or("no-such-key");
                Ok(places::put(asked, places::of_key(document, text)))
            }
            Some(MethodSpec::ClientCertificate) => {
                let Some(Holder::Certificate { uri, dns, subject }) = self.holder.clone() else {
                    return Err("there is no client certificate".to_owned());
                };
                asked.certificate = Some(PeerCertificate { uri, dns, subject, ..PeerCertificate::default() });
                Ok(asked)
            }
            Some(MethodSpec::Hmac(name) | MethodSpec::MessageSignature(name)) => {
                Err(format!("what {name} signs is not made here"))
            }
        }
    }

    /// What a token says of `party`.
    fn claims(&self, policy: &Policy, provider: &str, party: Party) -> Result<Map<String, Value>, String> {
        let mut claims = Map::new();
        let spec = policy.document.providers.iter().find(|spec| spec.jwt.name == provider);
        let Some(spec) = spec.map(|spec| &spec.jwt) else { return Ok(claims) };
        for (atom, fact) in &self.facts {
            match (atom, fact) {
                (Atom::Claim(own, path), Fact::Claim(Some(value))) if *own == party => {
                    put(&mut claims, path, value.clone())?;
                }
                (Atom::Login, Fact::Age(Some(age))) if party == Party::Principal => {
                    claims.insert("auth_time".to_owned(), policy.now().as_secs().saturating_sub(*age).into());
                }
                _ => {}
            }
        }
        let (scopes, roles) = (self.held(party, true), self.held(party, false));
        let dotted = |path: &ClaimPath| path.0.clone();
        if !scopes.is_empty() {
            let path = spec.scope_claims.first().map_or_else(|| vec!["scope".to_owned()], dotted);
            put(&mut claims, &path, scopes.join(" ").into())?;
        }
        if let (false, Some(claim)) = (roles.is_empty(), spec.role_claims.first()) {
            let value = match &claim.form {
                RoleForm::Names => json!(roles),
                RoleForm::Separated(separator) => roles.join(separator).into(),
                RoleForm::Keys => Value::Object(roles.into_iter().map(|role| (role, json!({}))).collect()),
            };
            put(&mut claims, &dotted(&claim.claim), value)?;
        }
        Ok(claims)
    }

    /// The names of scopes, or else of roles, that `party` holds.
    fn held(&self, party: Party, scopes: bool) -> Vec<String> {
        let mut names: Vec<String> = self
            .facts
            .iter()
            .filter(|(_, fact)| **fact == Fact::Flag(true))
            .filter_map(|(atom, _)| match atom {
                Atom::Scope(own, name) if scopes && *own == party => Some(name.clone()),
                Atom::Role(own, name) if !scopes && *own == party => Some(name.clone()),
                _ => None,
            })
            .collect();
        names.sort();
        names
    }

    /// Who sends it, from where and how, as a value.
    pub(super) fn json(&self) -> Value {
        let Route { method, host, given, .. } = &self.route;
        let tls = self.facts.get(&Atom::Tls) != Some(&Fact::Flag(false));
        let scheme = if tls { "https" } else { "http" };
        let headers = given.iter().filter(|(part, ..)| *part == Part::Header).flat_map(written);
        let mut members = Map::new();
        members.insert("method".to_owned(), method.as_str().into());
        members.insert("url".to_owned(), format!("{scheme}://{host}{}", self.target()).into());
        let headers: Vec<Value> = headers.map(|(name, value)| json!([name, short(value)])).collect();
        if !headers.is_empty() {
            members.insert("headers".to_owned(), headers.into());
        }
        if let Some(Fact::Address(address)) = self.facts.get(&Atom::Address) {
            members.insert("from".to_owned(), address.to_string().into());
        }
        for (party, name) in [(Party::Actor, "actor"), (Party::Principal, "principal")] {
            if party == Party::Principal || self.caller.actor.is_some() {
                members.insert(name.to_owned(), self.party(party));
            }
        }
        Value::Object(members)
    }

    fn party(&self, party: Party) -> Value {
        match self.caller.way(party) {
            None => Value::Null,
            Some(MethodSpec::Jwt(provider)) => {
                let mut members = Map::new();
                members.insert("jwt".to_owned(), provider.as_str().into());
                for (name, held) in [("scopes", self.held(party, true)), ("roles", self.held(party, false))] {
                    if !held.is_empty() {
                        members.insert(name.to_owned(), json!(held));
                    }
                }
                let mut claims = Map::new();
                for (atom, fact) in &self.facts {
                    match (atom, fact) {
                        (Atom::Claim(own, path), Fact::Claim(Some(value))) if *own == party => {
                            _ = claims.insert(path.join("."), value.clone());
                        }
                        (Atom::Login, Fact::Age(Some(age))) if party == Party::Principal => {
                            _ = claims.insert("auth_time".to_owned(), format!("-{age}s").into());
                        }
                        _ => {}
                    }
                }
                claims.sort_keys();
                if !claims.is_empty() {
                    members.insert("claims".to_owned(), Value::Object(claims));
                }
                Value::Object(members)
            }
            Some(MethodSpec::ApiKey) => match &self.holder {
                Some(Holder::Key(id)) => json!({"apiKey": id}),
                _ => json!({"apiKey": null}),
            },
            Some(MethodSpec::ClientCertificate) => match &self.holder {
                Some(Holder::Certificate { uri, dns, subject }) => {
                    let names = [("uri", uri), ("dns", dns), ("subject", subject)];
                    let given = names
                        .into_iter()
                        .filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
                    json!({"clientCertificate": Value::Object(given.collect())})
                }
                _ => json!({"clientCertificate": null}),
            },
            Some(MethodSpec::Hmac(source)) => json!({"hmac": source}),
            Some(MethodSpec::MessageSignature(signer)) => json!({"messageSignature": signer}),
        }
    }
}

fn short(value: String) -> String {
    const LONGEST: usize = 200;
    match value.len() > LONGEST {
        true => format!("({} times {:?})", value.len(), value.chars().next().unwrap_or_default()),
        false => value,
    }
}

/// Sets a claim within others.
fn put(claims: &mut Map<String, Value>, path: &[String], value: Value) -> Result<(), String> {
    match path {
        [] => Ok(()),
        [name] if claims.contains_key(name) => Err(format!("{name} would be two things at once")),
        [name] => {
            claims.insert(name.clone(), value);
            Ok(())
        }
        [name, rest @ ..] => {
            let inner = claims.entry(name.clone()).or_insert_with(|| json!({}));
            match inner.as_object_mut() {
                Some(inner) => put(inner, rest, value),
                None => Err(format!("{name} would be two things at once")),
            }
        }
    }
}

/// What two policies make of the same request.
pub(super) struct Both {
    pub(super) old: Outcome,
    pub(super) new: Outcome,
}

/// Asks both engines.
///
/// # Errors
/// The request cannot be made.
pub(super) fn confirm(witness: &Witness, old: &Policy, new: &Policy) -> Result<Both, String> {
    Ok(Both { old: old.decide(&witness.asked(old)?), new: new.decide(&witness.asked(new)?) })
}
