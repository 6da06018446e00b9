//! Rules that nobody can ever pass, and parts of rules that let nobody pass, for want of a claim, a key or a role.
//!
//! Only what the policy decides counts. A token may say whatever its issuer likes, and a key that is disabled or has
//! expired may be good again tomorrow.

use std::rc::Rc;

use hashbrown::HashMap;

use super::{Access, Action, Rule};
use crate::{
    api_key::ApiKeys,
    config::{ActionSpec, Document, MethodSpec},
    engine::Caller,
    fault::Fault,
    identity::PrincipalKind,
    rbac::{AlternativeSpec, Holders, Lack, Names, Requirement, Vocabulary},
};

/// Most holders of keys and certificates that are looked at, over all requirements: a moment's work. Beyond it nothing
/// is said of what they can have.
const MOST_TRIES: usize = 200_000;

/// What came of looking.
#[derive(Default)]
pub(super) struct Found {
    /// Of rules that no request can ever pass.
    pub(super) faults: Vec<Fault>,
    /// Of parts of the others that let nobody pass.
    pub(super) warnings: Vec<Fault>,
}

/// `rules` are those of the `document`, compiled.
pub(super) fn judge(
    document: &Document,
    rules: &[Rule],
    vocabulary: &Vocabulary,
    api_keys: Option<&ApiKeys<Caller>>,
) -> Found {
    let mut ways = Ways::new(document, vocabulary, api_keys);
    let mut found = Found::default();
    for (i, (spec, rule)) in document.rules.iter().zip(rules).enumerate() {
        let ActionSpec::Allow { authenticate, authorize: Some(asked) } = &spec.action else { continue };
        let Action::Allow(Access { requirement: Some(requirement), .. }) = &rule.action else { continue };
        let lacks: Vec<_> =
            authenticate.iter().map(|method| (method, ways.lacks(method, requirement))).collect();
        let lack_of = |lacks: &Rc<[Option<Lack>]>, k: usize| lacks.get(k).copied().flatten();
        let alternatives: Vec<_> = asked.any_of.iter().enumerate().collect();
        let is_dead = |k: usize| lacks.iter().all(|(_, lacks)| lack_of(lacks, k).is_some());
        let is_passable = alternatives.iter().any(|(k, _)| !is_dead(*k));
        for (k, alternative) in &alternatives {
            if !is_dead(*k) {
                continue;
            }
            let why = lacks.iter().filter_map(|(method, lacks)| {
                lack_of(lacks, *k).map(|lack| ways.why(method, lack, alternative))
            });
            let listed = if asked.listed { format!(".anyOf[{k}]") } else { String::new() };
            let path = format!("rules[{i}].authorize{listed}");
            let list = if is_passable { &mut found.warnings } else { &mut found.faults };
            list.push(Fault::new(path, format!("nobody can ever have this: {}", joined(why))));
        }
        for (m, (method, lacks)) in lacks.iter().enumerate().filter(|_| is_passable) {
            if lacks.iter().any(Option::is_none) {
                continue;
            }
            let why = alternatives.iter().filter_map(|(k, alternative)| {
                lack_of(lacks, *k).map(|lack| ways.why(method, lack, alternative))
            });
            found.warnings.push(Fault::new(
                format!("rules[{i}].authenticate.anyOf[{m}]"),
                format!("lets nobody pass: {}", joined(why)),
            ));
        }
    }
    found
}

/// Each once.
fn joined(reasons: impl Iterator<Item = String>) -> String {
    let mut distinct: Vec<String> = Vec::new();
    for reason in reasons {
        if !distinct.contains(&reason) {
            distinct.push(reason);
        }
    }
    distinct.join("; ")
}

/// What decides what the holders of a credential can have.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Way {
    Tokens { with_roles: bool },
    ApiKeys,
    Certificates,
}

struct Ways<'a> {
    document: &'a Document,
    tokens: [Holders; 2],
    api_keys: Holders,
    certificates: Holders,
    /// Whether the tokens of each provider carry roles.
    with_roles: HashMap<&'a str, bool>,
    /// By the address of the requirement, of which rules share one.
    known: HashMap<(Way, *const Requirement), Rc<[Option<Lack>]>>,
    tries: usize,
}

impl<'a> Ways<'a> {
    fn new(document: &'a Document, vocabulary: &Vocabulary, api_keys: Option<&ApiKeys<Caller>>) -> Self {
        let tokens = [false, true]
            .map(|with_roles| Holders::new(PrincipalKind::Jwt, [vocabulary.most_of_a_token(with_roles)]));
        let held = api_keys.into_iter().flat_map(ApiKeys::callers).map(|caller| caller.grants.clone());
        let principals = document.client_certificates.as_ref().and_then(|spec| spec.principals.as_ref());
        let certificates: Vec<_> = match principals {
            None => vec![vocabulary.granted(&[], &[])],
            Some(principals) => {
                principals.iter().map(|spec| vocabulary.granted(&spec.scopes, &spec.roles)).collect()
            }
        };
        let with_roles = document.providers.iter();
        Self {
            document,
            tokens,
            api_keys: Holders::new(PrincipalKind::ApiKey, held),
            certificates: Holders::new(PrincipalKind::ClientCertificate, certificates),
            with_roles: with_roles.map(|spec| (spec.name.as_str(), !spec.role_claims.is_empty())).collect(),
            known: HashMap::new(),
            tries: MOST_TRIES,
        }
    }

    fn way(&self, method: &MethodSpec) -> Way {
        match method {
            MethodSpec::ApiKey => Way::ApiKeys,
            MethodSpec::ClientCertificate => Way::Certificates,
            MethodSpec::Jwt(provider) => {
                Way::Tokens { with_roles: self.with_roles.get(provider.as_str()).copied().unwrap_or(true) }
            }
        }
    }

    fn lacks(&mut self, method: &MethodSpec, requirement: &Rc<Requirement>) -> Rc<[Option<Lack>]> {
        let way = self.way(method);
        let [without_roles, with_roles] = &self.tokens;
        let holders = match way {
            Way::Tokens { with_roles: false } => without_roles,
            Way::Tokens { with_roles: true } => with_roles,
            Way::ApiKeys => &self.api_keys,
            Way::Certificates => &self.certificates,
        };
        let known = self.known.entry((way, Rc::as_ptr(requirement)));
        Rc::clone(known.or_insert_with(|| requirement.out_of_reach(holders, &mut self.tries).into()))
    }

    /// Why nobody who comes by `method` can have what `asked` says.
    fn why(&self, method: &MethodSpec, lack: Lack, asked: &AlternativeSpec) -> String {
        let names =
            |what, names: &Option<Names>| names.as_ref().map(|names| named(what, names)).unwrap_or_default();
        let lacking = match lack {
            Lack::Scopes => names("scope", &asked.scopes),
            Lack::Permissions => names("permission", &asked.permissions),
            Lack::Roles => names("role", &asked.roles),
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
            (MethodSpec::ClientCertificate, _) => {
                let certificates = self.document.client_certificates.as_ref();
                let unnamed = certificates.is_some_and(|spec| spec.principals.is_none());
                let hint = if unnamed { ": clientCertificates has no principals" } else { "" };
                format!("no certificate has {lacking}{hint}")
            }
        }
    }
}

/// `the scopes "a", "b"`, the first few of them.
fn named(what: &str, names: &Names) -> String {
    const SHOWN: usize = 4;
    let (kind, names) = match names {
        Names::All(names) => ("the", names),
        Names::Any(names) if names.len() == 1 => ("the", names),
        Names::Any(names) => ("any of the", names),
    };
    let plural = if names.len() == 1 { "" } else { "s" };
    let mut shown: Vec<_> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    if names.len() > SHOWN {
        shown.push("...".to_owned());
    }
    format!("{kind} {what}{plural} {}", shown.join(", "))
}
