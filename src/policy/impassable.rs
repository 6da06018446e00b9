//! Rules that nobody can ever pass, and parts of rules that let nobody pass, for want of a claim, a key or a role.
//!
//! Only what the policy decides counts. A token may say whatever its issuer likes, and a key that is disabled or has
//! expired may be good again tomorrow.

use std::rc::Rc;

use super::{Access, Action, Rule};
use crate::{
    api_key::{ApiKeySpec, KeyTable},
    config::{ActionSpec, Document, MethodSpec},
    fault::Fault,
    identity::{Party, PrincipalKind},
    rbac::{AlternativeSpec, Holders, Lack, RequiredNames, Requirement, Vocabulary},
};

/// Most holders of keys and certificates that are looked at, over all requirements: a moment's work. Beyond it nothing
/// is said of what they can have.
const MOST_TRIES: usize = 200_000;

/// Faults and warnings beyond so many say nothing new.
const ENOUGH: usize = 10_000;

/// What came of looking.
#[derive(Default)]
pub(super) struct Found {
    /// Of rules that no request can ever pass.
    pub(super) faults: Vec<Fault>,
    /// Of parts of the others that let nobody pass.
    pub(super) warnings: Vec<Fault>,
}

/// `rules` are those of the `document`, compiled.
#[cold]
#[inline(never)]
pub(super) fn judge(document: &Document, rules: &[&Rule], vocabulary: &Vocabulary) -> Found {
    let mut ways = Ways::new(document, vocabulary);
    let mut found = Found::default();
    for (i, (spec, rule)) in document.rules.iter().zip(rules).enumerate() {
        if found.faults.len().saturating_add(found.warnings.len()) >= ENOUGH {
            break;
        }
        let ActionSpec::Allow { authenticate, actor, authorize: Some(asked), .. } = &spec.action else {
            continue;
        };
        let Action::Allow(Access { requirement: Some(requirement), .. }) = &rule.action else { continue };
        let lacks: Vec<_> = authenticate
            .iter()
            .map(|method| (method, ways.lacks(Party::Principal, method, requirement)))
            .collect();
        let lack_of = |lacks: &Lacks, k: usize| lacks.get(k).copied().flatten();
        let alternatives: Vec<_> = asked.any_of.iter().enumerate().collect();
        let acting = actor.as_ref().map(|method| (method, ways.lacks(Party::Actor, method, requirement)));
        let actors_lack = |k: usize| {
            let (method, lacks) = acting.as_ref()?;
            Some((*method, lack_of(lacks, k)?))
        };
        let is_dead =
            |k: usize| lacks.iter().all(|(_, lacks)| lack_of(lacks, k).is_some()) || actors_lack(k).is_some();
        let is_passable = alternatives.iter().any(|(k, _)| !is_dead(*k));
        for (k, alternative) in &alternatives {
            if !is_dead(*k) {
                continue;
            }
            let why = lacks.iter().filter_map(|(method, lacks)| {
                lack_of(lacks, *k).map(|lack| ways.why(method, lack, alternative))
            });
            let of_actor = alternative.actor.as_ref().zip(actors_lack(*k));
            let of_actor = of_actor
                .map(|(asked, (method, lack))| ["of actors, ", &ways.why(method, lack, asked)].concat());
            let mut why = why.chain(of_actor);
            let listed = if asked.listed { format!(".anyOf[{k}]") } else { String::new() };
            let path = format!("rules[{i}].authorize{listed}");
            let list = if is_passable { &mut found.warnings } else { &mut found.faults };
            list.push(Fault::new(path, format!("nobody can ever have this: {}", joined(&mut why))));
        }
        for (m, (method, lacks)) in lacks.iter().enumerate().filter(|_| is_passable) {
            if lacks.iter().any(Option::is_none) {
                continue;
            }
            let mut why = alternatives.iter().filter_map(|(k, alternative)| {
                lack_of(lacks, *k).map(|lack| ways.why(method, lack, alternative))
            });
            found.warnings.push(Fault::new(
                format!("rules[{i}].authenticate.anyOf[{m}]"),
                format!("lets nobody pass: {}", joined(&mut why)),
            ));
        }
    }
    found
}

/// Each once, the first few of them.
fn joined(reasons: &mut dyn Iterator<Item = String>) -> String {
    const SHOWN: usize = 6;
    let mut distinct: Vec<String> = Vec::new();
    for reason in reasons {
        if distinct.contains(&reason) {
            continue;
        }
        if distinct.len() >= SHOWN {
            distinct.push("and others".to_owned());
            break;
        }
        distinct.push(reason);
    }
    distinct.join("; ")
}

/// What decides what the holders of a credential can have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Tokens {
        with_roles: bool,
    },
    ApiKeys,
    Certificates,
    /// By the place of the source.
    Webhooks(usize),
    /// By the place of the signer.
    Signatures(usize),
}

/// Of each alternative; `None`: somebody may have it all.
type Lacks = Rc<[Option<Lack>]>;

struct Ways<'a> {
    document: &'a Document,
    tokens: [Holders; 2],
    api_keys: Holders,
    certificates: Holders,
    /// Of each source.
    webhooks: Vec<Holders>,
    /// Of each signer.
    signatures: Vec<Holders>,
    /// What was found last, by the address of the requirement, of which rules share one.
    known: Vec<(Way, Party, *const Requirement, Lacks)>,
    tries: usize,
}

impl<'a> Ways<'a> {
    fn new(document: &'a Document, vocabulary: &Vocabulary) -> Self {
        let tokens = [false, true]
            .map(|with_roles| Holders::new(PrincipalKind::Jwt, [vocabulary.most_of_a_token(with_roles)]));
        let api_keys = document.api_keys.as_ref();
        let levels = api_keys.map(|spec| spec.levels.as_slice()).unwrap_or_default();
        let held = api_keys.into_iter().flat_map(|spec| held_by(&spec.keys, vocabulary.asks_for_subject()));
        let held = held.map(|key| vocabulary.grants(&key.principal(levels)));
        let by_levels = || levels.iter().flat_map(|(_, names)| names).map(String::as_str);
        let elsewhere = document.key_store.iter().map(|_| vocabulary.most_of_a_key(by_levels()));
        let principals = document.client_certificates.as_ref().and_then(|spec| spec.principals.as_ref());
        let certificates: Vec<_> = match principals {
            None => vec![vocabulary.granted(&[], &[])],
            Some(principals) => {
                principals.iter().map(|spec| vocabulary.granted(&spec.scopes, &spec.roles)).collect()
            }
        };
        Self {
            document,
            tokens,
            api_keys: Holders::new(PrincipalKind::ApiKey, held.chain(elsewhere)),
            certificates: Holders::new(PrincipalKind::ClientCertificate, certificates),
            webhooks: document
                .hmac_sources
                .iter()
                .map(|source| {
                    Holders::new(PrincipalKind::Hmac, [vocabulary.granted(&source.scopes, &source.roles)])
                })
                .collect(),
            signatures: document
                .signers
                .iter()
                .map(|signer| {
                    let held = vocabulary.granted(&signer.scopes, &signer.roles);
                    Holders::new(PrincipalKind::MessageSignature, [held])
                })
                .collect(),
            known: Vec::new(),
            tries: MOST_TRIES,
        }
    }

    fn way(&self, method: &MethodSpec) -> Way {
        match method {
            MethodSpec::ApiKey => Way::ApiKeys,
            MethodSpec::ClientCertificate => Way::Certificates,
            MethodSpec::Hmac(name) => {
                let place = self.document.hmac_sources.iter().position(|source| source.name == *name);
                Way::Webhooks(place.unwrap_or_default())
            }
            MethodSpec::MessageSignature(name) => {
                let place = self.document.signers.iter().position(|signer| signer.name == *name);
                Way::Signatures(place.unwrap_or_default())
            }
            MethodSpec::Jwt(name) => {
                let provider = self.document.providers.iter().find(|spec| spec.jwt.name == *name);
                Way::Tokens { with_roles: provider.is_none_or(|spec| !spec.jwt.role_claims.is_empty()) }
            }
        }
    }

    fn lacks(&mut self, party: Party, method: &MethodSpec, requirement: &Rc<Requirement>) -> Lacks {
        /// Rules that share a requirement most often stand together.
        const LOOKED_THROUGH: usize = 64;
        let (way, address) = (self.way(method), Rc::as_ptr(requirement));
        let mut last = self.known.iter().rev().take(LOOKED_THROUGH);
        let is_it = |(own, of, known, _): &&(Way, Party, _, _)| (*own, *of, *known) == (way, party, address);
        if let Some((.., lacks)) = last.find(is_it) {
            return Rc::clone(lacks);
        }
        let [without_roles, with_roles] = &self.tokens;
        let holders = match way {
            Way::Tokens { with_roles: false } => Some(without_roles),
            Way::Tokens { with_roles: true } => Some(with_roles),
            Way::ApiKeys => Some(&self.api_keys),
            Way::Certificates => Some(&self.certificates),
            Way::Webhooks(place) => self.webhooks.get(place),
            Way::Signatures(place) => self.signatures.get(place),
        };
        let lacks: Lacks = holders
            .map(|holders| requirement.out_of_reach(party, holders, &mut self.tries))
            .unwrap_or_default()
            .into();
        self.known.push((way, party, address, Rc::clone(&lacks)));
        lacks
    }

    /// Why nobody who comes by `method` can have what `asked` says.
    fn why(&self, method: &MethodSpec, lack: Lack, asked: &AlternativeSpec) -> String {
        let names = |what, names: &Option<RequiredNames>| {
            names.as_ref().map(|names| named(what, names)).unwrap_or_default()
        };
        let lacking = match lack {
            Lack::Scopes => names("scope", &asked.conditions.scopes),
            Lack::Permissions => names("permission", &asked.conditions.permissions),
            Lack::Roles => names("role", &asked.conditions.roles),
            Lack::Claims => "these claims".to_owned(),
            Lack::Owner => "a claim but sub".to_owned(),
            Lack::StepUp => "word of how a user logged in".to_owned(),
            Lack::AllAtOnce => "all of it at once".to_owned(),
        };
        match (method, self.way(method)) {
            (MethodSpec::Jwt(provider), Way::Tokens { with_roles: false }) => {
                let through = if lack == Lack::Permissions { ", which give permissions" } else { "" };
                format!("tokens of \"{provider}\" carry no roles{through}: it has no claims.roles")
            }
            // Scopes and claims are their issuer's to give.
            (MethodSpec::Jwt(_), _) => format!("no role gives {lacking}"),
            (MethodSpec::ApiKey, _) => format!("no API key has {lacking}"),
            (MethodSpec::Hmac(name), _) => format!("the source \"{name}\" has not {lacking}"),
            (MethodSpec::MessageSignature(name), _) => format!("the signer \"{name}\" has not {lacking}"),
            (MethodSpec::ClientCertificate, _) => {
                let certificates = self.document.client_certificates.as_ref();
                let unnamed = certificates.is_some_and(|spec| spec.principals.is_none());
                let hint = if unnamed { ": clientCertificates has no principals" } else { "" };
                format!("no certificate has {lacking}{hint}")
            }
        }
    }
}

/// Keys that between them hold whatever some key holds.
fn held_by(keys: &KeyTable, by_subject: bool) -> Box<dyn Iterator<Item = ApiKeySpec> + '_> {
    if by_subject { Box::new(keys.iter()) } else { Box::new(keys.of_each_kind()) }
}

/// `the scopes "a", "b"`, the first few of them.
fn named(what: &str, names: &RequiredNames) -> String {
    const SHOWN: usize = 4;
    let (kind, names) = match names {
        RequiredNames::All(names) => ("the", names),
        RequiredNames::Any(names) if names.len() == 1 => ("the", names),
        RequiredNames::Any(names) => ("any of the", names),
    };
    let plural = if names.len() == 1 { "" } else { "s" };
    let mut shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    if names.len() > SHOWN {
        shown.push("...".to_owned());
    }
    format!("{kind} {what}{plural} {}", shown.join(", "))
}
