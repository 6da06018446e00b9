//! One rule, compiled.

use std::rc::Rc;

use super::{
    ProtectedResource, Provider,
    accepted_credentials::{AcceptedCredentials, Scoped},
    places,
};
use crate::{
    config::{ActionSpec, Document, InvalidCredentials, MethodSpec, RuleSpec},
    confirmation::BindingMode,
    dpop::DpopSpec,
    fault::Fault,
    hmac::HmacSourceSpec,
    identity::Party,
    interned::Interned,
    message_signature::SignerSpec,
    rate_limit::{LimitId, Limiter},
    rbac::{Requirement, RequirementSpec, Vocabulary},
    request::path::Kept,
    text::header::header_text,
};

/// One rule.
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    /// The name as a header value.
    pub(crate) header: String,
    /// What its paths may hold that others may read in another way.
    pub(super) kept: Kept,
    pub(crate) action: Action,
    /// `None`: as the policy says of all rules.
    pub(crate) require_tls: Option<bool>,
    /// CORS preflights of its requests pass without credentials.
    pub(crate) cors_preflight: bool,
    /// Its requests end with their credential, however long they would go on.
    pub(crate) ends_streams: bool,
    /// Its limits in force. One list for all rules that have the same.
    pub(crate) limits: Rc<Vec<LimitId>>,
    /// Those of its limits that refuse nothing; likewise.
    pub(crate) shadow_limits: Rc<Vec<LimitId>>,
    /// The rule as it would be; `None`: it has no shadow.
    pub(crate) shadow: Option<Box<Rule>>,
}

/// What a rule does.
pub(crate) enum Action {
    Deny,
    AllowAnyone {
        /// Credentials reach the upstream as they were sent.
        pass_through: bool,
        /// `None`: from everywhere.
        requirement: Option<Rc<Requirement>>,
    },
    Allow(Access),
}

/// Whom a rule lets pass.
pub(crate) struct Access {
    /// One for all rules that take the same.
    pub(crate) accepted: Rc<AcceptedCredentials>,
    /// What becomes of invalid credentials where requests without any pass; `None`: one is required.
    pub(crate) optional: Option<InvalidCredentials>,
    /// `None`: every authenticated principal may. One for all rules that ask the same.
    pub(crate) requirement: Option<Rc<Requirement>>,
    /// What is said of the scopes that tokens need; `None`: they need none, or none are taken. One for all rules that
    /// say the same.
    pub(crate) scoped: Option<Rc<Scoped>>,
}

impl RuleSpec {
    /// What its callers must have; `None`: it asks nothing of them.
    pub(super) fn requirement(&self) -> Option<&RequirementSpec> {
        match &self.action {
            ActionSpec::Allow { authorize, .. } | ActionSpec::AllowAnyone { authorize, .. } => {
                authorize.as_ref()
            }
            ActionSpec::Deny => None,
        }
    }
}

/// Who signs requests.
#[derive(Clone, Copy)]
pub(super) struct Signing<'a> {
    pub(super) hmac_sources: &'a [Rc<HmacSourceSpec>],
    pub(super) signers: &'a [Rc<SignerSpec>],
}

/// Compiles the rules of one document. What several of them have in common is kept once.
pub(super) struct RuleCompiler<'a> {
    document: &'a Document,
    providers: &'a [Rc<Provider>],
    signing: Signing<'a>,
    resources: &'a [Rc<ProtectedResource>],
    limiter: &'a Limiter,
    vocabulary: &'a Vocabulary,
    accepted: Interned<AcceptedCredentials>,
    requirements: Interned<Requirement>,
    scoped: Interned<Scoped>,
    limits: Interned<Vec<LimitId>>,
}

impl<'a> RuleCompiler<'a> {
    /// `providers` are those of `document` that have no faults; `resources` are all, or none where one has.
    pub(super) fn new(
        document: &'a Document,
        providers: &'a [Rc<Provider>],
        signing: Signing<'a>,
        resources: &'a [Rc<ProtectedResource>],
        limiter: &'a Limiter,
        vocabulary: &'a Vocabulary,
    ) -> Self {
        Self {
            document,
            providers,
            signing,
            resources,
            limiter,
            vocabulary,
            accepted: Interned::default(),
            requirements: Interned::default(),
            scoped: Interned::default(),
            limits: Interned::default(),
        }
    }

    /// All rules of a list that stands at `path`.
    pub(super) fn compile_all(&mut self, rules: &[RuleSpec], path: &str) -> Result<Vec<Rule>, Vec<Fault>> {
        let rules = rules.iter().enumerate().map(|(i, rule)| {
            let unknown = || vec![Fault::new(format!("{path}[{i}]"), "names something unknown")];
            self.compile(rule).ok_or_else(unknown)
        });
        rules.collect()
    }

    /// `None` when the rule names something unknown.
    pub(super) fn compile(&mut self, rule: &RuleSpec) -> Option<Rule> {
        let action = match &rule.action {
            ActionSpec::Deny => Action::Deny,
            ActionSpec::AllowAnyone { pass_through, authorize } => Action::AllowAnyone {
                pass_through: *pass_through,
                requirement: self.requirement(authorize.as_ref()),
            },
            ActionSpec::Allow { authenticate, actor, optional, authorize } => {
                let mut accepted = self.accepted(authenticate, rule.resource)?;
                if let Some(actor) = actor {
                    let actor = self.accepted(std::slice::from_ref(actor), rule.resource)?;
                    accepted.actor = Some(self.accepted.one(actor));
                }
                Action::Allow(self.access(accepted, *optional, authorize.as_ref()))
            }
        };
        let named = rule.rate_limits.iter().map(|name| self.limiter.id(name));
        let named = named.collect::<Option<Vec<_>>>()?;
        let (shadow_limits, limits) = named.into_iter().partition(|id| self.limiter.is_shadow(*id));
        Some(Rule {
            name: rule.name.as_str().into(),
            header: header_text(&rule.name, b""),
            kept: rule.route.kept,
            action,
            require_tls: rule.require_tls,
            cors_preflight: rule.cors_preflight,
            ends_streams: rule.end_streams,
            limits: self.limits.one(limits),
            shadow_limits: self.limits.one(shadow_limits),
            // Behind the rule, so that what they have in common is found to be the same.
            shadow: match &rule.shadow {
                Some(shadow) => Some(Box::new(self.compile(shadow)?)),
                None => None,
            },
        })
    }

    fn access(
        &mut self,
        accepted: AcceptedCredentials,
        optional: Option<InvalidCredentials>,
        authorize: Option<&RequirementSpec>,
    ) -> Access {
        let accepted = self.accepted.one(accepted);
        let requirement = self.requirement(authorize);
        let scopes = requirement.as_deref().map(|asked| asked.scopes(Party::Principal)).unwrap_or_default();
        let scoped = (accepted.takes_tokens() && !scopes.is_empty())
            .then(|| self.scoped.one(Scoped::new(&accepted, scopes)));
        Access { accepted, optional, requirement, scoped }
    }

    fn requirement(&mut self, spec: Option<&RequirementSpec>) -> Option<Rc<Requirement>> {
        spec.map(|spec| self.requirements.one(Requirement::compile(spec, self.vocabulary)))
    }

    fn accepted(&self, methods: &[MethodSpec], resource: Option<usize>) -> Option<AcceptedCredentials> {
        let resource = resource.and_then(|place| self.resources.get(place)).cloned();
        let mut accepted = AcceptedCredentials { resource, ..AcceptedCredentials::default() };
        for method in methods {
            match method {
                MethodSpec::ApiKey => accepted.api_key = true,
                MethodSpec::ClientCertificate => accepted.client_certificate = true,
                MethodSpec::Hmac(name) => {
                    let source = self.signing.hmac_sources.iter().find(|source| source.name == *name)?;
                    accepted.hmac_sources.push(Rc::clone(source));
                    add_new(&mut accepted.signature_locations, std::slice::from_ref(&source.location));
                }
                MethodSpec::MessageSignature(name) => {
                    let signer = self.signing.signers.iter().find(|signer| signer.name == *name)?;
                    accepted.signers.push(Rc::clone(signer));
                }
                MethodSpec::Jwt(name) => {
                    let compiled = self.providers.iter().find(|provider| **provider.name() == **name);
                    let Some(provider) = compiled else {
                        // It is there, but has faults of its own, for which the policy is refused.
                        self.document.providers.iter().find(|spec| spec.jwt.name == *name)?;
                        continue;
                    };
                    accepted.providers.push(Rc::clone(provider));
                    add_new(&mut accepted.token_locations, &provider.spec().locations);
                    let dpop = provider.dpop.as_ref();
                    accepted.bearer |= dpop.is_none_or(|dpop| dpop.mode == BindingMode::Accepted);
                    add_new(&mut accepted.dpop_algorithms, &dpop.map(DpopSpec::algs).unwrap_or_default());
                }
            }
        }
        let keys = self.document.api_keys.as_ref().filter(|_| accepted.api_key);
        accepted.shares_place =
            keys.is_some_and(|keys| places::has_shared(&keys.locations, &accepted.token_locations));
        Some(accepted)
    }
}

/// Adds what is not there yet.
pub(super) fn add_new<T: Clone + PartialEq>(all: &mut Vec<T>, some: &[T]) {
    for one in some {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}
