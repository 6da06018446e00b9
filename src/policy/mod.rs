//! The compiled policy: what a document comes to when every name is resolved and every number checked.

mod accepted_credentials;
mod caller;
mod coherence;
mod guards;
mod places;
mod provider;
mod reach;
mod unused;

pub(crate) use self::{caller::Caller, provider::Provider};

use std::rc::Rc;

use self::accepted_credentials::{AcceptedCredentials, Scoped};
use crate::{
    api_key::ApiKeys,
    certificate::ClientCertificatesSpec,
    config::{
        self, ActionSpec, Document, IdentityField, IdentityHeadersSpec, Interlock, MethodSpec, RuleSpec,
    },
    confirmation::BindingMode,
    dpop::{self, DpopSpec},
    fault::Fault,
    identity::header_text,
    interned::Interned,
    rate_limit::{LimitId, Limiter},
    rbac::{Names, Requirement, Vocabulary},
    request::{Location, credential::CredentialNames, guarded::GuardedHeaders},
    resource_metadata::{Derived, ResourceMetadata},
    revocation::RevocationSpec,
    route::Router,
    transport::Transport,
};

/// The mark of a filter that has no name.
const UNNAMED: &[u8] = b"portcullis";

/// A policy that can decide. There is no partly valid one.
pub struct Policy {
    pub(crate) realm: String,
    pub(crate) transport: Transport,
    pub(crate) router: Router,
    /// In the document's order; the router's results are indexes into it.
    pub(crate) rules: Vec<Rule>,
    pub(crate) providers: Vec<Rc<Provider>>,
    pub(crate) api_keys: Option<ApiKeys<Caller>>,
    pub(crate) client_certificates: Option<ClientCertificatesSpec>,
    pub(crate) revocation: Option<RevocationSpec>,
    pub(crate) limiter: Limiter,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) identity_headers: IdentityHeadersSpec,
    /// Headers that never reach the upstream as the client sent them.
    pub(crate) guarded_headers: GuardedHeaders,
    /// Everywhere a token or an API key may stand, each once.
    pub(crate) credential_locations: Vec<Location>,
    /// The names of those that are cookies and parameters.
    pub(crate) credential_names: CredentialNames,
    /// What clients are told of the API; `None`: nothing.
    pub(crate) resource_metadata: Option<ResourceMetadata>,
    needs: Needs,
    interlock: Interlock,
    pub(crate) log_allowed: bool,
    pub(crate) log_all_denied: bool,
    pub(crate) rate_limit_headers_always: bool,
    warnings: Vec<Fault>,
}

/// Warnings beyond so many say nothing new.
const MAX_WARNINGS: usize = 1000;

/// What deciding asks of the connection; worked out once, for it is asked of every request.
#[derive(Clone, Copy)]
struct Needs {
    tls: bool,
    peer_certificate: bool,
    remote_address: bool,
}

/// One rule.
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    /// The name as a header value.
    pub(crate) header: String,
    pub(crate) action: Action,
    /// CORS preflights of its requests pass without credentials.
    pub(crate) cors_preflight: bool,
    /// One list for all rules that have the same.
    pub(crate) limits: Rc<Vec<LimitId>>,
}

/// What a rule does.
pub(crate) enum Action {
    Deny,
    AllowAnyone,
    Allow(Access),
}

/// Whom a rule lets pass.
pub(crate) struct Access {
    /// One for all rules that take the same.
    pub(crate) accepted: Rc<AcceptedCredentials>,
    /// `None`: every authenticated principal may. One for all rules that ask the same.
    pub(crate) requirement: Option<Rc<Requirement>>,
    /// What is said of the scopes that tokens need; `None`: they need none, or none are taken. One for all rules that
    /// say the same.
    pub(crate) scoped: Option<Rc<Scoped>>,
}

/// What rules have in common.
#[derive(Default)]
struct Common {
    accepted: Interned<AcceptedCredentials>,
    requirements: Interned<Requirement>,
    scoped: Interned<Scoped>,
    limits: Interned<Vec<LimitId>>,
}

/// What the features made of their sections.
struct Parts {
    router: Router,
    providers: Vec<Rc<Provider>>,
    limiter: Limiter,
    vocabulary: Vocabulary,
    metadata: Option<ResourceMetadata>,
}

impl Policy {
    /// Reads and compiles a document. All or nothing: one fault and there is no policy.
    ///
    /// A pure function of its arguments, because a filter whose configuration fails on one thread only is left
    /// out there by Envoy. `namespace` keeps this policy's shared state apart from that of others.
    ///
    /// # Errors
    /// Every fault of the document, each with its path.
    ///
    /// ```
    /// use portcullis::policy::Policy;
    ///
    /// let document = br#"{"rules": [{"name": "all", "authenticate": {"anonymous": true}, "ratelimits": []}]}"#;
    /// let faults = Policy::compile(document, "example").err().unwrap_or_default();
    /// let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    /// assert_eq!(told, ["rules[0].ratelimits: unknown field; did you mean \"rateLimits\"?"]);
    /// ```
    pub fn compile(bytes: &[u8], namespace: &str) -> Result<Self, Vec<Fault>> {
        let document = config::decode(bytes).map_err(coherence::every_fault)?;
        let mut faults = Vec::new();
        let mut keep = |prefix: &str, found: Vec<Fault>| {
            faults.extend(found.into_iter().map(|fault| fault.within(prefix)));
        };

        let routes: Vec<_> = document.rules.iter().map(|rule| (rule.name.as_str(), &rule.route)).collect();
        let router = Router::compile(&routes).map_err(|found| keep("rules", found)).ok();
        let mut providers = Vec::with_capacity(document.providers.len());
        for (i, spec) in document.providers.iter().enumerate() {
            match Provider::compile(spec) {
                Ok(provider) => providers.push(Rc::new(provider)),
                Err(found) => keep(&format!("jwt.providers[{i}]"), found),
            }
        }
        let limiter = Limiter::compile(&document.rate_limits, namespace)
            .map_err(|found| keep("rateLimits", found))
            .ok();
        let requirements = document.rules.iter().filter_map(RuleSpec::requirement);
        let vocabulary =
            Vocabulary::compile(&document.roles, requirements).map_err(|found| keep("roles", found)).ok();
        keep("rules", coherence::owner_variables(document.rules.iter().enumerate(), router.as_ref()));
        keep("rules", places::faults(&document));
        keep("requestHeaders", coherence::removed_headers(&document));
        let metadata = resource_metadata(&document).unwrap_or_else(|found| {
            keep("protectedResource", found);
            None
        });
        let assembled = match (router, limiter, vocabulary) {
            (Some(router), Some(limiter), Some(vocabulary)) => {
                // Also where there are faults already, to find those that only show when the parts come together.
                Self::assemble(document, Parts { router, providers, limiter, vocabulary, metadata })
            }
            _ => Err(Vec::new()),
        };
        match assembled {
            Ok(policy) if faults.is_empty() => return Ok(policy),
            Ok(_) => {}
            Err(found) => faults.extend(found),
        }
        if faults.is_empty() {
            faults.push(Fault::new("", "the policy cannot be compiled"));
        }
        faults.sort();
        faults.dedup();
        Err(faults)
    }

    fn assemble(document: Document, parts: Parts) -> Result<Self, Vec<Fault>> {
        let Parts { router, providers, limiter, vocabulary, metadata } = parts;
        let mut common = Common::default();
        let rules: Result<Vec<_>, _> = document
            .rules
            .iter()
            .enumerate()
            .map(|(i, rule)| {
                rule.compile(&document, &providers, &limiter, &vocabulary, &mut common)
                    .ok_or_else(|| vec![Fault::new(format!("rules[{i}]"), "names something unknown")])
            })
            .collect();
        let rules = rules?;
        let api_keys = document
            .api_keys
            .as_ref()
            .map(|spec| ApiKeys::compile(spec, |principal| Caller::of_key(principal, &vocabulary)));
        let reach::Found { faults, mut warnings } =
            reach::judge(&document, &rules, &vocabulary, api_keys.as_ref());
        if !faults.is_empty() {
            return Err(faults);
        }
        warnings.extend(unused::unused(&document, &vocabulary));
        warnings.extend(router.warnings().into_iter().map(|warning| warning.within("rules")));
        warnings.sort();
        warnings.truncate(MAX_WARNINGS);
        let mut credential_locations = Vec::new();
        for provider in &document.providers {
            add_new(&mut credential_locations, &provider.jwt.locations);
        }
        if let Some(keys) = &document.api_keys {
            add_new(&mut credential_locations, &keys.locations);
        }
        if providers.iter().any(|provider| provider.dpop.is_some()) {
            let proof = Location::Header { name: dpop::HEADER.to_owned(), prefix: String::new() };
            add_new(&mut credential_locations, &[proof]);
        }
        let guarded_headers = guards::guarded_headers(&document, &credential_locations);
        let transport = Transport::compile(&document.transport);
        let certificates = document.client_certificates.as_ref();
        let needs = Needs {
            // A DPoP proof is for a URL, which says whether it is `https`.
            tls: transport.needs_connection() || providers.iter().any(|provider| provider.dpop.is_some()),
            peer_certificate: certificates.is_some_and(ClientCertificatesSpec::of_connection),
            remote_address: limiter.needs_remote_address(),
        };
        Ok(Self {
            rules,
            realm: document.realm,
            transport,
            router,
            providers,
            api_keys,
            client_certificates: document.client_certificates,
            revocation: document.revocation,
            limiter,
            vocabulary,
            identity_headers: document.identity_headers,
            guarded_headers,
            credential_names: CredentialNames::of(&credential_locations),
            credential_locations,
            resource_metadata: metadata,
            needs,
            interlock: document.interlock,
            log_allowed: document.log_allowed,
            log_all_denied: document.log_all_denied,
            rate_limit_headers_always: document.rate_limit_headers_always,
            warnings,
        })
    }

    /// What is odd about the policy and makes no decision wrong: parts that let nobody pass, or that nothing uses. By
    /// place, the first 1000.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// What is revoked before its time; `None`: nothing.
    pub fn revocation(&self) -> Option<&RevocationSpec> {
        self.revocation.as_ref()
    }

    /// What the policy holds, in a few words for the log.
    pub fn summary(&self) -> String {
        format!("{} rules, {} token providers", self.rules.len(), self.providers.len())
    }

    /// Whether deciding needs to know if the connection carried TLS.
    pub fn needs_connection(&self) -> bool {
        self.needs.tls
    }

    /// Whether deciding needs the certificate that the client showed on Envoy's own connection.
    pub fn needs_peer_certificate(&self) -> bool {
        self.needs.peer_certificate
    }

    /// The name of the filter state that marks allowed requests, so that another filter can refuse what lacks it;
    /// `None`: they are not marked. `filter` is the name of ours in Envoy's configuration, any bytes or none.
    ///
    /// Each filter of a chain has a mark of its own. With one for all, the first filter's mark would let a request
    /// pass that a second one never saw, because it is switched off or could not start.
    pub fn mark(&self, filter: &[u8]) -> Option<Box<[u8]>> {
        match (&self.interlock, filter) {
            (Interlock::Off, _) => None,
            (Interlock::Named, []) => Some(UNNAMED.into()),
            (Interlock::Named, name) => Some(name.into()),
            (Interlock::Marked(name), _) => Some(name.as_bytes().into()),
        }
    }

    /// Whether deciding needs the client's address.
    pub fn needs_remote_address(&self) -> bool {
        self.needs.remote_address
    }
}

impl RuleSpec {
    fn requirement(&self) -> Option<&crate::rbac::RequirementSpec> {
        match &self.action {
            ActionSpec::Allow { authorize, .. } => authorize.as_ref(),
            ActionSpec::Deny | ActionSpec::AllowAnyone => None,
        }
    }

    /// `None` when a name is unknown.
    fn compile(
        &self,
        document: &Document,
        providers: &[Rc<Provider>],
        limiter: &Limiter,
        vocabulary: &Vocabulary,
        common: &mut Common,
    ) -> Option<Rule> {
        let action = match &self.action {
            ActionSpec::Deny => Action::Deny,
            ActionSpec::AllowAnyone => Action::AllowAnyone,
            ActionSpec::Allow { authenticate, authorize } => {
                let mut accepted = AcceptedCredentials::default();
                for method in authenticate {
                    match method {
                        MethodSpec::ApiKey => accepted.api_key = true,
                        MethodSpec::ClientCertificate => accepted.client_certificate = true,
                        MethodSpec::Jwt(name) => {
                            let compiled = providers.iter().find(|provider| **provider.name() == **name);
                            let Some(provider) = compiled else {
                                // It is there, but has faults of its own, for which the policy is refused.
                                document.providers.iter().find(|spec| spec.jwt.name == *name)?;
                                continue;
                            };
                            accepted.providers.push(Rc::clone(provider));
                            add_new(&mut accepted.token_locations, &provider.spec().locations);
                            let dpop = provider.dpop.as_ref();
                            accepted.bearer |= dpop.is_none_or(|dpop| dpop.mode == BindingMode::Accepted);
                            add_new(
                                &mut accepted.dpop_algorithms,
                                &dpop.map(DpopSpec::algs).unwrap_or_default(),
                            );
                        }
                    }
                }
                let keys = document.api_keys.as_ref().filter(|_| accepted.api_key);
                accepted.shares_place =
                    keys.is_some_and(|keys| places::has_shared(&keys.locations, &accepted.token_locations));
                let requirement = authorize.as_ref().map(|spec| Requirement::compile(spec, vocabulary));
                let accepted = common.accepted.one(accepted);
                let scopes = requirement.as_ref().map(Requirement::scopes).unwrap_or_default();
                let scoped = (accepted.takes_tokens() && !scopes.is_empty())
                    .then(|| common.scoped.one(Scoped::new(&accepted, scopes)));
                Action::Allow(Access {
                    accepted,
                    requirement: requirement.map(|requirement| common.requirements.one(requirement)),
                    scoped,
                })
            }
        };
        let limits = self.rate_limits.iter().map(|name| limiter.id(name)).collect::<Option<_>>()?;
        Some(Rule {
            name: self.name.as_str().into(),
            header: header_text(&self.name, b""),
            action,
            cors_preflight: self.cors_preflight,
            limits: common.limits.one(limits),
        })
    }
}

/// The metadata that clients are told. What its section leaves out is taken from the rest of the policy.
fn resource_metadata(document: &Document) -> Result<Option<ResourceMetadata>, Vec<Fault>> {
    let Some(spec) = &document.protected_resource else { return Ok(None) };
    let issuers: Vec<&str> = document.providers.iter().map(|provider| provider.jwt.issuer.as_str()).collect();
    let locations: Vec<&Location> =
        document.providers.iter().flat_map(|provider| &provider.jwt.locations).collect();
    let takes_tokens = |rule: &&RuleSpec| match &rule.action {
        ActionSpec::Allow { authenticate, .. } => {
            authenticate.iter().any(|method| matches!(method, MethodSpec::Jwt(_)))
        }
        ActionSpec::Deny | ActionSpec::AllowAnyone => false,
    };
    let requirements = document.rules.iter().filter(takes_tokens).filter_map(RuleSpec::requirement);
    let alternatives = requirements.flat_map(|requirement| &requirement.any_of);
    let scopes: Vec<&str> = alternatives
        .filter_map(|alternative| alternative.scopes.as_ref())
        .flat_map(|(Names::All(names) | Names::Any(names))| names)
        .map(String::as_str)
        .collect();
    let derived = Derived { issuers: &issuers, scopes: &scopes, token_locations: &locations };
    ResourceMetadata::compile(spec, derived).map(Some)
}

/// Adds what is not there yet.
fn add_new<T: Clone + PartialEq>(all: &mut Vec<T>, some: &[T]) {
    for one in some {
        if !all.contains(one) {
            all.push(one.clone());
        }
    }
}

impl IdentityHeadersSpec {
    pub(crate) fn sends(&self, field: IdentityField) -> bool {
        self.send.contains(&field)
    }
}
